"""Where everything of a blueprint's picture lies: domains in columns by flow, channels as curves.

Small and deterministic: the same blueprint gives the same picture, so that one can be kept in a
repository and compared.
"""

from __future__ import annotations

__all__ = ["Box", "Card", "Curve", "Layout", "lay_out"]

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.check import Finding, check
from runtime.domain import TABLE, Domain
from runtime.graph.flow import channel_words, domain_columns, findings_by_subject, longest_ways
from runtime.graph.measure import text_width, wrapped

Point = tuple[float, float]

CARD_WIDTH = 268.0
LINE = 17.0
"""Height of a line of small text."""
LABEL_HEIGHT = 40.0
CARD_HEAD = 30.0
BOX_HEAD = 38.0
_MARGIN = 28.0
_TOP = 104.0
_PADDING = 14.0
_CARD_GAP = 14.0
_BOX_GAP = 28.0
_LANE_HEIGHT = 34.0
_PORT_PITCH = 26.0
_CURVE_ROOM = 44.0
"""Beside a label, for the curve to bend."""
_SWEEPS = 4


@dataclass(slots=True)
class Card:
    """An actor. ``rows`` are the lines below its name: a style and a text each."""

    plan: ActorPlan
    rows: list[tuple[str, str]]
    rank: int = 0
    """Position within its domain, by the channels inside it."""
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0
    ports: dict[tuple[str, int], float] = field(default_factory=dict)
    """Height of each port's dot, by port and side (1 right, -1 left)."""

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def edge(self, side: int) -> float:
        return self.x + CARD_WIDTH if side > 0 else self.x


@dataclass(slots=True)
class Box:
    """A domain in its column."""

    domain: Domain
    head: list[str]
    """Its purpose and the clauses behind it, in lines."""
    cards: list[Card]
    column: int
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    def edge(self, side: int) -> float:
        return self.x + self.width if side > 0 else self.x


@dataclass(slots=True)
class Curve:
    """A channel. It runs through ``points``, level at each, unless it is a ``loop``."""

    channel: ChannelPlan
    words: tuple[str, str]
    """Two lines of label."""
    refused: bool
    loop: bool
    points: list[Point]
    label: int
    """Which of the points carries the label."""
    gates: list[Point]
    """Where it leaves and enters a domain."""
    arrives: int
    """Direction of its arrow: 1 to the right, -1 to the left."""


@dataclass(slots=True)
class Layout:
    boxes: list[Box]
    curves: list[Curve]
    findings: list[Finding]
    width: float
    height: float
    """Of the graph alone; a legend goes below."""


@dataclass(slots=True)
class _Lane:
    """Room kept in a column for a channel that passes through it."""

    column: int
    y: float = 0.0
    height: float = _LANE_HEIGHT


_Item = Box | _Lane


@dataclass(slots=True)
class _Route:
    """A channel on its way through the columns, from the sender's box to the receiver's."""

    channel: ChannelPlan
    sender: Card
    receiver: Card
    stops: list[_Item]
    leaves: int
    """The side of the sender's card."""
    arrives: int
    """The side of the receiver's card."""
    words: tuple[str, str]
    refused: bool
    inside: bool
    """Whether it stays within one domain."""

    @property
    def outlet(self) -> str:
        """Key of the sender's dot. Refused channels have their own, so that they are seen."""
        return f"out {self.channel.outlet} {self.refused}"

    @property
    def inlet(self) -> str:
        return f"in {self.channel.inlet} {self.refused}"

    @property
    def label_width(self) -> float:
        name, rest = self.words
        return max(text_width(name, 13), text_width(rest, 11)) + 24

    @property
    def gap(self) -> int:
        """The gap between columns, counted by the column to its left, that holds its label."""
        return self.stops[0].column if self.leaves > 0 else self.stops[0].column - 1


def lay_out(blueprint: Blueprint) -> Layout:
    """Place everything."""
    findings = check(blueprint)
    refused, wrong = findings_by_subject(blueprint, findings)
    columns = domain_columns(blueprint, refused)
    boxes = [_make_box(blueprint, domain, columns[domain], wrong) for domain in columns]
    routes = [
        _make_route(blueprint, channel, boxes, str(channel) in refused)
        for channel in blueprint.channels
    ]
    grid: list[list[_Item]] = [[] for _ in range(max(columns.values(), default=0) + 1)]
    for item in [*boxes, *(stop for route in routes for stop in route.stops[1:-1])]:
        grid[item.column].append(item)
    _order(grid, routes)
    gaps = _gap_widths(len(grid), routes)
    height = _stack(grid)
    width = _place(grid, gaps)
    _place_ports(routes)
    curves = [_make_curve(route, grid, gaps) for route in routes]
    _spread_labels(curves)
    return Layout(boxes, curves, findings, width, height)


def _make_box(
    blueprint: Blueprint, domain: Domain, column: int, wrong: Mapping[str, list[Finding]]
) -> Box:
    plans = [plan for plan in blueprint.actors.values() if plan.domain is domain]
    inside: dict[str, set[str]] = {plan.name: set() for plan in plans}
    for channel in blueprint.channels:
        if channel.sender in inside and channel.receiver in inside:
            inside[channel.sender].add(channel.receiver)
    ranks = longest_ways(list(inside), inside)
    cards = [Card(plan, _card_rows(plan, wrong.get(plan.name, []))) for plan in plans]
    for card in cards:
        card.rank = ranks[card.plan.name]
        ports = max(len(card.plan.inlets), len(card.plan.actor_type.declaration.outlets))
        card.height = CARD_HEAD + 12 + max(len(card.rows) * LINE, (ports - 1) * _PORT_PITCH)
    rank_count = max(ranks.values()) + 1
    box = Box(domain, [], cards, column)
    inner = rank_count * CARD_WIDTH + (rank_count - 1) * 200
    box.width = inner + 2 * _PADDING
    rule = TABLE[domain]
    box.head = [*wrapped(rule.purpose, 12.5, inner), *wrapped(f"§ {rule.clauses}", 11, inner)]
    tallest = max(
        sum(card.height + _CARD_GAP for card in cards if card.rank == rank)
        for rank in range(rank_count)
    )
    box.height = BOX_HEAD + len(box.head) * LINE + tallest - _CARD_GAP + 2 * _PADDING
    return box


def _card_rows(plan: ActorPlan, wrong: list[Finding]) -> list[tuple[str, str]]:
    room = CARD_WIDTH - 36
    rows: list[tuple[str, str]] = []
    for text in (plan.place, plan.settings.headline()):
        rows += [("dim", line) for line in wrapped(text, 12, room)[:2] if line]
    held = [one for one in plan.needs.values() if one.__name__ in plan.grants]
    for capability in held:
        rows.append(("grant", f"{capability.__name__} [{capability.kind}]"))
        rows += [("right", line) for line in wrapped(capability.rights, 12, room - 14)]
    if not held:
        rows.append(("none", "holds nothing"))
    for finding in wrong:
        rows += [("bad", line) for line in wrapped(f"✗ {finding.what}", 12, room)]
    return rows


def _make_route(
    blueprint: Blueprint, channel: ChannelPlan, boxes: list[Box], refused: bool
) -> _Route:
    of_card = {card.plan.name: (box, card) for box in boxes for card in box.cards}
    (start, sender), (end, receiver) = of_card[channel.sender], of_card[channel.receiver]
    inside = start is end
    here = sender.rank if inside else start.column
    there = receiver.rank if inside else end.column
    leaves = 1 if here <= there else -1
    lanes = [] if inside else [_Lane(n) for n in range(here + leaves, there, leaves)]
    arrives = 1 if here >= there else -1
    stops: list[_Item] = [start, *lanes, end]
    words = channel_words(blueprint, channel)
    return _Route(channel, sender, receiver, stops, leaves, arrives, words, refused, inside)


def _order(grid: list[list[_Item]], routes: list[_Route]) -> None:
    """Put each column's items level with what they are connected to (barycentre method)."""
    neighbours: dict[int, list[_Item]] = defaultdict(list)
    for route in routes:
        # A refused one goes round the picture that is allowed.
        for one, other in pairwise([] if route.refused else route.stops):
            if one.column != other.column:
                neighbours[id(one)].append(other)
                neighbours[id(other)].append(one)

    def towards(before: bool) -> Callable[[_Item], float]:
        def height(item: _Item) -> float:
            near = [n for n in neighbours[id(item)] if (n.column < item.column) is before]
            middles = [n.y + n.height / 2 for n in near] or [item.y + item.height / 2]
            return sum(middles) / len(middles)

        return height

    _stack(grid)
    best, fewest = [list(column) for column in grid], _crossings(grid, neighbours)
    for sweep in range(_SWEEPS):
        for column in grid if sweep % 2 == 0 else reversed(grid):
            column.sort(key=towards(before=sweep % 2 == 0))
        _stack(grid)
        # Only what is better replaces the table's own order of domains, so pictures stay alike.
        if (crossings := _crossings(grid, neighbours)) < fewest:
            best, fewest = [list(column) for column in grid], crossings
    grid[:] = best


def _crossings(grid: list[list[_Item]], neighbours: Mapping[int, list[_Item]]) -> int:
    """How many pairs of channels cross between two columns."""
    count = 0
    for column in grid:
        steps = [
            (one.y, n.y) for one in column for n in neighbours[id(one)] if n.column > one.column
        ]
        count += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(steps, 2))
    return count


def _stack(grid: list[list[_Item]]) -> float:
    """Give each item its height on the page, columns centred; returns where the lowest ends."""
    heights = [sum(item.height + _BOX_GAP for item in column) - _BOX_GAP for column in grid]
    tallest = max(heights, default=0.0)
    for column, height in zip(grid, heights, strict=True):
        y = _TOP + (tallest - height) / 2
        for item in column:
            item.y = y
            y += item.height + _BOX_GAP
    return _TOP + tallest


def _gap_widths(columns: int, routes: list[_Route]) -> list[float]:
    """Widths of the gaps after each column; a last one is there only for what loops through it."""
    gaps = [2 * _CURVE_ROOM] * (columns - 1) + [0.0]
    for route in routes:
        if not route.inside:
            gaps[route.gap] = max(gaps[route.gap], route.label_width + 2 * _CURVE_ROOM)
    return gaps


def _place(grid: list[list[_Item]], gaps: list[float]) -> float:
    x = _MARGIN
    for column, gap in zip(grid, gaps, strict=True):
        boxes = [item for item in column if isinstance(item, Box)]
        widest = max((box.width for box in boxes), default=0.0)
        for box in boxes:
            box.x, box.width = x, widest
            below: dict[int, float] = defaultdict(float)
            for card in box.cards:
                card.x = x + _PADDING + card.rank * (CARD_WIDTH + 200)
                card.y = box.y + BOX_HEAD + len(box.head) * LINE + _PADDING + below[card.rank]
                below[card.rank] += card.height + _CARD_GAP
        x += widest + gap
    return x + _MARGIN


def _place_ports(routes: list[_Route]) -> None:
    """Spread each side's dots over the card, in the order in which their channels arrive."""
    partners: dict[tuple[int, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cards: dict[int, Card] = {}
    for route in routes:
        for card, port, side, other in (
            (route.sender, route.outlet, route.leaves, route.receiver),
            (route.receiver, route.inlet, route.arrives, route.sender),
        ):
            cards[id(card)] = card
            partners[id(card), side][port].append(other.middle)
    for (key, side), ports in partners.items():
        card = cards[key]
        ordered = sorted(ports, key=lambda port: (sum(ports[port]) / len(ports[port]), port))
        for n, port in enumerate(ordered):
            offset = (n - (len(ordered) - 1) / 2) * _PORT_PITCH
            card.ports[port, side] = card.middle + offset


def _make_curve(route: _Route, grid: list[list[_Item]], gaps: list[float]) -> Curve:
    sender, receiver, channel = route.sender, route.receiver, route.channel
    start = (sender.edge(route.leaves), sender.ports[route.outlet, route.leaves])
    end = (receiver.edge(route.arrives), receiver.ports[route.inlet, route.arrives])
    points, gates = [start], []
    loop = route.leaves == route.arrives
    if route.inside:
        room = (200 if loop else end[0] - start[0]) / 2
        points.append((start[0] + room, (start[1] + end[1]) / 2))
    else:
        first, last = route.stops[0], route.stops[-1]
        assert isinstance(first, Box)
        assert isinstance(last, Box)
        out, into = (first.edge(route.leaves), start[1]), (last.edge(route.arrives), end[1])
        gates = [out, into]
        lane_points = [
            (x, lane.y + lane.height / 2)
            for lane in route.stops[1:-1]
            for x in _lane_ends(grid[lane.column], route.leaves)
        ]
        following = lane_points[0] if lane_points else into
        label_x = out[0] + route.leaves * gaps[route.gap] / 2
        label = (label_x, (out[1] + following[1]) / 2)
        points += [label] if loop else [out, label, *lane_points, into]
    points.append(end)
    index = 1 if route.inside or loop else 2
    return Curve(channel, route.words, route.refused, loop, points, index, gates, -route.arrives)


def _lane_ends(column: list[_Item], direction: int) -> list[float]:
    box = next(item for item in column if isinstance(item, Box))
    return [box.edge(-direction), box.edge(direction)]


def _spread_labels(curves: list[Curve]) -> None:
    """Move labels that would lie on each other apart; the curves follow, since they pass there."""
    by_gap: dict[int, list[Curve]] = defaultdict(list)
    for curve in curves:
        by_gap[round(curve.points[curve.label][0])].append(curve)
    for group in by_gap.values():
        group.sort(key=lambda curve: (curve.points[curve.label][1], str(curve.channel)))
        wanted = [curve.points[curve.label][1] for curve in group]
        heights = list(wanted)
        for n in range(1, len(heights)):
            heights[n] = max(heights[n], heights[n - 1] + LABEL_HEIGHT + 6)
        shift = (sum(wanted) - sum(heights)) / len(heights)
        for curve, height in zip(group, heights, strict=True):
            x, _ = curve.points[curve.label]
            curve.points[curve.label] = (x, height + shift)
