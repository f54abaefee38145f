"""Counts of made-up pictures."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, AttributeCount, Gender, Mask, PictureCount

Cell = tuple[Gender, AgeBand, Mask, int]

MINUTE = 1_700_000_040
"""A multiple of 60."""


def picture(taken_at: int, cells: Iterable[Cell], *, place: str = "east-exit") -> PictureCount:
    made = tuple(
        AttributeCount(gender=gender, age=age, mask=mask, people=people)
        for gender, age, mask, people in cells
    )
    people = sum(cell.people for cell in made)
    return PictureCount(place=place, taken_at=taken_at, people=people, cells=made)


def unknown(people: int) -> list[Cell]:
    return [(Gender.UNKNOWN, AgeBand.UNKNOWN, Mask.UNKNOWN, people)]


def of_people(
    taken_at: int, people: int, *, place: str = "east-exit", interval: int = 1
) -> PictureCount:
    """A picture in which nobody's attributes could be told."""
    made = picture(taken_at, unknown(people), place=place)
    return msgspec.structs.replace(made, interval=interval)


CELLS = st.lists(
    st.tuples(
        st.sampled_from(Gender), st.sampled_from(AgeBand), st.sampled_from(Mask), st.integers(0, 15)
    ),
    max_size=8,
)
