"""From RTP packets (RFC 3550) to pictures as the camera encoded them."""

from __future__ import annotations

__all__ = ["LONGEST", "AccessUnit", "Payload", "RtpReceiver"]

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

LONGEST = 8 * 1024 * 1024
"""Bytes of one picture; a longer one is passed over."""
_MOST_PACKETS = 32_768
"""For one picture, however little is in each."""
_BYE = 203
_HEADER = struct.Struct(">BBHII")
_HALF, _WHOLE = 1 << 31, 1 << 32


class AccessUnit(NamedTuple):
    """One encoded picture with all that belongs to it."""

    ticks: int
    """When to show it, in ticks of the stream's clock since its first picture."""
    key: bool
    data: bytes
    sets: bytes
    """The parameter sets that came with it, if all were there."""


class Payload(Protocol):
    """Puts one picture together from its packets' payloads, by its codec's RTP format."""

    size: int
    """Bytes so far."""

    def add(self, payload: memoryview, *, follows: bool) -> bool:
        """Add the next packet's; ``follows`` says that none is missing before it. False where it
        can't be used."""

    def keep(self) -> None:
        """What the payloads were parts of goes now: copy what is needed of it."""

    def take(self) -> tuple[bytes, bool, bytes]:
        """The picture's bytes, whether it is a key picture, and its parameter sets; begin anew."""


class RtpReceiver:
    """Takes one stream's packets in their order, as TCP carries them.

    A picture is complete when a packet with another timestamp comes. Not every camera sets the
    marker where it should.
    """

    def __init__(self, payload_type: int, payload: Payload) -> None:
        self._type = payload_type
        self._payload = payload
        self._timestamp: int | None = None
        self._ticks = 0
        self._next = -1
        self._packets = 0
        self.damaged = 0
        """Packets that are missing or could not be used."""
        self.has_ended = False

    def packet(self, packet: memoryview, done: Callable[[AccessUnit], object]) -> bool:
        """Take an RTP packet; a picture that it shows to be complete goes to ``done``. False where
        it makes no sense."""
        begin, size = _HEADER.size, len(packet)
        if size < begin or packet[0] & 0xC0 != 0x80:
            self.damaged += 1
            return False
        first, kind, number, timestamp, _ = _HEADER.unpack_from(packet)
        if kind & 0x7F != self._type:
            return True  # of something else in the same session
        if first & 0x3F:
            begin += 4 * (first & 0x0F)
            if first & 0x10:
                begin += 4 + 4 * int.from_bytes(packet[begin + 2 : begin + 4], "big")
            if first & 0x20:
                size -= packet[-1]
        if begin >= size:
            return True  # nothing in it
        follows = number == self._next or self._next < 0
        self._next = (number + 1) & 0xFFFF
        if timestamp != self._timestamp:
            self.flush(done)
            if self._timestamp is not None:
                self._ticks += (timestamp - self._timestamp + _HALF) % _WHOLE - _HALF
            self._timestamp = timestamp
        is_good = self._payload.add(packet[begin:size], follows=follows)
        if not is_good or not follows:
            self.damaged += 1
        self._packets += 1
        if self._payload.size > LONGEST or self._packets > _MOST_PACKETS:
            self._payload.take()
            self._packets = 0
            self.damaged += 1
        return is_good

    def keep(self) -> None:
        """The packets so far go now."""
        self._payload.keep()

    def flush(self, done: Callable[[AccessUnit], object]) -> None:
        """No more of the current picture is to come."""
        self._packets = 0
        if self._payload.size:
            data, key, sets = self._payload.take()
            if data:
                done(AccessUnit(self._ticks, key, data, sets))

    def control(self, packet: memoryview) -> None:
        """Take an RTCP packet: only whether the camera says goodbye matters."""
        at = 0
        while at + 4 <= len(packet):
            if packet[at + 1] == _BYE:
                self.has_ended = True
            at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
