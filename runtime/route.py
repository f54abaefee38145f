"""Routes: how far personal data could come in a blueprint, through any number of actors.

Personal data comes in by a capability (``runtime.domain.BRINGS``) or is in a message that says so.
From there it is followed wherever it could go, on the assumption that every actor is hostile:

- an actor that has it can put it into any message that is not bounded (``why_unbounded``), whatever
  the message calls itself;
- an actor that has it can leave it in every store that it holds, and send it to every network;
- whoever holds a store may find there what any other holder left;
- actors of one domain share their memory.

It is not followed beyond a place that the table of domains forbids: there the route is refused.
``runtime.check`` and ``smartpole route`` both read routes from here.
"""

from __future__ import annotations

__all__ = [
    "Hop",
    "Place",
    "Route",
    "Trace",
    "ends_of",
    "held_by",
    "hops_of",
    "sources_of",
    "trace",
]

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.capability import Capability, CapabilityKind
from runtime.domain import BRINGS, TABLE, Domain, levels_that_may_enter
from runtime.message import Sensitivity, why_unbounded

Place: TypeAlias = str | CapabilityKind
"""An actor, by its name, or what a capability leads to: a store, a network, a receiver."""

_PERSONAL = tuple(level for level in reversed(Sensitivity) if level.is_personal)


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a route. Over a channel, over a capability, or within a domain's memory."""

    source: Place
    target: Place
    by: ChannelPlan | type[Capability] | Domain

    def passes(self, level: Sensitivity) -> bool:
        """Whether what the source has of this level can get to the target."""
        match self.by:
            case ChannelPlan(message=message):
                return message.sensitivity.is_personal or why_unbounded(message) is not None
            case Domain():
                return True
            case _ if isinstance(self.source, CapabilityKind):
                return self.source.kind == "storage" or BRINGS.get(self.source) is level
            case _:
                return True


@dataclass(frozen=True, slots=True)
class Route:
    """One way from where something comes in to where it could come."""

    start: Place
    hops: tuple[Hop, ...] = ()

    @property
    def end(self) -> Place:
        return self.hops[-1].target if self.hops else self.start

    def __str__(self) -> str:
        text = str(self.start)
        for hop in self.hops:
            if isinstance(hop.by, Domain):
                text += f" → (memory of domain {hop.by.value!r})"
            text += f" → {hop.target}"
        return text

    def on(self, hop: Hop) -> Route:
        return Route(self.start, (*self.hops, hop))

    def before(self, hop: Hop) -> Route:
        """The route that begins one step earlier."""
        return Route(hop.source, (hop, *self.hops))


@dataclass(frozen=True, slots=True)
class Trace:
    """Everywhere that personal data could come."""

    reached: Mapping[tuple[Sensitivity, Place], Route]
    """A shortest way to each place where it may be."""
    forbidden: tuple[tuple[Sensitivity, Route], ...]
    """Each way in which a place that the table forbids could be reached first."""

    def levels_at(self, place: Place) -> list[Sensitivity]:
        return [level for level in _PERSONAL if (level, place) in self.reached]


def hops_of(blueprint: Blueprint) -> list[Hop]:
    """Every step that the blueprint makes possible: channels first, shared memory last."""
    hops = [Hop(channel.sender, channel.receiver, channel) for channel in blueprint.channels]
    for plan in blueprint.actors.values():
        for capability in held_by(plan):
            kind = capability.kind
            if kind.kind == "storage" or kind in BRINGS:
                hops.append(Hop(kind, plan.name, capability))
            if kind.kind in ("storage", "network"):
                hops.append(Hop(plan.name, kind, capability))
    for one in blueprint.actors.values():
        for other in blueprint.actors.values():
            if one is not other and one.domain is other.domain:
                hops.append(Hop(one.name, other.name, one.domain))
    return hops


def held_by(plan: ActorPlan) -> list[type[Capability]]:
    """What an actor both needs and is granted."""
    return [need for need in plan.needs.values() if need.__name__ in plan.grants]


def trace(blueprint: Blueprint) -> Trace:
    """Follow personal data of each level as far as it could come."""
    onward: dict[Place, list[Hop]] = defaultdict(list)
    for hop in hops_of(blueprint):
        onward[hop.source].append(hop)
    reached: dict[tuple[Sensitivity, Place], Route] = {}
    forbidden: list[tuple[Sensitivity, Route]] = []
    for level in _PERSONAL:
        for start in _starts(blueprint, level):
            if (level, start) in reached or not _may_be_at(blueprint, start, level):
                continue  # what a forbidden place sends is refused channel by channel
            reached[level, start] = Route(start)
            waiting = deque([start])
            while waiting:
                place = waiting.popleft()
                for hop in onward[place]:
                    if not hop.passes(level) or (level, hop.target) in reached:
                        continue
                    route = reached[level, place].on(hop)
                    if _may_be_at(blueprint, hop.target, level):
                        reached[level, hop.target] = route
                        waiting.append(hop.target)
                    else:
                        forbidden.append((level, route))
    return Trace(reached, tuple(forbidden))


def _starts(blueprint: Blueprint, level: Sensitivity) -> Iterator[Place]:
    """What brings it in; then who sends it without having been given it."""
    for plan in blueprint.actors.values():
        for capability in held_by(plan):
            if BRINGS.get(capability.kind) is level:
                yield capability.kind
    for channel in blueprint.channels:
        if channel.message.sensitivity is level:
            yield channel.sender


def _may_be_at(blueprint: Blueprint, place: Place, level: Sensitivity) -> bool:
    if isinstance(place, CapabilityKind):
        return level in levels_that_may_enter(place)
    return level in TABLE[blueprint.actors[place].domain].handles


# -- for people: where everything comes from and ends, personal or not -----------------------------


def sources_of(blueprint: Blueprint, actor: str) -> list[Route]:
    """A shortest way to this actor from everything that nothing flows to."""
    hops = [hop for hop in hops_of(blueprint) if not isinstance(hop.by, Domain)]
    before: dict[Place, list[Hop]] = defaultdict(list)
    for hop in hops:
        # A store is where something comes from, however it came there.
        if isinstance(hop.source, CapabilityKind) or not isinstance(hop.target, CapabilityKind):
            before[hop.target].append(hop)
    return _follow(actor, lambda place: before[place], lambda hop: hop.source, Route.before)


def ends_of(blueprint: Blueprint, actor: str) -> list[Route]:
    """A shortest way from this actor to everything from which nothing flows on."""
    after: dict[Place, list[Hop]] = defaultdict(list)
    for hop in hops_of(blueprint):
        if not isinstance(hop.by, Domain) and not isinstance(hop.source, CapabilityKind):
            after[hop.source].append(hop)
    return _follow(actor, lambda place: after[place], lambda hop: hop.target, Route.on)


def _follow(
    actor: str,
    steps: Callable[[Place], Iterable[Hop]],
    next_of: Callable[[Hop], Place],
    longer: Callable[[Route, Hop], Route],
) -> list[Route]:
    """Ways to the places that have no further steps."""
    seen: dict[Place, Route] = {actor: Route(actor)}
    waiting: deque[Place] = deque([actor])
    last: list[Route] = []
    while waiting:
        place = waiting.popleft()
        hops = list(steps(place))
        if not hops and place != actor:
            last.append(seen[place])
        for hop in hops:
            if next_of(hop) not in seen:
                seen[next_of(hop)] = longer(seen[place], hop)
                waiting.append(next_of(hop))
    return last
