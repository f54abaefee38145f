"""MPEG-4 part 2 in RTP (RFC 6416): the elementary stream, cut up."""

from __future__ import annotations

__all__ = ["Mpeg4Payload"]

_PICTURE = b"\0\0\1\xb6"


class Mpeg4Payload:
    """Puts a picture together."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes | memoryview] = []
        self._kept = 0

    def add(self, payload: memoryview, *, follows: bool) -> bool:
        self._parts.append(payload)
        self.size += len(payload)
        return True

    def keep(self) -> None:
        self._parts[self._kept :] = map(bytes, self._parts[self._kept :])
        self._kept = len(self._parts)

    def take(self) -> tuple[bytes, bool, bytes]:
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = self._kept = 0
        place = data.find(_PICTURE) + len(_PICTURE)
        # ISO/IEC 14496-2, 6.3.5: coding type 0 is intra.
        return data, len(_PICTURE) <= place < len(data) and not data[place] >> 6, b""
