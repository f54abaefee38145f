"""From the notice's content to the pages that are served."""

from __future__ import annotations

__all__ = ["render"]

from importlib import resources

import jinja2
import msgspec

from actors.notice.application import Pages
from actors.notice.content import Content

_ICON = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#12343f"/>
<path d="M15 9h2.4v18H15z" fill="#fff"/><circle cx="16.2" cy="9" r="4.6" fill="#fff"/>
<circle cx="16.2" cy="9" r="2" fill="#0b6e66"/></svg>
"""


def render(content: Content) -> Pages:
    """Render everything at once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("actors.notice"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = resources.files("actors.notice") / "templates"
    return Pages(
        html=environment.get_template("notice.html").render(notice=content).encode(),
        json=msgspec.json.format(msgspec.json.encode(content), indent=2),
        style=(folder / "notice.css").read_bytes(),
        icon=_ICON,
    )
