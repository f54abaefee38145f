"""The rule, point by point; what can't be said in general stands in ``test_machine``."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.clock import RELEASED, Basis, Fault
from tests.unit.runtime.clock.machine import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    START,
    Battery,
)
from tests.unit.runtime.clock.pole import Pole, synchronised

# -- within a boot -----------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-400 * DAY, -HOUR, -3 * SECOND, 3 * SECOND, HOUR, 20 * DAY])
def test_a_clock_that_somebody_sets_moves_nothing(pole: Pole, step: int) -> None:
    synchronised(pole)
    one = pole.machine.record()
    pole.machine.set_by(step)
    assert pole.run(HOUR).now == pole.machine.now
    assert pole.age(one) == HOUR
    expected = Fault.AHEAD if step > 0 else Fault.BACK
    if START + step < RELEASED:
        expected = Fault.IMPLAUSIBLE
    assert pole.faults() == [expected]


@pytest.mark.parametrize("step", [-2 * SECOND, -SECOND, SECOND, 2 * SECOND])
def test_leap_seconds_and_small_corrections_are_followed_without_an_alarm(
    pole: Pole, step: int
) -> None:
    synchronised(pole)
    pole.machine.error += step
    assert pole.read().now == pole.machine.now + step
    assert pole.faults() == []


def test_small_steps_that_nobody_confirms_do_not_add_up(pole: Pole) -> None:
    synchronised(pole)
    for _ in range(100):
        pole.machine.set_by(2 * SECOND)
        pole.run(MINUTE)
    assert pole.read().now == pole.machine.now
    assert Fault.AHEAD in pole.faults()


def test_the_past_of_a_boot_is_corrected_with_its_present(pole: Pole) -> None:
    """Wrong year, either direction: what was recorded meanwhile gets its true time."""
    for error in (365 * DAY, -20 * DAY):
        pole.machine.set_by(error)
        pole.read()
        one = pole.machine.record()
        pole.run(HOUR)
        timeline = synchronised(pole)
        assert timeline.moment(one.boot, one.boottime, one.claimed) == one.at
        assert timeline.basis is Basis.SYNCHRONISED


@pytest.mark.parametrize(("ahead", "waits"), [(MINUTE, True), (DAY, True), (SECOND, False)])
def test_a_time_server_that_contradicts_itself_must_insist_for_an_hour(
    pole: Pole, ahead: int, waits: bool
) -> None:
    synchronised(pole)
    pole.machine.error = ahead
    assert (pole.read().now == pole.machine.now) == waits
    pole.run(HOUR - MINUTE)
    assert (pole.read().now == pole.machine.now) == waits
    assert pole.run(2 * MINUTE).now == pole.machine.now + ahead


def test_and_a_long_time_of_agreement_does_not_change_that(pole: Pole) -> None:
    synchronised(pole)
    pole.run(5 * DAY, each=HOUR)
    pole.machine.error = MINUTE
    assert pole.read().now == pole.machine.now
    assert pole.faults() == [Fault.AHEAD]


def test_one_that_changes_its_mind_or_falls_silent_begins_that_hour_anew(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.error = DAY
    pole.run(50 * MINUTE)
    pole.machine.error = 2 * DAY
    assert pole.run(50 * MINUTE).now == pole.machine.now
    pole.machine.lose_synchronisation()
    pole.read()
    pole.machine.synchronised = True
    assert pole.run(50 * MINUTE).now == pole.machine.now
    assert pole.run(11 * MINUTE).now == pole.machine.now + 2 * DAY


def test_back_it_is_followed_at_once_for_that_deletes_nothing(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.error = -DAY
    assert pole.read().now == pole.machine.now - DAY
    assert pole.faults() == [Fault.BACK]


@pytest.mark.parametrize("drift", [-100, 100])
def test_a_crystal_that_runs_wrong_for_two_weeks_costs_two_minutes(pole: Pole, drift: int) -> None:
    synchronised(pole)
    pole.machine.lose_synchronisation()
    pole.machine.drift = drift
    one = pole.machine.record()
    pole.run(14 * DAY, each=HOUR)
    assert abs(pole.age(one) - 14 * DAY) <= 150 * SECOND
    assert pole.faults() == [Fault.UNSYNCHRONISED]
    # What corrects it is no surprise, however far it has drifted.
    assert synchronised(pole).now == pole.machine.now


def test_before_the_release_of_this_software_nobody_is_believed(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.error = RELEASED - pole.machine.now - DAY
    assert pole.run(3 * HOUR).now == pole.machine.now
    assert pole.faults() == [Fault.IMPLAUSIBLE]


# -- from boot to boot -------------------------------------------------------------------------


@pytest.mark.parametrize("battery", list(Battery))
def test_until_it_is_synchronised_time_goes_on_as_if_the_pole_had_not_been_off(
    pole: Pole, battery: Battery
) -> None:
    synchronised(pole)
    one = pole.machine.record()
    timeline = pole.reboot(20 * DAY, battery, step=-5 * DAY)
    assert (timeline.now, timeline.basis, timeline.is_known) == (
        pole.machine.now - 20 * DAY, Basis.COUNTED, False,
    )  # fmt: skip
    assert pole.age(one) == SECOND
    synchronised(pole)
    assert pole.age(one) == 20 * DAY + SECOND


@pytest.mark.parametrize(
    ("battery", "given", "expected"),
    [
        (Battery.GOOD, {}, []),
        (Battery.FROZEN, {}, []),
        (Battery.DEAD, {"year": "1970"}, [Fault.IMPLAUSIBLE]),
        (Battery.DEAD, {"year": "2021"}, [Fault.IMPLAUSIBLE]),
        (Battery.SET, {"step": -21 * DAY}, [Fault.BACK]),
        (Battery.SET, {"step": -20 * DAY - 59 * SECOND}, []),
        (Battery.SET, {"step": 300 * DAY}, []),
        (Battery.SET, {"step": 381 * DAY}, [Fault.IMPLAUSIBLE]),
    ],
)
def test_what_is_said_of_a_clock_after_twenty_days_off(
    pole: Pole, battery: Battery, given: dict[str, object], expected: list[Fault]
) -> None:
    synchronised(pole)
    pole.reboot(20 * DAY, battery, **given)
    assert pole.faults() == expected
    pole.run(2 * HOUR)
    assert pole.faults() == []


def test_years_off_must_be_insisted_on_for_an_hour(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.reboot(500 * DAY, Battery.GOOD)
    pole.machine.synchronise()
    pole.restart()
    assert pole.run(HOUR).now == pole.machine.now - 500 * DAY
    assert pole.run(2 * MINUTE).now == pole.machine.now
    assert pole.faults() == [Fault.IMPLAUSIBLE]


def test_a_boot_that_never_knew_the_time_counts_as_the_one_before_the_next(pole: Pole) -> None:
    """The pole is off for a week on either side, and only then comes the time."""
    synchronised(pole)
    pole.reboot(7 * DAY, Battery.DEAD)
    one = pole.machine.record()
    pole.run(HOUR)
    pole.reboot(7 * DAY, Battery.DEAD)
    assert pole.age(one) == HOUR + SECOND
    synchronised(pole)
    assert pole.age(one) == HOUR + SECOND
    pole.run(14 * DAY, each=HOUR)
    assert pole.age(one) == 14 * DAY + HOUR + SECOND


def test_a_boot_that_knew_a_wrong_time_is_over_before_the_next_all_the_same(pole: Pole) -> None:
    """Its time server was a month ahead: what it recorded must not live a month longer."""
    pole.machine.error, pole.machine.synchronised = 30 * DAY, True
    pole.read()
    one = pole.machine.record()
    pole.run(HOUR)
    pole.reboot(HOUR, Battery.GOOD)
    synchronised(pole)
    assert pole.age(one) == HOUR + SECOND


@pytest.mark.parametrize("error", [-50 * 365 * DAY, -DAY, 0, DAY, 25 * 365 * DAY])
def test_where_no_time_was_ever_known_a_plausible_clock_is_taken(
    tmp_path: Path, error: int
) -> None:
    pole = Pole(tmp_path, error=error)
    timeline = pole.read()
    if RELEASED <= START + error < START + 20 * 365 * DAY:
        assert (timeline.now, pole.faults()) == (START + error, [])
    else:
        assert (timeline.now, pole.faults()) == (RELEASED, [Fault.IMPLAUSIBLE])
    assert timeline.basis is Basis.COUNTED
    one = pole.machine.record()
    pole.reboot(20 * DAY, Battery.GOOD)
    assert pole.age(one) == SECOND


def test_without_a_known_time_a_clock_that_goes_back_is_not_taken(tmp_path: Path) -> None:
    pole = Pole(tmp_path)
    pole.run(HOUR)
    timeline = pole.reboot(HOUR, Battery.SET, step=-DAY)
    assert timeline.now == START + HOUR + SECOND
    assert pole.faults() == [Fault.BACK]


def test_the_operator_may_vouch_for_the_battery_clock(tmp_path: Path) -> None:
    pole = Pole(tmp_path, battery_clock=True)
    assert pole.read().basis is Basis.BATTERY
    one = pole.machine.record()
    timeline = pole.reboot(20 * DAY, Battery.GOOD)
    assert (timeline.now, timeline.basis) == (pole.machine.now, Basis.BATTERY)
    assert pole.age(one) == 20 * DAY + SECOND
    pole.machine.set_by(DAY)
    assert pole.run(3 * DAY, each=HOUR).now == pole.machine.now
    assert pole.faults() == [Fault.AHEAD]
    # It counts whole seconds and drifts: somewhat behind is no fault, and time never goes back.
    timeline = pole.reboot(0, Battery.SET, step=-DAY - 50 * SECOND)
    assert (timeline.now, timeline.basis) == (pole.machine.now, Basis.BATTERY)
    assert pole.faults() == []


@pytest.mark.parametrize(
    ("battery", "given"),
    [
        (Battery.DEAD, {"year": "2000"}),
        (Battery.SET, {"step": -30 * DAY}),
        (Battery.SET, {"step": 400 * DAY}),
    ],
)
def test_but_only_where_it_can_be_right(
    tmp_path: Path, battery: Battery, given: dict[str, object]
) -> None:
    pole = Pole(tmp_path, battery_clock=True)
    pole.read()
    timeline = pole.reboot(20 * DAY, battery, **given)
    assert (timeline.now, timeline.basis) == (pole.machine.now - 20 * DAY, Basis.COUNTED)
    assert len(pole.faults()) == 1
    # Nor is it, once it was set by hand after the start.
    pole.machine.set_by(-pole.machine.error)
    assert pole.read().now == pole.machine.now - 20 * DAY


# -- alarms ------------------------------------------------------------------------------------


def test_an_alarm_is_told_once_and_not_lost_with_who_should_have_told_it(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.set_by(HOUR)
    pole.read()
    pole.restart()
    pole.read()
    (alarm,) = pole.clock.take_alarms()
    assert (alarm.fault, alarm.jump) == (Fault.AHEAD, 3600)
    assert "not believed" in alarm.text
    pole.run(HOUR)
    pole.restart()
    pole.read()
    assert pole.faults() == []
    synchronised(pole)
    (alarm,) = pole.clock.take_alarms()
    assert (alarm.fault, alarm.jump) == (Fault.BACK, -3600)
    assert "is believed" in alarm.text


def test_a_clock_that_nobody_synchronises_is_reported_after_a_day(pole: Pole) -> None:
    synchronised(pole)
    pole.machine.lose_synchronisation()
    pole.run(DAY, each=HOUR)
    assert pole.faults() == []
    pole.run(5 * DAY, each=HOUR)
    assert pole.faults() == [Fault.UNSYNCHRONISED]
    synchronised(pole)
    pole.machine.lose_synchronisation()
    pole.run(2 * DAY, each=HOUR)
    assert pole.faults() == [Fault.UNSYNCHRONISED]


def test_a_clock_that_flaps_fills_nothing(pole: Pole) -> None:
    for _ in range(500):
        pole.machine.set_by(HOUR)
        pole.read()
    assert len(pole.path.read_bytes()) < 40_000
    assert len(pole.faults()) == 64
