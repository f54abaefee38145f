"""What is held stays, however old it is (guideline 7.1(4))."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

import actors.retention.actor as retention_module
from actors.custody.box import BOX
from actors.ledger.receipts import DeletionReason, RecordingsDeleted
from actors.recorder.capability import Deletion, RecordingExpiry
from runtime.channel import Queue
from tests.orders import Holder
from tests.recordings import START
from tests.unit.retention.test_retention import WEEKS, keep_segment, left, retention, run_for

MICRO = 1_000_000
AGE = int(WEEKS) * MICRO


async def test_a_held_segment_stays_until_its_hold_is_released_and_goes_at_the_next_sweep(
    tmp_path: Path,
) -> None:
    early = keep_segment(tmp_path, WEEKS + 7200)
    held = keep_segment(tmp_path, WEEKS + 3600)
    keep_segment(tmp_path, WEEKS + 30)
    holder = Holder(tmp_path)
    hold = holder.place(START - AGE - 3600 * MICRO, START - AGE - 3500 * MICRO)
    reports = Queue("ledger.receipts", RecordingsDeleted, capacity=9)
    actor = retention(tmp_path, reports)
    await run_for(actor, 86_400)
    assert left(tmp_path) == {held}
    assert sum(one.segments for one in reports.take_batch(9)) == 2
    holder.release(hold)
    await run_for(actor, 61)
    assert left(tmp_path) == set()
    (receipt,) = reports.take_batch(9)
    assert (receipt.reason, receipt.segments) == (DeletionReason.EXPIRED, 1)
    assert early not in left(tmp_path)


async def test_what_was_ordered_while_the_pole_was_off_is_held_at_its_start(tmp_path: Path) -> None:
    held = keep_segment(tmp_path, WEEKS + 3600)
    Holder(tmp_path).place(START - AGE - 3600 * MICRO, START - AGE, accepted=False)
    actor = retention(tmp_path)
    await actor.start()
    assert left(tmp_path) == {held}


async def test_other_cameras_places_and_times_are_not_held(tmp_path: Path) -> None:
    keep_segment(tmp_path, WEEKS + 3600)
    holder = Holder(tmp_path)
    long_ago, now = START - 2 * AGE, START
    holder.place(long_ago, now, places=("square",))
    holder.place(long_ago, now, cameras=("camera-9",))
    holder.place(long_ago, START - AGE - 3700 * MICRO)
    holder.place(START - AGE - 3470 * MICRO, now)
    await retention(tmp_path).start()
    assert left(tmp_path) == set()


async def test_where_nobody_can_say_what_is_held_nothing_is_deleted(tmp_path: Path) -> None:
    keep_segment(tmp_path, WEEKS + 3600)
    holder = Holder(tmp_path)
    holder.place(START - 3600 * MICRO, START)
    (order,) = (tmp_path / BOX).glob("*.order")
    order.rename(tmp_path / "away")
    actor = retention(tmp_path)
    with capture_logs() as log:
        await actor.start()
    assert len(left(tmp_path)) == 1
    assert actor.sweeps.value == 0
    assert "gone from the order box" in log[0]["reason"]
    (tmp_path / "away").rename(order)
    await run_for(actor, 1)
    assert left(tmp_path) == set()


async def test_a_hold_that_comes_while_deleting_saves_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [keep_segment(tmp_path, WEEKS + 3600 - 100 * number) for number in range(6)]
    monkeypatch.setattr(retention_module, "_AT_ONCE", 2)
    delete = RecordingExpiry.delete

    def interrupted(expiry: RecordingExpiry, part: list[str]) -> Deletion:
        if names[0] in part:
            Holder(tmp_path).place(START - 2 * AGE, START, accepted=False)
        return delete(expiry, part)

    monkeypatch.setattr(RecordingExpiry, "delete", interrupted)
    await retention(tmp_path).start()
    assert left(tmp_path) == set(names[2:])
