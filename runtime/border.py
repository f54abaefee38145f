"""The border: what crosses from one domain to another is bytes, checked against the declared type.

A message of the right class can still hold a wrong field, because Python does not check what a
constructor is given. Encoding and decoding it against the declared type does: what arrives on the
other side is a fresh object in which every field has its declared type and bounds, and shares
nothing with the sender's.
"""

from __future__ import annotations

__all__ = ["BorderCodec"]

import re
from collections.abc import Collection, Iterator
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect as shape

from runtime.errors import BorderRefused
from runtime.message import PLACE_PATTERN, Message

M = TypeVar("M", bound=Message)

_NOT_ENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class BorderCodec(Generic[M]):
    """Carries messages of one type across the border between two domains.

    ``places`` are the places that the configuration declares: any other is refused, wherever in
    the message it stands. ``limit`` is the longest encoding accepted, in bytes.
    """

    def __init__(
        self, message_type: type[M], *, places: Collection[str], limit: int = 16 * 1024 * 1024
    ) -> None:
        self.message_type = message_type
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(message_type).decode
        self.limit = limit
        self._places = frozenset(places)
        info = shape.type_info(message_type)
        fields = info.fields if isinstance(info, shape.StructType) else ()
        self._place_fields = tuple(
            (field.name, field.type) for field in fields if _may_hold_place(field.type, set())
        )

    def cross(self, message: M) -> M:
        """Encode, check and decode: the message as the other domain receives it.

        Raises BorderRefused, which never repeats the refused content.
        """
        return self.decode(self._frame(message))

    def encode(self, message: M) -> bytes:
        """The frame in which a message crosses, checked by opening it. Raises as ``cross``."""
        frame = self._frame(message)
        self.decode(frame)
        return frame

    def _frame(self, message: M) -> bytes:
        try:
            frame = self._encode(message)
        except _NOT_ENCODABLE:
            raise self._misfit("not encodable") from None
        if len(frame) > self.limit:
            raise BorderRefused(
                f"a {self.message_type.__name__} of {len(frame)} bytes was refused at the border: "
                f"at most {self.limit} bytes cross in one message."
            )
        return frame

    def decode(self, frame: bytes | bytearray | memoryview) -> M:
        """What came across, as a fresh message. Raises as ``cross``: trust no sender."""
        try:
            received = self._decode(frame)
        except (msgspec.MsgspecError, RecursionError) as refusal:
            raise self._misfit(_without_values(str(refusal))) from None
        for name, kind in self._place_fields:
            if not self._places.issuperset(_places_in(kind, getattr(received, name))):
                raise BorderRefused(
                    f"a {self.message_type.__name__} was refused at the border: its "
                    f"{name!r} is not a place of the configuration. Declared: "
                    f"{', '.join(sorted(self._places))}."
                )
        return received

    def _misfit(self, why: str) -> BorderRefused:
        return BorderRefused(
            f"a {self.message_type.__name__} was refused at the border between two domains: it "
            f"does not fit its declared type ({why})."
        )


_PATH = re.compile(r"( - at `\$[^`]*`)?$")


def _without_values(complaint: str) -> str:
    """The codec's complaint where it names only types and bounds, else no more than the path.

    It quotes a wrong enumeration value and an unknown field, either of which may be anything.
    """
    if complaint.startswith(("Expected ", "Object missing required field ")):
        return complaint
    path = _PATH.search(complaint)
    return "a value or field that is not accepted" + (path[0] if path else "")


def _parts(kind: shape.Type) -> Iterator[shape.Type]:
    match kind:
        case shape.Metadata(type=inner):
            yield inner
        case (
            shape.StructType(fields=fields)
            | shape.DataclassType(fields=fields)
            | shape.NamedTupleType(fields=fields)
            | shape.TypedDictType(fields=fields)
        ):
            yield from (field.type for field in fields)
        case shape.TupleType(item_types=types) | shape.UnionType(types=types):
            yield from types
        case shape.CollectionType(item_type=item):
            yield item
        case shape.DictType(key_type=key, value_type=value):
            yield from (key, value)


def _may_hold_place(kind: shape.Type, seen: set[int]) -> bool:
    if isinstance(kind, shape.StrType):
        return kind.pattern == PLACE_PATTERN
    if id(kind) in seen:  # a type that holds itself
        return False
    seen.add(id(kind))
    return any(_may_hold_place(part, seen) for part in _parts(kind))


def _places_in(kind: shape.Type, value: Any) -> Iterator[str]:
    """Every place named in a decoded value. A union is told apart by what the value is."""
    match kind:
        case shape.StrType(pattern=pattern):
            if pattern == PLACE_PATTERN and isinstance(value, str):
                yield value
        case shape.Metadata(type=inner):
            yield from _places_in(inner, value)
        case shape.UnionType(types=types):
            for one in types:
                yield from _places_in(one, value)
        case shape.StructType() | shape.DataclassType() | shape.NamedTupleType():
            if isinstance(value, kind.cls):
                for field in kind.fields:
                    yield from _places_in(field.type, getattr(value, field.name))
        case shape.TypedDictType(fields=fields):
            if isinstance(value, dict):
                for field in fields:
                    yield from _places_in(field.type, value.get(field.name))
        case shape.TupleType(item_types=types):
            if isinstance(value, tuple):
                for one, item in zip(types, value, strict=False):
                    yield from _places_in(one, item)
        case shape.CollectionType(item_type=inner):
            if isinstance(value, (list, tuple, set, frozenset)):
                for item in value:
                    yield from _places_in(inner, item)
        case shape.DictType(key_type=key_type, value_type=value_type):
            if isinstance(value, dict):
                for key, item in value.items():
                    yield from _places_in(key_type, key)
                    yield from _places_in(value_type, item)
