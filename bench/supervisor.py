"""The supervisor: what it costs to start a child, and how soon a crashed one is back.

It logs as it does on a pole, into nowhere. The bare loop restarts a coroutine and keeps no record,
no budget and no order; Pykka starts a thread for each actor and restarts none.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import random
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import pykka
import trio

from bench.harness import Effort, Figure, Outcome, Target, compare, percentile, take_turns
from bench.logs import quietly
from runtime.specification import Backoff, ChildSpec, RestartIntensity, SupervisorSpec
from runtime.supervisor import Supervisor

OURS = "Supervisor"
NURSERY = "bare trio nursery"
LOOP = "bare loop: while True, try"
LOOP_WAITS = "bare loop that sleeps as long"
PYKKA = "pykka actor, start and stop"
PYKKA_AGAIN = "pykka actor, stopped and started anew"

_BACKOFF = 0.02
_BUDGET = RestartIntensity(100_000, 3600)
_NO_WAIT = Backoff(first=0, jitter=0)
_WAIT = Backoff(first=_BACKOFF, factor=1, longest=_BACKOFF, jitter=0)


class Crash(Exception):
    """What the children here die of."""


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    with quietly():
        return Outcome(figures=(*_start_and_stop(effort), *_restart(effort)))


# -- start and stop -------------------------------------------------------------------------------


def _start_and_stop(effort: Effort) -> list[Figure]:
    count = effort.count(200, 10)
    results = take_turns(
        {
            OURS: partial(_supervised_children, count),
            NURSERY: partial(_nursery_children, count),
            PYKKA: partial(_pykka_actors, count),
        },
        effort.rounds,
    )
    note = f"{count} children; ours one after another, each confirmed, stopped in reverse"
    figure = partial(
        compare, "start and stop a child", results, OURS, unit="µs", better="lower", note=note
    )
    return [figure(NURSERY), figure(PYKKA)]


class _Sleeper:
    """A child that starts, and sleeps until it is told to finish."""

    def __init__(self, _: int = 1) -> None:
        self._finished = trio.Event()

    async def serve(self, started: Callable[[], None]) -> None:
        started()
        await self._finished.wait()

    def finish(self) -> bool:
        self._finished.set()
        return True


def _supervised_children(count: int) -> float:
    spec = SupervisorSpec("bench", tuple(ChildSpec(f"child-{n}", _Sleeper) for n in range(count)))
    supervisor = Supervisor(spec)

    def all_started() -> None:
        supervisor.finish()

    async def main() -> float:
        began = perf_counter()
        await supervisor.serve(all_started)
        return perf_counter() - began

    return trio.run(main) / count * 1e6


def _nursery_children(count: int) -> float:
    async def main() -> float:
        began = perf_counter()
        children = [_Sleeper() for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for child in children:
                await nursery.start(_serve_bare, child)
            for child in reversed(children):
                child.finish()
        return perf_counter() - began

    return trio.run(main) / count * 1e6


async def _serve_bare(
    child: _Sleeper, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    await child.serve(task_status.started)


class _PykkaSleeper(pykka.ThreadingActor):
    """An actor that does nothing."""


def _pykka_actors(count: int) -> float:
    began = perf_counter()
    actors = [_PykkaSleeper.start() for _ in range(count)]
    for actor in reversed(actors):
        actor.stop()
    return (perf_counter() - began) / count * 1e6


# -- restart --------------------------------------------------------------------------------------


def _restart(effort: Effort) -> list[Figure]:
    count = effort.count(100, 5)
    seen: list[float] = []

    def ours() -> float:
        delays = _supervised_restarts(count, _NO_WAIT)
        seen.extend(delays)
        return median(delays)

    results = take_turns(
        {
            OURS: ours,
            LOOP: lambda: median(_loop_restarts(count, None)),
            PYKKA_AGAIN: lambda: median(_pykka_restarts(count)),
        },
        effort.rounds,
    )
    figure = partial(compare, results=results, ours=OURS, unit="µs", better="lower")
    details = {f"p{p}, µs": percentile(seen, p / 100) for p in (50, 95, 99)}
    name = "restart after a crash, backoff 0"
    at_once = [
        figure(name, other=LOOP, target=Target(of="value", most=1000), details=details),
        figure(name, other=PYKKA_AGAIN),
    ]
    few = effort.count(10, 2)
    results = take_turns(
        {
            OURS: lambda: median(_supervised_restarts(few, _WAIT)),
            LOOP_WAITS: lambda: median(_loop_restarts(few, _BACKOFF)),
        },
        effort.rounds,
    )
    # The system's timer is late by up to a millisecond, for whoever waits: hence the difference.
    beside = compare(
        f"restart after a crash, backoff {_BACKOFF * 1000:g} ms",
        results,
        OURS,
        LOOP_WAITS,
        unit="µs",
        better="lower",
        target=Target(of="difference", most=1000),
    )
    return [*at_once, beside]


class _Clock:
    """Notes the time from each crash to the next incarnation's beginning."""

    def __init__(self) -> None:
        self.microseconds: list[float] = []
        self._crashed_at = 0.0

    def begin(self) -> None:
        if self._crashed_at:
            self.microseconds.append((perf_counter() - self._crashed_at) * 1e6)

    def crash(self) -> Crash:
        self._crashed_at = perf_counter()
        return Crash()


def _supervised_restarts(count: int, backoff: Backoff) -> list[float]:
    clock = _Clock()

    class Crasher:
        """A child that crashes once it runs, except in its last incarnation."""

        def __init__(self, incarnation: int) -> None:
            self._incarnation = incarnation

        async def serve(self, started: Callable[[], None]) -> None:
            clock.begin()
            started()
            await trio.lowlevel.checkpoint()
            if self._incarnation <= count:
                raise clock.crash()
            supervisor.finish()

        def finish(self) -> bool:
            return True

    spec = ChildSpec("crasher", Crasher, intensity=_BUDGET, backoff=backoff)
    supervisor = Supervisor(SupervisorSpec("bench", (spec,)), chance=random.Random(1))
    trio.run(supervisor.serve, lambda: None)
    return clock.microseconds


def _loop_restarts(count: int, wait: float | None) -> list[float]:
    clock = _Clock()
    incarnation = 0

    async def child() -> None:
        clock.begin()
        await trio.lowlevel.checkpoint()
        if incarnation <= count:
            raise clock.crash()

    async def main() -> None:
        nonlocal incarnation
        while True:
            incarnation += 1
            try:
                await child()
                return
            except Crash:
                if wait is not None:
                    await trio.sleep(wait)

    trio.run(main)
    return clock.microseconds


def _pykka_restarts(count: int) -> list[float]:
    clock = _Clock()

    class Crasher(pykka.ThreadingActor):
        """Notes when it begins to run."""

        def on_start(self) -> None:
            clock.begin()

    actor = Crasher.start()
    for _ in range(count):
        actor.ask(None)
        clock.crash()
        actor.stop()
        actor = Crasher.start()
    actor.ask(None)
    actor.stop()
    return clock.microseconds
