"""What both pictures are drawn from: in which order messages flow, and what is refused."""

from __future__ import annotations

__all__ = ["channel_words", "domain_columns", "findings_by_subject", "longest_ways"]

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from runtime.blueprint import Blueprint, ChannelPlan
from runtime.channel import Overflow
from runtime.check import Finding
from runtime.domain import Domain

N = TypeVar("N", bound=Hashable)


def channel_words(blueprint: Blueprint, channel: ChannelPlan) -> tuple[str, str]:
    """What a channel carries, and how sensitive it is and what its queue does."""
    port = blueprint.actors[channel.receiver].inlets[channel.inlet]
    queue = (
        "latest" if port.overflow is Overflow.LATEST else f"{port.overflow.value} {port.capacity}"
    )
    return channel.message.__name__, f"{channel.message.sensitivity.value} · {queue}"


def findings_by_subject(
    blueprint: Blueprint, findings: Iterable[Finding]
) -> tuple[dict[str, list[Finding]], dict[str, list[Finding]]]:
    """Findings by the channel, and by the actor, that they are about."""
    names = {str(channel) for channel in blueprint.channels}
    channels: dict[str, list[Finding]] = defaultdict(list)
    actors: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.who in names:
            channels[finding.who].append(finding)
        elif (actor := finding.who.partition(".")[0]) in blueprint.actors:
            actors[actor].append(finding)
    return channels, actors


def domain_columns(blueprint: Blueprint, refused: Iterable[str] = ()) -> dict[Domain, int]:
    """A column for each domain that has actors: the longest way that messages take to it.

    Channels that are refused don't count, so that they stand out instead of bending the picture.
    A domain that only sends stands right before the first one that it sends to.
    """
    present = {plan.domain for plan in blueprint.actors.values()}
    used = [domain for domain in Domain if domain in present]
    skipped = set(refused)
    targets: dict[Domain, set[Domain]] = {domain: set() for domain in used}
    for channel in blueprint.channels:
        if blueprint.crosses(channel) and str(channel) not in skipped:
            sender = blueprint.actors[channel.sender].domain
            targets[sender].add(blueprint.actors[channel.receiver].domain)
    column = longest_ways(used, targets)
    fed = {target for group in targets.values() for target in group}
    for domain in used:
        if domain not in fed and targets[domain]:
            column[domain] = min(column[target] for target in targets[domain]) - 1
    return column


def longest_ways(nodes: Sequence[N], targets: Mapping[N, set[N]]) -> dict[N, int]:
    """How many steps lead to each node at most. In a circle, the step that closes it is ignored."""
    forward: dict[N, list[N]] = {node: [] for node in nodes}
    underway: set[N] = set()
    finished: dict[N, None] = {}

    def visit(node: N) -> None:
        underway.add(node)
        for target in nodes:
            if target in targets[node] and target not in underway:
                forward[node].append(target)
                if target not in finished:
                    visit(target)
        underway.remove(node)
        finished[node] = None

    for node in nodes:
        if node not in finished:
            visit(node)
    ways = dict.fromkeys(nodes, 0)
    for node in reversed(finished):
        for target in forward[node]:
            ways[target] = max(ways[target], ways[node] + 1)
    return ways
