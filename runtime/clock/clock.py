"""The clock: judges what the wall clock shows, and goes on by itself where that can't be right."""

from __future__ import annotations

__all__ = ["RELEASED", "Clock"]

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from runtime.clock.alarm import Alarm, Fault
from runtime.clock.journal import Boot, Journal, Notes
from runtime.clock.kernel import Look, look
from runtime.clock.timeline import Basis, Timeline

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND

RELEASED = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * _SECOND
"""No pole runs this software before (µs since 1970). To be moved on with releases; an old one only
finds fewer clocks implausible."""
_LAST_YEARS = RELEASED + 20 * 365 * _DAY
"""Later than this no clock is believed before a time is known."""
_LONGEST_OFF = 400 * _DAY
"""A clock that is farther ahead after a start is implausible."""
_STEP = 2 * _SECOND
"""A smaller change of the wall clock is none: leap seconds are one second (UTC)."""
_DRIFT = 500
"""Parts per million: the kernel's own bound for a clock that nobody corrects (ntp_adjtime)."""
_BATTERY_STEP = 60 * _SECOND
"""How far a battery clock may be behind at a start. It counts whole seconds, and drifts."""
_PROVING = 3600 * _SECOND
"""For so long a synchronised clock must contradict what was known before it is believed."""
_BEAT = 30 * _SECOND
"""How often the journal is written."""
_LAPSE = _DAY
"""After so long without synchronisation there is an alarm."""


class Clock:
    """Tells the time from the wall clock, the boottime, the boot id, the kernel's word on whether
    the wall clock is synchronised, and a journal of what was known before. The rule:

    1. While the computer runs, only its boottime counts. No change of the wall clock moves the
       time, unless the kernel says that it is synchronised.
    2. Once the clock is synchronised, its time is the time of the whole boot, the past included.
       A clock that is ahead of what was known in this boot, or 400 days ahead of the last time
       that was known in another, must stay so for an hour before it is followed.
    3. Until then, time goes on from where it was known last, as if the pole had not been off: it
       is then at least so late.
    4. A boot that never was synchronised is counted as late as it can have been: directly before
       the next one. So nothing of it is found older than it is.
    5. Where no time has ever been known, the wall clock's is taken if it is plausible.

    With ``battery_clock`` the operator vouches for the computer's own clock: what it shows at a
    start counts as known if it is plausible.

    Whoever shares its journal must not use it at the same time. All methods block.
    """

    def __init__(
        self,
        journal: Path,
        *,
        battery_clock: bool = False,
        look: Callable[[], Look] = look,
    ) -> None:
        self._journal = Journal(journal)
        self._battery_clock = battery_clock
        self._look = look
        self._alarms: list[Alarm] = []
        self._notes: Notes | None = None
        self._candidate: tuple[int, int] | None = None
        """Offset of a synchronised clock that contradicts what is known, and since when."""
        self._written = -_BEAT

    def take_alarms(self) -> list[Alarm]:
        """What was found wrong since the last call."""
        alarms, self._alarms = self._alarms, []
        return alarms

    def read(self) -> Timeline:
        """Look at the clocks and judge. To be called at least once a minute.

        Raises OSError only where the journal is there and can't be read.
        """
        seen = self._look()
        notes, boot, is_new = self._boot(seen)
        before = (boot.basis, boot.wall, boot.lapsed)
        expected = boot.offset
        wall = seen.wall - seen.boottime
        self._judge(boot, seen, wall, is_new=is_new)
        self._watch(boot, seen, wall, expected, is_new=is_new)
        boot.last = max(boot.last, seen.boottime)
        moved = abs(boot.offset - expected) > _STEP
        changed = is_new or moved or before != (boot.basis, boot.wall, boot.lapsed)
        self._note(notes, at_once=changed)
        return _timeline(notes, seen)

    def account_for(self, boots: Mapping[str, tuple[int, int]]) -> None:
        """Tell of which boots something is left: by boot id, the latest boottime of something,
        and the time (µs since 1970) that the wall clock showed then.

        The journal forgets the others. One that it does not know, because it was lost, is taken in
        with what the wall clock showed; but it was over before this boot began. Raises as ``read``.
        """
        if self._notes is None:
            self.read()
        notes = self._notes
        assert notes is not None
        current = notes.boots[-1]
        known = {boot.id for boot in notes.boots}
        unknown = sorted(boots.keys() - known, key=lambda name: boots[name][1])
        wanted = {*boots, notes.began_in, current.id}
        if not unknown and known <= wanted:
            return
        kept = [boot for boot in notes.boots[:-1] if boot.id in wanted]
        notes.boots = [*kept, *(_claimed(name, *boots[name]) for name in unknown), current]
        if unknown:
            text = (
                f"the clock's journal does not know {len(unknown)} starts of the computer from "
                "which something was kept: that counts as recorded when the wall clock said so"
            )
            self._alarms.append(Alarm(Fault.FORGOTTEN, 0, text))
        self._note(notes, at_once=True)

    # -- the journal ------------------------------------------------------------------------

    def _boot(self, seen: Look) -> tuple[Notes, Boot, bool]:
        """The notes, what they say of the present boot, and whether it is seen for the first
        time."""
        if self._notes is None:
            try:
                self._notes = self._journal.read()
            except ValueError:
                text = "the clock's journal is damaged, and a new one is begun"
                self._alarms.append(Alarm(Fault.FORGOTTEN, 0, text))
        notes = self._notes
        if notes is not None and notes.boots[-1].id == seen.boot:
            return notes, notes.boots[-1], False
        boot = _begin(seen, notes.boots if notes is not None else [])
        if notes is None:
            notes = self._notes = Notes(began_in=boot.id, began=seen.boottime, boots=[boot])
        else:
            notes.boots.append(boot)
        self._candidate = None
        return notes, boot, True

    def _note(self, notes: Notes, *, at_once: bool) -> None:
        latest = notes.boots[-1].last
        if not (at_once or latest - self._written >= _BEAT):
            return
        try:
            self._journal.write(notes)
        except OSError:
            # A full disk. Time goes on; only, after a power cut, it goes on from earlier.
            return
        self._written = latest

    # -- the rule ---------------------------------------------------------------------------

    def _judge(self, boot: Boot, seen: Look, wall: int, *, is_new: bool) -> None:
        """Have the time of this boot be that of the wall clock, if that is to be believed."""
        if seen.wall < RELEASED or not (
            seen.synchronised or (is_new and self._battery_clock and _is_plausible(boot, wall))
        ):
            self._candidate = None
            return
        if not seen.synchronised:
            boot.offset = max(boot.offset, wall)
            boot.basis, boot.anchored = Basis.BATTERY, True
            return
        if wall - boot.offset > _surprising(boot, seen) and not self._has_proved(wall, seen):
            return
        boot.offset, boot.basis, boot.anchored = wall, Basis.SYNCHRONISED, True
        boot.checked, boot.lapsed = seen.boottime, False
        self._candidate = None

    def _has_proved(self, wall: int, seen: Look) -> bool:
        if self._candidate is None or abs(wall - self._candidate[0]) > _STEP:
            self._candidate = wall, seen.boottime
        return seen.boottime - self._candidate[1] >= _PROVING

    # -- alarms -----------------------------------------------------------------------------

    def _watch(self, boot: Boot, seen: Look, wall: int, expected: int, *, is_new: bool) -> None:
        """Say what is wrong with the wall clock, once; ``expected`` is the offset before it was
        judged."""
        jump = wall - (expected if is_new else boot.wall)
        is_early = seen.wall < RELEASED
        is_far = jump > _LONGEST_OFF if boot.anchored else seen.wall > _LAST_YEARS
        fault = None
        if is_new:
            if is_early or is_far:
                fault = Fault.IMPLAUSIBLE
            elif jump < -_BATTERY_STEP:
                fault = Fault.BACK
            boot.wall = wall
        elif abs(jump) > _STEP:
            fault = Fault.AHEAD if jump > 0 else Fault.BACK
            if is_early or is_far:
                fault = Fault.IMPLAUSIBLE
            boot.wall = wall
        if fault is not None:
            is_followed = abs(wall - boot.offset) <= _STEP
            self._alarms.append(Alarm(fault, jump // _SECOND, _words(fault, jump, is_followed)))
        if (
            boot.basis is not Basis.BATTERY
            and not boot.lapsed
            and seen.boottime - boot.checked > _LAPSE
        ):
            boot.lapsed = True
            self._alarms.append(
                Alarm(Fault.UNSYNCHRONISED, 0, _words(Fault.UNSYNCHRONISED, 0, False))
            )


def _begin(seen: Look, earlier: list[Boot]) -> Boot:
    """A boot that is seen for the first time: at least as late as the one before ended."""
    least, anchored = RELEASED - seen.boottime, False
    before = [boot for boot in earlier if boot.basis is not Basis.CLAIMED]
    if before:
        least = max(least, before[-1].offset + before[-1].last)
        anchored = before[-1].anchored
    wall = seen.wall - seen.boottime
    believed = not anchored and RELEASED <= seen.wall <= _LAST_YEARS
    return Boot(
        id=seen.boot,
        last=seen.boottime,
        offset=max(least, wall) if believed else least,
        basis=Basis.COUNTED,
        wall=wall,
        anchored=anchored,
        checked=seen.boottime,
    )


def _claimed(name: str, last: int, claimed: int) -> Boot:
    offset = claimed - last
    return Boot(
        id=name,
        last=last,
        offset=offset,
        basis=Basis.CLAIMED,
        wall=offset,
        anchored=False,
        checked=0,
    )


def _is_plausible(boot: Boot, wall: int) -> bool:
    """Whether a battery clock's offset can be right."""
    if not boot.anchored:
        return wall + boot.last <= _LAST_YEARS
    return -_BATTERY_STEP <= wall - boot.offset <= _LONGEST_OFF


def _surprising(boot: Boot, seen: Look) -> int:
    """How far a synchronised clock may be ahead of what is known and be followed at once."""
    if boot.basis is Basis.SYNCHRONISED:
        return _STEP + (seen.boottime - boot.checked) * _DRIFT // 1_000_000
    return _LONGEST_OFF if boot.anchored else _LAST_YEARS - seen.boottime - boot.offset


def _timeline(notes: Notes, seen: Look) -> Timeline:
    """Each boot as it is known, but over before the next one began."""
    current = notes.boots[-1]
    offsets = {current.id: current.offset}
    next_began = current.offset
    for boot in reversed(notes.boots[:-1]):
        latest = next_began - boot.last
        offset = latest if boot.basis is Basis.COUNTED else min(boot.offset, latest)
        offsets[boot.id] = offset
        if boot.basis is not Basis.CLAIMED:
            next_began = offset
    return Timeline(
        now=current.offset + seen.boottime,
        boot=seen.boot,
        boottime=seen.boottime,
        basis=current.basis,
        wall=seen.wall,
        offsets=offsets,
        began=offsets[notes.began_in] + notes.began,
    )


def _words(fault: Fault, jump: int, is_followed: bool) -> str:
    seconds = abs(jump) // _SECOND
    what = {
        Fault.AHEAD: f"the wall clock jumped ahead by {seconds} s",
        Fault.BACK: f"the wall clock went back by {seconds} s",
        Fault.IMPLAUSIBLE: "the wall clock shows a time that can't be",
        Fault.UNSYNCHRONISED: "nobody has synchronised the wall clock for a day",
    }[fault]
    if is_followed:
        return f"{what}. It agrees now with what is known, or was synchronised: it is believed"
    return (
        f"{what}. It is not believed before it is synchronised; until then time is counted on from "
        "the last that was known, and nothing is deleted before its time"
    )
