"""What is kept of earlier starts of the computer, lost, damaged and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.clock import Fault
from tests.unit.runtime.clock.machine import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    START,
    Battery,
)
from tests.unit.runtime.clock.pole import Pole, synchronised


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    return data.replace(b'"last":', b'"last":9', 1)


def _empty(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_cut, _flip, _empty])
def test_a_damaged_journal_is_found_and_begun_anew(
    pole: Pole, damage: Callable[[bytes], bytes]
) -> None:
    synchronised(pole)
    one = pole.machine.record()
    pole.path.write_bytes(damage(pole.path.read_bytes()))
    pole.reboot(DAY, Battery.GOOD)
    assert pole.faults() == [Fault.FORGOTTEN]
    pole.clock.account_for({one.boot: (one.boottime, one.claimed)})
    assert pole.faults() == [Fault.FORGOTTEN]
    assert pole.age(one) == DAY + SECOND


def test_what_a_lost_journal_told_of_counts_by_the_wall_clock_but_never_from_the_future(
    pole: Pole,
) -> None:
    pole.machine.set_by(5 * 365 * DAY)
    pole.read()
    wrong = pole.machine.record()
    pole.run(MINUTE)
    pole.path.unlink()
    pole.machine.set_by(-pole.machine.error)
    pole.reboot(HOUR, Battery.GOOD)
    synchronised(pole)
    boots = {wrong.boot: (wrong.boottime, wrong.claimed)}
    pole.clock.account_for(boots)
    assert pole.faults() == [Fault.FORGOTTEN]
    assert 0 <= pole.age(wrong) <= 2 * SECOND
    began = pole.machine.now
    for _ in range(3):
        pole.reboot(DAY, Battery.GOOD)
        synchronised(pole)
        pole.clock.account_for(boots)
    assert pole.age(wrong) >= pole.machine.now - began
    assert pole.faults() == []


def test_what_has_no_boot_id_was_recorded_before_the_journal_was_begun(pole: Pole) -> None:
    synchronised(pole)
    pole.run(HOUR)
    future, past = START + 365 * DAY, START - 3 * DAY
    timeline = pole.read()
    assert timeline.moment("", 0, past) == past
    assert timeline.moment("", 0, future) == timeline.began == START
    assert timeline.claims_before(START - DAY) == START - DAY
    assert timeline.claims_before(START + 1) > future
    # And that stays so over reboots, and when nothing is left of that first boot.
    pole.reboot(DAY, Battery.DEAD)
    synchronised(pole)
    pole.clock.account_for({})
    pole.reboot(DAY, Battery.DEAD)
    synchronised(pole)
    pole.clock.account_for({})
    assert pole.read().began == START


def test_a_boot_that_nobody_told_of_counts_by_the_wall_clock_but_never_from_the_future(
    pole: Pole,
) -> None:
    timeline = synchronised(pole)
    assert timeline.moment("f" * 32, 1, START - DAY) == START - DAY
    assert timeline.moment("f" * 32, 1, START + DAY) == timeline.now


def test_the_boottimes_before_a_moment_are_those_of_what_is_older(pole: Pole) -> None:
    synchronised(pole)
    first = pole.machine.record()
    pole.reboot(DAY, Battery.GOOD)
    synchronised(pole)
    second = pole.machine.record()
    timeline = pole.read()
    for moment in (first.at, first.at + 1, second.at, second.at + 1):
        before = timeline.boottimes_before(moment)
        for one in (first, second):
            is_older = timeline.moment(one.boot, one.boottime, one.claimed) < moment
            assert (one.boottime < before[one.boot]) == is_older


def test_a_disk_that_is_full_stops_no_clock(pole: Pole, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised(pole)

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.write", refuse)
        pole.run(HOUR)
        assert pole.read().now == pole.machine.now
    pole.run(MINUTE)
    assert pole.reboot(DAY, Battery.DEAD).now == pole.machine.now - DAY


def test_it_is_written_twice_a_minute_at_most(pole: Pole) -> None:
    synchronised(pole)
    written = set()
    for _ in range(60):
        pole.run(5 * SECOND, each=SECOND)
        written.add(pole.path.stat().st_mtime_ns)
    assert len(written) <= 11
    assert pole.path.stat().st_mode & 0o777 == 0o600


def test_boots_of_which_nothing_is_left_are_forgotten(pole: Pole) -> None:
    for _ in range(20):
        synchronised(pole)
        pole.reboot(10 * DAY, Battery.GOOD)
    synchronised(pole)
    # But for the first, in which the journal was begun, and those of the last weeks: an index that
    # was lost tells of none.
    pole.clock.account_for({})
    assert [int(boot, 16) for boot in sorted(pole.read().offsets)] == [0, 18, 19, 20]


def test_but_not_those_by_which_it_is_known_how_old_others_are(pole: Pole) -> None:
    """Something is held that was recorded when no time was known."""
    pole.read()
    one = pole.machine.record()
    pole.reboot(HOUR, Battery.DEAD)
    pole.run(3 * DAY, each=HOUR)
    pole.reboot(HOUR, Battery.DEAD)
    pole.clock.account_for({one.boot: (one.boottime, one.claimed)})
    assert pole.age(one) == 3 * DAY + 2 * SECOND
    synchronised(pole)
    known = pole.machine.boot
    for _ in range(2):
        pole.reboot(20 * DAY, Battery.DEAD)
        synchronised(pole)
        pole.clock.account_for({one.boot: (one.boottime, one.claimed)})
    assert pole.age(one) == 43 * DAY + 4 * SECOND
    assert known in pole.read().offsets


def test_one_that_the_journal_does_not_know_says_nothing_of_the_others(pole: Pole) -> None:
    synchronised(pole)
    one = pole.machine.record()
    pole.reboot(DAY, Battery.GOOD)
    synchronised(pole)
    past, future = (5 * SECOND, START - 1000 * DAY), (5 * SECOND, START + 1000 * DAY)
    pole.clock.account_for(
        {one.boot: (one.boottime, one.claimed), "e" * 32: future, "f" * 32: past}
    )
    assert pole.age(one) == DAY + SECOND
    assert pole.read().moment("f" * 32, *past) == START - 1000 * DAY
    assert pole.read().moment("e" * 32, *future) == pole.machine.began[pole.machine.boot]


def test_a_journal_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    pole = Pole(tmp_path)
    pole.path.mkdir()
    with pytest.raises(OSError, match="directory"):
        pole.read()
    assert pole.path.is_dir()
