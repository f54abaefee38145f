"""The camera actor: takes the camera's stream in and hands it on, twice, as it came."""

from __future__ import annotations

__all__ = ["Camera", "CameraSettings"]

import random
import time
from typing import ClassVar, Literal

import trio

from actors.camera.link import CameraLink, CameraOutage, CameraStream
from actors.camera.messages import EncodedPacket
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
from runtime.specification import Backoff

_SCHEMES = ("file", "rtsp", "rtsps", "v4l2")
_FAST_BATCH = 32


class CameraSettings(Settings, frozen=True, kw_only=True):
    """Where the stream comes from, and how patient to be."""

    source: SourceAddress
    """``rtsp://…``, ``rtsps://…``, ``v4l2:/dev/video0`` or ``file:clip.mp4``."""
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
        if not 0 < self.timeout <= 30:
            raise ValueError("Expected a timeout above 0 and of at most 30s")

    @property
    def is_file(self) -> bool:
        return self.source.scheme == "file"

    def headline(self) -> str:
        return self.source.public


class Camera(Actor, domain=Domain.CAPTURE):
    """Receives one camera's packets and sends each to the crowd system and to the security system.

    The two ways are separate channels, and neither waits for the other (guideline 5.1(1)). It
    never decodes. When the camera can't be reached or its stream ends, it tries again for as long
    as the pole runs, waiting longer each time; the end of a live stream is an outage, that of a
    file is not.
    """

    for_crowd: Outlet[EncodedPacket]
    for_security: Outlet[EncodedPacket]
    link: Needs[CameraLink]
    settings: CameraSettings
    packets: Reading = reading(vital=True)
    outages: Reading
    corrupt_packets: Reading

    async def start(self) -> None:
        # Numbers of an earlier incarnation must not come again: receivers tell streams apart by them.
        self._session = time.time_ns() // 1_000_000
        self._sequence = 0
        self._failures = 0
        self._chance = random.Random()

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
                        f"the camera ({self.settings.source.public}) ended its stream"
                    )
            except CameraOutage as outage:
                self.outages.add()
                self._failures += 1
                delay = patience.delay(self._failures, self._chance)
                self.log.warning("camera outage", reason=str(outage), retry_in=round(delay, 1))
                await trio.sleep(delay)

    async def _forward(self, stream: CameraStream) -> None:
        """Hand a stream on until it ends."""
        self._session += 1
        batch = _FAST_BATCH if self.settings.is_file and self.settings.pace == "fast" else 1
        paced = self.settings.is_file and self.settings.pace == "real-time"
        clock: tuple[float, int] | None = None
        while True:
            packets = await self.blocking(stream.read, self._session, self._sequence, batch)
            self.corrupt_packets.set(stream.corrupt)
            if not packets:
                return
            self._failures = 0
            for packet in packets:
                if paced and packet.dts is not None:
                    began, first = clock = clock or (trio.current_time(), packet.dts)
                    due = began + float((packet.dts - first) * stream.seconds_per_tick)
                    await trio.sleep_until(due)
                await self.for_crowd.send(packet)
                await self.for_security.send(packet)
            self._sequence += len(packets)
            self.packets.add(len(packets))
