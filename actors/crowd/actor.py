"""The crowd actor: pictures in, counts out, nothing kept."""

from __future__ import annotations

__all__ = ["CrowdCounter", "CrowdSettings"]

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from actors.camera.messages import EncodedPacket
from actors.crowd.counting import InferenceModels, PeopleCounter
from actors.crowd.decoder import PictureDecoder
from actors.crowd.memory import PictureMemory
from actors.crowd.messages import PictureCount
from runtime import (
    Actor,
    Domain,
    Duration,
    Histogram,
    Inlet,
    Needs,
    Outlet,
    Reading,
    Settings,
    inlet,
    reading,
)

_BATCH = 16


class CrowdSettings(Settings, frozen=True, kw_only=True):
    """How often to look, how closely, and on what hardware."""

    models: Path
    """The folder that ``smartpole models fetch`` filled."""
    interval: Duration = Duration(1)
    """Between two pictures that are looked at; "0s" looks at every one."""
    late: Duration = Duration(2)
    """A picture that is older than this when its turn comes is dropped (guideline 6.2(1))."""
    width: int = 768
    """Pixels: wider pictures are scaled down to this before they are looked at."""
    providers: tuple[Literal["cpu", "cuda", "tensorrt"], ...] = ("cpu",)
    """What computes, in this order; "cpu" written last is the fallback."""
    threads: int = 1
    """For each of decoding and inference."""

    published: ClassVar[tuple[str, ...]] = ("interval",)

    def __post_init__(self) -> None:
        if not 128 <= self.width <= 4096:
            raise ValueError("Expected a width from 128 to 4096")
        if not 1 <= self.threads <= 64:
            raise ValueError("Expected threads from 1 to 64")
        if not self.providers:
            raise ValueError("Expected at least one provider")
        if self.late <= 0:
            raise ValueError("Expected a time above 0s for late")

    def headline(self) -> str:
        often = f"a picture each {self.interval}" if self.interval else "every picture"
        return f"{often} on {', '.join(self.providers)}"


class CrowdCounter(Actor, domain=Domain.CROWD):
    """Decodes the camera's packets, looks at one picture an interval, and sends how many people it
    shows. The picture is overwritten as soon as it has been looked at; nothing links one picture to
    the next (guideline 6.1(4), 6.2(3))."""

    packets: Inlet[EncodedPacket] = inlet(capacity=128, senders="one")
    counts: Outlet[PictureCount]
    models: Needs[InferenceModels]
    settings: CrowdSettings
    pictures_counted: Reading = reading(vital=True)
    pictures_late: Reading
    packets_skipped: Reading
    milliseconds_each: Reading
    megabytes_unlocked: Reading
    """Memory for pictures that the kernel did not lock, so that it may be swapped out."""
    captured_to_erased: Histogram
    """For each picture, from its packet's arrival until the last copy of it is overwritten."""
    decode_and_inference: Histogram
    """What of that was spent looking at it."""

    async def start(self) -> None:
        # Pictures are seldom higher than three quarters of their width; three bytes a pixel.
        self._memory = PictureMemory(picture=self.settings.width**2 * 9 // 4)
        self._told = ""
        self._decoder = PictureDecoder(
            memory=self._memory,
            interval=self.settings.interval,
            width=self.settings.width,
            threads=self.settings.threads,
        )
        self._counter = await self.blocking(self._load)
        # Where each really runs: ONNX Runtime lists providers that it then does without.
        self.log.info("models opened", **self._counter.providers)

    async def run(self) -> None:
        async for batch in self.packets.batches(_BATCH):
            for count in await self.blocking(self._look, batch):
                await self.counts.send(count)

    def _load(self) -> PeopleCounter:
        if self.models.lacking:
            self.log.warning("models compute in ordinary memory", why=self.models.lacking)
        return PeopleCounter(
            self.models,
            providers=self.settings.providers,
            threads=self.settings.threads,
            memory=self._memory,
        )

    def _look(self, packets: Sequence[EncodedPacket]) -> list[PictureCount]:
        """Decode packets and count who is seen; runs in a worker thread."""
        counts = []
        skipped = self._decoder.skipped
        for packet in packets:
            for picture in self._decoder.feed(packet):
                try:
                    if time.time() - picture.captured_at / 1e6 > self.settings.late:
                        self.pictures_late.add()
                        continue
                    began = time.perf_counter()
                    cells = self._counter.count(picture.rgb)
                    took = time.perf_counter() - began
                    self.milliseconds_each.set(round(took * 1000))
                    self.decode_and_inference.record(picture.decoded_in + took)
                finally:
                    picture.erase()
                    self.captured_to_erased.record(time.time() - picture.captured_at / 1e6)
                self.pictures_counted.add()
                counts.append(
                    PictureCount(
                        place=self.place,
                        taken_at=picture.captured_at // 1_000_000,
                        people=sum(cell.people for cell in cells),
                        cells=cells,
                    )
                )
        self.packets_skipped.add(self._decoder.skipped - skipped)
        self._tell_what_is_unlocked()
        return counts

    def _tell_what_is_unlocked(self) -> None:
        self.megabytes_unlocked.set(round(self._memory.unlocked / 1e6))
        lacking = self._memory.lacking
        if lacking != self._told:
            self._told = lacking
            self.log.warning("pictures lie in memory that is not fully protected", why=lacking)
