"""The keeper: the pole's side of one domain, from its start to its end, life after life.

It starts the domain, looks at the kernel's account of whether its walls stand, lets it begin,
listens to what it reports and believes none of it, and ends it when it is stuck or breaks the
border's rules.
"""

from __future__ import annotations

__all__ = ["LINES_AT_ONCE", "LINES_PER_SECOND", "DomainKeeper", "DomainReport", "KeeperOrders"]

import itertools
import math
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from runtime.blueprint import Blueprint
from runtime.crossing import new_marker
from runtime.domain import TABLE, Domain
from runtime.errors import (
    BorderViolated,
    DomainDied,
    DomainStuck,
    RestartBudgetExceeded,
    SandboxUnavailable,
    SmartpoleError,
)
from runtime.host import DomainOrder
from runtime.ledger.entry import PoleEntry
from runtime.ledger.kinds import DomainConfined, note_crash
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
    FromDomain,
    Go,
    Logged,
    Started,
    Stop,
    Violated,
)
from runtime.message import Sensitivity
from runtime.pace import Pace
from runtime.residence import Residence
from runtime.status import ActorStatus, DomainStatus
from runtime.supervisor import ChildState, CrashRecord
from runtime.testimony import believe, nothing_yet
from runtime.words import MOST_FIELDS, Vocabulary

_log = structlog.get_logger("pole")

_GRACE = 3.0
"""Seconds from the order to stop to being ended."""
_CRASHES_KEPT = 64
_MOST_ESCALATIONS, _ESCALATION_PERIOD = 3, 600.0
LINES_AT_ONCE = 20
LINES_PER_SECOND = 0.5
"""Of the log and of crashes, from a domain that handles personal data."""
_LONGEST_NUMBER = 10**6


@dataclass(slots=True)
class DomainReport:
    """What is known of a domain, through all its lives."""

    actors: tuple[ActorStatus, ...]
    process: int = 0
    thread: int | None = None
    landlock_abi: int = 0
    seccomp: bool = False
    missing: tuple[str, ...] = ()
    attempts: int = 0
    reports_dropped: int = 0
    crashes: deque[CrashRecord] = field(default_factory=lambda: deque(maxlen=_CRASHES_KEPT))


@dataclass(frozen=True, slots=True)
class KeeperOrders:
    """What all keepers of a pole share."""

    blueprint: Blueprint
    begin: Callable[[DomainOrder], Awaitable[Residence]]
    best_effort: bool
    confined: bool
    vocabulary: Vocabulary
    report_violation: Callable[[Domain, int, str], None]
    """That a domain complains of its peer at a channel."""
    domain_began: Callable[[Domain, dict[int, bytes]], set[int]]
    """That a domain would begin its channels with these markers: which of them have someone at the
    other end, who has been told."""
    pole_must_end: Callable[[SmartpoleError], None]
    note: Callable[[PoleEntry], None] = lambda _: None
    """Have the pole write something into its ledger."""


class DomainKeeper:
    """Supervises one domain (``runtime.specification.Child``; it serves for one life at a time).

    ``ends`` are the domain's ends of its channels, by the channel's number; they stay open for the
    pole's whole life.
    """

    def __init__(
        self, domain: Domain, orders: KeeperOrders, ends: dict[int, socket.socket]
    ) -> None:
        self.domain = domain
        self._orders = orders
        self._ends = ends
        blanks = tuple(map(nothing_yet, orders.blueprint.plans_of(domain)))
        self._blanks = {blank.name: blank for blank in blanks}
        """Each actor as it is before anything has been heard of it."""
        self.report = DomainReport(actors=blanks)
        self._stuck_after = orders.blueprint.stuck_after(domain)
        # Where a domain may not even tell facts of the machine, its log lines and crashes are no
        # way out either: they are held against the program's own words.
        self._is_guarded = Sensitivity.OPERATIONAL not in TABLE[domain].emits
        self._lines = Pace(LINES_AT_ONCE, LINES_AT_ONCE / LINES_PER_SECOND)
        self._attempts = self._dropped = 0
        self._escalations: deque[float] = deque()
        self._link: ControlLink[FromDomain] | None = None
        self._is_running = False
        self._has_started = False
        self._failure: SmartpoleError | None = None
        self._condemned = trio.CancelScope()
        self._heard_at = math.inf
        # No faster than it should: readings are a way out as well, and bounded so.
        self._beats = Pace(2, 2 * BEAT)

    # -- one life ---------------------------------------------------------------------------

    async def serve(self, started: Callable[[], None]) -> None:
        ours, theirs = socket.socketpair()
        self._failure, self._heard_at = None, math.inf
        self._is_running = self._has_started = False
        with ours, theirs:
            for end in (ours, theirs):
                end.setblocking(False)
            order = DomainOrder(
                blueprint=self._orders.blueprint,
                domain=self.domain,
                control=theirs,
                ends=self._ends,
                best_effort=self._orders.best_effort,
                confined=self._orders.confined,
            )
            residence = await self._orders.begin(order)
            self.report.process, self.report.thread = residence.process, residence.thread
            if residence.thread is None:
                theirs.close()  # or the end of the process would not end the link
            self._link = ControlLink(ours, FromDomain)
            try:
                await self._live(residence, started)
            finally:
                self._is_running = False
                self._link = None
        if self._failure is not None:
            raise self._failure

    def finish(self) -> bool:
        if self._link is None or not self._is_running:
            return False
        self._link.post(Finish())
        return True

    async def _live(self, residence: Residence, started: Callable[[], None]) -> None:
        link = self._link
        assert link is not None
        self._condemned = trio.CancelScope()
        # Also while it is made to end: that it has hung up is how a thread says that it is over.
        listening = trio.CancelScope(shield=True)

        async def listen() -> None:
            with listening:
                await self._listen(link, residence, started)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(self._watch)
            try:
                with self._condemned:
                    await self._until_ended(residence)
            finally:
                with trio.CancelScope(shield=True):
                    await self._make_an_end(link, residence)
                listening.cancel()
            nursery.cancel_scope.cancel()

    async def _until_ended(self, residence: Residence) -> None:
        try:
            await residence.ended()
        except DomainDied as death:
            if self._failure is None:
                self._failure = death

    async def _make_an_end(self, link: ControlLink[FromDomain], residence: Residence) -> None:
        """Whatever happened, it is over when this returns, or the pole is told to end."""
        link.post(Stop())
        with trio.move_on_after(0 if self._failure is not None and residence.kill() else _GRACE):
            await self._until_ended(residence)
            return
        residence.kill()
        with trio.move_on_after(_GRACE) as patience:
            await self._until_ended(residence)
        if patience.cancelled_caught:
            self._orders.pole_must_end(
                DomainStuck(
                    f"domain {self.domain.value!r} would not end. It shares this process, so the "
                    "whole pole ends, for the service manager to start it again. With isolation = "
                    '"process" only the domain would.'
                )
            )

    def condemn(self, why: SmartpoleError) -> None:
        """End this life of the domain, as a crash."""
        if self._failure is None:
            self._failure = why
        self._condemned.cancel()

    async def _watch(self) -> None:
        """End a domain whose loop has stopped turning."""
        while True:
            await trio.sleep(BEAT)
            silent = trio.current_time() - self._heard_at
            if silent > self._stuck_after:
                stuck = DomainStuck(
                    f"domain {self.domain.value!r} gave no sign of life for {silent:.1f} s, and "
                    f"{self._stuck_after:g} s are its limit."
                )
                self.condemn(stuck)
                return

    # -- what it reports --------------------------------------------------------------------

    async def _listen(
        self, link: ControlLink[FromDomain], residence: Residence, started: Callable[[], None]
    ) -> None:
        def heard(said: FromDomain) -> None:
            self._hear(said, residence, started)

        try:
            await link.run(heard)
        except SmartpoleError as error:
            self.condemn(BorderViolated(f"domain {self.domain.value!r} was ended: {error}"))
            await link.ignore()
        residence.hung_up()
        await trio.sleep(_GRACE)
        self.condemn(
            DomainDied(f"domain {self.domain.value!r} hung up on the pole and did not end.")
        )

    def _hear(self, said: FromDomain, residence: Residence, started: Callable[[], None]) -> None:
        if self._heard_at is not math.inf:
            self._heard_at = trio.current_time()
        match said:
            # Once: afterwards its account of its walls could hold anything.
            case Confined() if not self._is_running:
                self._admit(said, residence)
            case Started() if not self._has_started:
                self._has_started = True
                started()
            case Beat(actors=actors, lost=lost):
                if self._beats.may(trio.current_time()):
                    self._believe(actors)
                    self._dropped += max(0, min(lost, _LONGEST_NUMBER))
                    # Numbers like any other, and no faster to be seen than they.
                    self.report.attempts = self._attempts
                    self.report.reports_dropped = self._dropped
            case Ended(actors=actors):
                self._believe(actors)
            case Crashed():
                self._note_crash(said)
            case Logged():
                self._log(said)
            case Attempted(actor=actor, event=event, times=times):
                self._attempts += max(0, min(times, _LONGEST_NUMBER))
                if self._may_write():
                    _log.warning(
                        "attempt seen",
                        domain=self.domain.value,
                        actor=actor if actor in self._blanks else "",
                        event_name=self._orders.vocabulary.keep(event),
                        times=min(times, _LONGEST_NUMBER),
                    )
            case Violated(channel=number, why=why):
                if number in self._ends:
                    self._orders.report_violation(self.domain, number, self._keep(why))
            case Failed(error=kind, message=message):
                text = self._keep(message)
                if kind == RestartBudgetExceeded.__name__:
                    self._failure = RestartBudgetExceeded(text)
                    self._note_escalation(text)
                elif kind == SandboxUnavailable.__name__ and not self._is_running:
                    self._orders.pole_must_end(SandboxUnavailable(text))
                elif self._failure is None:
                    self._failure = DomainDied(text)

    def _note_escalation(self, why: str) -> None:
        """One of its actors is configured to escalate, and did. The domain is started anew a few
        times; then the pole ends, for the service manager to start it again."""
        now = trio.current_time()
        self._escalations.append(now)
        while self._escalations[0] < now - _ESCALATION_PERIOD:
            self._escalations.popleft()
        if len(self._escalations) > _MOST_ESCALATIONS:
            self._orders.pole_must_end(
                RestartBudgetExceeded(
                    f"domain-{self.domain.value} was given up more than {_MOST_ESCALATIONS} times "
                    f"in {_ESCALATION_PERIOD:g} s. The last time: {why}"
                )
            )

    def _admit(self, said: Confined, residence: Residence) -> None:
        """Let it begin, once the kernel itself says that it is confined."""
        self.report.landlock_abi, self.report.seccomp = said.landlock_abi, said.seccomp
        self.report.missing = said.missing
        # Only where walls may be missing is a domain believed that it has none.
        must_stand = self._orders.confined and (said.seccomp or not self._orders.best_effort)
        try:
            free = residence.unconfined_threads() if must_stand else ()
        except SandboxUnavailable as error:
            if not self._orders.best_effort:
                self._orders.pole_must_end(error)
                return
            free, self.report.missing = (), (*said.missing, str(error))
        if free:
            self.condemn(
                DomainDied(
                    f"domain {self.domain.value!r} says that it is ready, and the kernel knows "
                    f"{len(free)} thread(s) of it that are not confined."
                )
            )
            return
        markers = {number: new_marker() for number in self._ends}
        assert self._link is not None
        self._is_running, self._heard_at = True, trio.current_time()
        self._orders.note(
            DomainConfined(
                domain=self.domain,
                landlock_abi=max(0, min(said.landlock_abi, 1000)),
                seccomp=said.seccomp,
                missing=min(len(self.report.missing), 1000),
            )
        )
        met = self._orders.domain_began(self.domain, markers)
        self._link.post(Go(markers={number: markers[number] for number in met}))

    def meet(self, markers: dict[int, bytes]) -> set[int]:
        """The domain at the other end of channels has begun (again): which of them end here."""
        if not self._is_running or self._link is None:
            return set()
        shared = markers.keys() & self._ends.keys()
        for number in shared:
            self._link.post(Begin(channel=number, marker=markers[number]))
        return shared

    def _believe(self, actors: tuple[ActorStatus, ...]) -> None:
        given = {actor.name: actor for actor in actors}
        crashes = {record.child: record for record in self.report.crashes}
        self.report.actors = tuple(
            believe(blank, given[name], crashes.get(name)) if name in given else old
            for (name, blank), old in zip(self._blanks.items(), self.report.actors, strict=True)
        )

    def _note_crash(self, said: Crashed) -> None:
        if not self._may_write():
            return
        phases = {state.value for state in ChildState}
        error, message, where = self._keep_all([said.error, said.message, said.where])
        record = CrashRecord(
            child=said.child if said.child in self._blanks else self.domain.value,
            incarnation=max(0, min(said.incarnation, _LONGEST_NUMBER)),
            unix_time=time.time(),
            error=error,
            message=message,
            where=where,
            phase=said.phase if said.phase in phases else "",
        )
        self.report.crashes.append(record)
        note_crash(self._orders.note, self.domain, record)

    def _log(self, said: Logged) -> None:
        if not self._may_write():
            return
        given = list(said.fields.items())[: MOST_FIELDS if self._is_filtered else None]
        texts = [(name, value if isinstance(value, str) else "") for name, value in given]
        event, *kept = self._keep_all([said.event, *itertools.chain.from_iterable(texts)])
        fields: dict[str, object] = {"domain": self.domain.value}
        for (_, value), name, text in zip(given, kept[::2], kept[1::2], strict=True):
            fields[name.replace("event", "what")] = (
                text if isinstance(value, str) else self._plain(value)
            )
        write = getattr(_log, said.level if said.level in _LEVELS else "info")
        write(event, **fields)

    def _plain(self, value: object) -> object:
        if self._is_filtered and isinstance(value, float):
            return round(min(max(value, -1e6), 1e6), 1)
        if self._is_filtered and isinstance(value, int):
            return min(max(value, -_LONGEST_NUMBER), _LONGEST_NUMBER)
        return value

    def _keep(self, text: str) -> str:
        return self._keep_all([text])[0]

    def _keep_all(self, texts: list[str]) -> list[str]:
        return self._orders.vocabulary.keep_all(texts) if self._is_filtered else texts

    @property
    def _is_filtered(self) -> bool:
        """Before it runs, a domain has received nothing personal: its words may be any."""
        return self._is_guarded and self._is_running

    def _may_write(self) -> bool:
        """A bounded number of lines, whatever the domain says."""
        if not self._is_guarded:
            return True
        if self._lines.may(trio.current_time()):
            return True
        self._dropped += 1
        return False

    def status(self, state: str, incarnation: int, restarts: int) -> DomainStatus:
        """What is known of the domain, for people."""
        report = self.report
        return DomainStatus(
            name=self.domain.value,
            state=state,
            incarnation=incarnation,
            restarts=restarts,
            process=report.process,
            thread=report.thread,
            landlock_abi=report.landlock_abi,
            seccomp=report.seccomp,
            missing=report.missing,
            attempts=report.attempts,
            reports_dropped=report.reports_dropped,
        )


_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
