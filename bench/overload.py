"""More cameras than the machine can take: what each gets, and whether memory stays as it is.

One pole reads as many cameras as ask for about three times the pictures that this machine can look
at. It has to look at fewer, at about as many from each, and keep nothing for later. Beside it
stands the same pole with a single camera, which the machine can take.
"""

from __future__ import annotations

__all__ = ["benchmark"]

from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import trio

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter
from actors.crowd.messages import PictureCount
from bench.bare import BareLoop
from bench.configuration import IDENTITY, toml_text
from bench.harness import BenchmarkFailed, Comparison, Effort, Figure, Outcome, Target
from bench.logs import quietly
from bench.pipeline import CLIP, MODELS, beginning, require_material
from bench.process import resident_megabytes
from runtime import Actor, Domain, Inlet, check, inlet, load_blueprint
from runtime.pole import Pole

_INTERVAL = 0.5
_WIDTH = 768
_TOO_MUCH = 3
_MOST_CAMERAS = 12
_SECONDS = 60.0
_WARM_UP = 10.0
_PATIENCE = 60.0
_LEAST_SHARE = 0.5
"""Of what the camera gets that gets most, for the one that gets least."""
_MOST_GROWTH = 1.10

_CAMERA = """
[actors.camera-{n}]
type = "camera"
place = "bench"
grants = ["CameraLink"]
settings = {{ source = {source}, loop = true }}

[actors.crowd-{n}]
type = "crowd"
place = "bench"
grants = ["InferenceModels"]
settings = {{ models = {models}, interval = "{interval}s", width = {width} }}

[[channels]]
from = "camera-{n}.for_crowd"
to = "crowd-{n}.packets"

[[channels]]
from = "camera-{n}.for_security"
to = "tap.packets"

[[channels]]
from = "crowd-{n}.counts"
to = "sink.counts"
"""
_OTHERS = """
[actors.tap]
type = "tap"

[actors.sink]
type = "sink"
"""


class Tap(Actor, domain=Domain.SECURITY):
    """Stands where recorders would."""

    packets: Inlet[EncodedPacket] = inlet(capacity=1024)

    async def run(self) -> None:
        async for _ in self.packets.batches():
            pass


class Sink(Actor, domain=Domain.PUBLIC):
    """Stands where the statistics would."""

    counts: Inlet[PictureCount]

    async def run(self) -> None:
        async for _ in self.counts:
            pass


class _Run:
    """What was seen of one pole between the warm-up and the end."""

    def __init__(self, cameras: int) -> None:
        self.cameras = cameras
        self.looked: list[float] = []
        """Pictures a second, of each camera."""
        self.late = 0
        """Pictures that were decoded, and were too old when their turn came."""
        self.before = self.after = 0.0
        """MB resident."""


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    seconds = max(20.0, effort.seconds(_SECONDS))
    with quietly(), TemporaryDirectory(prefix="smartpole-") as folder:
        clip = beginning(10, folder)
        bare = BareLoop(MODELS, threads=1, width=_WIDTH)
        bare.run(clip, interval=0)
        began = process_time()
        # Of the processor's time: what else runs on this machine must not make it look smaller.
        pictures_per_second = len(bare.run(clip, interval=0)) / (process_time() - began)
        wanted = 1 / _INTERVAL
        cameras = min(_MOST_CAMERAS, max(2, round(_TOO_MUCH * pictures_per_second / wanted)))
        one = _run(Path(folder), 1, seconds)
        many = _run(Path(folder), cameras, seconds)
    total = sum(many.looked)
    share = min(many.looked) / max(many.looked)
    evenly, flat = Target(of="value", least=_LEAST_SHARE), Target(of="ratio", most=_MOST_GROWTH)
    growth = many.after / many.before
    asked = f"{cameras} cameras that ask for {cameras * wanted:.0f} pictures/s"
    return Outcome(
        figures=(
            Figure(
                name=f"pictures of {asked}",
                value=total,
                unit="pictures/s",
                better="higher",
                compared=Comparison(
                    to="bare loop with a core of its own",
                    value=pictures_per_second,
                    ratio=total / pictures_per_second,
                    difference=total - pictures_per_second,
                ),
                details={"cameras": cameras, "one camera alone, pictures/s": one.looked[0]},
                note=f"a camera alone gets {one.looked[0]:.2f} of {wanted:g} pictures/s; "
                f"too late when their turn came: {many.late}",
            ),
            Figure(
                name="the camera that gets least, of the one that gets most",
                value=share,
                unit="",
                better="higher",
                target=evenly,
                met=evenly.is_met(share),
                details={f"camera {n}, pictures/s": one for n, one in enumerate(many.looked)},
                note=", ".join(f"{one:.2f}" for one in many.looked) + " pictures/s",
            ),
            Figure(
                name=f"memory after {seconds:.0f} s more",
                value=many.after,
                unit="MB",
                better="lower",
                compared=Comparison(
                    to="the same pole when it had warmed up",
                    value=many.before,
                    ratio=growth,
                    difference=many.after - many.before,
                ),
                target=flat,
                met=flat.is_met(growth),
                details={"one camera alone, MB": one.after},
            ),
        )
    )


def _run(folder: Path, cameras: int, seconds: float) -> _Run:
    path = folder / f"{cameras}.toml"
    source, models = (toml_text(text) for text in (f"file:{CLIP.resolve()}", str(MODELS.resolve())))
    path.write_text(
        IDENTITY
        + _OTHERS
        + "".join(
            _CAMERA.format(n=n, source=source, models=models, interval=_INTERVAL, width=_WIDTH)
            for n in range(cameras)
        ),
        encoding="utf-8",
    )
    types: dict[str, type[Actor]] = {
        "camera": Camera,
        "crowd": CrowdCounter,
        "tap": Tap,
        "sink": Sink,
    }
    blueprint = load_blueprint(path, actor_types=types)
    if findings := check(blueprint):
        raise BenchmarkFailed("the bench's own pole has findings: " + "; ".join(map(str, findings)))
    return trio.run(_watch, Pole(blueprint, log_level="critical"), cameras, seconds)


async def _watch(pole: Pole, cameras: int, seconds: float) -> _Run:
    run = _Run(cameras)
    names = [f"crowd-{n}" for n in range(cameras)]

    def readings(name: str) -> list[int]:
        actors: dict[str, Any] = {actor.name: actor for actor in pole.status().actors}
        return [actors[one].readings.get(name, 0) for one in names]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.fail_after(_PATIENCE):
            await pole.ready.wait()
        await trio.sleep(_WARM_UP)
        before, late = readings("pictures_counted"), sum(readings("pictures_late"))
        run.before = resident_megabytes()
        await trio.sleep(seconds)
        after = readings("pictures_counted")
        run.looked = [(b - a) / seconds for a, b in zip(before, after, strict=True)]
        run.late = sum(readings("pictures_late")) - late
        run.after = resident_megabytes()
        pole.stop()
    if crashes := [f"{one.child}: {one.error} {one.message}" for one in pole.crashes()]:
        raise BenchmarkFailed(f"the pole crashed: {'; '.join(crashes)}")
    if not all(run.looked):
        raise BenchmarkFailed(f"a camera was not looked at once in {seconds:g} s: {run.looked}")
    return run
