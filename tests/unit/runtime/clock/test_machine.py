"""Whatever a computer's clocks do, nothing is found older than it is; and nothing younger once the
time is known."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.clock import Clock, Timeline
from tests.unit.runtime.clock.machine import (
    DAY,
    HOUR,
    MEMORY,
    MINUTE,
    SECOND,
    Battery,
    Machine,
    Recorded,
)

_UNSEEN = 60 * SECOND
"""How long before a power cut the clock was read last, at most."""
_UNNOTED = _UNSEEN + 30 * SECOND
"""And how long before it the journal was written last."""
_EXACT = 5 * SECOND
"""Leap seconds, of which there are two at most, and changes that pass for none."""

times = st.one_of(
    st.integers(0, MINUTE), st.integers(0, HOUR), st.integers(0, 3 * DAY), st.integers(0, 40 * DAY)
)
steps = st.one_of(
    st.integers(-5 * SECOND, 5 * SECOND),
    st.integers(-30 * DAY, 30 * DAY),
    st.sampled_from([365 * DAY, -365 * DAY, 28 * 365 * DAY, -57 * 365 * DAY]),
)


class ClockAgainstTruth(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(dir=MEMORY)
        self.path = Path(self.folder.name) / "clock.json"
        self.machine = Machine()
        self.clock = self.new_clock()
        self.recorded: list[Recorded] = []
        self.known: set[str] = set()
        """Boots of which the time was known once."""
        self.ran: dict[str, int] = {}
        """Their last boottimes, as far as the clock was read."""
        self.leaps = 0
        self.timeline: Timeline = self.clock.read()
        self.note()

    def teardown(self) -> None:
        self.folder.cleanup()

    def new_clock(self) -> Clock:
        return Clock(self.path, look=lambda: self.machine.look())

    def note(self) -> None:
        if self.machine.synchronised:
            self.known.add(self.machine.boot)
        self.ran[self.machine.boot] = self.machine.boottime

    # -- what happens -----------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        self.timeline = self.clock.read()
        self.note()

    @rule(time=times, look=st.booleans())
    def time_passes(self, time: int, look: bool) -> None:
        """Asleep where nobody looks meanwhile."""
        self.machine.pass_time(time)
        self.look()
        if not look:
            self.machine.pass_time(time)
            self.look()

    @rule(before=st.integers(0, _UNSEEN))
    def record(self, before: int) -> None:
        self.recorded.append(self.machine.record())
        self.machine.pass_time(before)
        self.look()

    @rule()
    def ntp(self) -> None:
        self.machine.synchronise()
        self.look()

    @rule()
    def ntp_is_lost(self) -> None:
        self.machine.lose_synchronisation()
        self.look()

    @rule(step=steps)
    def somebody_sets_the_clock(self, step: int) -> None:
        self.machine.set_by(step)
        self.look()

    @precondition(lambda self: self.leaps < 2)
    @rule(step=st.sampled_from([SECOND, -SECOND]))
    def leap_second(self, step: int) -> None:
        self.leaps += 1
        self.machine.error += step
        self.look()

    @rule(
        unseen=st.integers(0, _UNSEEN),
        record=st.booleans(),
        off=times,
        battery=st.sampled_from(Battery),
        year=st.sampled_from(["1970", "2000", "2021"]),
        step=steps,
        delay=st.integers(0, MINUTE),
    )
    def power_cut(
        self,
        unseen: int,
        record: bool,
        off: int,
        battery: Battery,
        year: str,
        step: int,
        delay: int,
    ) -> None:
        self.machine.pass_time(unseen)
        if record:
            self.recorded.append(self.machine.record())
        self.machine.reboot(off, battery, year=year, step=step, delay=delay)
        self.clock = self.new_clock()
        self.look()

    @rule(length=st.integers(0, 400))
    def power_cut_while_the_journal_is_written(self, length: int) -> None:
        """The new one is there in part and not in its place."""
        before = self.path.read_bytes()
        self.machine.pass_time(MINUTE)
        self.clock.read()
        after = self.path.read_bytes()
        self.path.write_bytes(before)
        self.path.with_name("clock.json.new").write_bytes(after[:length])
        self.machine.reboot(HOUR, Battery.GOOD)
        self.clock = self.new_clock()
        self.look()

    @rule()
    def the_actor_crashes(self) -> None:
        self.clock = self.new_clock()
        self.look()

    @rule(held=st.integers(0, 2), left=st.integers(0, 3))
    def what_is_old_and_not_held_is_deleted(self, held: int, left: int) -> None:
        newest = self.recorded[held:][-left:] if left else []
        self.recorded = [*self.recorded[:held], *newest]
        boots: dict[str, tuple[int, int]] = {}
        for one in self.recorded:
            boots[one.boot] = max(boots.get(one.boot, (0, 0)), (one.boottime, one.claimed))
        self.clock.account_for(boots)
        self.look()

    # -- what holds -------------------------------------------------------------------------

    def age(self, one: Recorded) -> int:
        return self.timeline.now - self.timeline.moment(one.boot, one.boottime, one.claimed)

    @invariant()
    def nothing_is_found_older_than_it_is(self) -> None:
        for one in self.recorded:
            assert self.age(one) <= self.machine.now - one.at + _EXACT

    @invariant()
    def nothing_is_found_younger_once_its_time_is_known(self) -> None:
        if self.machine.boot not in self.known:
            return
        assert self.timeline.is_known
        assert abs(self.timeline.now - self.machine.now) <= _EXACT
        for one in self.recorded:
            if one.boot in self.known:
                assert self.age(one) >= self.machine.now - one.at - _EXACT

    @invariant()
    def what_was_recorded_without_a_known_time_is_from_before_the_next_known_boot(self) -> None:
        for one in self.recorded:
            later = [boot for boot in self.machine.began if boot > one.boot and boot in self.known]
            if later and self.machine.boot in self.known:
                moment = self.machine.now - self.age(one)
                assert moment <= self.machine.began[later[0]] + _UNNOTED + _EXACT

    @invariant()
    def what_is_said_to_be_certain_is_true(self) -> None:
        """Once a time has been known at all: before, the wall clock is all that there is."""
        for one in self.recorded:
            first, last = self.timeline.span(one.boot, one.boottime, one.claimed)
            if self.known and min(self.known) <= one.boot:
                assert first - _EXACT <= one.at <= last + _EXACT
            if one.boot in self.known:
                assert last - first <= 0

    @invariant()
    def at_least_the_time_that_the_pole_ran_counts(self) -> None:
        for one in self.recorded:
            later = [ran for boot, ran in self.ran.items() if boot > one.boot]
            ran = sum(later) + self.ran[one.boot] - one.boottime
            assert self.age(one) >= ran - _EXACT - _UNNOTED * len(later)


ClockAgainstTruth.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
TestClockAgainstTruth = ClockAgainstTruth.TestCase
