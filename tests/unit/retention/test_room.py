"""A disk that fills up: on a real small file system, and in virtual time."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import structlog
import trio
from structlog.typing import EventDict

import actors.retention.actor as retention_module
from actors.ledger.receipts import DeletionReason, RecordingsDeleted, RoomAlarm, RoomState
from actors.recorder.actor import Recorder
from actors.recorder.capability import RecordingStore
from actors.recorder.chain import chain_files
from actors.recorder.files import room_in
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import verify
from actors.retention.actor import Retention, RetentionSettings
from runtime import Actor, Domain, Inlet, Receipt, Size, inlet
from runtime.channel import Queue
from runtime.config import Document, convert
from runtime.specification import Backoff
from tests.orders import Holder
from tests.poles import actor_status, eventually, running_pole, sending
from tests.recordings import START, Manager, packet_run, storage
from tests.unit.retention.test_retention import (
    HOUR,
    WEEKS,
    keep_segment,
    left,
    retention,
    run_for,
)

MEGABYTE = 1_000_000


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


class Disk:
    """What statvfs says: room for so many bytes of recordings beside what else lies there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, total: int) -> None:
        self._folder = folder
        self.total = total
        self.others = 0
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    @property
    def free(self) -> int:
        # Each file stands for a megabyte.
        return self.total - self.others - len(left(self._folder)) * MEGABYTE

    def _statvfs(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(f_frsize=1, f_bavail=max(self.free, 0), f_blocks=self.total)


def keep_megabytes(folder: Path, ages: list[float]) -> list[str]:
    """Segments which the index takes for a megabyte each; the file is small."""
    names = [keep_segment(folder, age) for age in ages]
    with closing(sqlite3.connect(folder / "index.db", isolation_level=None)) as database:
        database.execute("update segments set bytes = ?", (MEGABYTE,))
    return names


def alarms(queue: Queue[RoomAlarm]) -> list[tuple[RoomState, int]]:
    return [(one.state, one.free_megabytes) for one in queue.take_batch(99)]


async def test_the_oldest_go_first_with_an_alarm_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[EventDict]
) -> None:
    disk = Disk(tmp_path, monkeypatch, total=100 * MEGABYTE)
    names = keep_megabytes(tmp_path, [HOUR * (60 - age) for age in range(60)])
    reports = Queue("ledger.receipts", RecordingsDeleted, capacity=99)
    told = Queue("ledger.receipts", RoomAlarm, capacity=99)
    actor = retention(tmp_path, reports, told, reserve=Size(16 * MEGABYTE))
    disk.others = 20 * MEGABYTE  # 20 MB are free
    await actor.start()
    assert left(tmp_path) == set(names)
    assert (actor.short_of_room.value, alarms(told)) == (0, [])
    disk.others = 30 * MEGABYTE  # 10 MB are free: 8 have to go, for 16 MB and an eighth of it
    with trio.move_on_after(6):
        await actor.run()
    assert left(tmp_path) == set(names[8:])
    assert reports.take_batch(9) == [
        RecordingsDeleted(
            reason=DeletionReason.ROOM,
            segments=8,
            oldest=int(START / 1e6 - 60 * HOUR),
            newest=int(START / 1e6 - 53 * HOUR),
        )
    ]
    assert (actor.deleted_for_room.value, actor.segments_deleted.value) == (8, 8)
    assert (actor.short_of_room.value, alarms(told)) == (1, [(RoomState.SHORT, 10)])
    with trio.move_on_after(610):
        await actor.run()
    assert (actor.short_of_room.value, alarms(told)) == (0, [(RoomState.ENOUGH, 18)])
    said = [event for event in log if "room" in event["event"]]
    assert [event["log_level"] for event in said] == ["error", "info", "warning"]
    assert left(tmp_path) == set(names[8:])


async def test_where_all_is_held_nothing_goes_and_that_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, monkeypatch, total=100 * MEGABYTE)
    names = keep_megabytes(tmp_path, [HOUR * (60 - age) for age in range(60)])
    holder = Holder(tmp_path)
    hold = holder.place(START - 100 * int(HOUR) * 1_000_000, START)
    told = Queue("ledger.receipts", RoomAlarm, capacity=99)
    actor = retention(tmp_path, None, told, reserve=Size(16 * MEGABYTE))
    disk.others = 35 * MEGABYTE
    await run_for(actor, 300)
    assert left(tmp_path) == set(names)
    assert actor.short_of_room.value == 2
    assert alarms(told) == [(RoomState.SHORT, 5), (RoomState.ALL_HELD, 5)]
    # Somebody else makes room, and takes it again.
    disk.others = 0
    await run_to(actor, 61)
    assert (actor.short_of_room.value, alarms(told)) == (0, [(RoomState.ENOUGH, 40)])
    disk.others = 35 * MEGABYTE
    holder.release(hold)
    await run_to(actor, 61)
    assert left(tmp_path) == set(names[13:])
    assert alarms(told) == [(RoomState.SHORT, 5)]


async def test_what_is_held_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, total=100 * MEGABYTE)
    names = keep_megabytes(tmp_path, [HOUR * (60 - age) for age in range(60)])
    Holder(tmp_path).place(START - 100 * int(HOUR) * 1_000_000, START - 50 * int(HOUR) * 1_000_000)
    disk.others = 30 * MEGABYTE
    actor = retention(tmp_path, reserve=Size(16 * MEGABYTE))
    await actor.start()
    # Hours 60 to 51 are held, and 50, too, for its first minute is as near as clocks tell.
    assert left(tmp_path) == set(names[:11] + names[19:])


async def run_to(actor: Retention, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await actor.run()


async def test_a_reserve_that_is_too_large_for_the_disk_does_not_empty_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(tmp_path, monkeypatch, total=40 * MEGABYTE)
    names = keep_megabytes(tmp_path, [HOUR * (20 - age) for age in range(20)])
    actor = retention(tmp_path, reserve=Size(10**12))
    await actor.start()
    assert left(tmp_path) == set(names)


async def test_an_open_segment_never_goes_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = keep_megabytes(tmp_path, [HOUR * (20 - age) for age in range(20)])
    being_written = storage(RecordingStore, tmp_path).open_segment(
        place="crossing", started_at=START - int(WEEKS / 2) * MEGABYTE, codec="h264", width=1,
        height=1,
    )  # fmt: skip
    disk = Disk(tmp_path, monkeypatch, total=40 * MEGABYTE)
    disk.others = 19 * MEGABYTE
    actor = retention(tmp_path, reserve=Size(8 * MEGABYTE))
    await actor.start()
    assert left(tmp_path) == {being_written.name + ".part", *names[9:]}
    being_written.cut(START, readable=False)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('reserve = "2GB"', ""), ('reserve = "1MB"', ""), ('reserve = "64 MiB"', ""),
        ('reserve = "999kB"', "at least 1MB"), ('reserve = "1 gigabyte"', 'a size such as "500MB"'),
        ("reserve = 5", 'a size such as "500MB"'),
    ],
)  # fmt: skip
def test_settings(written: str, problem: str) -> None:
    document = Document("pole.toml", written, Path())
    settings = convert(document, document.data, (), RetentionSettings)
    assert problem in "\n".join(map(str, document.problems))
    assert (settings is None) == bool(problem) == bool(document.problems)


# -- a real one -----------------------------------------------------------------------------

DISK = 8 * 2**20
CONFIGURATION = """
[actors.camera]
type = "source"
[actors.retention]
type = "retention"
grants = ["RecordingExpiry", "HoldsView"]
settings = { reserve = "1MB", sweep = "100ms" }
[actors.recorder]
type = "recorder"
place = "crossing"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "2s" }
[actors.clerk]
type = "clerk"
[[channels]]
from = "camera.packets"
to = "recorder.packets"
[[channels]]
from = "retention.deletions"
to = "clerk.receipts"
[[channels]]
from = "retention.room_alarms"
to = "clerk.receipts"
[[channels]]
from = "retention.clock_alarms"
to = "clerk.receipts"
"""


class Clerk(Actor, domain=Domain.CONTROL):
    """Stands where the ledger would."""

    received: ClassVar[list[Receipt]]
    receipts: Inlet[Receipt] = inlet(capacity=256)

    async def run(self) -> None:
        async for receipt in self.receipts:
            self.received.append(receipt)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state" / "security"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a file system takes root's rights")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def states(received: list[Receipt]) -> list[RoomState]:
    return [one.state for one in received if isinstance(one, RoomAlarm)]


@pytest.mark.real_time
async def test_on_a_real_disk_recording_goes_on_stops_when_all_is_held_and_goes_on_again(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[EventDict]
) -> None:
    monkeypatch.setattr("actors.recorder.actor._PATIENCE", Backoff(first=0.05, longest=0.2))
    monkeypatch.setattr(retention_module, "_LOOK_AT_ROOM", 0.05)
    monkeypatch.setattr(retention_module, "_CALM", 0.5)
    manager = Manager()
    (tmp_path / "managers.pub").write_text(manager.public + "\n")
    received: list[Receipt] = []
    clerk = type("Clerk", (Clerk,), {"received": received, "__annotations__": {}})
    types = {
        "source": sending(packet_run([10] * 96, size=25_000)),  # 24 MB, on 8
        "recorder": Recorder,
        "retention": Retention,
        "clerk": clerk,
    }
    async with running_pole(tmp_path, CONFIGURATION, types) as pole:

        def reading(actor: str, name: str) -> int:
            return dict(actor_status(pole, actor).readings)[name]

        await eventually(lambda: reading("recorder", "packets_recorded") >= 400, within=60)
        assert reading("retention", "deleted_for_room") > 0
        now = time.time_ns() // 1000
        holder = Holder(small_disk)
        day = 86_400 * 1_000_000
        hold = holder.place(now - day, now + day, accepted=False)
        await eventually(lambda: reading("retention", "short_of_room") == 2, within=60)
        held = finished(small_disk)
        await eventually(lambda: stopped(log), within=60)
        assert len(held) > 10
        # What must still be written on a full disk can be: an order, a decision.
        assert room_in(small_disk).free >= DISK // 16
        await trio.sleep(0.5)
        assert held <= finished(small_disk)
        assert reading("recorder", "packets_recorded") < 950
        # The order is decided, and released later on: as long as it held, nothing went.
        holder.decide(hold)
        holder.release(hold)
        await eventually(lambda: reading("recorder", "packets_recorded") >= 940, within=60)
        await eventually(lambda: reading("retention", "short_of_room") == 0, within=60)
    told = states(received)
    assert told[0] is RoomState.SHORT
    assert RoomState.ALL_HELD in told
    assert told[-1] is RoomState.ENOUGH
    gone = [one for one in received if isinstance(one, RecordingsDeleted)]
    assert {one.reason for one in gone} == {DeletionReason.ROOM}
    assert [one.oldest for one in gone] == sorted(one.oldest for one in gone)
    assert "recording goes on" in {event["event"] for event in log}
    found = verify(small_disk, VerifyKey.from_text((small_disk / "pole.pub").read_text()))
    assert found.findings == []
    assert found.deleted == sum(one.segments for one in gone) > 10
    assert len(chain_files(small_disk)) == 1


def finished(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.age")}


def stopped(log: list[EventDict]) -> bool:
    """Whether recording was interrupted, and did not go on."""
    says = [event["event"] for event in log if event["event"].startswith("recording ")]
    return says[-1:] == ["recording interrupted"]
