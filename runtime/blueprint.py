"""The blueprint: which actors a pole runs, how they are wired, and what each is granted.

It is read from a configuration file and is plain data; ``runtime.check`` judges it and
``runtime.pole`` runs it.
"""

from __future__ import annotations

__all__ = [
    "ActorPlan",
    "Bilingual",
    "Blueprint",
    "ChannelPlan",
    "Isolation",
    "PoleIdentity",
    "Sandbox",
    "load_blueprint",
]

import enum
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runtime.actor import Actor, InletDeclaration, OutletDeclaration, Settings
from runtime.capability import Capability
from runtime.config import Document, Duration, convert, read_document
from runtime.domain import Domain
from runtime.errors import DeclarationError, SpecificationError
from runtime.inlets import Sender, queue_name
from runtime.installed import InstalledActorTypes
from runtime.message import PLACE_PATTERN, Message
from runtime.ports import names_of, read_inlets, read_outlets
from runtime.specification import Backoff, ChildSpec, Exhausted, Restart, RestartIntensity, Strategy

T = TypeVar("T")


class _Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of a configuration file."""


class Bilingual(_Closed, frozen=True):
    """A text for the public: Japanese first, English beside it."""

    ja: str
    en: str


class Isolation(enum.Enum):
    """Where domains live."""

    THREAD = "thread"
    """Each in its own thread of one process, with a loop and a kernel sandbox of its own."""
    PROCESS = "process"
    """Each in its own process, likewise."""


class Sandbox(enum.Enum):
    """What to do where the kernel lacks a wall."""

    REQUIRED = "required"
    """The pole refuses to start."""
    BEST_EFFORT = "best-effort"
    """It starts, and says which walls are missing: at start, in ``status`` and in the notice."""


class PoleIdentity(_Closed, frozen=True):
    """Who runs which pole under which guideline (guideline 0, 1, 3)."""

    name: str
    operator: Bilingual
    contact: Bilingual
    guideline: str
    state: Path
    """The folder below which the pole keeps everything."""
    isolation: Isolation = Isolation.THREAD
    sandbox: Sandbox = Sandbox.REQUIRED


class _Supervision(_Closed, frozen=True):
    restart: Restart = Restart.PERMANENT
    restarts: int = 10
    period: Duration = Duration(60)
    first_delay: Duration = Duration(0.1)
    longest_delay: Duration = Duration(5)
    start_timeout: Duration = Duration(30)
    stop_timeout: Duration = Duration(10)
    when_exhausted: Exhausted = Exhausted.REST
    rest: Duration = Duration(60)

    def child(
        self, name: str, build: Any, has_work: Callable[[], bool] = lambda: False
    ) -> ChildSpec:
        return ChildSpec(
            name,
            build,
            restart=self.restart,
            intensity=RestartIntensity(self.restarts, self.period),
            backoff=Backoff(self.first_delay, longest=self.longest_delay),
            start_timeout=self.start_timeout,
            stop_timeout=self.stop_timeout,
            when_exhausted=self.when_exhausted,
            rest=self.rest,
            has_work=has_work,
        )


class _ActorTable(_Closed, frozen=True):
    type: str
    place: str = ""
    grants: tuple[str, ...] = ()
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    inlets: dict[str, Any] = msgspec.field(default_factory=dict)
    outlets: dict[str, Any] = msgspec.field(default_factory=dict)
    supervision: dict[str, Any] = msgspec.field(default_factory=dict)


class _ChannelTable(_Closed, frozen=True):
    sender: str = msgspec.field(name="from")
    receiver: str = msgspec.field(name="to")


class _DomainTable(_Closed, frozen=True):
    strategy: Strategy = Strategy.ONE_FOR_ONE
    stuck_after: Duration = Duration(10)
    """Without a sign of life for so long, a domain is taken for stuck."""


class _File(_Closed, frozen=True):
    pole: dict[str, Any]
    places: dict[str, Any]
    actors: dict[str, Any]
    channels: list[Any] = msgspec.field(default_factory=list)
    domains: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActorPlan:
    """One actor as configured."""

    name: str
    type_name: str
    actor_type: type[Actor]
    place: str
    grants: tuple[str, ...]
    """Names of the capability classes that the configuration grants."""
    settings: Settings
    inlets: Mapping[str, InletDeclaration]
    outlets: Mapping[str, OutletDeclaration]
    supervision: _Supervision
    line: int | None
    senders: Mapping[str, tuple[Sender, ...]] = field(default_factory=dict)
    """Who sends to each inlet that has a queue for each sender."""

    @property
    def queues(self) -> Mapping[str, InletDeclaration]:
        """What each queue is called and does: one for each inlet, or for each sender."""
        return {
            name: declared
            for port, declared in self.inlets.items()
            for name in (
                [queue_name(port, sender.name) for sender in self.senders.get(port, ())]
                if declared.each_sender
                else [port]
            )
        }

    def queue_of(self, channel: ChannelPlan) -> str:
        """The name of the queue to which a channel leads here."""
        port = channel.inlet
        return queue_name(port, channel.sender) if self.inlets[port].each_sender else port

    @property
    def domain(self) -> Domain:
        return self.actor_type.declaration.domain

    @property
    def needs(self) -> Mapping[str, type[Capability]]:
        return {name: need.capability for name, need in self.actor_type.declaration.needs.items()}


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One connection, from an actor's outlet to an actor's inlet."""

    sender: str
    outlet: str
    receiver: str
    inlet: str
    message: type[Message]
    """What the outlet sends."""
    line: int | None

    def __str__(self) -> str:
        return f"{self.sender}.{self.outlet} → {self.receiver}.{self.inlet}"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A whole pole as configured. Not yet judged: see ``runtime.check``."""

    source: str
    pole: PoleIdentity
    places: Mapping[str, Bilingual]
    actors: Mapping[str, ActorPlan]
    channels: tuple[ChannelPlan, ...]
    domains: Mapping[Domain, _DomainTable]
    digest: str
    """SHA-256 of the configuration file, in hexadecimal."""
    types_are_installed: bool = True
    """Whether the actor types are those of installed packages, and not a test's."""

    def strategy(self, domain: Domain) -> Strategy:
        """Which of its actors are restarted when one crashes."""
        return self.domains[domain].strategy if domain in self.domains else Strategy.ONE_FOR_ONE

    def plans_of(self, domain: Domain) -> tuple[ActorPlan, ...]:
        """The actors of a domain, in starting order."""
        return tuple(plan for plan in self.start_order() if plan.domain is domain)

    def start_timeout(self, domain: Domain) -> float:
        """Seconds for all actors of a domain to start, one after another."""
        return sum(plan.supervision.start_timeout for plan in self.plans_of(domain))

    def stop_timeout(self, domain: Domain) -> float:
        """Seconds for all actors of a domain to stop, one after another."""
        return sum(2 * plan.supervision.stop_timeout for plan in self.plans_of(domain))

    def stuck_after(self, domain: Domain) -> float:
        """Seconds without a sign of life after which a domain is taken for stuck."""
        return float(self.domains.get(domain, _DomainTable()).stuck_after)

    def pace(self, channel: ChannelPlan) -> float | None:
        """How many messages a second may cross by this channel; None where there is no bound."""
        return self.actors[channel.sender].outlets[channel.outlet].per_second

    def crosses(self, channel: ChannelPlan) -> bool:
        """Whether a channel leads from one domain to another."""
        return self.actors[channel.sender].domain is not self.actors[channel.receiver].domain

    def find_cycle(self) -> list[str]:
        """Names of actors that feed each other in a circle, or nothing."""
        return _cycle(self._receivers())

    def find_domain_cycle(self) -> list[Domain]:
        """Domains that feed each other in a circle, or nothing."""
        return _cycle(self._receiving_domains())

    def start_order(self) -> tuple[ActorPlan, ...]:
        """Domain by domain, receivers before their senders: nothing is sent to who isn't there,
        and stopping in reverse lets every queue run empty. Raises graphlib.CycleError where there
        is a cycle."""
        domains = list(TopologicalSorter(self._receiving_domains()).static_order())
        actors = TopologicalSorter(self._receivers()).static_order()
        # A stable sort: within a domain, the order of the actors stays.
        return tuple(
            sorted((self.actors[name] for name in actors), key=lambda p: domains.index(p.domain))
        )

    # Lists in both, because a set's order would make the starting order differ from run to run.

    def _receivers(self) -> dict[str, list[str]]:
        graph: dict[str, list[str]] = {name: [] for name in self.actors}
        for channel in self.channels:
            graph[channel.sender].append(channel.receiver)
        return graph

    def _receiving_domains(self) -> dict[Domain, list[Domain]]:
        graph: dict[Domain, list[Domain]] = {plan.domain: [] for plan in self.actors.values()}
        for channel in self.channels:
            if self.crosses(channel):
                sender, receiver = self.actors[channel.sender], self.actors[channel.receiver]
                graph[sender.domain].append(receiver.domain)
        return graph


def _cycle(receivers: Mapping[T, list[T]]) -> list[T]:
    """The first circle found, in the direction of its messages."""
    try:
        TopologicalSorter(receivers).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def load_blueprint(path: Path, actor_types: Mapping[str, type[Actor]] | None = None) -> Blueprint:
    """Read a configuration file into a blueprint.

    Raises ConfigurationError with every mistake found, each with its line and what is accepted.
    ``actor_types`` replaces the installed ones, for tests and embedders.
    """
    document = read_document(path)
    types = InstalledActorTypes() if actor_types is None else actor_types
    file = convert(document, document.data, (), _File)
    document.raise_problems()
    assert file is not None
    identity = convert(document, file.pole, ("pole",), PoleIdentity)
    places = {
        name: text
        for name, value in file.places.items()
        if (text := _read_place(document, name, value)) is not None
    }
    actors = {
        name: actor
        for name, value in file.actors.items()
        if (actor := _read_actor(document, name, value, types, set(file.places))) is not None
    }
    channels = [
        channel
        for index, value in enumerate(file.channels)
        if (channel := _read_channel(document, index, value, actors, set(file.actors))) is not None
    ]
    domains = _read_domains(document, file.domains)
    document.raise_problems()
    assert identity is not None
    return Blueprint(
        source=str(path),
        pole=identity,
        places=places,
        actors=_with_senders(actors, channels),
        channels=tuple(channels),
        domains=domains,
        digest=document.digest,
        types_are_installed=actor_types is None,
    )


def _read_place(document: Document, name: str, value: object) -> Bilingual | None:
    if not re.match(PLACE_PATTERN, name):
        document.problem(
            ("places", name),
            f"{name!r} is no place's name",
            "at most 40 lower-case letters, digits and -, not beginning with -",
        )
    return convert(document, value, ("places", name), Bilingual)


def _read_actor(
    document: Document,
    name: str,
    value: object,
    types: Mapping[str, type[Actor]],
    places: Set[str],
) -> ActorPlan | None:
    at = ("actors", name)
    if not name.isascii() or not name.replace("-", "a").replace("_", "a").isalnum():
        document.problem(at, f"{name!r} is no actor's name", "ASCII letters, digits, - and _")
        return None
    table = convert(document, value, at, _ActorTable)
    if table is None:
        return None
    if table.type not in types:
        document.problem(
            (*at, "type"),
            f"no installed package offers an actor type {table.type!r}",
            "one of " + ", ".join(sorted(types)),
        )
        return None
    try:
        actor_type = types[table.type]
    except (ImportError, AttributeError, DeclarationError) as error:
        document.problem((*at, "type"), f"the actor type {table.type!r} can't be loaded: {error}")
        return None
    if table.place and table.place not in places:
        document.problem(
            (*at, "place"),
            f"the place {table.place!r} is not declared",
            f"one of {', '.join(sorted(places)) or 'the tables [places.NAME]'}",
        )
    declaration = actor_type.declaration
    settings = convert(document, table.settings, (*at, "settings"), declaration.settings)
    supervision = convert(document, table.supervision, (*at, "supervision"), _Supervision)
    if supervision is not None:
        try:
            supervision.child(name, None)
        except SpecificationError as error:
            document.problem((*at, "supervision"), str(error))
    inlets = read_inlets(document, at, table.type, table.inlets, declaration.inlets)
    outlets = read_outlets(document, at, table.type, table.outlets, declaration.outlets)
    if settings is None or supervision is None:
        return None
    return ActorPlan(
        name=name,
        type_name=table.type,
        actor_type=actor_type,
        place=table.place,
        grants=table.grants,
        settings=settings,
        inlets=inlets,
        outlets=outlets,
        supervision=supervision,
        line=document.line_of(*at),
    )


def _read_channel(
    document: Document,
    index: int,
    value: object,
    actors: Mapping[str, ActorPlan],
    configured: set[str],
) -> ChannelPlan | None:
    at = ("channels", index)
    table = convert(document, value, at, _ChannelTable)
    if table is None:
        return None
    sender, _, outlet = table.sender.partition(".")
    receiver, _, inlet = table.receiver.partition(".")
    known = True
    for key, actor, port, kind in (
        ("from", sender, outlet, "outlet"),
        ("to", receiver, inlet, "inlet"),
    ):
        if actor not in configured:
            document.problem(
                (*at, key), f"there is no actor {actor!r}", names_of("actor", configured)
            )
            known = False
        elif actor not in actors:
            known = False  # its own mistakes are reported already
        else:
            declaration = actors[actor].actor_type.declaration
            ports = declaration.outlets if kind == "outlet" else declaration.inlets
            if port not in ports:
                document.problem(
                    (*at, key),
                    f"actor {actor!r} has no {kind} {port!r}",
                    names_of(kind, {f"{actor}.{one}" for one in ports}),
                )
                known = False
    if not known:
        return None
    message = actors[sender].actor_type.declaration.outlets[outlet].message
    line = document.line_of(*at)
    return ChannelPlan(sender, outlet, receiver, inlet, message, line)


def _with_senders(
    actors: Mapping[str, ActorPlan], channels: list[ChannelPlan]
) -> dict[str, ActorPlan]:
    """The actors, each with who sends to those of its inlets that tell senders apart."""
    senders: dict[str, dict[str, tuple[Sender, ...]]] = {name: {} for name in actors}
    for channel in channels:
        ports, port = senders[channel.receiver], channel.inlet
        sender = Sender(channel.sender, actors[channel.sender].place)
        if actors[channel.receiver].inlets[port].each_sender and sender not in ports.get(port, ()):
            ports[port] = (*ports.get(port, ()), sender)
    return {name: replace(plan, senders=senders[name]) for name, plan in actors.items()}


def _read_domains(document: Document, tables: Mapping[str, Any]) -> dict[Domain, _DomainTable]:
    domains: dict[Domain, _DomainTable] = {}
    for name, value in tables.items():
        if name not in {domain.value for domain in Domain}:
            document.problem(
                ("domains", name),
                f"there is no domain {name!r}",
                "one of " + ", ".join(domain.value for domain in Domain),
            )
        elif (table := convert(document, value, ("domains", name), _DomainTable)) is not None:
            domains[Domain(name)] = table
            if not 2 <= table.stuck_after <= 600:
                document.problem(("domains", name, "stuck_after"), "it must be from 2s to 10min")
    return domains
