from __future__ import annotations

import os
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from actors.recorder.capability import RecordingExpiry, RecordingStore, StorageTrouble
from actors.recorder.index import name_of, start_of
from runtime import Storage
from runtime.errors import CapabilityForged
from tests.recordings import START, storage

FACTS = {
    "camera": "camera-1",
    "place": "crossing",
    "started_at": START,
    "codec": "h264",
    "width": 64,
    "height": 48,
}


def rows(folder: Path) -> dict[str, dict[str, object]]:
    with closing(sqlite_utils.Database(folder / "index.db")) as database:
        return {row["name"]: row for row in database["segments"].rows}


def abilities(handle: type) -> set[str]:
    told_to_the_host = {"kind", "rights", "reach", "prepare"}
    return {name for name in vars(handle) if not name.startswith("_")} - told_to_the_host


def test_neither_handle_reads_and_the_recorders_neither_lists_nor_deletes() -> None:
    assert abilities(RecordingStore) == {
        "open_segment",
        "adopt_leftovers",
        "note_gap",
        "chain_head",
        "chain_length",
        "last_end",
    }
    assert abilities(RecordingExpiry) == {
        "expired",
        "oldest",
        "delete",
        "tidy",
        "room",
        "time",
        "take_alarms",
    }
    assert RecordingStore.kind == RecordingExpiry.kind == Storage("security")


@pytest.mark.parametrize("handle", [RecordingStore, RecordingExpiry])
def test_nobody_makes_a_handle(handle: type) -> None:
    with pytest.raises(CapabilityForged):
        handle(object())


def test_nobody_else_may_read_files_or_folder(tmp_path: Path) -> None:
    folder = tmp_path / "security"
    segment = storage(RecordingStore, folder).open_segment(**FACTS)  # type: ignore[arg-type]
    segment.write(b"x")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    segment.finish(START + 1)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_the_index_knows_a_segment_from_its_opening_on(tmp_path: Path) -> None:
    segment = storage(RecordingStore, tmp_path).open_segment(**FACTS)  # type: ignore[arg-type]
    row = {"name": segment.name, **FACTS, "boot": "", "boottime": 0}
    row |= {"ended_at": None, "bytes": 0, "state": "open"}
    assert rows(tmp_path) == {segment.name: row}
    segment.write(b"12345")
    assert segment.finish(START + 5)
    row |= {"ended_at": START + 5, "bytes": 5, "state": "complete"}
    assert rows(tmp_path) == {segment.name: row}
    assert (tmp_path / segment.name).read_bytes() == b"12345"


def test_a_cut_segment_keeps_what_can_be_read(tmp_path: Path) -> None:
    store = storage(RecordingStore, tmp_path)
    kept = store.open_segment(**FACTS)  # type: ignore[arg-type]
    kept.write(b"whole")
    kept.cut(START + 5, readable=True)
    dropped = store.open_segment(**FACTS)  # type: ignore[arg-type]
    dropped.cut(START + 5, readable=False)
    assert {name: row["state"] for name, row in rows(tmp_path).items()} == {kept.name: "cut"}
    assert [path.name for path in tmp_path.glob("*.age*")] == [kept.name]


def test_leftovers_of_a_crash_are_closed_and_those_in_use_are_not(tmp_path: Path) -> None:
    store = storage(RecordingStore, tmp_path)
    in_use = store.open_segment(**FACTS)  # type: ignore[arg-type]
    known = store.open_segment(**FACTS)  # type: ignore[arg-type]
    known.write(b"123")
    os.close(known._descriptor)  # what the end of a process does
    unknown = name_of("crossing", START + 10**9)
    (tmp_path / (unknown + ".part")).write_bytes(b"12")
    renamed = store.open_segment(**FACTS)  # type: ignore[arg-type]
    renamed.write(b"1234")
    renamed._rename()

    assert storage(RecordingStore, tmp_path).adopt_leftovers() == 2
    assert {name: (row["state"], row["bytes"]) for name, row in rows(tmp_path).items()} == {
        in_use.name: ("open", 0),
        known.name: ("cut", 3),
        unknown: ("cut", 2),
        renamed.name: ("cut", 4),
    }
    assert rows(tmp_path)[unknown]["started_at"] == START + 10**9
    assert [path.name for path in tmp_path.glob("*.part")] == [in_use.name + ".part"]
    assert storage(RecordingStore, tmp_path).adopt_leftovers() == 0


def test_a_segment_may_expire_while_it_is_open(tmp_path: Path) -> None:
    segment = storage(RecordingStore, tmp_path).open_segment(**FACTS)  # type: ignore[arg-type]
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    assert expiry.expired(START) == []
    assert expiry.expired(START + 1) == [segment.name]
    assert expiry.delete([segment.name]).deleted == [segment.name]
    segment.write(b"more")
    assert segment.finish(START + 5)
    assert rows(tmp_path) == {}
    assert not list(tmp_path.glob("*.age*"))


def test_deleting_leaves_nothing_in_index_and_log(tmp_path: Path) -> None:
    segment = storage(RecordingStore, tmp_path).open_segment(**FACTS)  # type: ignore[arg-type]
    segment.finish(START + 5)
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    # Somebody reads meanwhile, so that the log is not removed with its last connection.
    with closing(sqlite_utils.Database(tmp_path / "index.db")) as reader:
        assert reader["segments"].count == 1
        expiry.delete([segment.name])
        for file in tmp_path.iterdir():
            assert segment.name.encode() not in file.read_bytes(), file.name


def test_one_that_cannot_be_deleted_stays_known(tmp_path: Path) -> None:
    store, expiry = storage(RecordingStore, tmp_path), storage(RecordingExpiry, tmp_path)
    names = []
    for _ in range(3):
        segment = store.open_segment(**FACTS)  # type: ignore[arg-type]
        segment.finish(START + 5)
        names.append(segment.name)
    stuck = tmp_path / names[1]
    stuck.unlink()
    stuck.mkdir()
    deleted, failed = expiry.delete(names)
    assert deleted == [names[0], names[2]]
    assert list(failed) == [names[1]]
    assert list(rows(tmp_path)) == expiry.expired(START + 1) == [names[1]]


def test_only_segments_are_ever_deleted(tmp_path: Path) -> None:
    expiry = storage(RecordingExpiry, tmp_path)
    others = ["notes.txt", "20200101T000000Z-a-12345678.mp4", "20209901T000000Z-a-12345678.mp4.age"]
    for name in others:
        (tmp_path / name).touch()
    assert expiry.expired(2**60) == []
    expiry.delete([*others, "../" + tmp_path.name, "index.db"])
    assert {path.name for path in tmp_path.iterdir()} >= {*others, "index.db"}


def test_orphans_expire_by_the_time_in_their_name(tmp_path: Path) -> None:
    expiry = storage(RecordingExpiry, tmp_path)
    names = [name_of("crossing", START), name_of("crossing", START + 10**9)]
    (tmp_path / names[0]).touch()
    (tmp_path / (names[1] + ".part")).touch()
    assert expiry.expired(START + 1) == names[:1]
    assert expiry.delete(expiry.expired(START + 10**9 + 1)).deleted == names
    assert not list(tmp_path.glob("*.age*"))


def test_names_and_times_agree() -> None:
    assert start_of(name_of("a-b_C", START + 999_999)) == START
    for name in ("", "index.db", name_of("x" * 61, START), name_of("a/b", START)):
        assert start_of(name) is None


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "security").touch()
    with pytest.raises(StorageTrouble, match="can't be used: File exists"):
        storage(RecordingStore, tmp_path / "security")


def test_an_index_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageTrouble, match="index of recordings can't be used"):
        storage(RecordingStore, tmp_path)


def test_any_thread_may_write_while_another_deletes(tmp_path: Path) -> None:
    store, expiry = storage(RecordingStore, tmp_path), storage(RecordingExpiry, tmp_path)
    failures: list[Exception] = []

    def write(offset: int) -> None:
        try:
            for number in range(10):
                moment = START + (offset * 10 + number) * 1_000_000
                segment = store.open_segment(**{**FACTS, "started_at": moment})  # type: ignore[arg-type]
                segment.write(b"x")
                segment.finish(moment + 1)
                expiry.delete(expiry.expired(START + 5_000_000))
        except Exception as error:  # pragma: no cover - a failure of the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(rows(tmp_path)) == len(list(tmp_path.glob("*.age"))) == 25
