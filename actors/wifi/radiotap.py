"""Radiotap: what the receiver says of a frame, before the frame itself (radiotap.org)."""

from __future__ import annotations

__all__ = ["RadiotapHeader", "read_radiotap"]

import struct
from dataclasses import dataclass

from actors.wifi.errors import UnreadableFrame

_FIXED = struct.Struct("<BxHI")
_WORD = struct.Struct("<I")
_ANOTHER_WORD = 1 << 31

_FLAG_FCS_AT_END = 0x10
_FLAG_BAD_FCS = 0x40

# Fields up to the signal, in the order of their bits: (size, alignment) from the header's start.
_FIELDS = (
    (8, 8),  # TSFT
    (1, 1),  # flags
    (1, 1),  # rate
    (4, 2),  # channel: frequency and flags
    (2, 1),  # FHSS: hop set and pattern
    (1, 1),  # antenna signal, dBm
)
_FLAGS, _SIGNAL = 1, 5


@dataclass(frozen=True, slots=True)
class RadiotapHeader:
    """What matters here of a radiotap header."""

    length: int
    """Bytes before the 802.11 frame begins."""
    has_fcs: bool
    """Whether the frame is followed by its 4-byte checksum."""
    is_damaged: bool
    """Whether the receiver found that checksum wrong."""
    signal_dbm: int | None
    """Strength of the signal at the antenna, where the receiver says it."""


def read_radiotap(frame: memoryview) -> RadiotapHeader:
    """Read the header at the start of what was captured. Raises UnreadableFrame."""
    if len(frame) < _FIXED.size:
        raise UnreadableFrame("shorter than a radiotap header")
    version, length, present = _FIXED.unpack_from(frame)
    if version != 0:
        raise UnreadableFrame("not radiotap version 0")
    if not _FIXED.size <= length <= len(frame):
        raise UnreadableFrame("its radiotap header is longer than what was captured")
    position = _FIXED.size
    word = present
    while word & _ANOTHER_WORD:
        # Each further word describes another antenna; the first word has what we read.
        if position + _WORD.size > length:
            raise UnreadableFrame("its radiotap header ends within its list of fields")
        (word,) = _WORD.unpack_from(frame, position)
        position += _WORD.size
    flags = 0
    signal: int | None = None
    for bit, (size, alignment) in enumerate(_FIELDS):
        if not present & (1 << bit):
            continue
        position = -(-position // alignment) * alignment
        if position + size > length:
            raise UnreadableFrame("its radiotap header ends within a field")
        if bit == _FLAGS:
            flags = frame[position]
        elif bit == _SIGNAL:
            signal = frame[position] - 256 if frame[position] > 127 else frame[position]
        position += size
    return RadiotapHeader(
        length=length,
        has_fcs=bool(flags & _FLAG_FCS_AT_END),
        is_damaged=bool(flags & _FLAG_BAD_FCS),
        signal_dbm=signal,
    )
