"""A stage for supervisors: scripted children, and a trace of what they did and when."""

from __future__ import annotations

__all__ = ["FOREVER", "NO_DELAY", "SURE", "Event", "Life", "Player", "Stage", "direct"]

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio

from runtime.specification import Backoff, ChildSpec
from runtime.supervisor import Supervisor

FOREVER = math.inf
NO_DELAY = Backoff(first=0.0, jitter=0.0)
SURE = Backoff(first=1.0, factor=2.0, longest=4.0, jitter=0.0)
"""1, 2, 4, 4, ... seconds, without chance."""


@dataclass(frozen=True)
class Life:
    """What one incarnation does. Times are in virtual seconds."""

    start: float = 0.0
    """How long it takes to start."""
    run: float = FOREVER
    """How long it runs by itself."""
    error: Exception | None = None
    """How it ends after that; None returns."""
    start_error: Exception | None = None
    heeds: bool = False
    """Whether ``finish`` makes it end by itself."""
    linger: float = 0.0
    """How long it takes to end after ``finish``."""
    cleanup: float = 0.0
    """How long its shielded clean-up takes."""
    cleanup_error: Exception | None = None


@dataclass(frozen=True)
class Event:
    at: float
    what: str
    child: str
    incarnation: int
    how: str = ""


@dataclass
class Stage:
    """Who plays what. A child whose lives are used up repeats ``usual``."""

    lives: dict[str, list[Life]] = field(default_factory=dict)
    usual: dict[str, Life] = field(default_factory=dict)
    trace: list[Event] = field(default_factory=list)
    live: dict[str, int] = field(default_factory=dict)
    watch: Callable[[Event], None] | None = None

    def spec(self, name: str, *lives: Life, usual: Life | None = None, **options: Any) -> ChildSpec:
        self.lives[name] = list(lives)
        self.usual[name] = usual or Life()
        return ChildSpec(name, lambda number: Player(self, name, number), **options)

    def life(self, name: str, incarnation: int) -> Life:
        given = self.lives[name]
        return given[incarnation - 1] if incarnation <= len(given) else self.usual[name]

    def note(self, what: str, child: str, incarnation: int, how: str = "") -> None:
        event = Event(trio.current_time() - self.began, what, child, incarnation, how)
        self.trace.append(event)
        if self.watch is not None:
            self.watch(event)

    began: float = 0.0

    def names(self, what: str) -> list[str]:
        """``["a1", "b1", ...]`` for that kind of event, in order."""
        return [f"{e.child}{e.incarnation}" for e in self.trace if e.what == what]

    def times(self, what: str, child: str) -> list[float]:
        return [e.at for e in self.trace if e.what == what and e.child == child]


class Player:
    """One incarnation (``runtime.specification.Child``)."""

    def __init__(self, stage: Stage, name: str, number: int) -> None:
        self.stage, self.name, self.number = stage, name, number
        self.life = stage.life(name, number)
        self._finish = trio.Event()

    async def serve(self, started: Callable[[], None]) -> None:
        stage, life = self.stage, self.life
        assert self.name not in stage.live, f"two incarnations of {self.name} live at once"
        stage.live[self.name] = self.number
        stage.note("begin", self.name, self.number)
        how = "cancelled"
        try:
            if life.start:
                await trio.sleep(life.start)
            if life.start_error is not None:
                how = "crashed"
                raise life.start_error
            started()
            stage.note("started", self.name, self.number)
            with trio.move_on_after(life.run):
                await self._finish.wait()
                await trio.sleep(life.linger)
                how = "finished"
                return
            how = "returned" if life.error is None else "crashed"
            if life.error is not None:
                raise life.error
        finally:
            with trio.CancelScope(shield=True):
                if life.cleanup:
                    await trio.sleep(life.cleanup)
            del stage.live[self.name]
            stage.note("end", self.name, self.number, how)
            if life.cleanup_error is not None:
                raise life.cleanup_error

    def finish(self) -> bool:
        if self.life.heeds:
            self._finish.set()
        return self.life.heeds


async def direct(
    stage: Stage,
    supervisor: Supervisor,
    *,
    until: float = math.inf,
    at: Iterable[tuple[float, Callable[[], object]]] = (),
    cancel: bool = False,
    limit: float = 1_000_000.0,
) -> None:
    """Serve until that time, then ``finish`` (or cancel), doing other things at theirs."""
    stage.began = trio.current_time()
    over = trio.Event()

    async def do(when: float, what: Callable[[], object]) -> None:
        await trio.sleep_until(stage.began + when)
        what()

    with trio.fail_after(limit):
        async with trio.open_nursery() as background:
            for when, what in at:
                background.start_soon(do, when, what)
            scope = trio.CancelScope()
            if until != math.inf:
                background.start_soon(do, until, scope.cancel if cancel else supervisor.finish)
            failure: Exception | None = None
            try:
                with scope:
                    await supervisor.serve(over.set)
            except Exception as error:
                failure = error
            background.cancel_scope.cancel()
    if failure is not None:
        raise failure
    assert not stage.live, f"still alive: {stage.live}"
