"""Judging a blueprint before anything of it runs."""

from __future__ import annotations

__all__ = ["Finding", "check"]

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.domain import TABLE, Domain
from runtime.message import Sensitivity

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
    return [
        *_check_identity(blueprint),
        *_check_connections(blueprint),
        *_check_cycle(blueprint),
        *(finding for channel in blueprint.channels for finding in _check_flow(blueprint, channel)),
        *(finding for plan in blueprint.actors.values() for finding in _check_grants(plan)),
        *(finding for plan in blueprint.actors.values() for finding in _check_place(plan)),
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


def _check_connections(blueprint: Blueprint) -> Iterator[Finding]:
    fed = Counter((channel.receiver, channel.inlet) for channel in blueprint.channels)
    used = {(channel.sender, channel.outlet) for channel in blueprint.channels}
    for plan in blueprint.actors.values():
        for port, declared in plan.inlets.items():
            if declared.one_sender and fed[plan.name, port] > 1:
                yield Finding(
                    f"{plan.name}.{port}",
                    f"{fed[plan.name, port]} channels lead to this inlet",
                    "its messages make sense only as the sequence of one sender",
                    "",
                    f"give each sender an actor of type {plan.type_name!r} of its own",
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
        for port in plan.actor_type.declaration.outlets:
            if (plan.name, port) not in used:
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


def _check_flow(blueprint: Blueprint, channel: ChannelPlan) -> Iterator[Finding]:
    sender, receiver = blueprint.actors[channel.sender], blueprint.actors[channel.receiver]
    expected = receiver.inlets[channel.inlet].message
    if channel.message is not expected:
        yield Finding(
            str(channel),
            f"the outlet sends {channel.message.__name__}, the inlet takes {expected.__name__}",
            "both ends of a channel carry the same type of message",
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
            f"{sender.domain.value!r} to domain {receiver.domain.value!r}",
            f"domain {sender.domain.value!r} {rule.purpose}; it may send {level.value} to: "
            f"{allowed or 'nobody'}",
            _clauses(sender.domain, receiver.domain),
            "remove this channel; there is no setting that allows it",
            channel.line,
        )


def _clauses(*domains: Domain) -> str:
    clauses = [clause for domain in domains for clause in TABLE[domain].clauses.split(", ")]
    return ", ".join(dict.fromkeys(clauses))


def _check_grants(plan: ActorPlan) -> Iterator[Finding]:
    rule = TABLE[plan.domain]
    needed = {capability.__name__: capability for capability in plan.needs.values()}
    for name, capability in needed.items():
        if capability.kind not in rule.holds:
            yield Finding(
                plan.name,
                f"it needs {name} ({capability.kind}) in domain {plan.domain.value!r}",
                f"domain {plan.domain.value!r} {rule.purpose}",
                rule.clauses,
                "no grant can give it this; move the work into an actor of another domain",
                plan.line,
            )
        elif name not in plan.grants:
            yield Finding(
                plan.name,
                f"it needs {name} ({capability.kind}: {capability.rights}), which is not granted",
                "an actor holds exactly what it is granted in writing",
                "",
                f'add "{name}" to grants under [actors.{plan.name}]',
                plan.line,
            )
    for name in plan.grants:
        if name not in needed:
            yield Finding(
                plan.name,
                f"it is granted {name}, which actor type {plan.type_name!r} does not ask for",
                "an actor holds exactly what it is granted in writing",
                rule.clauses,
                f"remove it from grants (accepted here: {', '.join(sorted(needed)) or 'none'})",
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
