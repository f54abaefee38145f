"""The bare loop that the crowd pipeline is compared with: decode, scale, look, count. Nothing else.

``python -m bench.bare CLIP MODELS INTERVAL WIDTH`` runs it as a process of its own, in the clip's
own time, and prints a line for each picture.

It uses the same models, sessions, pre- and post-processing as the crowd actor, and no runtime:
no messages, no channels, no borders, no supervisor, nothing overwritten.
"""

from __future__ import annotations

__all__ = ["BareLoop", "Looked"]

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import cast

import av
import msgspec
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from models import ModelStore, PeopleFinder, Search, Session, open_session


class Looked(msgspec.Struct, frozen=True):
    """One picture that was looked at."""

    packet: int
    """Which packet of the clip brought it, counted from 0."""
    latency: float
    """Seconds from the packet to the counts."""
    counted_at: float
    """On the clock of ``perf_counter``."""
    people: int


class BareLoop:
    """Loads the models once, and runs over a clip as often as wished."""

    def __init__(
        self, models: Path, *, threads: int, width: int, search: Search | None = None
    ) -> None:
        store = ModelStore(models)

        def session(name: str) -> Session:
            return open_session(store.load(name), intra_op_threads=threads, keep_arena=True)

        self._threads = threads
        self._width = width
        self._finder = PeopleFinder.opened(
            session,
            search=search,
        )

    def run(self, clip: Path, *, interval: float, paced: bool = False) -> list[Looked]:
        """Look at one picture in each ``interval`` seconds of the clip; 0 looks at every one.

        ``paced`` reads each packet when its time has come, as a camera would send it.
        """
        return list(self.looks(clip, interval=interval, paced=paced))

    def looks(self, clip: Path, *, interval: float, paced: bool) -> Iterator[Looked]:
        """As ``run``, each picture as soon as it has been looked at."""
        scaler = VideoReformatter()
        next_due = 0.0
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.thread_count = self._threads
            began = time.monotonic()
            for number, packet in enumerate(container.demux(stream)):
                if paced and packet.dts is not None and packet.time_base is not None:
                    due = began + float(packet.dts * packet.time_base)
                    time.sleep(max(0.0, due - time.monotonic()))
                arrived = perf_counter()
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    if interval and frame.time is not None:
                        if frame.time < next_due:
                            continue
                        next_due = max(next_due + interval, frame.time)
                    people = self._look(frame, scaler)
                    now = perf_counter()
                    yield Looked(number, now - arrived, now, people)

    def _look(self, frame: av.VideoFrame, scaler: VideoReformatter) -> int:
        width = min(self._width, frame.width)
        scaled = scaler.reformat(
            frame,
            width=width,
            height=round(frame.height * width / frame.width),
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=self._threads,
        )
        rgb = cast(NDArray[np.uint8], scaled.to_ndarray())
        return self.count(rgb)

    def count(self, rgb: NDArray[np.uint8]) -> int:
        """How many people a picture shows, with their attributes estimated."""
        found = Counter(
            (one.attributes.gender, one.attributes.age, one.attributes.mask)
            for one in self._finder.find(rgb)
        )
        return found.total()


def main(clip: str, models: str, interval: str, width: str) -> None:
    """Count in a clip in its own time, over and over, until terminated."""
    loop = BareLoop(Path(models), threads=1, width=int(width))
    while True:
        for looked in loop.looks(Path(clip), interval=float(interval), paced=True):
            print(looked.people, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
