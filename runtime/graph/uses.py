"""What one actor takes, sends and holds, each with its verdict: ``smartpole route``."""

from __future__ import annotations

__all__ = ["to_bounds", "to_uses"]

import math
from collections.abc import Iterable, Iterator

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.bound import STATUS_PERIOD, OutletBound, lines_bound, outlet_bounds, readings_bound
from runtime.check import Finding, check, check_capability, check_channel, check_routes
from runtime.domain import TABLE
from runtime.route import Trace, ends_of, sources_of, trace


def to_uses(blueprint: Blueprint, name: str) -> str:
    """Each use of an actor with ✓ or ✗, where in the configuration it stands, and why; then where
    everything that it takes comes from, and where everything that it sends ends."""
    plan, found = blueprint.actors[name], trace(blueprint)
    about = [name, f"({plan.type_name})" if plan.type_name != name else "", plan.place]
    rule = TABLE[plan.domain]
    lines = [
        "  ".join(word for word in about if word) + _line(plan.line),
        f"in domain {plan.domain.value!r}: {rule.purpose} (guideline {rule.clauses})",
        *_section("takes", _takes(blueprint, plan, found)),
        *_section("sends", _sends(blueprint, plan, found)),
        *_section("holds", _holds(blueprint, plan, found)),
        *_section("has personal data", _has(plan, found)),
        *_section("all that it takes comes from", map(str, sources_of(blueprint, name))),
        *_section("all that it sends ends in", map(str, ends_of(blueprint, name))),
    ]
    shown = "\n".join(lines)
    about_it = [f for f in check(blueprint) if f.who.partition(".")[0] == name]
    if more := [finding for finding in about_it if finding.what not in shown]:
        lines += _section("besides", (text for f in more for text in _verdict(f.who, [f])))
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in list(lines) or ["nothing"])]


def _line(line: int | None) -> str:
    return "" if line is None else f"  (line {line})"


def _verdict(use: str, findings: Iterable[Finding], why: str = "") -> Iterator[str]:
    findings = list(findings)
    yield f"{'✗' if findings else '✓'} {use}"
    for finding in findings:
        clause = f"; guideline {finding.clause}" if finding.clause else ""
        yield f"    refused: {finding.what}"
        yield f"    rule: {finding.rule}{clause}"
        yield f"    remedy: {finding.remedy}"
    if not findings and why:
        yield f"    {why}"


def _takes(blueprint: Blueprint, plan: ActorPlan, found: Trace) -> Iterator[str]:
    for channel in blueprint.channels:
        if channel.receiver == plan.name:
            use = f"{channel.inlet} ← {channel.sender}.{channel.outlet}: {_carried(channel)}"
            yield from _channel(blueprint, channel, use, found)


def _sends(blueprint: Blueprint, plan: ActorPlan, found: Trace) -> Iterator[str]:
    bounds = {(bound.actor, bound.outlet): bound for bound in outlet_bounds(blueprint)}
    for channel in blueprint.channels:
        if channel.sender == plan.name:
            use = f"{channel.outlet} → {channel.receiver}.{channel.inlet}: {_carried(channel)}"
            yield from _channel(blueprint, channel, use, found)
            if (bound := bounds.get((plan.name, channel.outlet))) is not None:
                yield f"    bound: {_bound_in_words(bound)}"


def _channel(blueprint: Blueprint, channel: ChannelPlan, use: str, found: Trace) -> Iterator[str]:
    findings = [
        *check_channel(blueprint, channel, found),
        *(f for f in check_routes(blueprint, found) if f.who == str(channel)),
    ]
    sender = blueprint.actors[channel.sender].domain
    level = channel.message.sensitivity
    to = ", ".join(sorted(domain.value for domain in TABLE[sender].emits.get(level, ())))
    why = (
        f"allowed: domain {sender.value!r} may send {level.value} to {to} "
        f"(guideline {TABLE[sender].clauses})"
    )
    yield from _verdict(use + _line(channel.line), findings, why)


def _carried(channel: ChannelPlan) -> str:
    return f"{channel.message.__name__} ({channel.message.sensitivity.value})"


def _holds(blueprint: Blueprint, plan: ActorPlan, found: Trace) -> Iterator[str]:
    rule = TABLE[plan.domain]
    for port, capability in plan.needs.items():
        kinds = ", ".join(sorted(map(str, rule.holds)))
        why = f"allowed: domain {plan.domain.value!r} may hold {kinds} (guideline {rule.clauses})"
        use = f"{port}: {capability.__name__} [{capability.kind}], to {capability.rights}"
        findings = check_capability(blueprint, plan, capability, found)
        yield from _verdict(use + _line(plan.line), findings, why)


def _has(plan: ActorPlan, found: Trace) -> Iterator[str]:
    for level in found.levels_at(plan.name):
        yield f"{level.value}: {found.reached[level, plan.name]}"


def _bound_in_words(bound: OutletBound) -> str:
    bits = "any number of" if bound.bits is None else f"at most {_bits(bound.bits)}"
    rate = "as often as it likes" if bound.per_second is None else f"{bound.per_second:g} a second"
    most = bound.bits_per_second
    total = "no bound a second" if most is None else f"at most {_bits(most)} bits a second"
    return f"{bits} bits a message, {rate}: {total}"


def to_bounds(blueprint: Blueprint) -> str:
    """The most that can leave the domains that handle personal data, as a small table."""
    rows = [("outlet", "message", "bits a message", "messages a second", "bits a second")]
    for bound in outlet_bounds(blueprint):
        rows.append(
            (
                f"{bound.actor}.{bound.outlet}",
                bound.message.__name__,
                _bits(bound.bits),
                "no bound" if bound.per_second is None else f"{bound.per_second:g}",
                _bits(bound.bits_per_second),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  "
        + "  ".join(
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    readings = readings_bound(blueprint)
    head = "The most that can leave the domains that handle personal data:"
    if len(rows) == 1:
        lines = ["  no outlet leads out of them"]
    if readings.readings:
        lines.append(
            f"  numbers in status: {readings.readings} whole numbers of "
            f"{_bits(readings.bits)} bits, each {STATUS_PERIOD:g} s: "
            f"{_bits(readings.bits_per_second)} bits a second"
        )
    words = lines_bound(blueprint)
    if words.domains:
        lines.append(
            f"  words in the log, of {words.domains} domains: {_bits(words.bits)} bits a line, "
            f"{words.per_second:g} lines a second, {words.at_once} at once after a pause: "
            f"{_bits(words.bits_per_second)} bits a second"
        )
    lines.append("  the moment at which something is sent can say more, and is not counted here")
    return "\n".join([head, *lines])


def _bits(value: float | None) -> str:
    """Rounded up: a bound that is rounded down is none."""
    return "no bound" if value is None else f"{math.ceil(value):,}"
