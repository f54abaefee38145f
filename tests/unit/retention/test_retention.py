from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from actors.custody.capability import HoldsView
from actors.ledger.receipts import ClockAlarm, DeletionReason, RecordingsDeleted, RoomAlarm
from actors.recorder.capability import RecordingExpiry, RecordingStore
from actors.recorder.files import CLOCK
from actors.recorder.index import name_of
from actors.retention.actor import Retention, RetentionSettings
from runtime import Domain, Duration, Outlet, Reading
from runtime.channel import Link, Queue
from runtime.clock import Clock, Look
from runtime.config import Document, convert
from tests.recordings import START, storage

T = TypeVar("T")
NOW = START / 1_000_000
HOUR, WEEKS = 3600.0, 14 * 86_400.0


class RetentionInVirtualTime(Retention, domain=Domain.SECURITY):
    """The same, by the loop's clock and without threads, which virtual time does not see."""

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


def virtual_look() -> Look:
    """Clocks that are right and go by the loop's."""
    passed = int(trio.current_time() * 1_000_000)
    return Look("boot", passed, START + passed, synchronised=True)


def retention(
    folder: Path,
    reports: Queue[RecordingsDeleted] | None = None,
    alarms: Queue[RoomAlarm] | None = None,
    faults: Queue[ClockAlarm] | None = None,
    look: Callable[[], Look] = virtual_look,
    **given: object,
) -> RetentionInVirtualTime:
    """The actor as the host would assemble it; the queues are where its outlets lead to."""
    recordings = storage(RecordingExpiry, folder, actor="retention")
    recordings._clock = Clock(folder / CLOCK, look=look)
    queue = reports or Queue("ledger.receipts", RecordingsDeleted, capacity=1000)
    alarms = alarms or Queue("ledger.receipts", RoomAlarm, capacity=1000)
    faults = faults or Queue("ledger.receipts", ClockAlarm, capacity=1000)
    return RetentionInVirtualTime(
        {
            "settings": RetentionSettings(**given),  # type: ignore[arg-type]
            "recordings": recordings,
            "holds": storage(HoldsView, folder, actor="retention"),
            "deletions": Outlet._mint("retention.deletions", RecordingsDeleted, [Link(queue)]),
            "room_alarms": Outlet._mint("retention.room_alarms", RoomAlarm, [Link(alarms)]),
            "clock_alarms": Outlet._mint("retention.clock_alarms", ClockAlarm, [Link(faults)]),
            "log": structlog.get_logger("retention"),
            **{name: Reading() for name in Retention.declaration.readings},
        }
    )


def keep_segment(folder: Path, age: float) -> str:
    """A finished segment whose first frame is so many seconds old at the test's beginning."""
    moment = int((NOW - age) * 1_000_000)
    segment = storage(RecordingStore, folder).open_segment(
        place="crossing", started_at=moment, codec="h264", width=64, height=48
    )
    segment.write(b"ciphertext")
    segment.finish(moment + 60_000_000)
    return segment.name


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.age*")}


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


async def run_for(actor: Retention, seconds: float) -> None:
    await actor.start()
    with trio.move_on_after(seconds):
        await actor.run()


async def test_the_first_sweep_is_over_before_it_counts_as_started(tmp_path: Path) -> None:
    keep_segment(tmp_path, WEEKS + 1)
    young = keep_segment(tmp_path, WEEKS - 1)
    actor = retention(tmp_path)
    await actor.start()
    assert left(tmp_path) == {young}
    assert (actor.sweeps.value, actor.segments_deleted.value) == (1, 1)


async def test_each_segment_is_gone_within_a_sweep_of_its_hour(tmp_path: Path) -> None:
    first = keep_segment(tmp_path, WEEKS - 30)
    second = keep_segment(tmp_path, WEEKS - HOUR)
    actor = retention(tmp_path)
    await actor.start()
    assert left(tmp_path) == {first, second}
    with trio.move_on_after(61):
        await actor.run()
    assert left(tmp_path) == {second}
    with trio.move_on_after(HOUR - 62):
        await actor.run()
    assert left(tmp_path) == {second}
    with trio.move_on_after(121):
        await actor.run()
    assert left(tmp_path) == set()


@settings(max_examples=25, deadline=None)
@given(
    ages=st.lists(st.integers(0, 3 * 3600), max_size=8),
    keep=st.integers(60, 3 * 3600),
    runs=st.integers(0, 2 * 3600),
    orphans=st.sets(st.integers(0, 7)),
)
async def test_what_is_left_is_young_enough_and_nothing_young_is_gone(
    ages: list[int], keep: int, runs: int, orphans: set[int]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        began = {}
        for number, age in enumerate(ages):
            if number in orphans:
                orphan = name_of("crossing", int((NOW - age) * 1_000_000))
                (folder / orphan).touch()
                began[orphan] = NOW - age
            else:
                began[keep_segment(folder, age)] = NOW - age
        actor = retention(folder, keep=Duration(keep), sweep=Duration(60))
        await run_for(actor, runs + 0.5)
        now = NOW + trio.current_time()
        for name, moment in began.items():
            if name in left(folder):
                assert now - moment <= keep + 60
            else:
                assert now - moment > keep
        assert actor.sweeps.value == runs // 60 + 1


async def test_one_that_cannot_be_deleted_holds_up_no_other(
    tmp_path: Path, log: list[EventDict]
) -> None:
    stuck, *_ = [keep_segment(tmp_path, WEEKS + age) for age in (30, 20, 10)]
    (tmp_path / stuck).unlink()
    (tmp_path / stuck).mkdir()
    actor = retention(tmp_path)
    await run_for(actor, 61)
    assert left(tmp_path) == {stuck}
    assert [event["segment"] for event in log if event["log_level"] == "error"] == [stuck] * 2
    (tmp_path / stuck).rmdir()
    await run_for(actor, 1)
    assert storage(RecordingExpiry, tmp_path).expired(2**60) == []
    assert actor.segments_deleted.value == 3


async def test_an_index_that_is_locked_or_broken_does_not_end_it(
    tmp_path: Path, log: list[EventDict]
) -> None:
    keep_segment(tmp_path, WEEKS + 1)
    actor = retention(tmp_path)
    index = (tmp_path / "index.db").read_bytes()
    (tmp_path / "index.db").write_bytes(b"broken" * 1000)
    await actor.start()
    assert actor.sweeps.value == 0
    assert "sweep not completed" in {event["event"] for event in log}
    (tmp_path / "index.db").write_bytes(index)
    with trio.move_on_after(61):
        await actor.run()
    assert left(tmp_path) == set()
    assert actor.sweeps.value == 1


async def test_what_was_deleted_is_reported_once(tmp_path: Path) -> None:
    for age in (300, 200, 100):
        keep_segment(tmp_path, WEEKS + age)
    keep_segment(tmp_path, WEEKS - 90)
    reports = Queue("ledger.receipts", RecordingsDeleted)
    await run_for(retention(tmp_path, reports), 130)
    assert reports.take_batch(9) == [
        RecordingsDeleted(
            reason=DeletionReason.EXPIRED,
            segments=3,
            oldest=int(NOW - WEEKS) - 300,
            newest=int(NOW - WEEKS) - 100,
        ),
        RecordingsDeleted(
            reason=DeletionReason.EXPIRED,
            segments=1,
            oldest=int(NOW - WEEKS) + 90,
            newest=int(NOW - WEEKS) + 90,
        ),
    ]


async def test_a_ledger_without_room_keeps_nothing_longer_and_is_told_later(
    tmp_path: Path,
) -> None:
    keep_segment(tmp_path, WEEKS + 10)
    keep_segment(tmp_path, WEEKS - 30)
    keep_segment(tmp_path, WEEKS - 90)
    reports = Queue("ledger.receipts", RecordingsDeleted, capacity=1)
    actor = retention(tmp_path, reports)
    await run_for(actor, 61)
    assert actor.segments_deleted.value == 2
    assert [one.segments for one in reports.take_batch(9)] == [1]
    with trio.move_on_after(61):
        await actor.run()
    assert [(one.segments, one.newest - one.oldest) for one in reports.take_batch(9)] == [(2, 60)]
    assert left(tmp_path) == set()


async def test_what_is_not_reported_yet_is_reported_when_it_stops(tmp_path: Path) -> None:
    keep_segment(tmp_path, WEEKS + 10)
    keep_segment(tmp_path, WEEKS - 30)
    reports = Queue("ledger.receipts", RecordingsDeleted, capacity=1)
    actor = retention(tmp_path, reports)
    await run_for(actor, 61)
    reports.take_batch(1)
    await actor.stop()
    assert [one.segments for one in reports.take_batch(9)] == [1]
    await actor.stop()
    assert reports.statistics().waiting == 0


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('keep = "14d"', ""),
        ('keep = "1min"\nsweep = "1s"', ""),
        ("", ""),
        ('keep = "15d"', "7.1(3)"),
        ('keep = "336.001h"', "7.1(3)"),
        ('keep = "59s"', "at least 1min"),
        ('sweep = "61s"', "at most 1min"),
        ('sweep = "0s"', "at least 100ms"),
    ],
)
def test_it_can_be_made_shorter_and_never_longer(written: str, problem: str) -> None:
    document = Document("pole.toml", written, Path())
    settings = convert(document, document.data, (), RetentionSettings)
    assert problem in "\n".join(map(str, document.problems))
    assert (settings is None) == bool(problem) == bool(document.problems)
    if settings is not None:
        assert settings.keep <= WEEKS
        assert json.dumps(settings.headline()).startswith('"keeps ')
