"""Messages: the only things that actors exchange.

A message type is an immutable ``msgspec`` struct that states how sensitive it is:

    class PictureCount(Message, sensitivity=Sensitivity.AGGREGATE):
        place: PlaceName
        persons: Count

An ``AGGREGATE`` type may hold only bounded integers, enumerations and declared place names, in
tuples of bounded length: no bytes, no free text, no floats, so that neither a picture nor an
identifier fits (guideline 6.1(3), 6.1(4)). No single number is wide enough for an address, and no
type as a whole for a picture. That is checked when the type is defined.
"""

from __future__ import annotations

__all__ = [
    "Count",
    "Message",
    "PlaceName",
    "Sensitivity",
    "UnixSeconds",
    "information_bits",
    "most_bits",
    "why_unbounded",
    "why_value_unbounded",
]

import enum
import math
import typing
from typing import Annotated, Any, ClassVar, Literal, cast, dataclass_transform

import msgspec
from msgspec import inspect as shape

from runtime.errors import DeclarationError


class Sensitivity(enum.Enum):
    """How much a message says about a person. Ordered from harmless to personal."""

    OPERATIONAL = "operational"
    """Facts about the machine: never about a person."""
    AGGREGATE = "aggregate"
    """Crowd information: banded counts of a place and a time (guideline 2, 群集情報)."""
    PERSONAL_IDENTIFIER = "personal identifier"
    """A MAC address, an e-mail address."""
    PERSONAL_IMAGE = "personal image"
    """A picture of people, encoded or not (guideline 5.2(1))."""

    @property
    def is_personal(self) -> bool:
        return self in (Sensitivity.PERSONAL_IDENTIFIER, Sensitivity.PERSONAL_IMAGE)


PLACE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}\Z"
"""\\Z and not $, which lets a line end follow."""

PlaceName = Annotated[str, msgspec.Meta(pattern=PLACE_PATTERN, max_length=40)]
"""A place declared under ``[places]``. The border refuses any other, so it is no free text."""

Count = Annotated[int, msgspec.Meta(ge=0, le=9_999)]
"""How many people or devices."""

UnixSeconds = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
"""Whole seconds since 1970 (UTC)."""

_WIDEST_INTEGER = 32
"""Bits: seconds since 1970 fit, and a MAC address (48) or a hash (64) doesn't."""
_WIDEST_TYPE = 8 * 1024
"""Bits that one message may carry in all: a cell for each combination of what is estimated fits,
a picture of 32 by 32 pixels in grey levels doesn't."""
_MOST_PLACES = 2**16
"""Assumed where the configuration, which declares the places, is not known yet."""
_MOST_MEMBERS = 256
_LONGEST_VALUE = 40
"""Of an enumeration. As long as a place's name."""

_ACCEPTED = (
    f"Accepted: bounded integers of at most {_WIDEST_INTEGER} bits (Count, UnixSeconds, or "
    "Annotated[int, Meta(ge=..., le=...)]), bool, enumerations, PlaceName, other "
    "messages that are bounded themselves, and tuples of these with a max_length."
)


class _MessageType(msgspec.StructMeta):
    """Builds message types: frozen, keyword-only, closed, and with a stated sensitivity."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        sensitivity: Sensitivity | None = None,
        frozen: Literal[True] = True,
    ) -> _MessageType:
        cls = super().__new__(
            mcls, name, bases, namespace, frozen=True, kw_only=True, forbid_unknown_fields=True
        )
        message_type = cast(Any, cls)
        if any(isinstance(base, _MessageType) for base in bases):
            stated = sensitivity or getattr(message_type, "sensitivity", None)
            if not isinstance(stated, Sensitivity):
                raise DeclarationError(
                    f"message type {name} does not say how sensitive it is. "
                    f"Write class {name}(Message, sensitivity=Sensitivity...), one of "
                    f"{', '.join(level.name for level in Sensitivity)}."
                )
            message_type.sensitivity = stated
            if stated is Sensitivity.AGGREGATE:
                _require_aggregate(name, message_type)
        return message_type  # type: ignore[no-any-return]

    def __setattr__(cls, name: str, value: object) -> None:
        if name == "sensitivity" and "sensitivity" in cls.__dict__:
            raise DeclarationError(
                f"message type {cls.__name__} is {cls.__dict__[name].name}, and stays so: how "
                "sensitive a type is, is said once, where it is defined."
            )
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        if name == "sensitivity":
            raise DeclarationError(f"message type {cls.__name__} can't lose its sensitivity.")
        super().__delattr__(name)


# On the class and not on its metaclass, where msgspec.Struct's own would come first.
@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message(msgspec.Struct, metaclass=_MessageType, frozen=True):
    """Base of all messages. Subclass with ``sensitivity=``; fields are keyword-only."""

    sensitivity: ClassVar[Sensitivity]


def _require_aggregate(name: str, message_type: type[Message]) -> None:
    why = why_unbounded(message_type)
    if why is not None:
        raise DeclarationError(
            f"message type {name} is AGGREGATE, but {why}, "
            "which could carry a picture, an address or an identifier "
            f"(guideline 6.1(3), 6.1(4)). {_ACCEPTED}"
        )


def why_unbounded(message_type: type[Message]) -> str | None:
    """Why messages of this type could carry a picture, an address, free text or an identifier:
    "its field 'text' is of the kind 'str'". None where it is bounded as AGGREGATE types are."""
    try:
        info = shape.type_info(message_type)
        hints = typing.get_type_hints(message_type)
    except NameError as error:
        return f"a field names {error.name!r}, which is not defined before it"
    except (TypeError, ValueError, RecursionError):
        return "a field is of a type that the codec does not know"
    assert isinstance(info, shape.StructType)
    if (why := _why_not_fields(info, hints, (message_type,))) is not None:
        return why
    if (bits := _bits(info, _MOST_PLACES)) > _WIDEST_TYPE:
        return f"all its fields together hold {bits:,.0f} bits, and {_WIDEST_TYPE:,} are the most"
    return None


def why_value_unbounded(kind: shape.Type, within: type[Message]) -> str | None:
    """The same for a single value of a type that ``msgspec.inspect`` describes, as it would be in
    a field of ``within``: "is of the kind 'str'"."""
    return _why_not_bounded(kind, (within,))


def _why_not_fields(
    info: shape.StructType, hints: dict[str, Any], around: tuple[type, ...]
) -> str | None:
    for field in info.fields:
        # msgspec leaves UNSET out of what it says of a type, and so would the bound.
        if msgspec.UnsetType in typing.get_args(hints[field.name]):
            return f"its field {field.name!r} may be UNSET"
        if (why := _why_not_bounded(field.type, around)) is not None:
            return f"its field {field.name!r} {why}"
    return None


def _why_not_bounded(kind: shape.Type, around: tuple[type, ...]) -> str | None:
    match kind:
        case shape.Metadata(type=inner):
            return _why_not_bounded(inner, around)
        case shape.IntType(ge=low, le=high):
            return _why_not_narrow(low, high)
        case shape.BoolType() | shape.NoneType():
            return None
        case shape.EnumType(cls=cls):
            return _why_not_listed(cls)
        case shape.StrType(pattern=pattern) if pattern == PLACE_PATTERN:
            return None
        case shape.StructType(cls=cls):
            return _why_not_message(kind, cls, around)
        case shape.VarTupleType():
            if kind.max_length is None:
                return "is a tuple without a max_length"
            return _why_not_bounded(kind.item_type, around)
        case shape.TupleType(item_types=types) | shape.UnionType(types=types):
            return next(filter(None, (_why_not_bounded(one, around) for one in types)), None)
        case _:
            label = type(kind).__name__.removesuffix("Type").lower()
            return f"is of the kind {label!r}"


def _why_not_narrow(low: int | None, high: int | None) -> str | None:
    if low is None or high is None:
        return "is an integer without both bounds"
    if low > high:
        return f"is an integer of {low} to {high}, which no value is"
    if (width := (high - low).bit_length()) > _WIDEST_INTEGER:
        return (
            f"is an integer of {width} bits, wide enough for an identifier "
            f"(at most {_WIDEST_INTEGER} are accepted)"
        )
    return None


def _why_not_message(
    kind: shape.StructType, cls: type[msgspec.Struct], around: tuple[type, ...]
) -> str | None:
    level = getattr(cls, "sensitivity", None)
    if level is Sensitivity.AGGREGATE:
        return None
    # What is AGGREGATE is made of nothing less strictly defined than itself.
    outer = around[0].sensitivity  # type: ignore[attr-defined]
    if level is not Sensitivity.OPERATIONAL or outer is Sensitivity.AGGREGATE:
        return f"is a {cls.__name__}, which is not AGGREGATE itself"
    if cls in around:
        return f"is a {cls.__name__} again, so that it has no end"
    why = _why_not_fields(kind, typing.get_type_hints(cls), (*around, cls))
    return None if why is None else f"is a {cls.__name__}, and {why}"


def _why_not_listed(cls: type[enum.Enum]) -> str | None:
    """The codec accepts what ``_missing_`` makes of a value that is no member."""
    if issubclass(cls, enum.Flag):
        return f"is of the flags {cls.__name__}, which take any whole number"
    if cls._missing_.__func__ is not enum.Enum._missing_.__func__:  # type: ignore[attr-defined]
        return f"is a {cls.__name__}, which accepts more than it lists (by _missing_)"
    if len(cls) > _MOST_MEMBERS:
        return f"is a {cls.__name__} of {len(cls)} members ({_MOST_MEMBERS} are the most)"
    for member in cls:
        if isinstance(member.value, str) and len(member.value) > _LONGEST_VALUE:
            return f"is a {cls.__name__}, one of whose values is a text of over {_LONGEST_VALUE}"
        if isinstance(member.value, int) and member.value.bit_length() > _WIDEST_INTEGER:
            return f"is a {cls.__name__}, one of whose values has over {_WIDEST_INTEGER} bits"
    return None


def information_bits(message_type: type[Message], places: int) -> float:
    """The most information, in bits, that one message of an AGGREGATE type can carry.

    ``places`` is how many places the configuration declares.
    """
    if message_type.sensitivity is not Sensitivity.AGGREGATE:
        raise DeclarationError(
            f"{message_type.__name__} is {message_type.sensitivity.name}: only AGGREGATE types "
            "have a bound on the information that they can carry."
        )
    return most_bits(message_type, places)


def most_bits(message_type: type[Message], places: int) -> float:
    """The same for any type that is bounded. Raises DeclarationError for one that isn't."""
    if (why := why_unbounded(message_type)) is not None:
        raise DeclarationError(f"{message_type.__name__} has no bound: {why}.")
    return _bits(shape.type_info(message_type), places)


def _bits(kind: shape.Type, places: int) -> float:
    match kind:
        case shape.Metadata(type=inner):
            return _bits(inner, places)
        case shape.IntType(ge=int() as low, le=int() as high):
            return math.log2(high - low + 1)
        case shape.BoolType():
            return 1.0
        case shape.NoneType():
            return 0.0
        case shape.EnumType(cls=cls):
            return math.log2(len(cls))
        case shape.StrType():
            return math.log2(max(places, 1))
        case shape.StructType(fields=fields):
            return sum(_bits(field.type, places) for field in fields)
        case shape.VarTupleType(item_type=item, max_length=int() as longest):
            return math.log2(longest + 1) + longest * _bits(item, places)
        case shape.TupleType(item_types=items):
            return sum(_bits(item, places) for item in items)
        case shape.UnionType(types=types):
            return math.log2(len(types)) + max(_bits(one, places) for one in types)
        case _:  # pragma: no cover - why_unbounded has answered before
            raise DeclarationError(f"{kind} has no bound")
