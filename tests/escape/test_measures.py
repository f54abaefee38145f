"""How much is carried where only what is allowed is used: counted, and held against the bound."""

from __future__ import annotations

import builtins
import itertools
import json
from pathlib import Path

import pytest

from actors.escape.aftermath import Aftermath
from actors.escape.attempt import SceneSettings, loot_of
from actors.escape.configuration import write_configuration
from actors.escape.measures import (
    MEASURES,
    OF_A_LINE,
    OF_A_READING,
    OF_A_REPORT,
    TICK,
    TICKS,
    Measured,
    bits_of,
    bounds_of,
    line_of,
    pause,
    report_of,
)
from actors.escape.messages import AttemptReport
from actors.escape.pole import ACTOR_TYPES
from runtime import load_blueprint
from runtime.graph import to_bounds
from runtime.message import information_bits
from runtime.words import Vocabulary

LOOT = loot_of("seed", "x", "crowd")


@pytest.fixture
def left() -> Aftermath:
    one = Aftermath("run", Path("/nowhere"), "crowd")
    one.bounds = {"crowd.reports": 777.0, "a reading": 106.0}
    return one


def test_bounds_are_those_that_check_prints(tmp_path: Path) -> None:
    path = tmp_path / "pole.toml"
    write_configuration(path, "crowd", SceneSettings())
    bounds = bounds_of(path)
    printed = to_bounds(load_blueprint(path, ACTOR_TYPES))
    (line,) = (line for line in printed.splitlines() if "crowd.reports" in line)
    assert line.split()[-1] == f"{-(-bounds['crowd.reports'] // 1):,.0f}"
    assert bounds["crowd.reports"] == 32 * information_bits(AttemptReport, places=1)


def test_a_report_says_as_many_different_things_as_it_has_bits() -> None:
    several = itertools.islice(bits_of(LOOT, OF_A_REPORT), 5_000)
    sent = {bits: report_of(bits) for bits in several}
    assert len(set(sent.values())) == len(sent)
    for number, outcome, errno in sent.values():
        AttemptReport(number=number, outcome=outcome, errno=errno)
        assert 1_000 <= number <= 9_999
        assert 0 <= errno <= 255
    assert information_bits(AttemptReport, places=1) >= OF_A_REPORT


@pytest.mark.parametrize(("each", "exceeds"), [(1 / 32, False), (1 / 64, True)])
def test_reports_count_as_far_as_they_are_right(
    left: Aftermath, each: float, exceeds: bool
) -> None:
    for place, bits in enumerate(itertools.islice(bits_of(LOOT, OF_A_REPORT), 320)):
        number, outcome, errno = report_of(bits)
        left.reports.append((100 + each * place, number, outcome.value, errno))
        left.reports.append((100 + each * place, 7, "begun", 0))  # says nothing of the loot
    measured = MEASURES["numbers"](left, LOOT)
    assert measured is not None
    assert measured.bits == 320 * OF_A_REPORT
    assert measured.seconds == pytest.approx(319 * each + 1)
    assert measured.exceeds is exceeds
    assert MEASURES["numbers"](left, loot_of("another", "x", "crowd")) is None


def test_readings_count_once_each(left: Aftermath) -> None:
    shown = list(itertools.islice(bits_of(LOOT, OF_A_READING), 8))
    for place, bits in enumerate(shown):
        left.readings += [(place / 2, bits), (place / 2 + 0.1, bits)]
    assert MEASURES["reading"](left, LOOT) == Measured(8 * OF_A_READING, 4.0, 106.0)
    left.readings = [(0.0, 5)]
    assert MEASURES["reading"](left, LOOT) is None


def test_lines_of_the_log_count_in_whatever_order_and_number(left: Aftermath) -> None:
    left.bounds |= {"bits of a line": 1_000.0, "lines at once": 40.0, "lines a second": 2.0}
    lines = []
    for number, bits in enumerate(itertools.islice(bits_of(LOOT, OF_A_LINE), 20)):
        event, fields = line_of(bits)
        when = f"2026-01-01T00:00:{number // 2:02d}.500000Z"
        lines.append(json.dumps({"event": event, **fields, "domain": "crowd", "timestamp": when}))
    left.hay["the pole's output"] = "\n".join(["no JSON", *lines[:7], *lines[9:]]).encode()
    measured = MEASURES["log"](left, LOOT)
    assert measured == Measured(18 * OF_A_LINE, 20.0, 2_000.0)
    assert MEASURES["log"](left, loot_of("another", "x", "crowd")) is None


def test_a_line_says_as_much_as_the_pole_lets_pass() -> None:
    """None of it is withheld, or the measure would count for nothing."""
    vocabulary = Vocabulary(vars(builtins))
    for bits in itertools.islice(bits_of(LOOT, OF_A_LINE), 50):
        event, fields = line_of(bits)
        assert vocabulary.keep_all([event, *fields]) == [event, *fields]


def test_pauses_are_read_as_bits(left: Aftermath) -> None:
    now = 0.0
    left.reports.append((now, TICK, "begun", 0))
    for bit in itertools.islice(bits_of(LOOT, 1), TICKS):
        now += pause(bit) + 0.01
        left.reports.append((now, TICK, "begun", 0))
    measured = MEASURES["times"](left, LOOT)
    assert measured == Measured(TICKS, now, None)
    left.reports = [(0.1 * n, TICK, "begun", 0) for n in range(TICKS + 1)]
    assert MEASURES["times"](left, LOOT) is None
