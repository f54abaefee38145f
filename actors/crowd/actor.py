"""The crowd actor: pictures in, counts out, nothing kept."""

from __future__ import annotations

__all__ = ["CrowdCounter", "CrowdSettings"]

import math
import time
from collections import deque
from pathlib import Path
from typing import ClassVar, Literal

from actors.camera.messages import EncodedPacket
from actors.crowd.bands import OLDEST_BAND
from actors.crowd.counting import InferenceModels, PeopleCounter
from actors.crowd.decoder import PictureDecoder
from actors.crowd.memory import PictureMemory
from actors.crowd.messages import DEFAULT_AGE_BANDS, PictureCount
from actors.crowd.region import Polygon, Region, why_no_polygon
from models import Search
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
_MOST_TILES = 8
_FLOW = frozenset(
    (
        *("track", "tracks", "tracking", "tracker", "trajectory", "trajectories", "follow"),
        *("line", "lines", "crossing", "crossings", "tripwire", "direction", "directions"),
        *("heading", "speed", "velocity", "flow", "flows", "dwell", "link", "linking"),
        *("reidentify", "reidentification", "reid"),
    )
)
"""Words in a key that ask for what links one picture to another."""


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
    face_width: int = 768
    """Pixels: in a wider picture, faces are looked for in a copy of this width."""
    person_width: int = 576
    """Pixels: the same for bodies. Large enough for the smallest who count, and small enough that
    nobody is higher than 640 pixels in it."""
    face_score: float = Search().face_score
    """Above it, from 0 to 1, a find is a face."""
    person_score: float = Search().person_score
    """Above it, from 0 to 1, a find is a body."""
    tiles: tuple[int, int] = (1, 1)
    """Columns and rows of tiles that are looked at as well, at full ``width``: for a dense crowd of
    small people. It takes the time of a picture of that width, on top."""
    region: Polygon = ()
    """Only what lies in this polygon is looked at; without it, the whole picture. Corners are
    shares of the picture's width and height."""
    masked: tuple[Polygon, ...] = ()
    """What lies in these polygons is black before anything looks at it: a neighbour's window."""
    age_bands: tuple[int, int, int] = DEFAULT_AGE_BANDS
    """Years at which the second, third and fourth age band begin."""
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
        for name in ("face_width", "person_width"):
            if not 128 <= getattr(self, name) <= 4096:
                raise ValueError(f"Expected a {name} from 128 to 4096")
        for name in ("face_score", "person_score"):
            if not 0.1 <= getattr(self, name) <= 0.95:
                raise ValueError(f"Expected a {name} from 0.1 to 0.95")
        if not all(1 <= count <= _MOST_TILES for count in self.tiles):
            raise ValueError(f"Expected tiles as [columns, rows], each from 1 to {_MOST_TILES}")
        if self.region and (expected := why_no_polygon(self.region)):
            raise ValueError(f"Expected for region {expected}")
        for polygon in self.masked:
            if expected := why_no_polygon(polygon):
                raise ValueError(f"Expected for masked a list of polygons, each {expected}")
        first, second, third = self.age_bands
        if not 1 <= first < second < third <= OLDEST_BAND:
            raise ValueError(f"Expected three rising age_bands from 1 to {OLDEST_BAND} years")

    @classmethod
    def why_refused(cls, key: str) -> str:
        words = set(key.lower().replace("-", "_").split("_"))
        if not words & _FLOW:
            return ""
        return (
            "crowd information tells how many people are at a place, never where anyone goes or "
            "who comes back (guideline 6.2(3), no people flow); there is no code for it"
        )

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
            waiting = deque(batch)
            while waiting:
                # A count goes on as soon as it is there. Going to the thread and back for each
                # packet would cost more than decoding it.
                for count in await self.blocking(self._look, waiting):
                    await self.counts.send(count)
                # No crash may have them counted again.
                self.packets.acknowledge(keep=len(waiting))

    def _load(self) -> PeopleCounter:
        if self.models.lacking:
            self.log.warning("models compute in ordinary memory", why=self.models.lacking)
        return PeopleCounter(
            self.models,
            providers=self.settings.providers,
            threads=self.settings.threads,
            memory=self._memory,
            search=Search(
                face_score=self.settings.face_score,
                person_score=self.settings.person_score,
                face_width=self.settings.face_width,
                person_width=self.settings.person_width,
                tiles=self.settings.tiles,
            ),
            region=Region(within=self.settings.region, masked=self.settings.masked),
            age_bands=self.settings.age_bands,
        )

    def _look(self, packets: deque[EncodedPacket]) -> list[PictureCount]:
        """Decode packets, taking them away, until one has shown who is there, and count them; runs
        in a worker thread."""
        counts: list[PictureCount] = []
        skipped = self._decoder.skipped
        while packets and not counts:
            for picture in self._decoder.feed(packets.popleft()):
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
                        age_bands=self.settings.age_bands,
                        interval=min(60, max(1, math.ceil(self.settings.interval))),
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
