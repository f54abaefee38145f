"""H.264 and H.265 in RTP (RFC 6184, RFC 7798), to the byte stream format of their annex B."""

from __future__ import annotations

__all__ = ["H264Payload", "H265Payload", "parameter_sets"]

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Mapping

START_CODE = b"\0\0\0\1"
_RECOVERY_POINT = 6
"""H.264, D.1.8: decoding can begin here, too."""
_MOST_SETS = 64 * 1024


def parameter_sets(codec: str, parameters: Mapping[str, str]) -> bytes:
    """Those that the SDP gives (RFC 6184, 8.1; RFC 7798, 7.1), with start codes."""
    names = {"h264": ("sprop-parameter-sets",), "hevc": ("sprop-vps", "sprop-sps", "sprop-pps")}
    sets = b""
    for name in names.get(codec, ()):
        for text in filter(None, parameters.get(name, "").split(",")):
            try:
                sets += START_CODE + base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
            except (binascii.Error, ValueError):
                return b""
    return sets if len(sets) <= _MOST_SETS else b""


class _NalUnits(ABC):
    """Puts a picture's units together."""

    _all_sets: frozenset[int]
    """Kinds of parameter sets that a decoder needs."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes | memoryview] = []
        self._is_key = False
        self._in_fragment = False
        self._kept = 0
        """How many of the parts are copies."""
        self._sets: list[bytes] = []
        self._kinds: set[int] = set()

    @abstractmethod
    def add(self, payload: memoryview, *, follows: bool) -> bool: ...

    @abstractmethod
    def _note(self, kind: int, unit: memoryview) -> None:
        """A unit begins."""

    def keep(self) -> None:
        self._parts[self._kept :] = map(bytes, self._parts[self._kept :])
        self._kept = len(self._parts)

    def take(self) -> tuple[bytes, bool, bytes]:
        data, key = b"".join(self._parts), self._is_key
        sets = b"".join(self._sets) if self._kinds == self._all_sets else b""
        self._parts.clear()
        self._sets.clear()
        self._kinds.clear()
        self.size = self._kept = 0
        self._is_key = self._in_fragment = False
        return data, key, sets if len(sets) <= _MOST_SETS else b""

    def _unit(self, kind: int, unit: memoryview) -> None:
        self._parts += (START_CODE, unit)
        self.size += 4 + len(unit)
        if kind in self._all_sets:
            self._kinds.add(kind)
            self._sets += (START_CODE, bytes(unit))
        self._note(kind, unit)

    def _begin(self, kind: int, header: bytes, rest: memoryview) -> None:
        """A unit that is cut into several packets begins."""
        self._in_fragment = True
        self._parts += (START_CODE, header, rest)
        self.size += 4 + len(header) + len(rest)
        self._note(kind, rest)

    def _go_on(self, rest: memoryview, follows: bool) -> bool:
        """More of it. Without what is missing, the rest is of no use."""
        if not self._in_fragment or not follows:
            self._in_fragment = False
            return False
        self._parts.append(rest)
        self.size += len(rest)
        return True

    def _aggregate(self, rest: memoryview, header: int) -> bool:
        """Several units, each behind its length."""
        while len(rest) > 2:
            size = rest[0] << 8 | rest[1]
            unit, rest = rest[2 : 2 + size], rest[2 + size :]
            if size < header or len(unit) < size:
                return False
            self._unit(self._kind_of(unit), unit)
        return True

    @staticmethod
    @abstractmethod
    def _kind_of(unit: memoryview) -> int: ...


class H264Payload(_NalUnits):
    """RFC 6184: single units, STAP-A and FU-A, which are what cameras send."""

    _all_sets = frozenset((7, 8))

    def add(self, payload: memoryview, *, follows: bool) -> bool:
        first = payload[0]
        kind = first & 31
        if kind == 28 and len(payload) > 2:
            flags = payload[1]
            if not flags & 0x80:  # nearly all of a stream is this
                return self._go_on(payload[2:], follows)
            kind = flags & 31
            self._begin(kind, bytes((first & 0xE0 | kind,)), payload[2:])
            return True
        self._in_fragment = False
        if 0 < kind < 24:
            self._unit(kind, payload)
            return True
        return kind == 24 and self._aggregate(payload[1:], 1)

    def _note(self, kind: int, unit: memoryview) -> None:
        if kind == 5 or (kind == 6 and _is_recovery_point(unit)):
            self._is_key = True

    @staticmethod
    def _kind_of(unit: memoryview) -> int:
        return unit[0] & 31


class H265Payload(_NalUnits):
    """RFC 7798: single units, aggregation packets and fragmentation units."""

    _all_sets = frozenset((32, 33, 34))

    def add(self, payload: memoryview, *, follows: bool) -> bool:
        if len(payload) < 3:
            return False
        first = payload[0]
        kind = first >> 1 & 63
        if kind == 49:
            flags = payload[2]
            kind = flags & 63
            if not flags & 0x80:
                return self._go_on(payload[3:], follows)
            self._begin(kind, bytes((first & 0x81 | kind << 1, payload[1])), payload[3:])
            return True
        self._in_fragment = False
        if kind < 48:
            self._unit(kind, payload)
            return True
        return kind == 48 and self._aggregate(payload[2:], 2)

    def _note(self, kind: int, unit: memoryview) -> None:
        if 16 <= kind <= 21:  # intra random access points
            self._is_key = True

    @staticmethod
    def _kind_of(unit: memoryview) -> int:
        return unit[0] >> 1 & 63


def _is_recovery_point(unit: memoryview) -> bool:
    """Whether a SEI unit's first message says so (H.264, 7.3.2.3.1)."""
    return len(unit) > 2 and unit[0] & 31 == 6 and unit[1] == _RECOVERY_POINT
