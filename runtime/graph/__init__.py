"""A blueprint as a picture: in the terminal (``to_text``) and as SVG (``to_svg``)."""

from runtime.graph.svg import to_svg
from runtime.graph.text import to_text

__all__ = ["to_svg", "to_text"]
