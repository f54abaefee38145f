"""A real pole with the crowd pipeline and little else, for measuring it.

Camera and crowd actor are the real ones, wired as on any pole, so every packet and every count
crosses a border. A tap stands where the recorder would, a sink where the statistics would.
"""

from __future__ import annotations

__all__ = ["PoleRun", "run_small_pole"]

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns, process_time_ns, time_ns

import msgspec
import trio

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter
from actors.crowd.messages import PictureCount
from bench.configuration import IDENTITY, toml_text
from bench.harness import BenchmarkFailed
from runtime import Actor, Domain, Inlet, Reading, check, inlet, load_blueprint
from runtime.blueprint import Isolation
from runtime.histogram import HistogramStatistics
from runtime.house import Housing
from runtime.pole import Pole
from runtime.status import ActorStatus

_CONFIGURATION = """
[actors.camera]
type = "camera"
place = "bench"
grants = ["CameraLink"]
settings = {{ source = {source}, pace = "{pace}" }}
supervision = {{ restart = "transient" }}

[actors.crowd]
type = "crowd"
place = "bench"
grants = ["InferenceModels"]
# Every picture counts here, so none may be dropped.
inlets = {{ packets = {{ capacity = {capacity}, overflow = "block" }} }}

[actors.crowd.settings]
models = {models}
interval = "{interval:.3f}s"
late = "1h"
width = {width}
threads = {threads}

[actors.tap]
type = "tap"

[actors.sink]
type = "sink"

[[channels]]
from = "camera.for_crowd"
to = "crowd.packets"

[[channels]]
from = "camera.for_security"
to = "tap.packets"

[[channels]]
from = "crowd.counts"
to = "sink.counts"
"""


class PoleRun(msgspec.Struct):
    """What tap and sink saw."""

    pictures_per_second: float = 0.0
    """From the first count to the last."""
    processor_share: float = 0.0
    """Of one core, meanwhile, by the whole process: all of the pole where domains are threads."""
    people: int = 0
    erased_after: HistogramStatistics | None = None
    """From capture to erasure."""
    looked_in: HistogramStatistics | None = None
    """Decoding and inference."""
    captured_at: dict[int, int] = {}
    """By number of the packet, in microseconds since 1970. Empty where domains are processes."""
    counted_at: list[int] = []
    """For each count, in microseconds since 1970. Empty where domains are processes."""


_run = PoleRun()
"""The run in progress: how tap and sink reach it where all domains share one heap."""


class Tap(Actor, domain=Domain.SECURITY):
    """Notes when each packet was captured."""

    packets: Inlet[EncodedPacket] = inlet(capacity=1024)

    async def run(self) -> None:
        async for packet in self.packets:
            _run.captured_at[packet.sequence] = packet.captured_at


class Sink(Actor, domain=Domain.PUBLIC):
    """Notes when each count arrives. Its readings leave a process, which nothing else would."""

    counts: Inlet[PictureCount]
    counted: Reading
    people: Reading
    first: Reading
    last: Reading
    used_first: Reading
    used_last: Reading

    async def run(self) -> None:
        async for count in self.counts:
            now = perf_counter_ns() // 1000
            _run.counted_at.append(time_ns() // 1000)
            if not self.counted.value:
                self.first.set(now)
                self.used_first.set(process_time_ns() // 1000)
            self.last.set(now)
            self.used_last.set(process_time_ns() // 1000)
            self.counted.add()
            self.people.add(count.people)


_TYPES: dict[str, type[Actor]] = {
    "camera": Camera,
    "crowd": CrowdCounter,
    "tap": Tap,
    "sink": Sink,
}


def run_small_pole(
    clip: Path,
    models: Path,
    *,
    interval: float,
    width: int,
    threads: int,
    enough: int,
    patience: float,
    paced: bool = False,
    housing: Housing = Housing.APART,
    isolation: Isolation = Isolation.THREAD,
) -> PoleRun:
    """Run a pole until ``enough`` counts have come.

    Raises BenchmarkFailed where that takes longer than ``patience`` seconds.
    """
    global _run
    _run = PoleRun()
    with TemporaryDirectory(prefix="smartpole-") as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(
            IDENTITY
            + _CONFIGURATION.format(
                source=toml_text(f"file:{clip.resolve()}"),
                models=toml_text(str(models.resolve())),
                pace="real-time" if paced else "fast",
                capacity=1024 if paced else 128,
                interval=interval,
                width=width,
                threads=threads,
            ),
            encoding="utf-8",
        )
        blueprint = load_blueprint(path, actor_types=_TYPES)
        if findings := check(blueprint):
            raise BenchmarkFailed(
                "the bench's own pole has findings: " + "; ".join(map(str, findings))
            )
        pole = Pole(blueprint, housing=housing, isolation=isolation, log_level="critical")
        return trio.run(_until_enough, pole, enough, patience)


async def _until_enough(pole: Pole, enough: int, patience: float) -> PoleRun:
    def actor(name: str) -> ActorStatus | None:
        return next((one for one in pole.status().actors if one.name == name), None)

    def counted() -> int:
        sink = actor("sink")
        return sink.readings["counted"] if sink is not None else 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.move_on_after(patience):
            while counted() < enough:  # noqa: ASYNC110 - a pole announces nothing to outsiders
                await trio.sleep(0.1)
        pole.stop()
    sink, crowd = actor("sink"), actor("crowd")
    crashes = ", ".join(f"{one.child}: {one.error} {one.message}" for one in pole.crashes())
    if crashes or sink is None or crowd is None or counted() < enough:
        raise BenchmarkFailed(
            f"the pole gave {counted()} of {enough} counts within {patience:g} s. "
            f"Crashes: {crashes or 'none'}"
        )
    took = (sink.readings["last"] - sink.readings["first"]) / 1e6
    _run.pictures_per_second = (counted() - 1) / took
    used = (sink.readings["used_last"] - sink.readings["used_first"]) / 1e6
    _run.processor_share = used / took
    _run.people = sink.readings["people"]
    _run.erased_after = crowd.histograms["captured_to_erased"]
    _run.looked_in = crowd.histograms["decode_and_inference"]
    return _run
