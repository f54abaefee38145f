"""Bounds: the most that can leave the domains that handle personal data, in bits."""

from __future__ import annotations

__all__ = ["STATUS_PERIOD", "OutletBound", "ReadingsBound", "outlet_bounds", "readings_bound"]

from dataclasses import dataclass

from runtime.actor import READING_BITS
from runtime.blueprint import Blueprint
from runtime.domain import TABLE
from runtime.histogram import HistogramStatistics
from runtime.link import BEAT
from runtime.message import Message, most_bits, why_unbounded

STATUS_PERIOD = BEAT
"""Seconds between two states of an actor's readings that ``smartpole status`` can show."""
_NUMBERS = len(HistogramStatistics.__struct_fields__)
"""How many a histogram shows."""


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
    count = sum(
        len(plan.actor_type.declaration.readings)
        + _NUMBERS * len(plan.actor_type.declaration.histograms)
        for plan in blueprint.actors.values()
        if TABLE[plan.domain].is_personal
    )
    return ReadingsBound(count, READING_BITS)
