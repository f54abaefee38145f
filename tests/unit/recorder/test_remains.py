"""Copies and temporary files beside the recordings, and segments that the index does not know."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

import actors.recorder.strays as strays_module
from actors.recorder.capability import RecordingExpiry, RecordingStore, StorageTrouble
from actors.recorder.index import name_of
from tests.recordings import START, storage

MICRO = 1_000_000
DAY = 86_400 * MICRO
NOW = START + 30 * DAY
STEM = name_of("crossing", START, 7).removesuffix(".mp4.age")
FACTS = {"place": "crossing", "codec": "h264", "width": 64, "height": 48}


def put(folder: Path, name: str, *, written: int = START) -> Path:
    path = folder / name
    path.write_bytes(b"something")
    os.utime(path, ns=(written * 1000, written * 1000))
    return path


@pytest.mark.parametrize(
    "name",
    [
        f"{STEM}.mp4", f"{STEM}.mp4.age.bak", f"{STEM}.mp4.age.tmp", f".{STEM}.mp4.age.swp", STEM,
        "export.zip", "Export-2026.TAR", "camera.MP4", "still.jpeg", "for the police.age",
        "index.db.broken", "index-copy.db", "pole.key.new", "clock.json.new", "x.part", "draft~",
    ],
)  # fmt: skip
def test_what_may_hold_something_of_a_recording_expires(name: str, tmp_path: Path) -> None:
    expiry = storage(RecordingExpiry, tmp_path)
    path = put(tmp_path, name)
    assert expiry.expired(START - 1) == []
    assert expiry.tidy(START - 1, START + 60 * MICRO) == 0
    assert path.exists()
    assert expiry.tidy(START + 1, NOW) == 1
    assert not path.exists()
    assert expiry.tidy(START + 1, NOW) == 0


def test_what_the_pole_needs_and_what_is_no_copy_stays(tmp_path: Path) -> None:
    names = ["notes.txt", "clock.json", "pole.key", "pole.pub", "chain.lock"]
    storage(RecordingStore, tmp_path).note_gap(
        camera="c", place="p", started_at=1, ended_at=2, reason=""
    )
    expiry = storage(RecordingExpiry, tmp_path)
    for name in names:
        if name not in ("pole.key", "pole.pub", "chain.lock"):
            put(tmp_path, name)
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "orders").mkdir()
    put(tmp_path / "orders", "order.tmp")
    before = sorted(path.name for path in tmp_path.rglob("*") if "-wal" not in path.name)
    expiry.expired(2**60)
    assert expiry.tidy(2**60, 2**60) == 0
    after = sorted(path.name for path in tmp_path.rglob("*") if "-wal" not in path.name)
    assert [name for name in before if name not in after and "-shm" not in name] == []


def test_a_copy_that_is_still_written_to_stays(tmp_path: Path) -> None:
    expiry = storage(RecordingExpiry, tmp_path)
    path = put(tmp_path, "export.zip")
    expiry.expired(START)
    put(tmp_path, "export.zip", written=START + 5 * DAY)
    assert expiry.tidy(START + 2 * DAY, START + 6 * DAY) == 0
    assert path.exists()
    assert expiry.tidy(START + 5 * DAY + 1, START + 7 * DAY) == 1


def test_the_log_of_the_index_is_emptied_as_soon_as_nobody_reads(tmp_path: Path) -> None:
    segment = storage(RecordingStore, tmp_path).open_segment(started_at=START, **FACTS)  # type: ignore[arg-type]
    segment.finish(START + 5)
    expiry = storage(RecordingExpiry, tmp_path)
    with closing(sqlite_utils.Database(tmp_path / "index.db")) as reader:
        reader.execute("begin")
        assert reader.execute("select count(*) from segments").fetchone() == (1,)
        assert expiry.delete([segment.name]).deleted == [segment.name]
        with pytest.raises(StorageTrouble, match="somebody is reading it"):
            expiry.tidy(0, NOW)
        reader.execute("rollback")
        expiry.tidy(0, NOW)
        assert (tmp_path / "index.db-wal").stat().st_size == 0
        for file in tmp_path.glob("index.db*"):
            assert segment.name.encode() not in file.read_bytes(), file.name


def test_unknown_segments_are_found_bit_by_bit_and_put_into_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays_module, "_AT_ONCE", 10)
    store, expiry = storage(RecordingStore, tmp_path), storage(RecordingExpiry, tmp_path)
    segment = store.open_segment(started_at=START, camera="c", **FACTS)  # type: ignore[arg-type]
    segment.finish(START + 5)
    with closing(sqlite_utils.Database(tmp_path / "index.db")) as database:
        database["segments"].delete_where()
    for number in range(30):
        put(tmp_path, name_of("crossing", START + number * MICRO, 1000 + number))
    # The first look takes in everything,
    assert len(expiry.expired(START + DAY)) == 31
    with closing(sqlite_utils.Database(tmp_path / "index.db")) as database:
        known = database["segments"].get(segment.name)
        assert (known["camera"], known["started_at"], known["width"]) == ("c", START, 64)
        assert database["segments"].count == 31
    for number in range(30, 60):
        put(tmp_path, name_of("crossing", START + number * MICRO, 1000 + number))
    # and each later one a part.
    found = [len(expiry.expired(START + DAY)) for _ in range(16)]
    assert found == sorted(found)
    assert found[0] <= 41
    assert found[-1] == 61


def test_without_its_index_what_has_expired_is_known_all_the_same(tmp_path: Path) -> None:
    store, expiry = storage(RecordingStore, tmp_path), storage(RecordingExpiry, tmp_path)
    names = []
    for number in range(4):
        segment = store.open_segment(started_at=START + number * MICRO, **FACTS)  # type: ignore[arg-type]
        segment.finish(START + number * MICRO + 5)
        names.append(segment.name)
    (tmp_path / "index.db").write_bytes(b"no database any more" * 1000)
    assert expiry.expired(START + 2 * MICRO) == names[:2]
    with pytest.raises(StorageTrouble):
        expiry.delete(names[:2])
    assert sorted(path.name for path in tmp_path.glob("*.age")) == names[2:]
