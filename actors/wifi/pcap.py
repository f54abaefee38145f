"""Capture files: pcap (both byte orders, µs and ns) and pcapng, of 802.11 with radiotap.

A damaged or cut-off file gives the frames that come before the damage, and the reasons why there
are no more, counted. Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

__all__ = ["Capture", "CapturedFrame", "Damage", "read_capture"]

import enum
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from actors.wifi.errors import NotACapture

LINKTYPE_RADIOTAP = 127

_LONGEST_RECORD = 256 * 1024
"""No 802.11 frame comes near it: a longer record is a damaged length."""
_NANOSECONDS = 1_000_000_000

_PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""Byte order, and nanoseconds in one unit of the fraction of a second."""

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_BYTES = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_OPTION_END, _OPTION_RESOLUTION, _OPTION_OFFSET = 0, 9, 14


class Damage(enum.Enum):
    """Why a file gives fewer frames than it was made with."""

    CUT_OFF = "the file ends within a record"
    BAD_LENGTH = "a record's length makes no sense; what follows can't be found"
    OTHER_LINK_TYPE = "a frame is not 802.11 with radiotap (link type 127)"
    NO_TIME = "a frame comes without a time, or with one that makes no sense"
    UNKNOWN_INTERFACE = "a frame names an interface that the file doesn't describe"


@dataclass(frozen=True, slots=True, repr=False)
class CapturedFrame:
    """One frame with its radiotap header."""

    nanoseconds: int
    """When it was captured, since 1970."""
    data: memoryview


@dataclass(frozen=True, slots=True, repr=False)
class Capture:
    """What a file gave."""

    frames: tuple[CapturedFrame, ...]
    damage: Mapping[Damage, int]
    """How often each reason cost a frame, or all that followed."""


def read_capture(content: bytes) -> Capture:
    """Read a whole capture file. Raises NotACapture where it is none at all."""
    view = memoryview(content)
    reader = _Reader()
    if content[:4] in _PCAP_MAGIC:
        reader.read_pcap(view)
    elif content[:4] == _SECTION_BYTES and content[8:12] in _BYTE_ORDER:
        reader.read_pcapng(view)
    else:
        raise NotACapture("it is neither a pcap nor a pcapng file")
    return Capture(tuple(reader.frames), dict(reader.damage))


@dataclass(frozen=True, slots=True)
class _Interface:
    """A pcapng interface: what its frames are, and how to read their times."""

    link_type: int
    units_per_second: int = 1_000_000
    offset_seconds: int = 0


class _Reader:
    def __init__(self) -> None:
        self.frames: list[CapturedFrame] = []
        self.damage: Counter[Damage] = Counter()

    def read_pcap(self, view: memoryview) -> None:
        order, unit = _PCAP_MAGIC[bytes(view[:4])]
        if len(view) < 24:
            self.damage[Damage.CUT_OFF] += 1
            return
        # The upper bits of the last word tell of checksums, not of the link type.
        link_type = struct.unpack_from(f"{order}I", view, 20)[0] & 0xFFFF
        head = struct.Struct(f"{order}IIII")
        position = 24
        while position < len(view):
            if position + head.size > len(view):
                self.damage[Damage.CUT_OFF] += 1
                return
            seconds, fraction, length, _ = head.unpack_from(view, position)
            position += head.size
            if length > _LONGEST_RECORD:
                self.damage[Damage.BAD_LENGTH] += 1
                return
            if position + length > len(view):
                self.damage[Damage.CUT_OFF] += 1
                return
            if link_type != LINKTYPE_RADIOTAP:
                self.damage[Damage.OTHER_LINK_TYPE] += 1
            elif fraction * unit >= _NANOSECONDS:
                self.damage[Damage.NO_TIME] += 1
            else:
                self._found(seconds * _NANOSECONDS + fraction * unit, view, position, length)
            position += length

    def read_pcapng(self, view: memoryview) -> None:
        order = "<"
        interfaces: list[_Interface] = []
        position = 0
        while position < len(view):
            if position + 12 > len(view):
                self.damage[Damage.CUT_OFF] += 1
                return
            is_section = view[position : position + 4] == _SECTION_BYTES
            if is_section:
                stated = _BYTE_ORDER.get(bytes(view[position + 8 : position + 12]))
                if stated is None:
                    self.damage[Damage.BAD_LENGTH] += 1
                    return
                order = stated
                interfaces = []  # numbered anew in each section
            kind, length = struct.unpack_from(f"{order}II", view, position)
            if length < 12 or length % 4 or length > _LONGEST_RECORD * 2:
                self.damage[Damage.BAD_LENGTH] += 1
                return
            if position + length > len(view):
                self.damage[Damage.CUT_OFF] += 1
                return
            body = view[position + 8 : position + length - 4]
            if kind == _INTERFACE:
                interfaces.append(_read_interface(order, body))
            elif kind == _PACKET:
                self._read_packet(order, body, interfaces)
            elif kind in (_OLD_PACKET, _SIMPLE_PACKET):
                self.damage[Damage.NO_TIME] += 1
            position += length

    def _read_packet(self, order: str, body: memoryview, interfaces: list[_Interface]) -> None:
        if len(body) < 20:
            self.damage[Damage.BAD_LENGTH] += 1
            return
        number, high, low, length, _ = struct.unpack_from(f"{order}IIIII", body)
        if length > len(body) - 20:
            self.damage[Damage.BAD_LENGTH] += 1
        elif number >= len(interfaces):
            self.damage[Damage.UNKNOWN_INTERFACE] += 1
        elif interfaces[number].link_type != LINKTYPE_RADIOTAP:
            self.damage[Damage.OTHER_LINK_TYPE] += 1
        else:
            interface = interfaces[number]
            ticks = high << 32 | low
            nanoseconds = ticks * _NANOSECONDS // interface.units_per_second
            nanoseconds += interface.offset_seconds * _NANOSECONDS
            self._found(nanoseconds, body, 20, length)

    def _found(self, nanoseconds: int, view: memoryview, position: int, length: int) -> None:
        frame = view[position : position + length]
        self.frames.append(CapturedFrame(nanoseconds, frame))


def _read_interface(order: str, body: memoryview) -> _Interface:
    """Damaged options leave the defaults (microseconds, no offset)."""
    if len(body) < 8:
        return _Interface(link_type=-1)
    (link_type,) = struct.unpack_from(f"{order}H", body)
    units, offset = 1_000_000, 0
    position = 8
    while position + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, position)
        value = body[position + 4 : position + 4 + size]
        if code == _OPTION_END or len(value) < size:
            break
        if code == _OPTION_RESOLUTION and size == 1:
            exponent = value[0] & 0x7F
            units = 2**exponent if value[0] & 0x80 else 10**exponent
        elif code == _OPTION_OFFSET and size == 8:
            (offset,) = struct.unpack_from(f"{order}q", value)
        position += 4 + size + (-size % 4)
    return _Interface(link_type, units, offset)
