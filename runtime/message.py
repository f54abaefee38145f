"""Messages: the only things that actors exchange.

A message type is an immutable ``msgspec`` struct that states how sensitive it is:

    class PictureCount(Message, sensitivity=Sensitivity.AGGREGATE):
        place: PlaceName
        persons: Count

An ``AGGREGATE`` type may hold only bounded integers, enumerations and declared place names, in
tuples of bounded length: no bytes, no free text, no floats, so that neither a picture nor an
identifier fits (guideline 6.1(3), 6.1(4)). That is checked when the type is defined.
"""

from __future__ import annotations

__all__ = ["Count", "Message", "PlaceName", "Sensitivity", "UnixSeconds", "information_bits"]

import enum
import math
from typing import Annotated, Any, ClassVar, cast, dataclass_transform

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


class _MessageType(msgspec.StructMeta):
    """Builds message types: frozen, keyword-only, closed, and with a stated sensitivity."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        sensitivity: Sensitivity | None = None,
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


# On the class and not on its metaclass, where msgspec.Struct's own would come first.
@dataclass_transform(kw_only_default=True)
class Message(msgspec.Struct, metaclass=_MessageType):
    """Base of all messages. Subclass with ``sensitivity=``; fields are keyword-only."""

    sensitivity: ClassVar[Sensitivity]


def _require_aggregate(name: str, message_type: type[msgspec.Struct]) -> None:
    info = shape.type_info(message_type)
    if not isinstance(info, shape.StructType):  # pragma: no cover - msgspec always says so
        raise DeclarationError(f"{name} is no struct")
    for field in info.fields:
        if (why := _why_not_aggregate(field.type)) is not None:
            raise DeclarationError(
                f"message type {name} is AGGREGATE, but its field {field.name!r} {why}, "
                "which could carry a picture, an address or an identifier "
                "(guideline 6.1(3), 6.1(4)). Accepted: bounded integers (Count, UnixSeconds, or "
                "Annotated[int, Meta(ge=..., le=...)]), bool, enumerations, PlaceName, other "
                "AGGREGATE messages, and tuples of these with a max_length."
            )


def _why_not_aggregate(kind: shape.Type) -> str | None:
    match kind:
        case shape.IntType():
            bounded = kind.ge is not None and kind.le is not None
            return None if bounded else "is an integer without both bounds"
        case shape.BoolType() | shape.NoneType():
            return None
        case shape.EnumType(cls=cls):
            return _why_not_listed(cls)
        case shape.StrType(pattern=pattern) if pattern == PLACE_PATTERN:
            return None
        case shape.StructType():
            if getattr(kind.cls, "sensitivity", None) is Sensitivity.AGGREGATE:
                return None
            return f"is a {kind.cls.__name__}, which is not AGGREGATE itself"
        case shape.VarTupleType():
            if kind.max_length is None:
                return "is a tuple without a max_length"
            return _why_not_aggregate(kind.item_type)
        case shape.TupleType():
            return next(filter(None, map(_why_not_aggregate, kind.item_types)), None)
        case shape.UnionType():
            return next(filter(None, map(_why_not_aggregate, kind.types)), None)
        case _:
            label = type(kind).__name__.removesuffix("Type").lower()
            return f"is of the kind {label!r}"


def _why_not_listed(cls: type[enum.Enum]) -> str | None:
    """The codec accepts what ``_missing_`` makes of a value that is no member."""
    if issubclass(cls, enum.Flag):
        return f"is of the flags {cls.__name__}, which take any whole number"
    if cls._missing_.__func__ is not enum.Enum._missing_.__func__:  # type: ignore[attr-defined]
        return f"is a {cls.__name__}, which accepts more than it lists (by _missing_)"
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
    return _bits(shape.type_info(message_type), places)


def _bits(kind: shape.Type, places: int) -> float:
    match kind:
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
        case _:  # pragma: no cover - refused when the type was defined
            raise DeclarationError(f"{kind} has no bound")
