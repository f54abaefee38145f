"""How many bits a second come out where only what is allowed is used, and how many may.

The hostile actor and the judge derive the same endless bits from the attempt's loot. What arrives
shows how much of it was carried, and that it is right.
"""

from __future__ import annotations

__all__ = [
    "LINES",
    "MEASURES",
    "OF_A_LINE",
    "OF_A_READING",
    "OF_A_REPORT",
    "READINGS",
    "TICK",
    "TICKS",
    "Measured",
    "bits_of",
    "bounds_of",
    "line_of",
    "pause",
    "report_of",
]

import builtins
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from actors.escape.aftermath import Aftermath
from actors.escape.messages import Outcome
from runtime import load_blueprint
from runtime.actor import READING_BITS
from runtime.bound import STATUS_PERIOD, lines_bound, outlet_bounds

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


_FIELDS = 5
"""Beside those which a log line has by itself."""
_WORDS = sorted(
    (name for name in vars(builtins) if name.islower() and name.isalpha() and len(name) > 2),
    key=lambda name: (len(name), name),
)[: 32 + _FIELDS]
"""Known to every Python program; the last are names of fields."""
_MARKS = ".,:;!?()[]{}<>/-"
_PAIRS = 40
_FIELD_BITS = 19
OF_A_LINE = _PAIRS * (5 + 4) + _FIELDS * _FIELD_BITS
LINES = 60
"""How many it writes, ten a second."""


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
    those of "a reading" and of log lines."""
    # Here, because the hostile actors import this module.
    from actors.escape.pole import ACTOR_TYPES

    blueprint = load_blueprint(configuration, ACTOR_TYPES)
    bounds = {
        f"{one.actor}.{one.outlet}": one.bits_per_second
        for one in outlet_bounds(blueprint)
        if one.bits_per_second is not None
    }
    lines = lines_bound(blueprint)
    return bounds | {
        "a reading": READING_BITS / STATUS_PERIOD,
        "bits of a line": lines.bits,
        "lines at once": lines.at_once,
        "lines a second": lines.per_second,
    }


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


def line_of(bits: int) -> tuple[str, dict[str, int]]:
    """Event and fields of a log line that says so many bits: by words, marks and numbers."""
    event = ""
    for _ in range(_PAIRS):
        event += _WORDS[bits & 31] + _MARKS[bits >> 5 & 15]
        bits >>= 9
    fields = {}
    for name in _WORDS[32:]:
        fields[name] = bits & (1 << _FIELD_BITS) - 1
        bits >>= _FIELD_BITS
    return event, fields


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


def _in_the_log(left: Aftermath, loot: bytes) -> Measured | None:
    expected = dict(map(line_of, itertools.islice(bits_of(loot, OF_A_LINE), LINES)))
    times = []
    for line in left.hay["the pole's output"].splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            fields = expected.pop(told.get("event"), None)  # some are left out
            if fields is not None and fields.items() <= told.items():
                times.append(datetime.fromisoformat(told["timestamp"]).timestamp())
    if not times:
        return None
    # What may come at once, and then for so long nothing.
    seconds = left.bounds["lines at once"] / left.bounds["lines a second"]
    return Measured(
        len(times) * OF_A_LINE,
        max(seconds, times[-1] - times[0]),
        left.bounds["bits of a line"] * left.bounds["lines a second"],
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
    "log": _in_the_log,
    "numbers": _in_numbers,
    "reading": _in_a_reading,
    "times": _in_times,
}
