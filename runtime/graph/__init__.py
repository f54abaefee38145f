"""A blueprint as a picture: in the terminal (``to_text``) and as SVG (``to_svg``).

And in words: what can leave the domains that handle personal data (``to_bounds``), and each use
of one actor (``to_uses``).
"""

from runtime.graph.svg import to_svg
from runtime.graph.text import to_text
from runtime.graph.uses import to_bounds, to_uses

__all__ = ["to_bounds", "to_svg", "to_text", "to_uses"]
