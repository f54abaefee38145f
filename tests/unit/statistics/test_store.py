from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.statistics import StatisticsStore, StatisticsView
from actors.statistics.errors import SliceRefused, StoreFailed
from actors.statistics.groups import GROUP_NAMED
from actors.statistics.reading import read_slices
from actors.statistics.release import ReleasedDevices, ReleasedGroup, ReleasedPeople
from runtime import Unrecoverable
from runtime.capability import Authority
from runtime.errors import CapabilityForged
from tests.unit.statistics.pictures import MINUTE


def open_store(folder: Path) -> StatisticsStore:
    authority = Authority._mint(actor="statistics", folder=folder, settings=None, facts={})
    return StatisticsStore._mint(authority)


def of_group(gender: str, age: str, mask: str, peak: int, mean_tenths: int | None) -> ReleasedGroup:
    return ReleasedGroup(GROUP_NAMED[gender, age, mask], peak, mean_tenths)


def people(**changes: Any) -> ReleasedPeople:
    fields: dict[str, Any] = {
        "place": "east-exit",
        "start": MINUTE,
        "end": MINUTE + 60,
        "k": 5,
        "pictures": 50,
        "coverage_tenths": 9,
        "mean_tenths": 121,
        "peak": 22,
        "age_bands": (18, 40, 65),
        "groups": (
            of_group("female", "age-1|age-2", "any", 11, 61),
            of_group("female", "age-3|age-4|unknown", "any", 6, None),
            of_group("male|unknown", "any", "any", 9, 52),
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


WITHHELD = {"peak": None, "mean_tenths": None, "groups": (), "age_bands": ()}
A_DAY = 86_400
ROOT = Path(__file__).parents[3]


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
    assert store.people_until() == {}
    store.append(devices(end=MINUTE + 600))
    store.append(people())
    store.append(people(place="west-exit", end=MINUTE + 30))
    assert store.people_until() == {"east-exit": MINUTE + 60, "west-exit": MINUTE + 30}


def test_it_is_there_after_closing(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.append(people())
    with closing(open_store(tmp_path)) as store:
        assert store.people() == [people()]


def test_appending_again_changes_nothing(store: StatisticsStore) -> None:
    withheld = people(**WITHHELD)
    given = (withheld, withheld, people(), devices(), devices(devices=99))
    assert [store.append(one) for one in given] == [True, False, False, True, False]
    assert store.people() == [withheld]
    assert store.devices() == [devices()]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(people(peak=4, mean_tenths=None), id="peak below k"),
        pytest.param(people(mean_tenths=49), id="mean below k"),
        pytest.param(people(mean_tenths=221), id="mean above peak"),
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
        pytest.param(people(pictures=60), id="pictures not rounded down"),
        pytest.param(people(coverage_tenths=11), id="more than all"),
        pytest.param(people(coverage_tenths=None), id="no coverage"),
        pytest.param(people(noise_thousandths=0), id="noise without ε"),
        pytest.param(people(age_bands=(20, 20, 60)), id="age bands that do not rise"),
        pytest.param(people(age_bands=(20, 40, 81)), id="older than anybody is estimated"),
        pytest.param(people(age_bands=(20, None, 60)), id="an age band without a beginning"),
        pytest.param(
            people(groups=(of_group("female", "any", "any", 4, None),)), id="group below k"
        ),
        pytest.param(
            people(groups=(of_group("female", "any", "any", 6, 49),)), id="mean of a group below k"
        ),
        pytest.param(
            people(groups=(of_group("female", "any", "any", 6, 61),)), id="mean above its peak"
        ),
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
        "UPDATE people_groups SET peak = 99",
        "UPDATE device_slices SET devices = 99",
        "DELETE FROM people_groups",
        "DELETE FROM people_slices",
        "DELETE FROM device_slices",
    ],
)
def test_another_connection_cannot_change_what_is_stored(
    store: StatisticsStore, tmp_path: Path, statement: str
) -> None:
    now = int(time.time())
    store.append(people(start=now, end=now + 60))
    store.append(devices(start=now, end=now + 60))
    with (
        closing(sqlite3.connect(tmp_path / "statistics.db")) as other,
        pytest.raises(sqlite3.IntegrityError, match=r"never (changed|deleted)"),
    ):
        other.execute(statement)


def test_nor_replace_it(store: StatisticsStore, tmp_path: Path) -> None:
    store.append(devices())
    with closing(sqlite3.connect(tmp_path / "statistics.db")) as other:
        other.execute(
            "INSERT OR REPLACE INTO device_slices VALUES (?, ?, ?, 5, 99)",
            ("east-exit", MINUTE, MINUTE + 60),
        )
        other.commit()
    assert store.devices() == [devices()]


@pytest.mark.parametrize(("start", "end"), [(-30, 30), (30, 90), (10, 20), (-60, 120), (59, 61)])
def test_slices_of_one_place_never_overlap(store: StatisticsStore, start: int, end: int) -> None:
    for one in (people(), devices()):
        assert store.append(one)
        overlapping = replace(one, start=MINUTE + start, end=MINUTE + end)
        with pytest.raises(SliceRefused, match="never overlap"):
            store.append(overlapping)
        assert store.append(replace(overlapping, place="west-exit"))
    assert store.append(people(start=MINUTE + 60, end=MINUTE + 120))
    assert store.append(people(start=MINUTE - 60, end=MINUTE))


def test_what_has_expired_is_deleted(store: StatisticsStore) -> None:
    now = int(time.time())
    for start in (now - 30 * A_DAY, now - 10 * A_DAY, now - A_DAY):
        store.append(people(start=start, end=start + 60))
        store.append(devices(start=start, end=start + 60))
    assert store.expire(now - 20 * A_DAY) == 2
    assert [one.start for one in store.people()] == [now - 10 * A_DAY, now - A_DAY]
    assert len(store.people()[0].groups) == 3
    # A week stays, whatever is asked.
    assert store.expire(now) == 2
    assert [one.start for one in store.people()] == [now - A_DAY]
    assert [one.start for one in store.devices()] == [now - A_DAY]


def test_whoever_looks_can_not_write(store: StatisticsStore, tmp_path: Path) -> None:
    store.append(people())
    store.append(devices())
    authority = Authority._mint(actor="notice", folder=tmp_path, settings=None, facts={})
    view = StatisticsView._mint(authority)
    assert (view.people(0), view.devices(0)) == (store.people(), store.devices())
    assert view.people(MINUTE + 1) == view.people(0, MINUTE) == []
    with (
        read_slices(tmp_path / "statistics.db") as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        assert connection is not None
        connection.execute("DELETE FROM device_slices")


def test_where_nothing_is_stored_nothing_is_found(tmp_path: Path) -> None:
    authority = Authority._mint(actor="notice", folder=tmp_path / "new", settings=None, facts={})
    assert StatisticsView._mint(authority).people(0) == []
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("content", [b"no database", None])
def test_a_file_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "statistics.db"
    if content is not None:
        path.write_bytes(content * 99)
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 1")
    authority = Authority._mint(actor="notice", folder=tmp_path, settings=None, facts={})
    with pytest.raises(StoreFailed, match=r"can't be read now|another version"):
        StatisticsView._mint(authority).people(0)


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
    assert all(len(one.groups) == 3 for one in store.people())


WRITER = """
import itertools, sys
from pathlib import Path
from tests.unit.statistics.test_store import MINUTE, open_store, people
store = open_store(Path(sys.argv[1]))
for at in itertools.count():
    start = MINUTE + 60 * at
    store.append(people(start=start, end=start + 60))
    print(start, flush=True)
"""


@pytest.mark.real_time
def test_what_is_stored_outlives_a_kill(tmp_path: Path) -> None:
    """A slice that was reported as stored is there, whole, and is not stored again."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline()) for _ in range(25)]
        writer.kill()
        reported += map(int, writer.stdout.read().split())
    with closing(open_store(tmp_path)) as store:
        there = store.people()
        assert [one.start for one in there[: len(reported)]] == reported
        assert len(there) - len(reported) in (0, 1)  # stored, and killed before it was said
        assert all(len(one.groups) == 3 for one in there)
        for start in reported:
            assert not store.append(people(start=start, end=start + 60, **WITHHELD))
        assert store.people() == there


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
