"""The clock: judges what the wall clock shows, and goes on by itself where that can't be right."""

from __future__ import annotations

__all__ = ["RELEASED", "Clock"]

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from runtime.clock.alarm import Alarm, Fault
from runtime.clock.journal import Boot, Journal, Notes
from runtime.clock.kernel import Look, look
from runtime.clock.timeline import EVER, Basis, Timeline

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
_LATELY = 30 * _DAY
_MOST_ALARMS = 64
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
        self._notes: Notes | None = None
        self._candidate: tuple[int, int] | None = None
        """Offset of a synchronised clock that contradicts what is known, and since when."""
        self._written = -_BEAT

    def take_alarms(self) -> list[Alarm]:
        """What was found wrong since the last call, by whoever used this journal before too."""
        notes = self._notes
        if notes is None or not notes.alarms:
            return []
        alarms, notes.alarms = notes.alarms, []
        self._note(notes, at_once=True)
        return alarms

    def read(self) -> Timeline:
        """Look at the clocks and judge. To be called at least once a minute.

        Raises OSError only where the journal is there and can't be read.
        """
        seen = self._look()
        notes, boot, is_new = self._boot(seen)
        wall = seen.wall - seen.boottime
        expected, basis = boot.offset, boot.basis
        is_absurd = seen.wall < RELEASED or _is_far(boot, seen)
        self._judge(boot, seen, wall)
        alarms = _watch(boot, seen, wall, expected, is_new=is_new, is_absurd=is_absurd)
        notes.alarms = [*notes.alarms, *alarms][-_MOST_ALARMS:]
        boot.last = max(boot.last, seen.boottime)
        moved = basis is not boot.basis or abs(boot.offset - expected) > _STEP
        self._note(notes, at_once=is_new or moved or bool(alarms))
        return _timeline(notes, seen)

    def account_for(self, boots: Mapping[str, tuple[int, int]]) -> None:
        """Tell of which boots something is left: by boot id, the latest boottime of something,
        and the time (µs since 1970) that the wall clock showed then.

        The journal forgets others that were over weeks ago. One that it does not know, because it
        was lost, is taken in with what the wall clock showed; but it was over before this boot
        began. Raises as ``read``.
        """
        if self._notes is None:
            self.read()
        notes = self._notes
        assert notes is not None
        current = notes.boots[-1]
        known = {boot.id for boot in notes.boots}
        unknown = sorted(boots.keys() - known, key=lambda name: boots[name][1])
        wanted = {*boots, notes.began_in, current.id}
        kept = _without(notes, wanted)
        if not unknown and len(kept) + 1 == len(known):
            return
        notes.boots = [*kept, *(_claimed(name, *boots[name]) for name in unknown), current]
        if unknown:
            text = (
                f"the clock's journal does not know {len(unknown)} starts of the computer from "
                "which something was kept: that counts as recorded when the wall clock said so"
            )
            notes.alarms.append(Alarm(Fault.FORGOTTEN, 0, text))
        self._note(notes, at_once=True)

    # -- the journal ------------------------------------------------------------------------

    def _boot(self, seen: Look) -> tuple[Notes, Boot, bool]:
        """The notes, what they say of the present boot, and whether it is seen for the first
        time."""
        alarms: list[Alarm] = []
        if self._notes is None:
            try:
                self._notes = self._journal.read()
            except ValueError:
                text = "the clock's journal is damaged, and a new one is begun"
                alarms.append(Alarm(Fault.FORGOTTEN, 0, text))
        notes = self._notes
        if notes is not None and notes.boots[-1].id == seen.boot:
            return notes, notes.boots[-1], False
        boot = _begin(seen, notes.boots if notes is not None else [])
        if notes is None:
            notes = self._notes = Notes(
                began_in=boot.id, began=seen.boottime, boots=[boot], alarms=alarms
            )
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

    def _judge(self, boot: Boot, seen: Look, wall: int) -> None:
        """Have the time of this boot be that of the wall clock, if that is to be believed."""
        if not seen.synchronised or seen.wall < RELEASED:
            self._candidate = None
            if self._battery_clock and _can_be_right(boot, seen, wall):
                boot.offset = max(boot.offset, wall)
                boot.basis, boot.anchored = Basis.BATTERY, True
            return
        if _is_surprising(boot, seen, wall) and not self._has_proved(wall, seen):
            return
        boot.offset, boot.basis, boot.anchored = wall, Basis.SYNCHRONISED, True
        boot.checked, boot.lapsed = seen.boottime, False
        self._candidate = None

    def _has_proved(self, wall: int, seen: Look) -> bool:
        if self._candidate is None or abs(wall - self._candidate[0]) > _STEP:
            self._candidate = wall, seen.boottime
        return seen.boottime - self._candidate[1] >= _PROVING


def _watch(
    boot: Boot, seen: Look, wall: int, expected: int, *, is_new: bool, is_absurd: bool
) -> list[Alarm]:
    """What is wrong with the wall clock and was not said yet. ``expected`` is the boot's offset
    before it was judged."""
    alarms: list[Alarm] = []
    jump = wall - (expected if is_new else boot.wall)
    is_jump = jump < -_BATTERY_STEP if is_new else abs(jump) > _STEP
    if is_absurd and (is_new or is_jump):
        alarms.append(_alarm(Fault.IMPLAUSIBLE, jump, boot, wall))
    elif is_jump:
        alarms.append(_alarm(Fault.AHEAD if jump > 0 else Fault.BACK, jump, boot, wall))
    if is_new or is_jump:
        boot.wall = wall
    is_overdue = seen.boottime - boot.checked > _LAPSE and boot.basis is not Basis.BATTERY
    if is_overdue and not boot.lapsed:
        boot.lapsed = True
        alarms.append(_alarm(Fault.UNSYNCHRONISED, 0, boot, wall))
    return alarms


def _alarm(fault: Fault, jump: int, boot: Boot, wall: int) -> Alarm:
    seconds = abs(jump) // _SECOND
    what = {
        Fault.AHEAD: f"the wall clock jumped ahead by {seconds} s",
        Fault.BACK: f"the wall clock went back by {seconds} s",
        Fault.IMPLAUSIBLE: "the wall clock shows a time that can't be",
        Fault.UNSYNCHRONISED: "nobody has synchronised the wall clock for a day",
    }[fault]
    rule = (
        "it is not believed until it is synchronised; time is counted on from the last that was "
        "known, and nothing is deleted before its time"
    )
    if fault is not Fault.UNSYNCHRONISED and abs(wall - boot.offset) <= _STEP:
        rule = "what it shows now agrees with what is known, and is believed"
    return Alarm(fault, seconds if jump > 0 else -seconds, f"{what}: {rule}")


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


def _without(notes: Notes, wanted: set[str]) -> list[Boot]:
    """Of earlier boots these, those without which less would be known of them, and those that were
    over lately: who tells what is wanted may have lost sight of some of it."""
    current = notes.boots[-1]
    lately = current.offset + current.last - _LATELY
    offsets = _offsets(notes)
    kept: list[Boot] = []
    before: Boot | None = None
    for boot in notes.boots[:-1]:
        is_claimed = boot.basis is Basis.CLAIMED
        is_known = not is_claimed and boot.basis is not Basis.COUNTED
        is_needed = is_known and before is not None and before.basis is Basis.COUNTED
        is_late = offsets[boot.id] + boot.last > lately
        if boot.id in wanted or is_needed or is_late:
            kept.append(boot)
            before = before if is_claimed else boot
        elif before is not None and boot.basis is Basis.COUNTED:
            # The next one began at least so much later.
            before.last += boot.last
    return kept


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


def _is_far(boot: Boot, seen: Look) -> bool:
    """Whether the wall clock is absurdly far ahead of what is known."""
    if not boot.anchored:
        return seen.wall > _LAST_YEARS
    return seen.wall - seen.boottime - boot.offset > _LONGEST_OFF


def _is_surprising(boot: Boot, seen: Look, wall: int) -> bool:
    """Whether a synchronised clock is too far ahead to be followed at once."""
    if boot.basis is not Basis.SYNCHRONISED:
        return _is_far(boot, seen)
    drift = (seen.boottime - boot.checked) * _DRIFT // 1_000_000
    return wall - boot.offset > _STEP + drift


def _can_be_right(boot: Boot, seen: Look, wall: int) -> bool:
    """Whether the computer's own clock may be believed, if it is good: it shows what it showed
    when the computer started, and that is plausible."""
    return (
        boot.basis is Basis.COUNTED
        and abs(wall - boot.wall) <= _STEP
        and seen.wall >= RELEASED
        and wall - boot.offset >= -_BATTERY_STEP
        and not _is_far(boot, seen)
    )


def _offsets(notes: Notes) -> dict[str, int]:
    """Of each boot as it is known, but over before the next one began."""
    current = notes.boots[-1]
    offsets = {current.id: current.offset}
    uncertain: dict[str, tuple[int, int]] = {}
    if current.basis is Basis.COUNTED and current.anchored:
        uncertain[current.id] = current.offset, EVER
    next_began = current.offset
    for boot in reversed(notes.boots[:-1]):
        latest = next_began - boot.last
        offset = latest if boot.basis is Basis.COUNTED else min(boot.offset, latest)
        offsets[boot.id] = offset
        if boot.basis is Basis.COUNTED:
            uncertain[boot.id] = min(boot.offset, latest), latest
        if boot.basis is not Basis.CLAIMED:
            next_began = offset
    return offsets


def _timeline(notes: Notes, seen: Look) -> Timeline:
    current = notes.boots[-1]
    offsets = _offsets(notes)
    uncertain: dict[str, tuple[int, int]] = {}
    # Where the present time is not known, neither is the latest at which the boots before can have
    # been. Where none was ever known, the wall clock is all that there is.
    is_bounded = current.basis is not Basis.COUNTED or not current.anchored
    for boot in reversed(notes.boots):
        if boot.basis is Basis.COUNTED and not (boot is current and is_bounded):
            latest = offsets[boot.id] if is_bounded else EVER
            uncertain[boot.id] = min(boot.offset, latest), latest
        elif boot.basis is not Basis.CLAIMED:
            is_bounded = True
    return Timeline(
        now=current.offset + seen.boottime,
        boot=seen.boot,
        boottime=seen.boottime,
        basis=current.basis,
        wall=seen.wall,
        offsets=offsets,
        began=offsets[notes.began_in] + notes.began,
        uncertain=uncertain,
    )
