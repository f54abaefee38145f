"""The border: what does not fit its declared type does not cross, and no refusal quotes it."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.border import BorderCodec
from runtime.errors import BorderRefused
from runtime.message import Count, Message, PlaceName, Sensitivity, UnixSeconds

SECRET = "aa:bb:cc:dd:ee:ff"
PLACES = ("east-exit", "west-exit")


class Mask(enum.Enum):
    WORN = "worn"
    NOT_WORN = "not worn"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cell(Message, sensitivity=Sensitivity.AGGREGATE):
    mask: Mask
    people: Count
    place: PlaceName | None = None


class CrowdCount(Message, sensitivity=Sensitivity.AGGREGATE):
    place: PlaceName
    at: UnixSeconds
    people: Count
    level: Level = Level.LOW
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=3)] = ()
    also: PlaceName | None = None
    pair: tuple[PlaceName, Count] | None = None
    best: Cell | None = None


class Packet(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    data: bytes
    key: bool = False


class Plain(msgspec.Struct):
    place: PlaceName
    name: str = ""


class Report(Message, sensitivity=Sensitivity.OPERATIONAL):
    """Not bounded, so a place may stand anywhere in it."""

    by_place: dict[PlaceName, int] = {}
    places: list[PlaceName] = []
    sets: frozenset[PlaceName] = frozenset()
    nested: list[Plain] = []
    described: Annotated[PlaceName, msgspec.Meta(description="where")] | None = None
    free: str = ""
    mixed: dict[str, int | PlaceName | list[PlaceName]] = {}
    anything: Any = None
    texts: list[str] = []


def codec(message: type[Message], **options: Any) -> BorderCodec[Any]:
    return BorderCodec(message, places=PLACES, **options)


def crowd(**fields: Any) -> CrowdCount:
    return CrowdCount(**{"place": "east-exit", "at": 1, "people": 2, **fields})


def test_what_fits_crosses_as_an_equal_copy() -> None:
    sent = crowd(
        cells=(
            Cell(mask=Mask.WORN, people=1, place="west-exit"),
            Cell(mask=Mask.NOT_WORN, people=1),
        ),
        also="west-exit",
        pair=("east-exit", 3),
        best=Cell(mask=Mask.WORN, people=9),
        level=Level.HIGH,
    )
    received = codec(CrowdCount).cross(sent)
    assert received == sent
    assert received is not sent
    assert received.cells[0] is not sent.cells[0]


class Foreign:
    """No message holds one. Tests are named by what they try, so that it always looks the same."""

    def __repr__(self) -> str:
        return "Foreign()"

    def __hash__(self) -> int:
        return 7


WRONG_FIELDS: list[dict[str, Any]] = [
    {"people": -1},
    {"people": 10_000},
    {"people": 2**70},
    {"people": True},
    {"people": 1.5},
    {"people": SECRET},
    {"people": None},
    {"people": Foreign()},
    {"at": 2**32},
    {"place": 7},
    {"place": SECRET},
    {"place": "\udc80" + SECRET},
    {"place": "east-exit\n"},
    {"place": None},
    {"place": b"east-exit"},
    {"level": 3},
    {"level": SECRET},
    {"level": "worn"},
    {"cells": (SECRET,)},
    {"cells": ({"mask": SECRET, "people": 1},)},
    {"cells": ({SECRET: 1, "mask": "worn", "people": 1},)},
    {"cells": (Cell(mask=Mask.WORN, people=SECRET),)},  # type: ignore[arg-type]
    {"cells": (Cell(mask=SECRET, people=1),)},  # type: ignore[arg-type]
    {"cells": (Cell(mask=Mask.WORN, people=1),) * 4},
    {"cells": {SECRET: 1}},
    {"best": {SECRET: SECRET}},
    {"best": SECRET},
    {"pair": ("east-exit", SECRET)},
    {"pair": ("east-exit",)},
    # Places that the configuration does not declare, wherever they stand.
    {"place": "harbour"},
    {"also": "harbour"},
    {"pair": ("harbour", 1)},
    {"cells": (Cell(mask=Mask.WORN, people=1), Cell(mask=Mask.WORN, people=1, place="harbour"))},
    {"best": Cell(mask=Mask.WORN, people=1, place="harbour")},
]


@pytest.mark.parametrize("fields", WRONG_FIELDS, ids=repr)
def test_a_wrong_field_is_refused_without_being_quoted(fields: dict[str, Any]) -> None:
    with pytest.raises(BorderRefused) as caught:
        codec(CrowdCount).cross(crowd(**fields))
    said = str(caught.value)
    assert "CrowdCount" in said
    assert "aa:bb" not in said
    assert "harbour" not in said
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    "fields",
    [
        {"by_place": {"harbour": 1}},
        {"by_place": {"east-exit": 1, "harbour": 2}},
        {"places": ["east-exit", "harbour"]},
        {"sets": frozenset({"harbour"})},
        {"nested": [Plain(place="harbour")]},
        {"described": "harbour"},
        {"free": "\udc80"},
        {"mixed": {"a": "harbour"}},
        {"mixed": {"a": 1, "b": ["east-exit", "harbour"]}},
        {"anything": Foreign()},
        {"anything": {1, Foreign()}},
        {"free": SECRET.encode()},
        {"texts": [SECRET, 1]},
    ],
    ids=repr,
)
def test_wherever_a_place_stands_it_must_be_declared(fields: dict[str, Any]) -> None:
    with pytest.raises(BorderRefused) as caught:
        codec(Report).cross(Report(**fields))
    assert "harbour" not in str(caught.value)
    assert "aa:bb" not in str(caught.value)


def test_texts_that_are_no_places_are_left_alone() -> None:
    sent = Report(
        by_place={"east-exit": 1},
        places=["west-exit"],
        sets=frozenset({"east-exit"}),
        nested=[Plain(place="east-exit", name="harbour")],
        described="east-exit",
        free="harbour",
        mixed={"harbour": 1, "b": "east-exit", "c": ["west-exit"]},
        texts=["harbour"],
        anything={"harbour": [1, 2]},
    )
    assert codec(Report).cross(sent) == sent


def test_the_refusal_of_a_place_names_the_field_and_what_is_declared() -> None:
    with pytest.raises(BorderRefused) as caught:
        codec(CrowdCount).cross(crowd(also="harbour"))
    assert "its 'also' is not a place of the configuration" in str(caught.value)
    assert "Declared: east-exit, west-exit." in str(caught.value)


def test_the_refusal_of_a_field_says_which_and_what_it_should_be() -> None:
    with pytest.raises(BorderRefused) as caught:
        codec(CrowdCount).cross(crowd(people=10_000))
    assert "`int` <= 9999" in str(caught.value)
    assert "$.people" in str(caught.value)
    with pytest.raises(BorderRefused) as caught:
        codec(CrowdCount).cross(crowd(cells=(Cell(mask=SECRET, people=1),)))  # type: ignore[arg-type]
    assert "$.cells[0].mask" in str(caught.value)


@pytest.mark.parametrize(("size", "crosses"), [(80, True), (200, False)])
def test_what_is_too_large_is_refused_by_its_size(size: int, crosses: bool) -> None:
    narrow = codec(Packet, limit=100)
    packet = Packet(data=b"\xff" * size)
    if crosses:
        assert narrow.cross(packet) == packet
        return
    with pytest.raises(BorderRefused, match=r"a Packet of \d+ bytes .* at most 100 bytes"):
        narrow.cross(packet)


def test_the_limit_is_inclusive() -> None:
    packet = Packet(data=b"x" * 50)
    size = len(msgspec.msgpack.encode(packet))
    assert codec(Packet, limit=size).cross(packet) == packet
    with pytest.raises(BorderRefused):
        codec(Packet, limit=size - 1).cross(packet)


def test_a_cyclic_object_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(BorderRefused):
        codec(Report).cross(Report(anything=loop))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from(["place", "at", "people", "level", "cells", "also", "pair", "best"]),
        ANYTHING,
    )
)
def test_whatever_a_sender_puts_in_what_arrives_fits(fields: dict[str, Any]) -> None:
    try:
        received = codec(CrowdCount).cross(crowd(**fields))
    except BorderRefused:
        return
    assert type(received) is CrowdCount
    assert received.place in PLACES
    assert received.also in (None, *PLACES)
    assert type(received.people) is int
    assert 0 <= received.people <= 9_999
    assert isinstance(received.level, Level)
    assert all(type(cell) is Cell for cell in received.cells)
    assert len(received.cells) <= 3
