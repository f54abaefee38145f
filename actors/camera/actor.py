"""The camera actor: takes the camera's stream in and hands it on, twice, as it came."""

from __future__ import annotations

__all__ = ["Camera", "CameraSettings"]

import random
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import msgspec
import trio

from actors.camera.credentials import CredentialFile
from actors.camera.link import CameraLink, CameraOutage, CameraStream, LiveStream
from actors.camera.messages import EncodedPacket, Interruption
from runtime import (
    Actor,
    Domain,
    Duration,
    Needs,
    Outlet,
    Reading,
    Settings,
    SourceAddress,
    reading,
)
from runtime.clock import boottime
from runtime.errors import BorderRefused
from runtime.specification import Backoff

_SCHEMES = ("file", "rtsp", "rtsps", "v4l2")
_MOST_AT_ONCE = 16
"""Packets; half of what may be under way to a receiver (``runtime.crossing``)."""
_BREATH = 0.05
"""Seconds for receivers to take so many, where a live stream has more of them ready."""
_JUMP = 10.0


class CameraSettings(Settings, frozen=True, kw_only=True):
    """Where the stream comes from, and how patient to be."""

    source: SourceAddress
    """``rtsp://…``, ``rtsps://…``, ``v4l2:/dev/video0`` or ``file:clip.mp4``."""
    credentials: CredentialFile | None = None
    """A file with one line ``USER:PASSWORD`` that nobody else may read, or ``systemd:NAME``."""
    loop: bool = False
    """A file starts over at its end."""
    pace: Literal["real-time", "fast"] = "real-time"
    """How a file is played: at its own speed, or as fast as its receivers take it."""
    timeout: Duration = Duration(4)
    """How long to wait for the camera's answer, or for its next packet."""
    first_delay: Duration = Duration(0.5)
    """Before the first try to reconnect; it doubles with each further one."""
    longest_delay: Duration = Duration(30)

    published: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.source.scheme not in _SCHEMES:
            raise ValueError(
                f"Expected a source that begins with one of {', '.join(s + ':' for s in _SCHEMES)}"
            )
        if self.source.scheme.startswith("rtsp"):
            _require_host(self.source)
        elif self.credentials is not None:
            raise ValueError("Expected credentials for a camera with an rtsp address alone")
        if self.source.scheme == "v4l2" and not self.source.rest.startswith("/dev/"):
            raise ValueError('Expected a device such as "v4l2:/dev/video0"')
        if not 0 < self.timeout <= 30:
            raise ValueError("Expected a timeout above 0 and of at most 30s")
        if not 0 < self.first_delay <= self.longest_delay:
            raise ValueError("Expected a first_delay above 0, and a longest_delay no shorter")

    @property
    def is_file(self) -> bool:
        return self.source.scheme == "file"

    def headline(self) -> str:
        return self.source.public


class Camera(Actor, domain=Domain.CAPTURE):
    """Receives one camera's packets and sends each to the crowd system and to the security system.

    The two ways are separate channels, and neither waits for the other (guideline 5.1(1)): a full
    disk doesn't stop the counting, nor a slow model the recording. It never decodes. When the
    camera can't be reached or its stream ends, it tries again for as long as the pole runs, waiting
    longer each time; the end of a live stream is an outage, that of a file is not.
    """

    for_crowd: Outlet[EncodedPacket]
    for_security: Outlet[EncodedPacket]
    link: Needs[CameraLink]
    settings: CameraSettings
    packets: Reading = reading(vital=True)
    outages: Reading
    corrupt_packets: Reading
    packets_lost: Reading
    """Not handed on, because a receiver's queue was full: whole groups of pictures at a time."""

    async def start(self) -> None:
        # Receivers tell streams apart by these numbers: an earlier incarnation's must not come
        # again.
        self._session = time.time_ns() // 1_000_000
        self._sequence = 0
        self._failures = 0
        self._after: Interruption | None = Interruption.STARTED
        self._chance = random.Random()
        self._ways = tuple(
            _Way(outlet, self.packets_lost) for outlet in (self.for_crowd, self.for_security)
        )
        # Only a file waits for its receivers; a street doesn't.
        self._may_wait = self.settings.is_file and self.settings.pace == "fast"

    async def run(self) -> None:
        patience = Backoff(
            self.settings.first_delay, longest=self.settings.longest_delay, jitter=0.2
        )
        while True:
            try:
                stream = await self.blocking(self.link.open)
                try:
                    await self._forward(stream)
                finally:
                    with trio.CancelScope(shield=True):
                        await self.blocking(stream.close)
                if self.settings.is_file and not self.settings.loop:
                    return
                if not self.settings.is_file:
                    raise CameraOutage(
                        f"the camera ({self.settings.source.public}) ended its stream",
                        Interruption.ENDED,
                    )
            except CameraOutage as outage:
                self.outages.add()
                self._after = self._after or outage.kind
                self._failures += 1
                delay = patience.delay(self._failures, self._chance)
                self.log.warning("camera outage", reason=str(outage), retry_in=round(delay, 1))
                await trio.sleep(delay)

    async def _forward(self, stream: CameraStream | LiveStream) -> None:
        """Hand a stream on until it ends."""
        self._session += 1
        paced = self.settings.is_file and self.settings.pace == "real-time"
        batch = 1 if paced else _MOST_AT_ONCE
        pacer = _Pacer(stream.seconds_per_tick)
        seen = corrupt = 0
        while True:
            try:
                if isinstance(stream, LiveStream):
                    packets = await stream.receive(
                        self._session, self._sequence, batch, self.blocking
                    )
                else:
                    packets = await self.blocking(stream.read, self._session, self._sequence, batch)
            finally:
                self.corrupt_packets.add(stream.corrupt - corrupt)
                corrupt = stream.corrupt
            if not packets:
                break
            self._failures = 0
            if paced:
                await trio.sleep_until(pacer.due(packets[0], trio.current_time()))
                # It was read ahead of its time.
                packets = [
                    msgspec.structs.replace(
                        packets[0], captured_at=time.time_ns() // 1000, boottime=boottime()
                    )
                ]
            if self._after is not None:
                packets[0] = msgspec.structs.replace(packets[0], after=self._after)
                self._after = None
            for together in ((one,) for one in packets) if self._may_wait else (packets,):
                await self._send(together)
            seen += len(packets)
            if len(packets) == _MOST_AT_ONCE and not self._may_wait:
                await trio.sleep(_BREATH)
        if not seen:
            raise CameraOutage(
                f"the camera ({self.settings.source.public}) shows no pictures",
                Interruption.UNREADABLE,
            )

    async def _send(self, packets: Sequence[EncodedPacket]) -> None:
        refusal: BorderRefused | None = None
        for way in self._ways:
            try:
                await way.take(packets, waiting=self._may_wait)
            except BorderRefused as refused:
                refusal, packets = refused, packets[: way.taken]
        self._sequence += len(packets)
        self.packets.add(len(packets))
        if refusal is not None:
            raise CameraOutage(
                f"the camera ({self.settings.source.public}) sends what cannot be handed on: "
                f"{refusal}",
                Interruption.UNREADABLE,
            ) from None


class _Way:
    """One of the two ways that packets go. Where its queue is full, it lets everything go by up to
    the next key picture, because a decoder can use nothing else, so that the other way flows on."""

    def __init__(self, outlet: Outlet[EncodedPacket], lost: Reading) -> None:
        self._outlet = outlet
        self._lost = lost
        self._is_broken = False
        self.taken = 0
        """How many of the latest packets were handed on or let go by."""

    async def take(self, packets: Sequence[EncodedPacket], *, waiting: bool) -> None:
        """Hand packets on, ``waiting`` for room if need be. Raises BorderRefused at the first that
        can't be; those before it have been taken then."""
        self.taken, at_once = 0, len(packets)
        while self.taken < len(packets):
            packet = packets[self.taken]
            try:
                if waiting:
                    await self._outlet.send(packet)
                    sent = 1
                elif self._is_broken and not packet.key:
                    sent = 0
                else:
                    some = packets[self.taken : self.taken + at_once]
                    sent = self._outlet.send_batch_nowait(some)
                    self._is_broken = sent < len(some)
            except BorderRefused:
                if waiting or at_once == 1:
                    raise
                at_once = 1  # one of them it was, and none was sent
                continue
            self.taken += sent
            if self._is_broken:  # for this one there is no room
                self._lost.add()
                self.taken += 1


class _Pacer:
    """When each packet of a film is due, for it to play at its own speed.

    Where times jump, by an edit or by damage, it goes on from there without a wait; a packet
    without a time follows the one before at that one's duration.
    """

    def __init__(self, seconds_per_tick: Fraction) -> None:
        self._tick = seconds_per_tick
        self._began: float | None = None
        self._first = 0
        self._due = 0.0
        self._duration = 0.0

    def due(self, packet: EncodedPacket, now: float) -> float:
        if packet.dts is None:
            due = self._due + self._duration
        elif self._began is None:
            due = now - _JUMP - 1
        else:
            due = self._began + float((packet.dts - self._first) * self._tick)
        if abs(due - now) > _JUMP:
            due = now
            if packet.dts is not None:
                self._began, self._first = now, packet.dts
        self._due = due
        self._duration = float(max(packet.duration, 0) * self._tick) or 0.04
        return due


def _require_host(source: SourceAddress) -> None:
    """Refuse an address that would be read otherwise than meant, or that holds a password, which
    whoever reads the configuration would see. Never quotes it."""
    try:
        parts = urlsplit(source)
        # A stray "@" is a password with "/", "?" or "#" in it, of which a part passed for the host.
        usable = bool(parts.hostname) and parts.port != 0 and "@" not in source
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "Expected rtsp://HOST:PORT/PATH; user and password stand in a file of their own, "
            'credentials = "FILE", as one line USER:PASSWORD'
        )
