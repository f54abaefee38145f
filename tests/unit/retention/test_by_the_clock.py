"""Age goes by the pole's own clock: no jump of the wall clock deletes early or keeps long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from actors.ledger.receipts import ClockAlarm, ClockFault
from actors.recorder.capability import RecordingStore
from runtime import Duration
from runtime.channel import Queue
from runtime.clock import Look, boot_id
from tests.orders import Holder
from tests.recordings import START, storage
from tests.unit.retention.test_retention import HOUR, left, retention, run_for

MICRO = 1_000_000
YEAR = 365 * 86_400
KEEP = 2 * HOUR
UP = 70 * 86_400 * MICRO
"""For so long the computer runs when a test begins."""


class Clocks:
    """A computer's, of which the wall clock may be set."""

    def __init__(self) -> None:
        self.ahead = 0
        """Seconds by which the wall clock is."""
        self.synchronised = True

    @property
    def boottime(self) -> int:
        return UP + int(trio.current_time() * MICRO)

    def look(self) -> Look:
        wall = START + int(trio.current_time() + self.ahead) * MICRO
        return Look(boot_id(), self.boottime, wall, self.synchronised)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def record(folder: Path, clocks: Clocks) -> str:
    """A segment that begins now."""
    look = clocks.look()
    segment = storage(RecordingStore, folder).open_segment(
        place="crossing", started_at=look.wall, boottime=look.boottime, codec="h264", width=1,
        height=1,
    )  # fmt: skip
    segment.write(b"ciphertext")
    segment.finish(look.wall + 60 * MICRO)
    return segment.name


@pytest.mark.parametrize("ahead", [YEAR, -YEAR, 20 * 86_400, -3600, 90])
@pytest.mark.parametrize("when", ["while it is recorded", "afterwards", "both"])
async def test_a_wall_clock_that_jumps_moves_nothing(
    tmp_path: Path, clocks: Clocks, ahead: int, when: str
) -> None:
    faults = Queue("ledger.receipts", ClockAlarm, capacity=99)
    actor = retention(tmp_path, faults=faults, look=clocks.look, keep=Duration(KEEP))
    await actor.start()
    # Somebody sets it by hand, and so takes its being synchronised from it.
    clocks.ahead = ahead if when != "afterwards" else 0
    clocks.synchronised = clocks.ahead == 0
    name = record(tmp_path, clocks)
    clocks.ahead = ahead if when != "while it is recorded" else 0
    clocks.synchronised = clocks.ahead == 0
    with trio.move_on_after(KEEP - 1):
        await actor.run()
    assert left(tmp_path) == {name}
    with trio.move_on_after(62):
        await actor.run()
    assert left(tmp_path) == set()
    told = faults.take_batch(99)
    jumped = ClockFault.AHEAD if ahead > 0 else ClockFault.BACK
    if when == "afterwards":
        assert told[0].fault in (jumped, ClockFault.IMPLAUSIBLE)
        assert abs(told[0].jump - ahead) <= 1
        assert actor.clock_alarms_raised.value == len(told)
    assert actor.time_known.value == 1


async def test_a_hold_finds_what_was_recorded_by_a_wrong_wall_clock(
    tmp_path: Path, clocks: Clocks
) -> None:
    actor = retention(tmp_path, look=clocks.look, keep=Duration(KEEP))
    await actor.start()
    clocks.ahead, clocks.synchronised = -YEAR, False
    name = record(tmp_path, clocks)
    clocks.ahead, clocks.synchronised = 0, True
    Holder(tmp_path).place(START - 10 * MICRO, START + 10 * MICRO)
    with trio.move_on_after(3 * KEEP):
        await actor.run()
    assert left(tmp_path) == {name}


async def test_after_a_start_without_a_time_what_may_be_held_stays(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pole was off for a week, its battery is dead, and nobody tells it the time: so it can't
    tell whether what it records lies within a hold's times. It may, so it stays."""
    actor = retention(tmp_path, look=clocks.look, keep=Duration(KEEP))
    await actor.start()
    later = restarted(monkeypatch)
    after = retention(tmp_path, look=later, keep=Duration(KEEP))
    await after.start()
    name = later_record(tmp_path, later)
    day = 86_400 * MICRO
    hold = Holder(tmp_path)
    order = hold.place(START + 6 * day, START + 8 * day)
    with trio.move_on_after(KEEP + 62):
        await after.run()
    assert after.time_known.value == 0
    assert left(tmp_path) == {name}
    hold.release(order)
    await run_for(after, 61)
    assert left(tmp_path) == set()


def restarted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Look]:
    began = int(trio.current_time())
    boot = "f" * 32
    monkeypatch.setattr("actors.recorder.capability.boot_id", lambda: boot)

    def look() -> Look:
        passed = int(trio.current_time() - began) * MICRO
        return Look(boot, passed, passed, synchronised=False)  # 1970

    return look


def later_record(folder: Path, look: Callable[[], Look]) -> str:
    seen = look()
    segment = storage(RecordingStore, folder).open_segment(
        place="crossing", started_at=seen.wall, boottime=seen.boottime, codec="h264", width=1,
        height=1,
    )  # fmt: skip
    segment.finish(seen.wall + 60 * MICRO)
    return segment.name
