"""Judging a blueprint before anything of it runs."""

from __future__ import annotations

__all__ = ["Finding", "check", "check_capability", "check_channel", "check_routes"]

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.capability import Capability, CapabilityKind, Storage
from runtime.channel import BLOCK
from runtime.domain import TABLE, Domain
from runtime.message import Message, Sensitivity, why_unbounded
from runtime.route import Hop, Trace, held_by, trace

_GUIDELINES = ("1.0",)
_SOCKET_PATH_LIMIT = 90
"""A Unix socket's path may have 107 bytes; the control socket adds a short name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a blueprint may not run."""

    who: str
    what: str
    rule: str
    clause: str
    """Of the guideline, or "" for a rule of the program itself."""
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line is not None else ""
        source = f"{self.rule}; guideline {self.clause}" if self.clause else self.rule
        return f"{self.who}{where}: {self.what}\n    rule: {source}\n    remedy: {self.remedy}"


def check(blueprint: Blueprint) -> list[Finding]:
    """Everything that forbids this blueprint to run; empty where it may."""
    found = trace(blueprint)
    plans = blueprint.actors.values()
    return [
        *_check_identity(blueprint),
        *_check_connections(blueprint),
        *_check_cycle(blueprint),
        *(f for channel in blueprint.channels for f in check_channel(blueprint, channel, found)),
        *check_routes(blueprint, found),
        *(
            f
            for plan in plans
            for need in dict.fromkeys(plan.needs.values())
            for f in check_capability(blueprint, plan, need, found)
        ),
        *(f for plan in plans for f in _check_grants(plan)),
        *(f for plan in plans for f in _check_place(plan)),
        *(f for plan in plans for f in _check_settings(blueprint, plan)),
    ]


def _check_identity(blueprint: Blueprint) -> Iterator[Finding]:
    pole = blueprint.pole
    if pole.guideline not in _GUIDELINES:
        yield Finding(
            "pole",
            f"it follows guideline version {pole.guideline!r}, which this software does not know",
            "the guideline's version is named and known",
            "1, 3",
            f'set guideline = "{_GUIDELINES[-1]}"',
        )
    for label, value in (
        ("name", pole.name),
        ("operator.ja", pole.operator.ja),
        ("operator.en", pole.operator.en),
        ("contact.ja", pole.contact.ja),
        ("contact.en", pole.contact.en),
    ):
        if not value.strip():
            yield Finding(
                "pole",
                f"{label} is empty",
                "operator and contact are named in Japanese and English",
                "1, 9.1(1)",
                f"fill in {label} under [pole]",
            )
    if len(str(pole.state).encode()) > _SOCKET_PATH_LIMIT:
        yield Finding(
            "pole",
            f"its state folder's path has {len(str(pole.state).encode())} bytes",
            f"a Unix socket below it must fit, so at most {_SOCKET_PATH_LIMIT}",
            "",
            "choose a shorter path for state under [pole]",
        )


def _check_each_sender(blueprint: Blueprint, plan: ActorPlan, port: str) -> Iterator[Finding]:
    """Any number of senders, and of each one channel."""
    fed = Counter(
        channel.sender
        for channel in blueprint.channels
        if (channel.receiver, channel.inlet) == (plan.name, port)
    )
    for sender in (name for name, channels in fed.items() if channels > 1):
        yield Finding(
            f"{plan.name}.{port}",
            f"{fed[sender]} channels lead from {sender!r} to this inlet",
            "its messages make sense only as the sequence of one outlet",
            "",
            "keep one of these channels",
            plan.line,
        )


def _check_connections(blueprint: Blueprint) -> Iterator[Finding]:
    fed = Counter((channel.receiver, channel.inlet) for channel in blueprint.channels)
    used = {(channel.sender, channel.outlet) for channel in blueprint.channels}
    for plan in blueprint.actors.values():
        for port, declared in plan.inlets.items():
            if declared.each_sender:
                yield from _check_each_sender(blueprint, plan, port)
            elif declared.one_sender and fed[plan.name, port] > 1:
                yield Finding(
                    f"{plan.name}.{port}",
                    f"{fed[plan.name, port]} channels lead to this inlet",
                    "its messages make sense only as the sequence of one sender",
                    "",
                    f"give each sender an actor of type {plan.type_name!r} of its own",
                    plan.line,
                )
            if declared.one_sender and declared.overflow is not BLOCK:
                yield Finding(
                    f"{plan.name}.{port}",
                    f"its queue is set to {declared.overflow.value!r} where it is full",
                    "an encoded stream loses whole groups of pictures, at its source, and never a "
                    "packet in the middle",
                    "",
                    f'set overflow = "{BLOCK.value}", or leave it out',
                    plan.line,
                )
            if not fed[plan.name, port]:
                yield Finding(
                    f"{plan.name}.{port}",
                    "nothing is connected to this inlet",
                    "every port is connected",
                    "",
                    f'add [[channels]] with to = "{plan.name}.{port}"',
                    plan.line,
                )
        for port, out in plan.actor_type.declaration.outlets.items():
            if (plan.name, port) not in used and not out.optional:
                yield Finding(
                    f"{plan.name}.{port}",
                    "this outlet leads nowhere",
                    "every port is connected",
                    "",
                    f'add [[channels]] with from = "{plan.name}.{port}"',
                    plan.line,
                )
    seen: set[str] = set()
    for channel in blueprint.channels:
        if str(channel) in seen:
            yield Finding(
                str(channel),
                "this channel is written twice",
                "two ports are connected once",
                "",
                "delete one of the two [[channels]]",
                channel.line,
            )
        seen.add(str(channel))


def _check_cycle(blueprint: Blueprint) -> Iterator[Finding]:
    if cycle := blueprint.find_cycle():
        yield Finding(
            " → ".join(cycle),
            "these actors feed each other in a circle",
            "messages flow one way, so that every queue can run empty when the pole stops",
            "",
            "remove one of these channels",
            next(
                (c.line for c in blueprint.channels if {c.sender, c.receiver} <= set(cycle)), None
            ),
        )
    elif circle := blueprint.find_domain_cycle():
        yield Finding(
            " → ".join(domain.value for domain in circle),
            "these domains feed each other in a circle",
            "a domain starts after those that it sends to and stops before them, as one, so that "
            "every queue can run empty when the pole stops",
            "",
            "remove the channels that lead back",
        )


def check_channel(blueprint: Blueprint, channel: ChannelPlan, found: Trace) -> Iterator[Finding]:
    """Whether both ends fit, and the table allows this message on this way."""
    sender, receiver = blueprint.actors[channel.sender], blueprint.actors[channel.receiver]
    expected = receiver.inlets[channel.inlet].message
    if not _fits(channel.message, expected):
        yield Finding(
            str(channel),
            f"the outlet sends {channel.message.__name__}, the inlet takes {expected.__name__}",
            "both ends of a channel carry the same type of message, or the inlet takes what the "
            "outlet's type is derived from",
            "",
            f"connect an outlet that sends {expected.__name__}",
            channel.line,
        )
    rule = TABLE[sender.domain]
    level = channel.message.sensitivity
    if not rule.may_send(level, receiver.domain):
        allowed = ", ".join(sorted(domain.value for domain in rule.emits.get(level, ())))
        yield Finding(
            str(channel),
            f"{channel.message.__name__} ({level.value}) would go from domain "
            f"{sender.domain.value!r} to domain {receiver.domain.value!r}"
            + _whole_way(found, sender, Hop(sender.name, receiver.name, channel)),
            f"domain {sender.domain.value!r} {rule.purpose}; it may send {level.value} to: "
            f"{allowed or 'nobody'}",
            _clauses(sender.domain, receiver.domain),
            "remove this channel; there is no setting that allows it",
            channel.line,
        )


def _fits(sent: type[Message], taken: type[Message]) -> bool:
    """A derived type says all that its base says; but not if it is more sensitive."""
    return issubclass(sent, taken) and sent.sensitivity is taken.sensitivity


def check_routes(blueprint: Blueprint, found: Trace) -> Iterator[Finding]:
    """Ways on which each single step is allowed, and personal data could come too far."""
    for level, route in found.forbidden:
        hop = route.hops[-1]
        if not _is_allowed(blueprint, hop):
            continue  # that step is a finding of its own, which shows the whole way
        if not isinstance(hop.by, ChannelPlan):  # pragma: no cover - the table has no such row
            raise AssertionError(f"a row of the table contradicts another: {route}")
        sender = blueprint.actors[hop.by.sender].domain
        receiver = blueprint.actors[hop.by.receiver].domain
        message = hop.by.message
        yield Finding(
            str(hop.by),
            f"what {hop.source} has of {level.value} could go to domain {receiver.value!r} in "
            f"{message.__name__} ({message.sensitivity.value}): {route}; {why_unbounded(message)}",
            f"domain {receiver.value!r} {TABLE[receiver].purpose}; it handles "
            f"{_listed(TABLE[receiver].handles)} of personal data",
            _joined("4.1(1), 4.2(3)", TABLE[sender].clauses, TABLE[receiver].clauses),
            f"bound every field of {message.__name__} as those of AGGREGATE messages are, or "
            "remove this channel",
            hop.by.line,
        )


def _is_allowed(blueprint: Blueprint, hop: Hop) -> bool:
    """Whether the table allows this step, looked at alone."""
    match hop.by:
        case ChannelPlan(sender=sender, receiver=receiver, message=message):
            domain, to = blueprint.actors[sender].domain, blueprint.actors[receiver].domain
            return TABLE[domain].may_send(message.sensitivity, to)
        case Domain():
            return True
        case capability:
            holder = hop.target if isinstance(hop.source, CapabilityKind) else hop.source
            assert isinstance(holder, str)
            return capability.kind in TABLE[blueprint.actors[holder].domain].holds


def _whole_way(found: Trace, plan: ActorPlan, hop: Hop | None = None) -> str:
    """How personal data comes to this actor, and by this step further: "; on this way: a → b"."""
    ways = [
        f"{level.value}: {route if hop is None else route.on(hop)}"
        for level in found.levels_at(plan.name)
        if (hop is None or hop.passes(level)) and (route := found.reached[level, plan.name]).hops
    ]
    return f"; {'; '.join(ways)}" if ways else ""


def _listed(levels: Iterable[Sensitivity]) -> str:
    return ", ".join(sorted(level.value for level in levels)) or "none"


def _clauses(*domains: Domain) -> str:
    return _joined(*(TABLE[domain].clauses for domain in domains))


def _joined(*clauses: str) -> str:
    return ", ".join(dict.fromkeys(one for some in clauses for one in some.split(", ")))


def check_capability(
    blueprint: Blueprint, plan: ActorPlan, capability: type[Capability], found: Trace
) -> Iterator[Finding]:
    """Whether an actor may hold what it needs, does, and gets no further by it than it says."""
    rule = TABLE[plan.domain]
    name, kind = capability.__name__, capability.kind
    if kind not in rule.holds:
        ways = _whole_way(found, plan) if capability in held_by(plan) else ""
        for level, route in found.forbidden:
            if route.end == plan.name and route.hops[-1].by is capability:
                ways += f"; {level.value}: {route}"
        yield Finding(
            plan.name,
            f"it needs {name} ({kind}) in domain {plan.domain.value!r}{ways}",
            f"domain {plan.domain.value!r} {rule.purpose}",
            rule.clauses,
            "no grant can give it this; move the work into an actor of another domain",
            plan.line,
        )
    elif name not in plan.grants:
        yield Finding(
            plan.name,
            f"it needs {name} ({kind}: {capability.rights}), which is not granted",
            "an actor holds exactly what it is granted in writing",
            "",
            f'add "{name}" to grants under [actors.{plan.name}]',
            plan.line,
        )
    else:
        for excess in _excess_of(blueprint, plan, capability):
            yield Finding(
                plan.name,
                f"its {name} ({kind}) would {excess}",
                f"domain {plan.domain.value!r} {rule.purpose}; a capability reaches what its kind "
                "says and nothing else",
                rule.clauses,
                "name another path or address in settings; if there is none to blame, the kind "
                "that the capability's author declared is wrong",
                plan.line,
            )


def _excess_of(
    blueprint: Blueprint, plan: ActorPlan, capability: type[Capability]
) -> Iterator[str]:
    """What the kernel would be asked to open for it beyond its kind."""
    kind, reach = capability.kind, capability.reach(plan.settings)
    if (reach.connect or reach.listen or reach.resolve) and kind.kind != "network":
        yield "reach the network"
    if reach.packets and kind.kind != "sensing":
        yield "receive what devices send"
    state = blueprint.pole.state.resolve()
    for scope in sorted(scope for rule in TABLE.values() for scope in rule.storage):
        folder = state / scope
        for path in reach.read:
            inside = path.resolve().is_relative_to(folder)
            if kind != Storage(scope) and (inside or folder.is_relative_to(path.resolve())):
                yield f"read what is kept in {Storage(scope)}"


def _check_grants(plan: ActorPlan) -> Iterator[Finding]:
    """Each grant answers to a need, and to one alone."""
    needed = Counter(capability.__name__ for capability in set(plan.needs.values()))
    for name in plan.grants:
        if not needed[name]:
            yield Finding(
                plan.name,
                f"it is granted {name}, which actor type {plan.type_name!r} does not ask for",
                "an actor holds exactly what it is granted in writing",
                TABLE[plan.domain].clauses,
                f"remove it from grants (accepted here: {', '.join(sorted(needed)) or 'none'})",
                plan.line,
            )
        elif needed[name] > 1:
            yield Finding(
                plan.name,
                f"it is granted {name}, and needs {needed[name]} capabilities of that name",
                "a grant names one capability",
                "",
                f"actor type {plan.type_name!r} has to name its capabilities differently",
                plan.line,
            )


def _check_place(plan: ActorPlan) -> Iterator[Finding]:
    outlets = plan.actor_type.declaration.outlets.values()
    if not plan.place and any(o.message.sensitivity is Sensitivity.AGGREGATE for o in outlets):
        yield Finding(
            plan.name,
            "it produces crowd information and has no place",
            "crowd information is that of a declared place",
            "6.1(3)",
            f"add place = ... under [actors.{plan.name}]",
            plan.line,
        )


def _check_settings(blueprint: Blueprint, plan: ActorPlan) -> Iterator[Finding]:
    actors = {name: other.place for name, other in blueprint.actors.items()}
    for what in plan.settings.misfits(blueprint.places, actors):
        yield Finding(
            plan.name,
            what,
            "settings name what the configuration has",
            "",
            f"correct it under [actors.{plan.name}.settings]",
            plan.line,
        )
