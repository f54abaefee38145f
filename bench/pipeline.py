"""The crowd pipeline under a real pole, against a bare loop over the same clip.

What counts is the steady state: loading the models, connecting and the first picture are left out
on both sides. Both see the same pictures, which is checked: they must count the same people.
"""

from __future__ import annotations

__all__ = ["CLIP", "MODELS", "beginning", "benchmark", "require_material"]

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import av

from bench.bare import BareLoop
from bench.harness import (
    BenchmarkFailed,
    Comparison,
    Effort,
    Figure,
    Outcome,
    Target,
    compare,
    percentile,
    take_turns,
)
from bench.logs import quietly
from bench.small_pole import run_small_pole
from models import ModelError, ModelStore

CLIP = Path("var/footage/street.mp4")
MODELS = Path("var/models")

OURS = "crowd pipeline"
BARE = "bare loop"

_WIDTH = 768
_THREADS = 1
_ROUNDS = 9
_PACED_INTERVAL = 0.6
"""Seconds; the clip has ten pictures a second."""
_PATIENCE = 300.0


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    bare = BareLoop(MODELS, threads=_THREADS, width=_WIDTH)
    pictures = effort.count(16, 6)
    rounds = 2 if effort.is_quick else _ROUNDS
    with quietly():
        return Outcome(
            figures=(
                _throughput("every picture", bare, pictures, 0.0, rounds),
                _throughput("a picture a second", bare, pictures * 10, 1.0, rounds),
                *_latency(bare, effort.count(10, 5), min(rounds, 3)),
            ),
        )


def require_material() -> None:
    """Raise BenchmarkFailed where models or footage are missing."""
    if not CLIP.exists():
        raise BenchmarkFailed(
            f"{CLIP} is not there. Fetch it with: smartpole footage fetch --to {CLIP.parent}"
        )
    try:
        ModelStore(MODELS).verify()
    except ModelError as error:
        raise BenchmarkFailed(str(error)) from None


def beginning(packets: int, folder: str) -> Path:
    """The first packets of the clip, as a clip of its own, not encoded anew."""
    path = Path(folder) / "clip.mp4"
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for number, packet in enumerate(source.demux(video)):
            if number >= packets or packet.dts is None:
                break
            packet.stream = copy
            target.mux(packet)
    return path


def _temporary() -> AbstractContextManager[str]:
    return TemporaryDirectory(prefix="smartpole-")


def _throughput(what: str, bare: BareLoop, packets: int, interval: float, rounds: int) -> Figure:
    with _temporary() as folder:
        clip = beginning(packets, folder)
        expected = bare.run(clip, interval=interval)
        used: dict[str, list[float]] = {OURS: [], BARE: []}

        def ours() -> float:
            run = run_small_pole(
                clip,
                MODELS,
                interval=interval,
                width=_WIDTH,
                threads=_THREADS,
                enough=len(expected),
                patience=_PATIENCE,
            )
            _require_same(run.people, sum(one.people for one in expected))
            used[OURS].append(run.processor_share / run.pictures_per_second)
            return run.pictures_per_second

        def theirs() -> float:
            seen = [
                (one.counted_at, process_time())
                for one in bare.looks(clip, interval=interval, paced=False)
            ]
            times, processor = zip(*seen, strict=True)
            used[BARE].append(1 / _rate(processor))
            return _rate(times)

        results = take_turns({OURS: ours, BARE: theirs}, rounds, warm_up=False)
    return compare(
        f"{what}, {packets} packets",
        results,
        OURS,
        BARE,
        unit="pictures/s",
        better="higher",
        target=Target(of="ratio", least=0.95),
        details={
            "pictures": len(expected),
            "threads": _THREADS,
            "width": _WIDTH,
            **{f"processor, ms a picture, {who}": median(t) * 1000 for who, t in used.items()},
        },
        note="processor a picture: "
        + ", ".join(f"{who} {median(t) * 1000:.0f} ms" for who, t in used.items()),
    )


def _rate(times: Sequence[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def _require_same(ours: int, bare: int) -> None:
    if ours != bare:
        raise BenchmarkFailed(
            f"the pipeline counted {ours} people and the bare loop {bare} in the same pictures: "
            "they don't do the same work, so comparing them says nothing"
        )


def _latency(bare: BareLoop, pictures: int, rounds: int) -> list[Figure]:
    """From the packet's arrival to its counts, at a pace that leaves time between two pictures."""
    ours: list[float] = []
    theirs: list[float] = []
    with _temporary() as folder:
        clip = beginning(round(pictures * _PACED_INTERVAL * 10), folder)
        for _ in range(rounds):
            looked = bare.run(clip, interval=_PACED_INTERVAL, paced=True)
            run = run_small_pole(
                clip,
                MODELS,
                interval=_PACED_INTERVAL,
                width=_WIDTH,
                threads=_THREADS,
                enough=len(looked),
                patience=_PATIENCE,
                paced=True,
            )
            pairs = list(zip(looked, run.counted_at, strict=True))[1:]
            ours += [(at - run.captured_at[one.packet]) / 1000 for one, at in pairs]
            theirs += [one.latency * 1000 for one, _ in pairs]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    figures = []
    for name, share in (("p50", 0.50), ("p95", 0.95)):
        value, other = percentile(ours, share), percentile(theirs, share)
        figures.append(
            Figure(
                name=f"latency {name}, paced, a picture each {_PACED_INTERVAL:g} s",
                value=value,
                unit="ms",
                better="lower",
                compared=Comparison(
                    to=BARE,
                    value=other,
                    ratio=median(ratios) if share == 0.50 else value / other,
                    difference=value - other,
                ),
                details={"pictures": len(ours), "highest, ms": max(ours)},
                note="from packet to count; ours ends in another domain",
            )
        )
    return figures
