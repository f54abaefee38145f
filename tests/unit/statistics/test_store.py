from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actors.statistics import StatisticsStore
from actors.statistics.release import ReleasedAttribute, ReleasedDevices, ReleasedPeople
from actors.statistics.store import SliceRefused, StoreFailed
from runtime import Unrecoverable
from runtime.capability import Authority
from runtime.errors import CapabilityForged
from tests.unit.statistics.pictures import MINUTE


def open_store(folder: Path) -> StatisticsStore:
    authority = Authority._mint(actor="statistics", folder=folder, settings=None, facts={})
    return StatisticsStore._mint(authority)


def people(**changes: Any) -> ReleasedPeople:
    fields: dict[str, Any] = {
        "place": "east-exit",
        "start": MINUTE,
        "end": MINUTE + 60,
        "k": 5,
        "pictures": 60,
        "mean_tenths": 71,
        "peak": 12,
        "attributes": (
            ReleasedAttribute("gender", "female", 6),
            ReleasedAttribute("gender", "male", 6),
            ReleasedAttribute("mask", "not worn", 12),
        ),
    }
    return ReleasedPeople(**{**fields, **changes})


def devices(**changes: Any) -> ReleasedDevices:
    fields: dict[str, Any] = {
        "place": "east-exit",
        "start": MINUTE,
        "end": MINUTE + 60,
        "k": 5,
        "devices": 17,
    }
    return ReleasedDevices(**{**fields, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with closing(open_store(tmp_path)) as opened:
        yield opened


WITHHELD = {"peak": None, "mean_tenths": None, "attributes": ()}


def test_what_is_appended_is_read(store: StatisticsStore) -> None:
    slices = [people(), people(start=MINUTE + 60, end=MINUTE + 120, **WITHHELD)]
    counts = [devices(), devices(start=MINUTE + 60, end=MINUTE + 120, devices=None)]
    for one in (*reversed(slices), *reversed(counts)):
        store.append(one)
    assert store.people() == slices
    assert store.people(since=MINUTE + 1) == slices[1:]
    assert store.devices() == counts
    assert store.devices(since=MINUTE + 61) == []


def test_it_tells_until_when_slices_of_people_are_stored(store: StatisticsStore) -> None:
    assert store.people_until() == 0
    store.append(devices(end=MINUTE + 600))
    store.append(people())
    store.append(people(place="west-exit", end=MINUTE + 30))
    assert store.people_until() == MINUTE + 60


def test_it_is_there_after_closing(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.append(people())
    with closing(open_store(tmp_path)) as store:
        assert store.people() == [people()]


def test_appending_again_changes_nothing(store: StatisticsStore) -> None:
    withheld = people(**WITHHELD)
    for one in (withheld, withheld, people(), devices(), devices(devices=99)):
        store.append(one)
    assert store.people() == [withheld]
    assert store.devices() == [devices()]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(people(peak=4, mean_tenths=None), id="peak below k"),
        pytest.param(people(mean_tenths=49), id="mean below k"),
        pytest.param(people(mean_tenths=121), id="mean above peak"),
        pytest.param(people(peak=None), id="mean without peak"),
        pytest.param(people(k=2), id="k below 3"),
        pytest.param(people(pictures=0), id="no picture"),
        pytest.param(people(end=MINUTE), id="no time"),
        pytest.param(people(end=MINUTE + 3601), id="more than an hour"),
        pytest.param(people(place="Shibuya"), id="no place name"),
        pytest.param(people(place="02:00:5e:00:53:01"), id="an address for a place"),
        pytest.param(people(peak="many"), id="a text"),
        pytest.param(people(peak=6.5), id="no whole number"),
        pytest.param(people(pictures=b"\xff\xd8\xff"), id="bytes"),
        pytest.param(
            people(attributes=(ReleasedAttribute("gender", "male", 4),)), id="value below k"
        ),
        pytest.param(
            people(attributes=(ReleasedAttribute("gender", "20-39", 6),)), id="another dimension's"
        ),
        pytest.param(people(attributes=(ReleasedAttribute("name", "male", 6),)), id="dimension"),
        pytest.param(devices(devices=4), id="devices below k"),
        pytest.param(devices(devices=10_000), id="too many devices"),
    ],
)
def test_the_schema_holds_nothing_else(
    store: StatisticsStore, wrong: ReleasedPeople | ReleasedDevices
) -> None:
    with pytest.raises(SliceRefused, match="does not fit the schema"):
        store.append(wrong)
    assert store.people() == []
    assert store.devices() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people_slices SET peak = 99",
        "UPDATE people_attributes SET people = 99",
        "UPDATE device_slices SET devices = 99",
        "DELETE FROM people_attributes",
        "DELETE FROM people_slices",
        "DELETE FROM device_slices",
    ],
)
def test_another_connection_cannot_change_what_is_stored(
    store: StatisticsStore, tmp_path: Path, statement: str
) -> None:
    store.append(people())
    store.append(devices())
    with (
        closing(sqlite3.connect(tmp_path / "statistics.db")) as other,
        pytest.raises(sqlite3.IntegrityError, match=r"never (changed|deleted)"),
    ):
        other.execute(statement)


def test_nor_replace_it(store: StatisticsStore, tmp_path: Path) -> None:
    store.append(devices())
    with closing(sqlite3.connect(tmp_path / "statistics.db")) as other:
        other.execute(
            "INSERT OR REPLACE INTO device_slices VALUES (?, ?, 5, ?, 99)",
            ("east-exit", MINUTE, MINUTE + 60),
        )
        other.commit()
    assert store.devices() == [devices()]


def test_it_may_be_used_from_many_threads(store: StatisticsStore) -> None:
    def append(place: str) -> None:
        for minute in range(20):
            start = MINUTE + 60 * minute
            store.append(people(place=place, start=start, end=start + 60))
            store.people()

    threads = [threading.Thread(target=append, args=(f"place-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.people()) == 80
    assert all(len(one.attributes) == 3 for one in store.people())


def test_only_its_user_may_read_the_file(store: StatisticsStore, tmp_path: Path) -> None:
    store.append(people())
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes) == {"statistics.db", "statistics.db-wal", "statistics.db-shm"}
    assert set(modes.values()) == {0o600}


def test_nobody_makes_one() -> None:
    with pytest.raises(CapabilityForged):
        StatisticsStore(None)  # type: ignore[arg-type]


def append_until_full(store: StatisticsStore) -> int:
    """After one slice. Returns how many there are then."""
    for stored in range(1, 2000):
        start = MINUTE + 60 * stored
        try:
            store.append(people(start=start, end=start + 60))
        except StoreFailed as failure:
            if "database or disk is full" in str(failure):
                return stored
            raise
    raise AssertionError("it was never full")


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.append(people())
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        stored = append_until_full(store)
        assert len(store.people()) == stored
        store._database.execute("PRAGMA max_page_count = 100000")
        start = MINUTE + 60 * stored
        store.append(people(start=start, end=start + 60))
        assert len(store.people()) == stored + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"this is no database" * 50, "no SQLite database, or a damaged one"), (None, "schema 7")],
)
def test_a_file_that_it_can_not_use(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "statistics.db"
    if content is not None:
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 7")
    with pytest.raises(Unrecoverable, match=message):
        open_store(tmp_path)
    assert content is None or path.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_it_may_not_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unrecoverable, match="may not write"):
        open_store(tmp_path)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "statistics.db").mkdir()
    with pytest.raises(StoreFailed, match="can't be opened: Is a directory"):
        open_store(tmp_path)
