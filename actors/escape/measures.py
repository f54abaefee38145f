"""How many bits a second come out where only what is allowed is used, and how many may.

The hostile actor and the judge derive the same endless bits from the attempt's loot. What arrives
shows how much of it was carried, and that it is right.
"""

from __future__ import annotations

__all__ = [
    "MEASURES",
    "OF_A_READING",
    "OF_A_REPORT",
    "READINGS",
    "TICK",
    "TICKS",
    "Measured",
    "bits_of",
    "bounds_of",
    "pause",
    "report_of",
]

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from actors.escape.aftermath import Aftermath
from actors.escape.messages import Outcome
from runtime import load_blueprint
from runtime.actor import READING_BITS
from runtime.bound import STATUS_PERIOD, outlet_bounds

_LOWEST = 1_000
"""Above the attempts' own numbers."""
_NUMBER_BITS, _ERRNO_BITS, _OUTCOME_BITS = 13, 8, 2
_CHOICE = (Outcome.WENT_THROUGH, Outcome.NOTHING_THERE, Outcome.REFUSED, Outcome.OTHER_ERROR)
"""None that the judge takes for a beginning or an end."""
OF_A_REPORT = _NUMBER_BITS + _ERRNO_BITS + _OUTCOME_BITS
"""Bits that the hostile actor puts into one report: nearly all that fit."""
OF_A_READING = 50
READINGS = 40
"""How many numbers it shows, one after another, in one reading."""
TICK = 8_999
"""The number of reports whose only message is when they come."""
TICKS = 48
_LONG, _SHORT = 0.12, 0.02


class Measured(msgspec.Struct, frozen=True):
    """What was carried, and how fast."""

    bits: int
    seconds: float
    bound: float | None
    """Bits a second, as ``smartpole check`` prints it; None where nothing bounds it."""

    @property
    def bits_per_second(self) -> float:
        return self.bits / self.seconds

    @property
    def exceeds(self) -> bool:
        return self.bound is not None and self.bits_per_second > self.bound

    def __str__(self) -> str:
        told = f"{self.bits_per_second:,.0f} bits a second"
        return told if self.bound is None else f"{told}, of {self.bound:,.0f}"


def bounds_of(configuration: Path) -> dict[str, float]:
    """The bounds that ``smartpole check`` prints for a configuration, in bits a second: by outlet,
    and that of "a reading"."""
    # Here, because the hostile actors import this module.
    from actors.escape.pole import ACTOR_TYPES

    blueprint = load_blueprint(configuration, ACTOR_TYPES)
    bounds = {
        f"{one.actor}.{one.outlet}": one.bits_per_second
        for one in outlet_bounds(blueprint)
        if one.bits_per_second is not None
    }
    return bounds | {"a reading": READING_BITS / STATUS_PERIOD}


def bits_of(loot: bytes, width: int) -> Iterator[int]:
    """Numbers of so many bits, without end, derived from the loot."""
    for block in itertools.count():
        stream = int.from_bytes(hashlib.blake2b(block.to_bytes(8, "big"), key=loot).digest(), "big")
        for _ in range(512 // width):
            yield stream & (1 << width) - 1
            stream >>= width


def report_of(bits: int) -> tuple[int, Outcome, int]:
    """Number, outcome and errno of a report that says so many bits as fit into it."""
    number, rest = bits & (1 << _NUMBER_BITS) - 1, bits >> _NUMBER_BITS
    return _LOWEST + number, _CHOICE[rest & 3], rest >> 2


def pause(bit: int) -> float:
    """Seconds between two messages that say one bit."""
    return _LONG if bit else _SHORT


def _in_numbers(left: Aftermath, loot: bytes) -> Measured | None:
    expected = bits_of(loot, OF_A_REPORT)
    wanted = report_of(next(expected))
    times = []
    for when, number, outcome, errno in left.reports:
        if (number, outcome, errno) == (wanted[0], wanted[1].value, wanted[2]):
            times.append(when)
            wanted = report_of(next(expected))
    # A second's worth may come at once, and the last one's second is not over.
    return _measured(times, OF_A_REPORT, 1.0, left.bounds["crowd.reports"])


def _in_a_reading(left: Aftermath, loot: bytes) -> Measured | None:
    expected = set(itertools.islice(bits_of(loot, OF_A_READING), READINGS))
    first_seen: dict[int, float] = {}
    for when, told in left.readings:
        if told in expected:
            first_seen.setdefault(told, when)
    return _measured(
        sorted(first_seen.values()), OF_A_READING, STATUS_PERIOD, left.bounds["a reading"]
    )


def _in_times(left: Aftermath, loot: bytes) -> Measured | None:
    times = [when for when, number, *_ in left.reports if number == TICK]
    carried = [gap > (_LONG + _SHORT) / 2 for gap in map(_gap, itertools.pairwise(times))]
    wanted = itertools.islice(bits_of(loot, 1), TICKS)
    right = sum(one == two for one, two in zip(wanted, carried, strict=False))
    if len(carried) != TICKS or right < 0.9 * TICKS:
        return None
    return Measured(right, times[-1] - times[0], None)


def _gap(pair: tuple[float, float]) -> float:
    return pair[1] - pair[0]


def _measured(times: list[float], width: int, more: float, bound: float) -> Measured | None:
    if not times:
        return None
    return Measured(len(times) * width, times[-1] - times[0] + more, bound)


MEASURES: dict[str, Callable[[Aftermath, bytes], Measured | None]] = {
    "numbers": _in_numbers,
    "reading": _in_a_reading,
    "times": _in_times,
}
