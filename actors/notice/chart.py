"""The shapes of a chart, as plain numbers that the template draws as SVG."""

from __future__ import annotations

__all__ = ["Column", "Drawing", "draw"]

from dataclasses import dataclass
from datetime import UTC, datetime

from actors.notice.figures import DAY, HOUR, JAPAN, Chart

WIDTH, HEIGHT = 480, 216
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 14, 476, 180
_WELL_OBSERVED = 90
"""Per cent. Less is shown as partly observed."""
_WEEKDAYS = "月火水木金土日"
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Column:
    """One bar."""

    kind: str
    """``most``, ``partly``, ``few`` or ``none``: what it says, and its style."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, in units of its view box."""

    columns: tuple[Column, ...]
    levels: tuple[tuple[float, int], ...]
    """Lines across, with their number."""
    marks: tuple[tuple[float, str], ...]
    """Below, where a time begins, and which."""
    names: tuple[tuple[float, str], ...]
    """Below, in the middle of a day, which."""
    left: float = _LEFT
    right: float = _RIGHT
    bottom: float = _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def draw(chart: Chart) -> Drawing:
    """Lay out a chart."""
    step, top = _scale(chart.most)
    unit = (_RIGHT - _LEFT) / (chart.ends - chart.begins)
    columns = []
    for bar in chart.bars:
        number = bar.most if bar.most is not None else bar.few
        if bar.most is None:
            kind = "none" if bar.few is None else "few"
        else:
            kind = "most" if bar.observed >= _WELL_OBSERVED else "partly"
        height = (_BOTTOM - _TOP) * (1.0 if number is None else number / top)
        x = _LEFT + (bar.start - chart.begins) * unit
        gap = 0 if kind == "none" else min(1.0, chart.length * unit / 5)
        columns.append(
            Column(
                kind,
                round(x, 2),
                round(_BOTTOM - height, 2),
                round(chart.length * unit - gap, 2),
                round(height, 2),
            )
        )
    levels = tuple(
        (round(_BOTTOM - (_BOTTOM - _TOP) * level / top, 2), level)
        for level in range(0, top + 1, step)
    )
    days = range(chart.begins, chart.ends, DAY)
    if len(days) == 1:
        marks = [(chart.begins + hour * HOUR, f"{hour}:00") for hour in (0, 6, 12, 18, 24)]
        names = []
    else:
        marks = [(day, "") for day in (*days, chart.ends)]
        names = [(day + DAY // 2, _name(day)) for day in days]
    return Drawing(
        columns=tuple(columns),
        levels=levels,
        marks=tuple((round(_LEFT + (at - chart.begins) * unit, 2), text) for at, text in marks),
        names=tuple((round(_LEFT + (at - chart.begins) * unit, 2), text) for at, text in names),
    )


def _scale(most: int) -> tuple[int, int]:
    """Step and top of the numbers at the side: three to five steps of 1, 2 or 5 × 10ⁿ."""
    power = 1
    while True:
        for digit in _STEPS:
            step = digit * power
            if step * 5 >= most:
                return step, max(-(-most // step), 3) * step
        power *= 10


def _name(day: int) -> str:
    local = datetime.fromtimestamp(day + JAPAN, UTC)
    return f"{local.month}/{local.day} {_WEEKDAYS[local.weekday()]}"
