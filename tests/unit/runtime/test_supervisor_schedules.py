"""The supervisor under schedules that Hypothesis thinks up, in virtual time.

One-for-one supervision is compared with a model of its own; every strategy is held to what must
always be so.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import RestartBudgetExceeded, Unrecoverable
from runtime.specification import (
    Backoff,
    ChildSpec,
    Exhausted,
    Restart,
    RestartIntensity,
    Strategy,
    SupervisorSpec,
)
from runtime.supervisor import Supervisor
from tests.unit.runtime.stage import Event, Life, Stage, direct

LIVES = st.builds(
    Life,
    start=st.integers(0, 3).map(float),
    run=st.integers(1, 12).map(float) | st.just(math.inf),
    error=st.sampled_from([None, RuntimeError("x"), RuntimeError("x"), Unrecoverable("x")]),
    start_error=st.sampled_from([None, None, None, OSError("x"), Unrecoverable("x")]),
    heeds=st.booleans(),
    linger=st.integers(0, 4).map(float),
    cleanup=st.integers(0, 2).map(float),
    cleanup_error=st.sampled_from([None, None, None, ValueError("x")]),
)


@dataclass(frozen=True)
class Part:
    lives: list[Life]
    restart: Restart
    restarts: int
    period: float
    delay: float
    stop_timeout: float
    start_timeout: float
    exhausted: Exhausted
    rest: float


def parts(lives: st.SearchStrategy[Life], exhausted: list[Exhausted]) -> st.SearchStrategy[Part]:
    return st.builds(
        Part,
        lives=st.lists(lives, max_size=5),
        restart=st.sampled_from(Restart),
        restarts=st.integers(0, 3),
        period=st.integers(6, 20).map(float),
        delay=st.sampled_from([0.0, 0.5, 1.0]),
        stop_timeout=st.integers(0, 3).map(float),
        start_timeout=st.sampled_from([1.0, 2.0, 50.0]),
        exhausted=st.sampled_from(exhausted),
        rest=st.integers(5, 20).map(float),
    )


def spec_of(stage: Stage, name: str, part: Part) -> ChildSpec:
    # No jitter and no growth, so that the model need not repeat Backoff's own arithmetic.
    return stage.spec(
        name,
        *part.lives,
        restart=part.restart,
        intensity=RestartIntensity(part.restarts, part.period),
        backoff=Backoff(first=part.delay, factor=1.0, jitter=0.0),
        stop_timeout=part.stop_timeout,
        start_timeout=part.start_timeout,
        when_exhausted=part.exhausted,
        rest=part.rest,
    )


def ended_by_the_stop(stage: Stage, until: float) -> list[str]:
    """Who ran when the stop came and was then ended by it, in the order of their ends."""
    running = {(e.child, e.incarnation) for e in stage.trace if e.what == "started"}
    return [
        e.child
        for e in stage.trace
        if e.what == "end"
        and e.at > until
        and e.how in ("cancelled", "finished")
        and (e.child, e.incarnation) in running
    ]


# -- what must always be so -----------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    cast=st.lists(parts(LIVES, list(Exhausted)), min_size=1, max_size=4),
    strategy=st.sampled_from(Strategy),
    until=st.integers(0, 60).map(lambda n: n + 1 / 3),
    cancel=st.booleans(),
)
async def test_invariants(cast: list[Part], strategy: Strategy, until: float, cancel: bool) -> None:
    stage = Stage()
    names = "abcd"[: len(cast)]
    specs = tuple(spec_of(stage, name, part) for name, part in zip(names, cast, strict=True))
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    last_end: dict[str, float] = {}

    def watch(event: Event) -> None:
        if event.what == "end":
            last_end[event.child] = event.at
        if event.what == "begin" and event.at > until:
            # Once stopping has begun, only who crashed is started, for a later one that still runs.
            assert event.incarnation > 1
            assert any(name > event.child for name in stage.live)
            return
        if event.what != "begin" or strategy is Strategy.ONE_FOR_ONE:
            return
        # A tied child is never started while one before it is down and to be started again.
        told = {status.name: status for status in supervisor.statistics()}
        for earlier in names[: names.index(event.child)]:
            assert (
                earlier in stage.live
                or told[earlier].state in ("finished", "down")
                or last_end.get(earlier) == event.at  # its end has yet to be noticed
            ), (earlier, told[earlier], event)

    stage.watch = watch
    escalated = False
    try:
        await direct(stage, supervisor, until=until, cancel=cancel)
    except RestartBudgetExceeded:
        escalated = True

    # Stage holds that no child ever lives twice at once, and that nobody outlives the supervisor.
    for name in names:
        numbers = [e.incarnation for e in stage.trace if e.child == name and e.what == "begin"]
        assert numbers == list(range(1, len(numbers) + 1))
    first = [e.child for e in stage.trace if e.what == "begin" and e.incarnation == 1]
    assert first == [name for name in names if name in first]
    # The supervisor ends what it ends in reverse order.
    if not escalated:
        stopped = ended_by_the_stop(stage, until)
        if strategy is Strategy.ONE_FOR_ONE:
            assert stopped == sorted(stopped, reverse=True)
    # Never more restarts within the period than the intensity allows, except after a rest.
    for name, part in zip(names, cast, strict=True):
        status = next(s for s in supervisor.statistics() if s.name == name)
        assert status.incarnation == len(stage.times("begin", name))
        assert status.restarts == max(0, status.incarnation - 1)
        assert status.state in ("stopped", "finished", "down", "not started")
        if strategy is Strategy.ONE_FOR_ONE and part.exhausted is not Exhausted.REST:
            # N restarts and one more never follow ends that lie within one period. (An end is
            # counted when it is noticed, which waits while another child starts.)
            ends, begins = stage.times("end", name), stage.times("begin", name)
            slack = sum(life.start + life.cleanup for other in cast for life in other.lives)
            for index in range(len(begins) - 1 - part.restarts):
                assert ends[index + part.restarts] - ends[index] > part.period - slack
        if part.restart is Restart.TEMPORARY:
            assert status.incarnation <= 1
    crashes = dict.fromkeys(names, 0)
    for record in supervisor.crashes:
        crashes[record.child] += 1
    if sum(crashes.values()) < 64:
        assert crashes == {s.name: s.crashes for s in supervisor.statistics()}


# -- an independent model of one-for-one ----------------------------------------------------------

QUICK = st.builds(
    Life,
    run=st.integers(0, 12).map(float) | st.just(math.inf),
    error=st.sampled_from([None, RuntimeError("x"), RuntimeError("x"), Unrecoverable("x")]),
    start_error=st.sampled_from([None, None, None, OSError("x"), Unrecoverable("x")]),
)


def expected(part: Part, until: float) -> tuple[list[float], str]:
    """When a child begins, and its state when the stop comes: written without looking."""
    begins: list[float] = []
    window: deque[float] = deque()
    now = 0.0
    while now < until:
        begins.append(now)
        number = len(begins)
        life = part.lives[number - 1] if number <= len(part.lives) else Life()
        error = life.start_error or life.error
        end = now if life.start_error else now + life.run
        if end > until:
            return begins, "stopped"
        if part.restart is Restart.TEMPORARY:
            return begins, "finished" if error is None else "down"
        if part.restart is Restart.TRANSIENT and error is None:
            return begins, "finished"
        if isinstance(error, Unrecoverable):
            return begins, "down"
        window.append(end)
        while window[0] + part.period < end:
            window.popleft()
        if len(window) <= part.restarts:
            now = end + part.delay
        elif part.exhausted is Exhausted.LEAVE_DOWN:
            return begins, "down"
        else:
            window.clear()
            now = end + part.rest
    return begins, "stopped"


@settings(max_examples=300, deadline=None)
@given(
    cast=st.lists(parts(QUICK, [Exhausted.REST, Exhausted.LEAVE_DOWN]), min_size=1, max_size=4),
    until=st.integers(0, 80).map(lambda n: n + 1 / 3),
)
async def test_one_for_one_against_a_model(cast: list[Part], until: float) -> None:
    stage = Stage()
    names = "abcd"[: len(cast)]
    specs = tuple(spec_of(stage, name, part) for name, part in zip(names, cast, strict=True))
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=until)
    for name, part, status in zip(names, cast, supervisor.statistics(), strict=True):
        begins, state = expected(part, until)
        assert stage.times("begin", name) == begins
        assert status.state == state


# -- nested, with children that crash while everything stops --------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    outer=st.lists(parts(LIVES, [Exhausted.REST]), min_size=1, max_size=2),
    inner=st.lists(parts(LIVES, list(Exhausted)), min_size=1, max_size=3),
    strategy=st.sampled_from(Strategy),
    until=st.integers(0, 40).map(lambda n: n + 1 / 3),
    cancel=st.booleans(),
)
async def test_nested_supervisors_leave_nobody_behind(
    outer: list[Part], inner: list[Part], strategy: Strategy, until: float, cancel: bool
) -> None:
    stage = Stage()
    below = tuple(spec_of(stage, n, p) for n, p in zip("xyz", inner, strict=False))
    numbers: dict[str, int] = dict.fromkeys("xyz", 0)
    real: Callable[[str, int], Life] = stage.life

    def life(name: str, incarnation: int) -> Life:
        # A supervisor that is started anew counts from 1; the stage goes on counting.
        if name in numbers:
            numbers[name] += 1
            return real(name, numbers[name])
        return real(name, incarnation)

    stage.life = life  # type: ignore[method-assign]
    above = [spec_of(stage, n, p) for n, p in zip("ab", outer, strict=False)]
    middle = ChildSpec(
        "middle", lambda _: Supervisor(SupervisorSpec("middle", below, strategy)), stop_timeout=60
    )
    supervisor = Supervisor(SupervisorSpec("top", (above[0], middle, *above[1:])))
    with trio.fail_after(100_000):
        await direct(stage, supervisor, until=until, cancel=cancel)
    ends = ended_by_the_stop(stage, until)
    if "a" in ends:
        assert ends.index("a") == len(ends) - 1
