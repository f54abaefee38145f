"""The border: what crosses from one domain to another is bytes, checked against the declared type.

A message of the right class can still hold a wrong field, because Python does not check what a
constructor is given. Encoding and decoding it against the declared type does: what arrives on the
other side is a fresh object in which every field has its declared type and bounds, and shares
nothing with the sender's.
"""

from __future__ import annotations

__all__ = ["BorderCodec"]

from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec
from msgspec import inspect as shape

from runtime.errors import BorderRefused
from runtime.message import Message, PlaceName

M = TypeVar("M", bound=Message)

_PLACE = shape.type_info(PlaceName)


class BorderCodec(Generic[M]):
    """Carries messages of one type across the border between two domains.

    ``places`` are the places that the configuration declares: any other is refused. ``limit`` is
    the longest encoding accepted, in bytes.
    """

    def __init__(
        self, message_type: type[M], *, places: Collection[str], limit: int = 16 * 1024 * 1024
    ) -> None:
        self._type = message_type
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(message_type).decode
        self._limit = limit
        self._places = frozenset(places)
        info = shape.type_info(message_type)
        fields = info.fields if isinstance(info, shape.StructType) else ()
        self._place_fields = tuple(field.name for field in fields if field.type == _PLACE)

    def cross(self, message: M) -> M:
        """Encode, check and decode: the message as the other domain receives it.

        Raises BorderRefused, which never repeats the refused content.
        """
        try:
            frame = self._encode(message)
            if len(frame) > self._limit:
                raise BorderRefused(
                    f"a {self._type.__name__} of {len(frame)} bytes was refused at the border: "
                    f"at most {self._limit} bytes cross in one message."
                )
            received = self._decode(frame)
        except (msgspec.MsgspecError, TypeError) as refusal:
            raise BorderRefused(
                f"a {self._type.__name__} was refused at the border between two domains: it does "
                f"not fit its declared type ({_without_values(refusal)})."
            ) from None
        for name in self._place_fields:
            if getattr(received, name) not in self._places:
                raise BorderRefused(
                    f"a {self._type.__name__} was refused at the border: its {name!r} is not a "
                    f"place of the configuration. Declared: {', '.join(sorted(self._places))}."
                )
        return received


def _without_values(refusal: Exception) -> str:
    """The codec's complaint names types, bounds and the path, never values."""
    return str(refusal) if isinstance(refusal, msgspec.ValidationError) else "not encodable"
