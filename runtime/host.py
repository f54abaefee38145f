"""A domain's life: its actors, its ends of channels, its walls; in a loop of its own.

``DomainHost`` holds a domain's actors and is the same wherever the domain runs. ``live`` is what
runs in the domain's own thread or process: prepare, put up the walls, wait for the pole's word, run
the actors, stop in order.
"""

from __future__ import annotations

__all__ = ["DomainHost", "DomainOrder", "live"]

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from runtime.actor import READING_MAX
from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan, Isolation
from runtime.border import BorderCodec
from runtime.capability import Commons
from runtime.cell import ActorCell, actor_at_work
from runtime.channel import Link, Queue
from runtime.crossing import ReceivingEnd, SendingEnd
from runtime.domain import Domain
from runtime.errors import SandboxUnavailable, SmartpoleError
from runtime.facts import facts_of, separation_now
from runtime.link import (
    BEAT,
    Attempted,
    Beat,
    Begin,
    Confined,
    ControlLink,
    Crashed,
    Ended,
    Failed,
    Finish,
    Go,
    Logged,
    Started,
    Stop,
    ToDomain,
    Violated,
    sayable,
)
from runtime.log import relay_logs
from runtime.message import Sensitivity
from runtime.sandbox import Permissions, confine_thread, loop_descriptors, shared_maps
from runtime.specification import SupervisorSpec
from runtime.status import ActorStatus
from runtime.supervisor import ChildStatus, CrashRecord, Supervisor
from runtime.threads import (
    guard_standard_streams,
    mark_confined_thread,
    refuse_trio_workers,
)
from runtime.walls import domain_permissions, usual_events
from runtime.watch import unwatch_thread, watch_thread
from runtime.workers import Workers

_LONGEST_PICTURE = 16 * 1024 * 1024
_LONGEST_OTHER = 64 * 1024
_FLUSH_PATIENCE = 2.0
_MOST_KINDS_OF_ATTEMPT = 200


class DomainHost:
    """The actors of one domain, their queues, and the supervisor over them.

    ``facts`` is what capabilities of the kind ``Facts`` may tell.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        domain: Domain,
        *,
        facts: Mapping[str, object],
        on_crash: Callable[[CrashRecord], None] | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.domain = domain
        self.plans = blueprint.plans_of(domain)
        commons = Commons()
        self.cells = {
            plan.name: ActorCell(plan, state=blueprint.pole.state, facts=facts, commons=commons)
            for plan in self.plans
        }
        self._on_crash = on_crash
        for channel in blueprint.channels:
            if channel.sender in self.cells and channel.receiver in self.cells:
                self.connect(channel, Link(self.queue_of(channel)))
        self.renew()

    def queue_of(self, channel: ChannelPlan) -> Queue[Any]:
        """Where a channel to an actor here leads."""
        cell = self.cells[channel.receiver]
        return cell.queues[cell.plan.queue_of(channel)]

    def connect(self, channel: ChannelPlan, link: Link[Any]) -> None:
        """Have an outlet here send into that."""
        self.cells[channel.sender].links[channel.outlet].append(link)

    def prepare(self) -> None:
        """Have every actor's capabilities prepare; see ``Capability.prepare``. Blocks."""
        for cell in self.cells.values():
            cell.prepare()

    def renew(self) -> None:
        """A supervisor that has not served yet. The actors' queues stay."""
        children = tuple(
            plan.supervision.child(
                plan.name, self.cells[plan.name].build, self.cells[plan.name].has_work
            )
            for plan in self.plans
        )
        strategy = self.blueprint.strategy(self.domain)
        self.supervisor = Supervisor(
            SupervisorSpec(self.domain.value, children, strategy), on_crash=self._on_crash
        )

    def statuses(self) -> tuple[ActorStatus, ...]:
        """How each actor is, now."""
        children = {child.name: child for child in self.supervisor.statistics()}
        return tuple(self._status(plan, children[plan.name]) for plan in self.plans)

    def _status(self, plan: ActorPlan, child: ChildStatus) -> ActorStatus:
        cell = self.cells[plan.name]
        return ActorStatus(
            name=plan.name,
            type_name=plan.type_name,
            domain=plan.domain.value,
            headline=plan.settings.headline(),
            state=child.state,
            incarnation=child.incarnation,
            restarts=child.restarts,
            crashes=child.crashes,
            last_crash=child.last_crash,
            inlets=tuple(queue.statistics() for queue in cell.queues.values()),
            readings={name: reading.value for name, reading in cell.readings.items()},
            histograms={name: one.statistics() for name, one in cell.histograms.items()},
            idle=cell.idle(),
        )


@dataclass(frozen=True, slots=True)
class DomainOrder:
    """All that a domain is given to live: which one, and its ends of sockets."""

    blueprint: Blueprint
    domain: Domain
    control: socket.socket
    ends: Mapping[int, socket.socket]
    """By the channel's number in the blueprint: this domain's end."""
    best_effort: bool
    """Whether to go on where the kernel lacks a wall."""
    confined: bool = True
    """False for measuring what walls cost, and for the escape suite's control group."""
    isolation: Isolation = Isolation.THREAD
    """Where it lives."""
    left_open: list[int] = field(default_factory=list)
    """The loop's own descriptors, which a confined thread can't close: who started it does."""


async def live(order: DomainOrder) -> None:
    """Run one life of a domain, in the calling thread's loop, until the pole ends it."""
    await _Life(order).run()


@dataclass(slots=True)
class _Ends:
    sending: dict[int, SendingEnd[Any]] = field(default_factory=dict)
    receiving: dict[int, ReceivingEnd[Any]] = field(default_factory=dict)


class _Life:
    """One life of a domain: the state that its tasks share."""

    def __init__(self, order: DomainOrder) -> None:
        self._order = order
        blueprint = order.blueprint
        self._host = DomainHost(
            blueprint,
            order.domain,
            facts=facts_of(blueprint, separation_now(order.isolation, confined=order.confined)),
            on_crash=self._tell_crash,
        )
        self._link: ControlLink[ToDomain] = ControlLink(order.control, ToDomain)
        self._ends = _Ends()
        for number, channel in enumerate(blueprint.channels):
            if number in order.ends:
                self._open_end(number, channel, order.ends[number])
        self._go = trio.Event()
        self._scope = trio.CancelScope()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._usual: tuple[str, ...] = ()
        self._drained = {number: trio.Event() for number in self._ends.receiving}
        self._flushing = trio.CancelScope(shield=True)

    def _open_end(self, number: int, channel: ChannelPlan, end: socket.socket) -> None:
        blueprint = self._order.blueprint
        receiver = blueprint.actors[channel.receiver]
        port = receiver.inlets[channel.inlet]
        is_picture = channel.message.sensitivity is Sensitivity.PERSONAL_IMAGE
        codec = BorderCodec(
            channel.message,
            places=blueprint.places,
            limit=_LONGEST_PICTURE if is_picture else _LONGEST_OTHER,
        )

        def violated(why: str) -> None:
            self._link.post(Violated(channel=number, why=sayable(why)))

        if channel.sender in self._host.cells:
            sending = SendingEnd(
                str(channel),
                codec,
                end,
                capacity=port.capacity,
                overflow=port.overflow,
                on_violation=violated,
                catch_up=self._link.catch_up,
            )
            self._ends.sending[number] = sending
            self._host.connect(channel, Link(sending, sending))
        else:
            self._ends.receiving[number] = ReceivingEnd(
                str(channel),
                codec,
                end,
                self._host.queue_of(channel),
                capacity=port.capacity,
                per_second=blueprint.pace(channel),
                on_violation=violated,
                catch_up=self._link.catch_up,
            )

    async def run(self) -> None:
        relay_logs(self._log_line)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, nursery.cancel_scope)
                try:
                    self._prepare()
                except SmartpoleError as error:
                    await self._say_last(
                        Failed(error=type(error).__name__, message=sayable(str(error)))
                    )
                    nursery.cancel_scope.cancel()
                await self._go.wait()
                nursery.start_soon(self._beat)
                for sending in self._ends.sending.values():
                    nursery.start_soon(sending.run)
                for number, receiving in self._ends.receiving.items():
                    nursery.start_soon(self._receive, number, receiving)
                await self._work()
                nursery.cancel_scope.cancel()
        finally:
            self._leave_thread()

    # -- before the actors ------------------------------------------------------------------

    def _prepare(self) -> None:
        """What takes files, then the walls. Nothing personal has come in yet."""
        self._host.prepare()
        landlock_abi, seccomp = 0, False
        missing: tuple[str, ...] = ("no walls were asked for",)
        if self._order.confined:
            ends = self._order.ends.values()
            permissions = domain_permissions(
                self._host.domain,
                self._host.plans,
                state=self._host.blueprint.pole.state,
                links=(self._order.control.fileno(), *(e.fileno() for e in ends)),
            )
            self._usual = usual_events(permissions)
            refuse_trio_workers()
            guard_standard_streams()
            self._require_own_memory(permissions)
            loop = loop_descriptors()
            walls = confine_thread(permissions, best_effort=self._order.best_effort)
            if loop is not None and (walls.seccomp or permissions.opens_nothing):
                # Without a filter, and in the process's own table, the loop closes them itself.
                self._order.left_open.extend(loop.all)
            landlock_abi, seccomp, missing = walls.landlock_abi, walls.seccomp, walls.missing
            self._mark_thread()
        self._link.post(
            Confined(
                thread=threading.get_native_id(),
                landlock_abi=landlock_abi,
                seccomp=seccomp,
                missing=missing,
            )
        )

    def _mark_thread(self) -> None:
        """In each thread of this domain: its log goes to the pole, and attempts are named."""
        relay_logs(self._log_line)
        if self._order.confined:
            mark_confined_thread()
            watch_thread(self._note_attempt, allowed=self._usual)

    def _leave_thread(self) -> None:
        unwatch_thread()
        relay_logs(None)

    def _require_own_memory(self, permissions: Permissions) -> None:
        """Refuse memory that is shared with others before the walls stand: writing to it later
        takes no system call. Where domains are threads, others' maps can't be told apart."""
        if (
            self._order.isolation is Isolation.PROCESS
            and permissions.opens_nothing
            and (shared := shared_maps())
        ):
            raise SandboxUnavailable(
                f"domain {self._host.domain.value!r} holds {shared} writable map(s) of memory that "
                "it shares with a file or another process, made while its code was loaded. What "
                "it wrote there would pass its walls, so it may not run."
            )

    # -- the actors -------------------------------------------------------------------------

    async def _work(self) -> None:
        failure: Exception | None = None
        workers = Workers(self._host.domain.value, begin=self._mark_thread, end=self._leave_thread)
        with self._scope:
            async with workers:
                try:
                    await self._host.supervisor.serve(self._tell_started)
                except SmartpoleError as error:
                    failure = error
        with self._flushing:
            async with trio.open_nursery() as nursery:
                for sending in self._ends.sending.values():
                    nursery.start_soon(sending.flushed, _FLUSH_PATIENCE)
        self._tell_attempts()
        if failure is not None:
            self._link.post(Failed(error=type(failure).__name__, message=sayable(str(failure))))
        await self._say_last(Ended(actors=self._host.statuses()))

    async def _receive(self, number: int, end: ReceivingEnd[Any]) -> None:
        await end.run()
        self._drained[number].set()

    async def _finish(self) -> None:
        """Take in what is on the way (nobody sends any more), then stop the actors in order."""
        for end in self._ends.receiving.values():
            end.finish()
        with trio.move_on_after(self._order.blueprint.stop_timeout(self._order.domain)):
            for drained in self._drained.values():
                await drained.wait()
        self._host.supervisor.finish()

    # -- talking with the pole --------------------------------------------------------------

    async def _listen(self, everything: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:

            def heard(order: ToDomain) -> None:
                match order:
                    case Go(markers=markers):
                        for number, marker in markers.items():
                            self._begin(number, marker)
                        self._go.set()
                    case Begin(channel=number, marker=marker):
                        self._begin(number, marker)
                    case Finish():
                        nursery.start_soon(self._finish)
                    case Stop():
                        self._stop(everything)

            await self._link.run(heard)
            self._stop(everything)  # the pole has gone

    def _stop(self, everything: trio.CancelScope) -> None:
        self._scope.cancel()
        # What is sent already, no longer than it takes a receiver that is there.
        self._flushing.deadline = min(
            self._flushing.deadline, trio.current_time() + _FLUSH_PATIENCE
        )
        if not self._go.is_set():
            everything.cancel()

    def _begin(self, number: int, marker: bytes) -> None:
        if number in self._ends.sending:
            self._ends.sending[number].begin(marker)
        elif number in self._ends.receiving:
            self._ends.receiving[number].begin(marker)

    async def _beat(self) -> None:
        while True:
            lost = self._link.lost
            if self._link.post(Beat(actors=self._host.statuses(), lost=lost)):
                self._link.lost = 0
            self._tell_attempts()
            await trio.sleep(BEAT)

    async def _say_last(self, words: Failed | Ended) -> None:
        self._link.post(words)
        with trio.CancelScope(shield=True), trio.move_on_after(_FLUSH_PATIENCE):
            await self._link.flushed()

    def _tell_started(self) -> None:
        self._link.post(Started())
        self._link.post(Beat(actors=self._host.statuses()))

    def _tell_crash(self, record: CrashRecord) -> None:
        self._link.post(
            Crashed(
                child=record.child,
                incarnation=record.incarnation,
                error=sayable(record.error, 200),
                message=sayable(record.message),
                where=sayable(record.where),
                phase=record.phase,
            )
        )

    def _note_attempt(self, event: str) -> None:
        """Called by the audit hook, in any thread of this domain, in the middle of anything."""
        key = actor_at_work.get(), event
        if key in self._attempts or len(self._attempts) < _MOST_KINDS_OF_ATTEMPT:
            self._attempts[key] += 1

    def _tell_attempts(self) -> None:
        attempts, self._attempts = self._attempts, Counter()
        for (actor, event), times in attempts.items():
            self._link.post(Attempted(actor=actor, event=sayable(event, 200), times=times))

    def _log_line(self, level: str, fields: dict[str, Any]) -> None:
        event = sayable(str(fields.pop("event", "")))
        plain = {sayable(str(name), 200): _plain(value) for name, value in fields.items()}
        line = Logged(level=level, logger=self._host.domain.value, event=event, fields=plain)
        if threading.get_ident() == self._thread:
            self._link.post(line)
        else:
            self._token.run_sync_soon(self._link.post, line)


def _plain(value: object) -> str | int | float | bool | None:
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= READING_MAX:
            return int(value)
        case float():
            return float(value)
        case _:
            return sayable(str(value))
