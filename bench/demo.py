"""The demo as a person starts it: how long to the first count, and how much memory it takes.

Beside it runs a bare process that imports what inference needs, loads the same models, and counts
in the same clip, at the same interval.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter, sleep
from typing import cast

import msgspec
import trio

from actors.camera.actor import CameraSettings
from actors.crowd.actor import CrowdSettings
from bench.harness import BenchmarkFailed, Effort, Figure, Outcome, Target, compare
from runtime import load_blueprint
from runtime.control import ask_status
from runtime.errors import PoleUnreachable, SmartpoleError
from runtime.status import PoleStatus

CONFIGURATION = Path("conf/demo.toml")

OURS = "the demo"
BARE = "bare process that counts in the same clip"

_ROUNDS = 3
_WATCHED = 60.0
"""Seconds from the start in which memory is read, in one round: as long as ``make demo`` runs,
since memory grows for most of a minute before it settles."""
_PATIENCE = 60.0
_STEP = 0.05
_MEGABYTE = 1_000_000


class _Run(msgspec.Struct):
    """What was seen of one process."""

    first_count: float = 0.0
    """Seconds from its start."""
    resident: float = 0.0
    """MB, the most that the kernel saw."""
    proportional: float = 0.0
    """MB, the most of what was read; pages shared with others count in part."""


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    try:
        blueprint = load_blueprint(CONFIGURATION)
        crowd = next(plan for plan in blueprint.actors.values() if plan.type_name == "crowd")
        camera = next(plan for plan in blueprint.actors.values() if plan.type_name == "camera")
    except SmartpoleError as error:
        raise BenchmarkFailed(f"{CONFIGURATION} can't be run: {error}") from None
    source, looks = (
        cast(CameraSettings, camera.settings).source,
        cast(CrowdSettings, crowd.settings),
    )
    state = blueprint.pole.state
    if _counted(state, crowd.name) is not None:
        raise BenchmarkFailed(f"a pole runs on {CONFIGURATION} already: stop it first")
    ours = [sys.executable, "-m", "runtime.cli", "run", str(CONFIGURATION)]
    bare = [
        *(sys.executable, "-m", "bench.bare"),
        *(source.rest, str(looks.models), repr(float(looks.interval)), str(looks.width)),
    ]

    def run_both(watched: float) -> dict[str, _Run]:
        return {
            OURS: _watch(
                ours,
                lambda _: bool(_counted(state, crowd.name)),
                watched,
                at_the_end=lambda: _require_whole(state),
            ),
            BARE: _watch(bare, lambda said: b"\n" in said, watched),
        }

    watched = effort.seconds(_WATCHED)
    rounds = [run_both(0) for _ in range(min(effort.rounds, _ROUNDS) - 1)]
    rounds.append(run_both(watched))
    last = rounds[-1:]
    within = f"most within {watched:g} s"
    return Outcome(
        figures=(
            _figure("to the first count", rounds, lambda one: one.first_count, "s", 5),
            _figure(f"memory, resident, {within}", last, lambda one: one.resident, "MB", 600),
            _figure(
                f"memory, proportional, {within}", last, lambda one: one.proportional, "MB", 600
            ),
        )
    )


def _figure(
    name: str, rounds: list[dict[str, _Run]], read: Callable[[_Run], float], unit: str, most: float
) -> Figure:
    results = {who: [read(one[who]) for one in rounds] for who in (OURS, BARE)}
    target = Target(of="value", most=most)
    return compare(name, results, OURS, BARE, unit=unit, better="lower", target=target)


def _counted(state: Path, crowd: str) -> int | None:
    """How many pictures the pole has counted; None while none answers."""
    status = _status(state)
    if status is None:
        return None
    actor = next(one for one in status.actors if one.name == crowd)
    return actor.readings["pictures_counted"]


def _status(state: Path) -> PoleStatus | None:
    try:
        return trio.run(ask_status, state, 1.0)
    except PoleUnreachable:
        return None


def _require_whole(state: Path) -> None:
    """A pole with an actor down takes less memory and time, so its figures would say nothing."""
    status = _status(state)
    if status is None:
        raise BenchmarkFailed("the demo no longer answers")
    for actor in status.actors:
        if actor.state != "running" or actor.crashes:
            crash = actor.last_crash
            why = f": {crash.error} {crash.message}" if crash else ""
            raise BenchmarkFailed(
                f"the demo is not whole, actor {actor.name} is {actor.state} after "
                f"{actor.crashes} crash(es){why}. Set up with: make material"
            )


def _watch(
    command: list[str],
    has_counted: Callable[[bytes], bool],
    seconds: float,
    *,
    at_the_end: Callable[[], None] = lambda: None,
) -> _Run:
    """Start a process, wait for its first count, and read its memory until the time is over."""
    run = _Run()
    began = perf_counter()
    with _started(command) as (process, said):
        while not run.first_count or perf_counter() - began < seconds:
            if process.poll() is not None or perf_counter() - began > _PATIENCE:
                raise BenchmarkFailed(
                    f"{' '.join(command[1:4])} gave no count: {_last_line(said())}"
                )
            if not run.first_count and has_counted(said()):
                run.first_count = perf_counter() - began
            resident, proportional = _memory(process.pid)
            run.resident = max(run.resident, resident)
            run.proportional = max(run.proportional, proportional)
            sleep(_STEP)
        at_the_end()
    return run


@contextmanager
def _started(
    command: list[str],
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], bytes]]]:
    with TemporaryFile() as output:

        def said() -> bytes:
            output.seek(0)
            return output.read()

        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process, said
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _memory(process: int) -> tuple[float, float]:
    """The most resident memory so far, and the proportional share now, in MB."""
    peak = _kilobytes(Path(f"/proc/{process}/status"), "VmHWM:")
    share = _kilobytes(Path(f"/proc/{process}/smaps_rollup"), "Pss:")
    return peak * 1024 / _MEGABYTE, share * 1024 / _MEGABYTE


def _kilobytes(path: Path, label: str) -> int:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0  # it has just ended
    return next((int(line.split()[1]) for line in lines if line.startswith(label)), 0)
