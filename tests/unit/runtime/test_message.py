"""Message types say how sensitive they are; an AGGREGATE one can hold no picture and no name."""

import datetime
import decimal
import enum
import math
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest

from runtime.errors import DeclarationError
from runtime.message import (
    Count,
    Message,
    PlaceName,
    Sensitivity,
    UnixSeconds,
    information_bits,
    most_bits,
    why_unbounded,
)

AGGREGATE = Sensitivity.AGGREGATE


class Three(enum.Enum):
    A = "a"
    B = "b"
    C = "c"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Open(enum.Enum):
    """An enumeration that makes up members as it goes."""

    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> "Open":
        return cls.A


Hoard = enum.Enum("Hoard", {f"M{n}": f"m{n}" for n in range(257)})


class Essay(enum.Enum):
    A = "a" * 41


class Far(enum.IntEnum):
    A = 2**40


class Inner(Message, sensitivity=AGGREGATE):
    three: Three
    people: Count


class Operational(Message, sensitivity=Sensitivity.OPERATIONAL):
    text: str = ""


class Foreign(msgspec.Struct):
    people: Count


def aggregate(kind: Any) -> type[Message]:
    """An AGGREGATE type with one field of that kind."""
    namespace = {"__annotations__": {"field": kind}, "__module__": __name__}
    return type(Message)("Made", (Message,), namespace, sensitivity=AGGREGATE)  # type: ignore[return-value]


ACCEPTED: list[tuple[Any, float]] = [
    # Kind, and the bits it can carry with four places declared.
    (Count, math.log2(10_000)),
    (UnixSeconds, 32.0),
    (Annotated[int, msgspec.Meta(ge=0, le=0)], 0.0),
    (Annotated[int, msgspec.Meta(ge=-4, le=3)], 3.0),
    (bool, 1.0),
    (None, 0.0),
    (Three, math.log2(3)),
    (PlaceName, 2.0),
    (PlaceName | None, 3.0),
    (Inner, math.log2(3) + math.log2(10_000)),
    (tuple[bool, bool, Three], 2 + math.log2(3)),
    (Annotated[tuple[bool, ...], msgspec.Meta(max_length=7)], 3 + 7),
    (Annotated[tuple[Inner, ...], msgspec.Meta(max_length=1)], 1 + math.log2(3 * 10_000)),
    (Annotated[int, msgspec.Meta(ge=0, le=255)] | bool, 1 + 8),
    (Annotated[int, msgspec.Meta(ge=0, le=3, title="with a title")], 2.0),
    (Annotated[tuple[bool, ...], msgspec.Meta(max_length=7, title="with a title")], 3 + 7),
    (Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)], 32.0),
]


@pytest.mark.parametrize(("kind", "bits"), ACCEPTED, ids=str)
def test_bounded_kinds_are_accepted_and_their_information_is_known(kind: Any, bits: float) -> None:
    assert information_bits(aggregate(kind), places=4) == pytest.approx(bits)


def test_information_adds_up_over_fields() -> None:
    assert information_bits(Inner, places=1) == pytest.approx(math.log2(3 * 10_000))


def test_one_place_or_none_tells_nothing() -> None:
    assert information_bits(aggregate(PlaceName), places=1) == 0
    assert information_bits(aggregate(PlaceName), places=0) == 0


@pytest.mark.parametrize("level", [s for s in Sensitivity if s is not AGGREGATE])
def test_only_aggregate_types_have_a_bound(level: Sensitivity) -> None:
    class Other(Message, sensitivity=level):
        people: Count

    with pytest.raises(DeclarationError, match=f"Other is {level.name}: only AGGREGATE"):
        information_bits(Other, places=1)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (str, "'str'"),
        (Annotated[str, msgspec.Meta(max_length=3)], "'str'"),
        (Annotated[str, msgspec.Meta(pattern=".*")], "'str'"),
        (bytes, "'bytes'"),
        (Annotated[bytes, msgspec.Meta(max_length=1)], "'bytes'"),
        (bytearray, "'bytearray'"),
        (memoryview, "'memoryview'"),
        (float, "'float'"),
        (Annotated[float, msgspec.Meta(ge=0, le=1)], "'float'"),
        (decimal.Decimal, "'decimal'"),
        (int, "an integer without both bounds"),
        (Annotated[int, msgspec.Meta(ge=0)], "an integer without both bounds"),
        (Annotated[int, msgspec.Meta(le=9)], "an integer without both bounds"),
        (Annotated[int, msgspec.Meta(gt=0, lt=9)], "an integer without both bounds"),
        (int | None, "an integer without both bounds"),
        (str | None, "'str'"),
        (Any, "'any'"),
        (object, "'custom'"),
        (list[bool], "'list'"),
        (Annotated[list[bool], msgspec.Meta(max_length=3)], "'list'"),
        (set[bool], "'set'"),
        (frozenset[Three], "'frozenset'"),
        (dict[PlaceName, Count], "'dict'"),
        (tuple[bool, ...], "a tuple without a max_length"),
        (tuple[bool, str], "'str'"),
        (Annotated[tuple[bytes, ...], msgspec.Meta(max_length=3)], "'bytes'"),
        (tuple[tuple[bool, ...], bool], "a tuple without a max_length"),
        (datetime.datetime, "'datetime'"),
        (datetime.date, "'date'"),
        (datetime.timedelta, "'timedelta'"),
        (uuid.UUID, "'uuid'"),
        (Literal["a", "b"], "'literal'"),
        (msgspec.Raw, "'raw'"),
        (Operational, "a Operational, which is not AGGREGATE itself"),
        (Foreign, "a Foreign, which is not AGGREGATE itself"),
        # A set of flags takes any whole number, and so would carry 64 bits.
        (Flags, "the flags Flags"),
        (tuple[Flags, bool], "the flags Flags"),
        # An enumeration with a _missing_ accepts what it does not list.
        (Open, "Open, which accepts more than it lists"),
        # A MAC address, a hash, and one bit more than the seconds since 1970 need.
        (Annotated[int, msgspec.Meta(ge=0, le=2**48 - 1)], "of 48 bits, wide enough for an"),
        (Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)], "an integer of 64 bits"),
        (Annotated[int, msgspec.Meta(ge=0, le=2**32)], "an integer of 33 bits"),
        (Annotated[int, msgspec.Meta(ge=5, le=3)], "an integer of 5 to 3, which no value is"),
        (tuple[bool, Annotated[int, msgspec.Meta(ge=0, le=2**40)]], "an integer of 41 bits"),
        (Hoard, "a Hoard of 257 members"),
        (Essay, "a Essay, one of whose values is a text of over 40"),
        (Far, "a Far, one of whose values has over 32 bits"),
        (bool | msgspec.UnsetType, "may be UNSET"),
        (Literal[1, 2], "'literal'"),
    ],
    ids=str,
)
def test_what_could_carry_more_is_refused_by_name(kind: Any, why: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        aggregate(kind)
    said = str(caught.value)
    assert "message type Made is AGGREGATE, but its field 'field'" in said
    assert why in said
    assert "guideline 6.1(3), 6.1(4)" in said
    assert "Accepted: bounded integers" in said


def test_a_field_that_is_inherited_counts_as_well() -> None:
    with pytest.raises(DeclarationError, match="its field 'text'"):

        class Sub(Operational, sensitivity=AGGREGATE):
            people: Count


def test_a_subclass_inherits_the_level_and_the_bound() -> None:
    class Sub(Inner):
        more: Count

    assert Sub.sensitivity is AGGREGATE
    with pytest.raises(DeclarationError, match="its field 'name'"):

        class Bad(Inner):
            name: str = ""


def test_a_type_without_a_level_is_refused() -> None:
    with pytest.raises(DeclarationError) as caught:

        class Silent(Message):
            people: Count

    assert "message type Silent does not say how sensitive it is" in str(caught.value)
    for level in Sensitivity:
        assert level.name in str(caught.value)


def test_a_level_of_another_kind_is_refused() -> None:
    with pytest.raises(DeclarationError, match="does not say how sensitive"):

        class Odd(Message, sensitivity="aggregate"):  # type: ignore[arg-type]
            people: Count


def test_messages_are_frozen_keyword_only_and_closed() -> None:
    message = Inner(three=Three.A, people=1)
    with pytest.raises(AttributeError):
        message.people = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        message.face = b""  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Inner(Three.A, 1)  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"three": "a", "people": 1, "face": 1}, Inner)


def test_which_levels_are_personal() -> None:
    assert {level for level in Sensitivity if level.is_personal} == {
        Sensitivity.PERSONAL_IDENTIFIER,
        Sensitivity.PERSONAL_IMAGE,
    }


def test_a_place_name_is_no_free_text() -> None:
    fits = msgspec.json.Decoder(PlaceName).decode
    for good in ("a", "east-exit-2", "0", "a" * 40):
        assert fits(msgspec.json.encode(good)) == good
    for bad in ("", "East", "a b", "-a", "a" * 41, "駅", "a_b", "a\n"):
        with pytest.raises(msgspec.ValidationError):
            fits(msgspec.json.encode(bad))


GREY = Annotated[int, msgspec.Meta(ge=0, le=255)]


@pytest.mark.parametrize(("pixels", "fits"), [(32 * 31, True), (32 * 32, False), (10**9, False)])
def test_a_type_that_is_as_wide_as_a_picture_is_refused(pixels: int, fits: bool) -> None:
    kind = Annotated[tuple[GREY, ...], msgspec.Meta(max_length=pixels)]
    if fits:
        assert information_bits(aggregate(kind), places=1) == pytest.approx(
            8 * pixels + math.log2(pixels + 1)
        )
        return
    with pytest.raises(DeclarationError) as caught:
        aggregate(kind)
    assert "all its fields together hold" in str(caught.value)
    assert "and 8,192 are the most, which could carry a picture" in str(caught.value)


def test_a_picture_in_many_fields_is_refused_as_well() -> None:
    part = Annotated[tuple[GREY, ...], msgspec.Meta(max_length=512)]
    namespace = {"__annotations__": {"upper": part, "lower": part}, "__module__": __name__}
    with pytest.raises(DeclarationError, match="all its fields together"):
        type(Message)("Halves", (Message,), namespace, sensitivity=AGGREGATE)


def test_a_type_that_holds_itself_is_refused() -> None:
    namespace = {"__annotations__": {"next": "Chain | None"}, "__module__": __name__}
    with pytest.raises(DeclarationError, match="a field names 'Chain', which is not defined"):
        type(Message)("Chain", (Message,), namespace, sensitivity=AGGREGATE)


class Ring(Message, sensitivity=Sensitivity.OPERATIONAL):
    people: Count
    next: "Ring | None" = None


class Tally(Message, sensitivity=Sensitivity.OPERATIONAL):
    files: Count
    free: Annotated[int, msgspec.Meta(ge=0, le=100)]


class Sheet(Message, sensitivity=Sensitivity.OPERATIONAL):
    tallies: Annotated[tuple[Tally, ...], msgspec.Meta(max_length=3)]
    total: Inner


class Note(Message, sensitivity=Sensitivity.OPERATIONAL):
    operational: Operational


class Portrait(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    people: Count


class Framed(Message, sensitivity=Sensitivity.OPERATIONAL):
    portrait: Portrait


def test_operational_types_can_be_bounded_too() -> None:
    assert why_unbounded(Tally) is None
    assert most_bits(Tally, places=1) == pytest.approx(math.log2(10_000 * 101))
    assert why_unbounded(Sheet) is None
    assert most_bits(Sheet, places=1) == pytest.approx(
        2 + 3 * math.log2(10_000 * 101) + math.log2(3 * 10_000)
    )


@pytest.mark.parametrize(
    ("message_type", "why"),
    [
        (Operational, "its field 'text' is of the kind 'str'"),
        (Note, "its field 'operational' is a Operational, and its field 'text' is of the kind"),
        (Ring, "its field 'next' is a Ring again, so that it has no end"),
        (Framed, "its field 'portrait' is a Portrait, which is not AGGREGATE itself"),
    ],
)
def test_why_an_operational_type_is_unbounded(message_type: type[Message], why: str) -> None:
    said = why_unbounded(message_type)
    assert said is not None
    assert why in said
    with pytest.raises(DeclarationError, match=f"{message_type.__name__} has no bound: its field"):
        most_bits(message_type, places=1)


def test_how_sensitive_a_type_is_can_not_be_said_again() -> None:
    with pytest.raises(DeclarationError, match="Portrait is PERSONAL_IMAGE, and stays so"):
        Portrait.sensitivity = Sensitivity.OPERATIONAL
    with pytest.raises(DeclarationError, match="can't lose its sensitivity"):
        del Portrait.sensitivity
    assert Portrait.sensitivity is Sensitivity.PERSONAL_IMAGE
    Portrait.__doc__ = "Anything else may be changed."
