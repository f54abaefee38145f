"""Bounds: the most that can leave the domains that handle personal data, in bits."""

from __future__ import annotations

__all__ = [
    "STATUS_PERIOD",
    "LinesBound",
    "OutletBound",
    "ReadingsBound",
    "lines_bound",
    "outlet_bounds",
    "readings_bound",
]

import math
from dataclasses import dataclass

import msgspec

from runtime.actor import READING_BITS
from runtime.blueprint import Blueprint
from runtime.channel import ChannelStatistics
from runtime.domain import TABLE
from runtime.histogram import HistogramStatistics
from runtime.keeper import LINES_AT_ONCE, LINES_PER_SECOND
from runtime.link import BEAT
from runtime.message import Message, Sensitivity, most_bits, why_unbounded
from runtime.status import ActorStatus
from runtime.words import MOST_FIELDS, pole_vocabulary

STATUS_PERIOD = BEAT
"""Seconds between two states of an actor's readings that ``smartpole status`` can show."""
_OF_A_HISTOGRAM = len(HistogramStatistics.__struct_fields__)
_OF_A_QUEUE = sum(
    one.type is int and one.name != "capacity" for one in msgspec.structs.fields(ChannelStatistics)
)
_OF_AN_ACTOR = sum(one.type is int for one in msgspec.structs.fields(ActorStatus))
_OF_A_DOMAIN = 2
"""How many numbers ``smartpole status`` shows of each, by the word of their domain: of itself, how
often an attempt was seen, and how many reports were dropped."""
_OF_A_FIELD = math.log2(22 * 10**6)
"""Bits in a number of a log line: see ``DomainKeeper``."""


@dataclass(frozen=True, slots=True)
class OutletBound:
    """One outlet by which messages leave a domain that handles personal data for one that doesn't.

    When a message is sent says something, too; that is not in these numbers.
    """

    actor: str
    outlet: str
    message: type[Message]
    bits: float | None
    """In one message; None where the type has no bound, which ``smartpole check`` refuses."""
    per_second: float | None
    """Messages; None where the outlet has no rate."""

    @property
    def bits_per_second(self) -> float | None:
        if self.bits is None or self.per_second is None:
            return None
        return self.bits * self.per_second


@dataclass(frozen=True, slots=True)
class ReadingsBound:
    """What the readings of actors in these domains can say in ``smartpole status``."""

    readings: int
    bits: float
    """Of one reading, each time it is shown."""

    @property
    def bits_per_second(self) -> float:
        return self.readings * self.bits / STATUS_PERIOD


@dataclass(frozen=True, slots=True)
class LinesBound:
    """What the choice of words in log lines and crashes of these domains can say."""

    domains: int
    bits: float
    """Of one line."""
    at_once: int
    """How many lines may come at once, after a pause."""
    per_second: float
    """Of each domain, from then on."""

    @property
    def bits_per_second(self) -> float:
        return self.domains * self.bits * self.per_second


def outlet_bounds(blueprint: Blueprint) -> list[OutletBound]:
    """Every such outlet that is connected, in the order of the configuration."""
    places = len(blueprint.places)
    leaving = {
        (channel.sender, channel.outlet): channel.message
        for channel in blueprint.channels
        if TABLE[blueprint.actors[channel.sender].domain].is_personal
        and not TABLE[blueprint.actors[channel.receiver].domain].is_personal
    }
    return [
        OutletBound(
            actor=actor,
            outlet=outlet,
            message=message,
            bits=None if why_unbounded(message) else most_bits(message, places),
            per_second=blueprint.actors[actor].outlets[outlet].per_second,
        )
        for (actor, outlet), message in leaving.items()
    ]


def readings_bound(blueprint: Blueprint) -> ReadingsBound:
    """Readings, and the numbers that status shows of actors, queues and domains beside them."""
    plans = [plan for plan in blueprint.actors.values() if TABLE[plan.domain].is_personal]
    count = _OF_A_DOMAIN * len({plan.domain for plan in plans}) + sum(
        _OF_AN_ACTOR
        + _OF_A_QUEUE * len(plan.queues)
        + len(plan.actor_type.declaration.readings)
        + _OF_A_HISTOGRAM * len(plan.actor_type.declaration.histograms)
        for plan in plans
    )
    return ReadingsBound(count, READING_BITS)


def lines_bound(blueprint: Blueprint) -> LinesBound:
    """Of each domain whose words are filtered. Reads the program's code, which takes a second."""
    domains = {
        plan.domain
        for plan in blueprint.actors.values()
        if Sensitivity.OPERATIONAL not in TABLE[plan.domain].emits
    }
    bits = pole_vocabulary(blueprint).bits_of_a_line() + MOST_FIELDS * _OF_A_FIELD
    return LinesBound(len(domains), bits, LINES_AT_ONCE, LINES_PER_SECOND)
