"""How a pole houses its domains: each by itself, or all in one loop."""

from __future__ import annotations

__all__ = ["Apart", "House", "Housing", "OneLoop", "domain_child"]

import enum
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

import trio

from runtime.blueprint import Blueprint, Isolation, Sandbox
from runtime.border import BorderCodec
from runtime.channel import Link
from runtime.domain import Domain
from runtime.errors import BorderViolated, SmartpoleError
from runtime.facts import facts_of, separation_now
from runtime.host import DomainHost, DomainOrder
from runtime.keeper import DomainKeeper, KeeperOrders
from runtime.ledger.entry import PoleEntry
from runtime.ledger.kinds import note_crash
from runtime.residence import Residence, ThreadResidence, Zygote, running_zygote
from runtime.specification import Backoff, ChildSpec, Exhausted, RestartIntensity
from runtime.status import ActorStatus, DomainStatus
from runtime.supervisor import ChildStatus, CrashRecord, Supervisor
from runtime.words import pole_vocabulary
from runtime.workers import Workers

_SOCKET_BUFFER = 1024 * 1024
"""Bytes wished for in each direction of a border; the kernel gives what it allows."""


class Housing(enum.Enum):
    """How apart the domains of a running pole are."""

    APART = "apart"
    """Each by itself under a kernel sandbox: what every pole has."""
    UNCONFINED = "apart, unconfined"
    """Each by itself without a sandbox, to measure what sandboxes cost."""
    ONE_LOOP = "one loop"
    """All in one loop: for tests in virtual time, and as what the rest is compared with."""


class House(Protocol):
    """What a pole needs of it."""

    def child_spec(self, domain: Domain) -> ChildSpec: ...
    def open(self) -> AbstractAsyncContextManager[None]: ...
    def describe(self) -> str: ...
    def actors(self) -> Iterator[ActorStatus]: ...
    def domains(self, root: dict[str, ChildStatus]) -> Iterator[DomainStatus]: ...
    def crashes(self) -> Iterator[CrashRecord]: ...


def domain_child(domain: Domain) -> str:
    """The name of a domain as a child of the pole's supervisor."""
    return f"domain-{domain.value}"


class OneLoop:
    """All domains in the pole's own loop. Borders are codecs only."""

    def __init__(
        self,
        blueprint: Blueprint,
        domains: tuple[Domain, ...],
        note: Callable[[PoleEntry], None] = lambda _: None,
    ) -> None:
        facts = facts_of(blueprint, separation_now(None, confined=False))
        self._hosts = {
            domain: DomainHost(
                blueprint, domain, facts=facts, on_crash=partial(note_crash, note, domain)
            )
            for domain in domains
        }
        for channel in blueprint.channels:
            if not blueprint.crosses(channel):
                continue
            sender = self._hosts.get(blueprint.actors[channel.sender].domain)
            receiver = self._hosts.get(blueprint.actors[channel.receiver].domain)
            if sender is not None and receiver is not None:
                queue = receiver.queue_of(channel)
                codec = BorderCodec(channel.message, places=blueprint.places)
                sender.connect(channel, Link(queue, codec))

    def child_spec(self, domain: Domain) -> ChildSpec:
        host = self._hosts[domain]

        def build(incarnation: int) -> Supervisor:
            if incarnation > 1:
                host.renew()
            host.prepare()
            return host.supervisor

        return ChildSpec(
            domain_child(domain),
            build,
            # A domain fails only when one of its actors escalates. It is started anew a few
            # times; then the pole ends, for the service manager to start it again.
            intensity=RestartIntensity(3, 600),
            backoff=Backoff(first=1),
            # A supervisor of actors takes as long as they take, one after another.
            start_timeout=host.blueprint.start_timeout(domain) + 1,
            stop_timeout=host.blueprint.stop_timeout(domain) + 1,
            when_exhausted=Exhausted.ESCALATE,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with Workers("pole"):
            yield

    def describe(self) -> str:
        return (
            "one process, one loop, no kernel sandbox: for tests and measurement only. What "
            "crosses between domains is encoded, checked against its declared type and decoded "
            "again"
        )

    def actors(self) -> Iterator[ActorStatus]:
        for host in self._hosts.values():
            yield from host.statuses()

    def domains(self, root: dict[str, ChildStatus]) -> Iterator[DomainStatus]:
        return iter(())

    def crashes(self) -> Iterator[CrashRecord]:
        for host in self._hosts.values():
            yield from host.supervisor.crashes


class Apart:
    """Each domain by itself: in its own thread, or in its own process.

    The socket pairs of the channels that cross are made once and live as long as the pole; see
    ``runtime.crossing``.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        domains: tuple[Domain, ...],
        *,
        isolation: Isolation,
        confined: bool,
        log_level: str,
        pole_must_end: Callable[[SmartpoleError], None],
        note: Callable[[PoleEntry], None] = lambda _: None,
    ) -> None:
        self._blueprint = blueprint
        self._note = note
        self._domains = domains
        self._isolation = isolation
        self._confined = confined
        self._log_level = log_level
        self._pole_must_end = pole_must_end
        self._best_effort = blueprint.pole.sandbox is Sandbox.BEST_EFFORT
        self._zygote: Zygote | None = None
        self._keepers: dict[Domain, DomainKeeper] = {}
        self._ends: dict[Domain, dict[int, socket.socket]] = {domain: {} for domain in domains}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        orders = KeeperOrders(
            blueprint=self._blueprint,
            begin=self._begin,
            best_effort=self._best_effort,
            confined=self._confined,
            vocabulary=pole_vocabulary(self._blueprint),
            report_violation=self._punish,
            domain_began=self._introduce,
            pole_must_end=self._pole_must_end,
            note=self._note,
        )
        self._make_ends()
        self._keepers.update(
            (domain, DomainKeeper(domain, orders, self._ends[domain])) for domain in self._domains
        )
        try:
            if self._isolation is Isolation.PROCESS:
                async with running_zygote(
                    self._blueprint,
                    log_level=self._log_level,
                    best_effort=self._best_effort,
                    confined=self._confined,
                    died=self._pole_must_end,
                ) as self._zygote:
                    yield
            else:
                yield
        finally:
            for ends in self._ends.values():
                for end in ends.values():
                    end.close()

    def child_spec(self, domain: Domain) -> ChildSpec:
        return ChildSpec(
            domain_child(domain),
            lambda _: self._keepers[domain],
            # What a domain does wrong is no reason to end the others: one that dies again and
            # again rests for a while.
            intensity=RestartIntensity(5, 600),
            backoff=Backoff(first=0.01, factor=4, longest=2),
            start_timeout=self._blueprint.start_timeout(domain) + 10,
            stop_timeout=self._blueprint.stop_timeout(domain) + 5,
            when_exhausted=Exhausted.REST,
            rest=60,
        )

    def describe(self) -> str:
        where = (
            "each domain in its own process"
            if self._isolation is Isolation.PROCESS
            else "one process, each domain in its own thread and loop"
        )
        if not self._confined:
            return f"{where}, no kernel sandbox: for measurement only"
        missing = {wall for keeper in self._keepers.values() for wall in keeper.report.missing}
        if missing:
            return f"{where}; MISSING WALLS: {'; '.join(sorted(missing))}"
        return (
            f"{where}, under a kernel sandbox (Landlock, seccomp) made from its row of the table; "
            "what crosses between domains is bytes that are checked against their declared type"
        )

    def actors(self) -> Iterator[ActorStatus]:
        for keeper in self._keepers.values():
            yield from keeper.report.actors

    def domains(self, root: dict[str, ChildStatus]) -> Iterator[DomainStatus]:
        for domain, keeper in self._keepers.items():
            child = root[domain_child(domain)]
            yield keeper.status(child.state, child.incarnation, child.restarts)

    def crashes(self) -> Iterator[CrashRecord]:
        for keeper in self._keepers.values():
            yield from keeper.report.crashes

    def end_domain(self, domain: Domain, why: SmartpoleError) -> None:
        """End this life of a domain, as a crash."""
        self._keepers[domain].condemn(why)

    # -- for the keepers --------------------------------------------------------------------

    async def _begin(self, order: DomainOrder) -> Residence:
        if self._zygote is not None:
            return await self._zygote.fork(order)
        await trio.lowlevel.checkpoint()
        return ThreadResidence(order)

    def _introduce(self, domain: Domain, markers: dict[int, bytes]) -> set[int]:
        met: set[int] = set()
        for other, keeper in self._keepers.items():
            if other is not domain:
                met |= keeper.meet(markers)
        return met

    def _punish(self, complainer: Domain, number: int, why: str) -> None:
        """End the domain at the other end of a channel, where one domain complains of it."""
        channel = self._blueprint.channels[number]
        for domain, ends in self._ends.items():
            if domain is not complainer and number in ends:
                self._keepers[domain].condemn(
                    BorderViolated(
                        f"domain {domain.value!r} was ended, because it broke the rules of the "
                        f"channel {channel}: {why}"
                    )
                )

    def _make_ends(self) -> None:
        for number, channel in enumerate(self._blueprint.channels):
            if not self._blueprint.crosses(channel):
                continue
            sender, receiver = (
                self._blueprint.actors[name].domain for name in (channel.sender, channel.receiver)
            )
            if sender not in self._ends or receiver not in self._ends:
                continue
            pair = socket.socketpair()
            for domain, end in zip((sender, receiver), pair, strict=True):
                end.setblocking(False)
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
                self._ends[domain][number] = end
