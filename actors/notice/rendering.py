"""From the notice's content, and from the figures, to the pages that are served."""

from __future__ import annotations

__all__ = ["render", "render_figures"]

import functools
from datetime import UTC, datetime
from importlib import resources

import jinja2
import msgspec

from actors.notice.application import FigurePages, Pages
from actors.notice.chart import draw
from actors.notice.content import Content, spell_moment
from actors.notice.figures import JAPAN, Figures
from actors.notice.wording import load_wording

_ICON = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#12343f"/>
<path d="M15 9h2.4v18H15z" fill="#fff"/><circle cx="16.2" cy="9" r="4.6" fill="#fff"/>
<circle cx="16.2" cy="9" r="2" fill="#0b6e66"/></svg>
"""


def render(content: Content) -> Pages:
    """Render the notice, and what both pages share."""
    folder = resources.files("actors.notice") / "templates"
    return Pages(
        html=_environment().get_template("notice.html").render(notice=content).encode(),
        json=_json(content),
        style=(folder / "notice.css").read_bytes(),
        icon=_ICON,
    )


def render_figures(figures: Figures, content: Content) -> FigurePages:
    """Render the figures; ``content`` says whose they are."""
    page = _environment().get_template("statistics.html")
    made = spell_moment(datetime.fromisoformat(figures.generated))
    return FigurePages(
        html=page.render(page=figures, notice=content, made=made).encode(), json=_json(figures)
    )


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("actors.notice"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = load_wording().figures
    environment.filters |= {
        "clock": lambda moment: f"{_local(moment):%H:%M}",
        "date": lambda moment: f"{_local(moment).month}/{_local(moment).day}",
        "draw": draw,
        "iso": lambda moment: datetime.fromtimestamp(moment, UTC).isoformat(),
        "with_k": lambda text, k: text.format(k=k),
    }
    return environment


def _local(moment: int) -> datetime:
    return datetime.fromtimestamp(moment + JAPAN, UTC)
