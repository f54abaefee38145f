"""A real pole with the crowd pipeline and little else, for measuring it.

Camera and crowd actor are the real ones, wired as on any pole, so every packet and every count
crosses a border. A tap stands where the recorder would, a sink where the statistics would.
"""

from __future__ import annotations

__all__ = ["PoleRun", "run_small_pole"]

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time_ns

import msgspec
import trio

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter
from actors.crowd.messages import PictureCount
from bench.harness import BenchmarkFailed
from runtime import Actor, Domain, Inlet, check, load_blueprint
from runtime.pole import Pole

_CONFIGURATION = """
[pole]
name = "bench"
operator = {{ ja = "bench", en = "bench" }}
contact = {{ ja = "bench", en = "bench" }}
guideline = "1.0"
state = "state"

[places]
bench = {{ ja = "bench", en = "bench" }}

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
# Every picture counts here, so none may be dropped for being late.
inlets = {{ packets = {{ capacity = 1024, overflow = "block" }} }}

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

    captured_at: dict[int, int] = {}
    """By number of the packet, in microseconds since 1970."""
    counted: list[tuple[float, int, int]] = []
    """For each count: on the clock of ``perf_counter``, in microseconds since 1970, and people."""

    @property
    def people(self) -> int:
        return sum(people for _, _, people in self.counted)


class _Running:
    """The run in progress. Actors are made by the pole, so this is how they reach it."""

    run: PoleRun
    enough: int
    done: trio.Event


class Tap(Actor, domain=Domain.SECURITY):
    """Notes when each packet was captured."""

    packets: Inlet[EncodedPacket]

    async def run(self) -> None:
        async for packet in self.packets:
            _Running.run.captured_at[packet.sequence] = packet.captured_at


class Sink(Actor, domain=Domain.PUBLIC):
    """Notes when each count arrives."""

    counts: Inlet[PictureCount]

    async def run(self) -> None:
        async for count in self.counts:
            counted = _Running.run.counted
            counted.append((perf_counter(), time_ns() // 1000, count.people))
            if len(counted) >= _Running.enough:
                _Running.done.set()


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
) -> PoleRun:
    """Run a pole until ``enough`` counts have come.

    Raises BenchmarkFailed where that takes longer than ``patience`` seconds.
    """
    with TemporaryDirectory(prefix="smartpole-") as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(
            _CONFIGURATION.format(
                source=_toml(f"file:{clip.resolve()}"),
                models=_toml(str(models.resolve())),
                pace="real-time" if paced else "fast",
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
        return trio.run(_until_enough, Pole(blueprint), enough, patience)


async def _until_enough(pole: Pole, enough: int, patience: float) -> PoleRun:
    _Running.run, _Running.enough, _Running.done = PoleRun(), enough, trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.move_on_after(patience):
            await _Running.done.wait()
        pole.stop()
    crashes = ", ".join(f"{one.child}: {one.error} {one.message}" for one in pole.crashes())
    if crashes or not _Running.done.is_set():
        raise BenchmarkFailed(
            f"the pole gave {len(_Running.run.counted)} of {enough} counts within {patience:g} s. "
            f"Crashes: {crashes or 'none'}"
        )
    return _Running.run


def _toml(text: str) -> str:
    """A TOML string, which a JSON string also is."""
    return msgspec.json.encode(text).decode()
