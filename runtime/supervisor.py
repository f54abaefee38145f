"""The supervisor: starts children in order, restarts what crashes, stops in reverse.

One task per child, in one nursery. One coordinating task handles what happens, one event after
another, as OTP's supervisor process does, so that no two restarts ever interleave.
"""

from __future__ import annotations

__all__ = ["ChildState", "ChildStatus", "CrashRecord", "Supervisor"]

import enum
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType

import msgspec
import structlog
import trio

from runtime.errors import RestartBudgetExceeded, SmartpoleError, StartTimeout, Unrecoverable
from runtime.specification import (
    AutoShutdown,
    Child,
    ChildSpec,
    Exhausted,
    Restart,
    Strategy,
    SupervisorSpec,
)

_log = structlog.get_logger("supervisor")
_CRASHES_KEPT = 64


class ChildState(enum.Enum):
    """Where a child is in its life."""

    NOT_STARTED = "not started"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting to restart"
    RESTING = "resting after too many crashes"
    FINISHED = "finished"
    DOWN = "down"
    STOPPED = "stopped"


_ABOUT_TO_START = (ChildState.WAITING, ChildState.RESTING)
_YET_TO_START = (ChildState.NOT_STARTED, *_ABOUT_TO_START)


class CrashRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One crash. Foreign exceptions' messages are left out: they may quote personal data."""

    child: str
    incarnation: int
    unix_time: float
    error: str
    """The exception's type."""
    message: str
    """Its message, where it is one of ours."""
    where: str
    """File, line and function that raised it."""
    phase: str
    """The child's state when it happened."""


class ChildStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor knows of one child."""

    name: str
    state: str
    incarnation: int
    restarts: int
    crashes: int
    last_crash: CrashRecord | None


def describe_crash(
    child: str, incarnation: int, error: BaseException, phase: ChildState
) -> CrashRecord:
    """Say what crashed and where, without repeating what a foreign exception says."""
    error = _gist(error)
    trace = error.__traceback__
    if trace is None and isinstance(error, BaseExceptionGroup):
        trace = error.exceptions[0].__traceback__
    return CrashRecord(
        child=child,
        incarnation=incarnation,
        unix_time=time.time(),
        error=type(error).__name__,
        message=str(error) if isinstance(error, SmartpoleError) else "",
        where=_place(trace) if trace is not None else "",
        phase=phase.value,
    )


def _place(trace: TracebackType) -> str:
    # Read off the frames: traceback.extract_tb would open source files, inside a domain that may
    # open none.
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    # The last parts of the path: enough to find it, and nothing of the machine's folders.
    return f"{'/'.join(code.co_filename.split('/')[-3:])}:{trace.tb_lineno} {code.co_name}"


def _gist(error: BaseException) -> BaseException:
    """What a nursery's group is about: its only exception, or the Unrecoverable among others."""
    while isinstance(error, BaseExceptionGroup):
        hopeless, _ = error.split(Unrecoverable)
        if hopeless is None and len(error.exceptions) > 1:
            break
        error = (hopeless or error).exceptions[0]
    return error


@dataclass(frozen=True, slots=True)
class _Ended:
    """A child's task is over; ``crash`` is None where it returned or was cancelled."""

    slot: _Slot
    incarnation: int
    crash: Exception | None


@dataclass(eq=False, slots=True)
class _Slot:
    """A child's place in the supervisor, through all incarnations."""

    spec: ChildSpec
    order: int
    state: ChildState = ChildState.NOT_STARTED
    incarnation: int = 0
    handled: int = 0
    """The last incarnation whose end has been dealt with."""
    child: Child | None = None
    scope: trio.CancelScope | None = None
    settled: trio.Event = field(default_factory=trio.Event)
    """Set when the incarnation has started, or has ended."""
    ended: trio.Event = field(default_factory=trio.Event)
    restarts: deque[float] = field(default_factory=deque)
    """When it was restarted, within the period."""
    total_restarts: int = 0
    total_crashes: int = 0
    due: float = math.inf
    """When a waiting or resting child is to be started."""
    last_crash: CrashRecord | None = None

    @property
    def is_live(self) -> bool:
        return self.state in (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING)


class Supervisor:
    """Runs the children of one specification. It is itself a ``Child``, so supervisors nest.

    ``serve`` returns when ``finish`` was called, or when the end of significant children shuts it
    down; it raises RestartBudgetExceeded when a child that escalates is exhausted.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        *,
        chance: random.Random | None = None,
        on_crash: Callable[[CrashRecord], None] | None = None,
    ) -> None:
        self.spec = spec
        self._chance = chance or random.Random()
        self._on_crash = on_crash
        self._slots = [_Slot(child, order) for order, child in enumerate(spec.children)]
        self._events: deque[_Ended] = deque()
        self._wake = trio.Event()
        self._finishing = False
        self._failure: RestartBudgetExceeded | None = None
        self._nursery: trio.Nursery | None = None
        self.crashes: deque[CrashRecord] = deque(maxlen=_CRASHES_KEPT)

    # -- what others may call ---------------------------------------------------------------

    def finish(self) -> bool:
        """Stop the children in reverse order, then return from ``serve``."""
        self._finishing = True
        self._wake.set()
        for slot in self._slots:
            if slot.state is ChildState.STARTING:
                slot.settled.set()
        return True

    def statistics(self) -> tuple[ChildStatus, ...]:
        """One entry for each child, in starting order."""
        return tuple(
            ChildStatus(
                name=slot.spec.name,
                state=slot.state.value,
                incarnation=slot.incarnation,
                restarts=slot.total_restarts,
                crashes=slot.total_crashes,
                last_crash=slot.last_crash,
            )
            for slot in self._slots
        )

    async def serve(self, started: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self._start_all(self._slots)
                if not self._finishing:
                    started()
                await self._coordinate()
            finally:
                # Also when this supervisor is cancelled: in order, and before its nursery ends.
                self._finishing = True
                with trio.CancelScope(shield=True):
                    await self._stop_all(reversed(self._slots))
        if self._failure is not None:
            raise self._failure

    # -- the coordinating task --------------------------------------------------------------

    async def _coordinate(self) -> None:
        while not self._finishing:
            if self._events:
                event = self._events.popleft()
                if event.incarnation > event.slot.handled:
                    await self._handle_end(event)
                continue
            due = [slot for slot in self._slots if slot.due <= trio.current_time()]
            if due:
                await self._start_all(due)
                continue
            self._wake = trio.Event()
            with trio.move_on_at(min((slot.due for slot in self._slots), default=math.inf)):
                await self._wake.wait()

    async def _handle_end(self, event: _Ended) -> None:
        slot = event.slot
        slot.handled = event.incarnation
        if event.crash is not None:
            self._record(slot, event.crash)
        crashed = event.crash is not None
        policy = slot.spec.restart
        if policy is Restart.TEMPORARY or (policy is Restart.TRANSIENT and not crashed):
            slot.state = ChildState.DOWN if crashed else ChildState.FINISHED
            self._consider_shutdown(slot)
        elif event.crash is not None and isinstance(_gist(event.crash), Unrecoverable):
            await self._give_up(slot, event.crash, Exhausted.LEAVE_DOWN)
        else:
            await self._schedule_restart(slot, event.crash)

    async def _schedule_restart(self, slot: _Slot, crash: Exception | None) -> None:
        now = trio.current_time()
        slot.restarts.append(now)
        while slot.restarts[0] < now - slot.spec.intensity.period:
            slot.restarts.popleft()
        if len(slot.restarts) > slot.spec.intensity.restarts:
            await self._give_up(slot, crash, slot.spec.when_exhausted)
            return
        delay = slot.spec.backoff.delay(len(slot.restarts), self._chance)
        _log.info("restart scheduled", child=slot.spec.name, seconds=round(delay, 3))
        await self._take_down(slot, ChildState.WAITING, now + delay)

    async def _give_up(self, slot: _Slot, crash: Exception | None, how: Exhausted) -> None:
        slot.restarts.clear()
        if slot.spec.when_exhausted is Exhausted.ESCALATE:
            slot.state = ChildState.DOWN
            _log.error("escalating", child=slot.spec.name, supervisor=self.spec.name)
            self._finishing = True
            self._failure = RestartBudgetExceeded(
                f"child {slot.spec.name!r} of supervisor {self.spec.name!r} crashed more than "
                f"{slot.spec.intensity.restarts} times in {slot.spec.intensity.period:g} s, or "
                "cannot be mended by a restart, and its specification escalates."
            )
            self._failure.__cause__ = crash
        elif how is Exhausted.REST:
            _log.error("resting", child=slot.spec.name, seconds=slot.spec.rest)
            await self._take_down(slot, ChildState.RESTING, trio.current_time() + slot.spec.rest)
        else:
            _log.error("left down", child=slot.spec.name)
            await self._take_down(slot, ChildState.DOWN, math.inf)

    async def _take_down(self, slot: _Slot, state: ChildState, due: float) -> None:
        """Put a crashed child, and those that the strategy ties to it, into the same state."""
        # When everything stops, nobody is taken along: each is ended in its turn.
        match Strategy.ONE_FOR_ONE if self._finishing else self.spec.strategy:
            case Strategy.ONE_FOR_ONE:
                tied: list[_Slot] = []
            case Strategy.ONE_FOR_ALL:
                tied = [other for other in self._slots if other is not slot]
            case Strategy.REST_FOR_ONE:
                tied = self._slots[slot.order + 1 :]
        affected = [slot]
        for other in reversed(tied):
            # What ended for good stays so, and a waiting one is drawn in only to wait as long.
            if other.is_live or other.state in _YET_TO_START:
                await self._end(other, gracefully=False)
                if other.spec.restart is Restart.TEMPORARY:
                    other.state, other.due = ChildState.FINISHED, math.inf
                else:
                    affected.append(other)
        for member in affected:
            member.state, member.due = state, due
        if state is ChildState.DOWN:
            for member in affected:
                self._consider_shutdown(member)

    def _consider_shutdown(self, slot: _Slot) -> None:
        if not slot.spec.significant:
            return
        over = (ChildState.FINISHED, ChildState.DOWN)
        significant = [other for other in self._slots if other.spec.significant]
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or all(
            other.state in over for other in significant
        ):
            self._finishing = True

    # -- starting and stopping children -----------------------------------------------------

    async def _start_all(self, slots: Iterable[_Slot]) -> None:
        for slot in slots:
            if self._finishing:
                return
            # An earlier one's crash may have drawn this one in again, to be started after it.
            if slot.state is not ChildState.NOT_STARTED and slot.due > trio.current_time():
                continue
            if self.spec.strategy is not Strategy.ONE_FOR_ONE and any(
                earlier.state in _ABOUT_TO_START for earlier in self._slots[: slot.order]
            ):
                continue
            await self._start(slot)
            while self._events and not self._finishing:
                event = self._events.popleft()
                if event.incarnation > event.slot.handled:
                    await self._handle_end(event)

    async def _start(self, slot: _Slot) -> None:
        assert self._nursery is not None
        if slot.incarnation:
            slot.total_restarts += 1
        slot.incarnation += 1
        slot.state, slot.due = ChildState.STARTING, math.inf
        slot.settled, slot.ended = trio.Event(), trio.Event()
        # Shielded: a child is ended by its supervisor alone, in its turn, even when the whole
        # pole is cancelled.
        slot.scope = trio.CancelScope(
            deadline=trio.current_time() + slot.spec.start_timeout, shield=True
        )
        self._nursery.start_soon(self._host, slot, name=f"{slot.spec.name}#{slot.incarnation}")
        await slot.settled.wait()

    async def _host(self, slot: _Slot) -> None:
        """One incarnation, from start to end. Failures are caught outside its cancel scope."""
        incarnation, scope = slot.incarnation, slot.scope
        assert scope is not None

        def started() -> None:
            scope.deadline = math.inf
            if slot.state is ChildState.STARTING:
                slot.state = ChildState.RUNNING
            _log.info("started", child=slot.spec.name, incarnation=incarnation)
            slot.settled.set()

        crash: Exception | None = None
        try:
            with scope:
                slot.child = slot.spec.build(incarnation)
                await slot.child.serve(started)
            # The supervisor itself cancels only what it is stopping; else it was the deadline.
            if scope.cancelled_caught and slot.state is not ChildState.STOPPING:
                crash = StartTimeout(
                    f"child {slot.spec.name!r} did not start within {slot.spec.start_timeout:g} s."
                )
        except Exception as error:
            crash = error
        finally:
            slot.child = slot.scope = None
            self._events.append(_Ended(slot, incarnation, crash))
            slot.ended.set()
            slot.settled.set()
            self._wake.set()

    async def _stop_all(self, slots: Iterable[_Slot]) -> None:
        for slot in slots:
            await self._end_with_work_done(slot)
            if slot.state not in (ChildState.FINISHED, ChildState.DOWN, ChildState.NOT_STARTED):
                slot.state = ChildState.STOPPED
            slot.due = math.inf

    async def _end_with_work_done(self, slot: _Slot) -> None:
        """End a child; see ``ChildSpec.has_work`` for one that crashed just before or meanwhile."""
        crashes = slot.total_crashes
        crashed = slot.state is ChildState.WAITING
        await self._end(slot, gracefully=True)
        for _ in range(slot.spec.intensity.restarts):
            crashed = crashed or slot.total_crashes > crashes
            if not crashed or not slot.spec.has_work():
                return
            crashes, crashed = slot.total_crashes, False
            await self._start(slot)
            await self._end(slot, gracefully=True)

    async def _end(self, slot: _Slot, *, gracefully: bool) -> None:
        """End a live child and deal with how it ended. Its queue keeps what it did not do."""
        if slot.is_live:
            before, slot.state = slot.state, ChildState.STOPPING
            if gracefully and before is ChildState.RUNNING and slot.child and slot.child.finish():
                with trio.move_on_after(slot.spec.stop_timeout):
                    await self._work_until_ended(slot)
            if slot.scope is not None:
                slot.scope.cancel()
            await slot.ended.wait()
            for event in [e for e in self._events if e.slot is slot]:
                self._events.remove(event)
                if event.incarnation > slot.handled:
                    slot.handled = event.incarnation
                    if event.crash is not None:
                        self._record(slot, event.crash)

    async def _work_until_ended(self, slot: _Slot) -> None:
        """Wait for the end of a child. Those whose turn to stop has yet to come are restarted as
        ever meanwhile: it may be sending them what it has left."""
        earlier = self._slots[: slot.order]
        while not slot.ended.is_set():
            for event in [e for e in self._events if e.slot is not slot]:
                self._events.remove(event)
                if event.incarnation > event.slot.handled:
                    await self._handle_end(event)
            for other in earlier:
                if other.due <= trio.current_time():
                    await self._start(other)
            self._wake = trio.Event()
            if not self._events and not slot.ended.is_set():
                with trio.move_on_at(min((other.due for other in earlier), default=math.inf)):
                    await self._wake.wait()

    def _record(self, slot: _Slot, crash: Exception) -> None:
        phase = slot.state
        record = describe_crash(slot.spec.name, slot.handled, crash, phase)
        slot.last_crash = record
        slot.total_crashes += 1
        self.crashes.append(record)
        _log.error(
            "crashed",
            child=record.child,
            incarnation=record.incarnation,
            error=record.error,
            message=record.message,
            where=record.where,
            phase=record.phase,
        )
        if self._on_crash is not None:
            self._on_crash(record)
