"""The index of segments: which files there are, from when, and whether they are complete."""

from __future__ import annotations

__all__ = [
    "PART", "IndexDamaged", "Indexed", "SegmentIndex", "SegmentState", "StorageTrouble",
    "name_of", "number_of", "place_of", "start_of",
]  # fmt: skip

import enum
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database
from sqlite_utils.db import Table

from runtime import SmartpoleError

PART = ".part"
"""Ending of a file that is still being written."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([A-Za-z0-9_-]{1,60})-[0-9a-f]{8}\.mp4\.age", re.ASCII)
_TIME = "%Y%m%dT%H%M%SZ"
_LOCK_PATIENCE = 10.0
"""Seconds to wait for another connection's transaction."""
_READER_PATIENCE = 1.0
"""Seconds to wait for somebody who is reading what the log should lose."""


class StorageTrouble(SmartpoleError):
    """The folder for recordings can't be used now: full, gone, read-only. It may mend itself."""


class IndexDamaged(StorageTrouble):
    """The index is no database any more. It can be made again from the segments."""


class SegmentState(enum.Enum):
    """How far a segment has come."""

    OPEN = "open"
    """Being written."""
    COMPLETE = "complete"
    CUT = "cut"
    """It breaks off: the recorder or the disk failed. It plays up to there."""


def name_of(place: str, started_at: int, number: int | None = None) -> str:
    """A segment's file name, from its place and the time of its first frame (µs since 1970).

    ``number`` is that of the record by which it was begun; without one it is a chance number.
    """
    moment = _EPOCH + timedelta(microseconds=started_at)
    last = secrets.token_hex(4) if number is None else f"{number:08x}"
    return f"{moment:{_TIME}}-{place}-{last}.mp4.age"


def number_of(name: str) -> int | None:
    """The number in a segment's name; None if it is none."""
    return None if start_of(name) is None else int(name.removesuffix(".mp4.age")[-8:], 16)


def place_of(name: str) -> str:
    """The place in a segment's name, or its camera where it has none; "" if it is no segment's."""
    match = _NAME.fullmatch(name)
    return match[2] if match is not None else ""


def start_of(name: str) -> int | None:
    """When a segment of that name began (µs since 1970, whole seconds); None if it is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int((moment - _EPOCH).total_seconds()) * 1_000_000


_COLUMNS = {
    "name": str,
    "camera": str,
    "place": str,
    "started_at": int,
    "boot": str,
    "boottime": int,
    "ended_at": int,
    "codec": str,
    "width": int,
    "height": int,
    "bytes": int,
    "state": str,
}
_NOT_NULL = {"place", "started_at", "boot", "boottime", "bytes", "state"}
_DEFAULTS = {"boot": "", "boottime": 0}
_GAP_COLUMNS = {"camera": str, "place": str, "started_at": int, "ended_at": int, "reason": str}


class Indexed(NamedTuple):
    """What the index knows of a segment's age, and of what it holds. Times in microseconds."""

    name: str
    camera: str
    """"" where nobody knows, as with the place."""
    place: str
    boot: str
    """In which start of the computer it was recorded (``runtime.clock``); "" if nobody noted it."""
    boottime: int
    started_at: int
    """As the wall clock showed it, as ``ended_at``."""
    ended_at: int | None
    """None while it is written, and where nobody noted it."""
    size: int


_INDEXED = "name, coalesce(camera, ''), place, boot, boottime, started_at, ended_at, bytes"


class SegmentIndex:
    """One SQLite file, opened for each call, so that any thread may call.

    Every method blocks and raises StorageTrouble.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owes_log = True
        """Whether the log may hold what was forgotten, by an earlier run too."""
        with self._database() as database:
            database.enable_wal()
        with self._writing() as database:
            self._table(database).create(
                _COLUMNS,
                pk="name",
                not_null=_NOT_NULL,
                defaults=_DEFAULTS,
                if_not_exists=True,
                strict=True,
            )
            # Made by an earlier version?
            there = self._table(database).columns_dict
            for column, kind in _COLUMNS.items():
                if column not in there:
                    self._table(database).add_column(
                        column, kind, not_null_default=_DEFAULTS.get(column)
                    )
            database.table("gaps").create(
                _GAP_COLUMNS, not_null=set(_GAP_COLUMNS), if_not_exists=True, strict=True
            )
            # What retention asks for. Without these, each of its looks would read all that is kept.
            database.execute(
                "create index if not exists segments_by_age "
                "on segments (boot, boottime, started_at)"
            )
            database.execute("create index if not exists gaps_by_end on gaps (ended_at)")

    def opened(self, name: str, **facts: Any) -> None:
        """Note a segment that is going to be written; replaces what was noted of that name."""
        row = {"name": name, "bytes": 0, "state": SegmentState.OPEN.value, **facts}
        with self._writing() as database:
            self._table(database).insert(row, replace=True)

    def closed(self, name: str, *, ended_at: int | None, size: int, state: SegmentState) -> None:
        """Note how a segment ended; ``ended_at`` in µs since 1970, None where nobody knows."""
        with self._writing() as database:
            database.execute(
                "update segments set ended_at = ?, bytes = ?, state = ? where name = ?",
                (ended_at, size, state.value, name),
            )

    def missed(self, **facts: Any) -> None:
        """Note a gap: camera, place, started_at, ended_at (µs since 1970) and reason."""
        with self._writing() as database:
            database.table("gaps").insert(facts)

    def replace_all(
        self, segments: Iterable[Mapping[str, Any]], gaps: Iterable[Mapping[str, Any]]
    ) -> None:
        """Have these rows and no others. Each has all columns but ``reason`` or ``name``."""
        with self._writing() as database:
            for table, columns, rows in (
                ("segments", _COLUMNS, segments),
                ("gaps", _GAP_COLUMNS, gaps),
            ):
                database.execute(f"delete from {table}")
                names = ", ".join(f":{name}" for name in columns)
                database.conn.executemany(
                    f"insert or replace into {table} ({', '.join(columns)}) values ({names})", rows
                )

    def names(self, *, state: SegmentState) -> set[str]:
        with self._database() as database:
            rows = self._table(database).rows_where("state = ?", [state.value], select="name")
            return {row["name"] for row in rows}

    def started(self) -> dict[str, int]:
        """When each segment began, by name."""
        with self._database() as database:
            rows = self._table(database).rows_where(select="name, started_at")
            return {row["name"]: row["started_at"] for row in rows}

    def boots(self) -> dict[str, tuple[int, int]]:
        """The starts of the computer from which there are segments: of each the boottime of its
        last segment, and when that began by the wall clock. "" is where nobody noted which."""
        with self._database() as database:
            # From one to the next, without reading what lies between.
            names = database.execute(
                "with recursive seen (boot) as (select min(boot) from segments union all "
                "select (select min(boot) from segments where boot > seen.boot) from seen "
                "where seen.boot is not null) select boot from seen where boot is not null"
            ).fetchall()
            last = "select boottime, started_at from segments where boot = ? order by boottime desc"
            return {
                boot: database.execute(f"{last}, started_at desc limit 1", (boot,)).fetchone()
                for (boot,) in names
            }

    def begun_before(
        self, boot: str, *, boottime: int | None = None, claimed: int | None = None
    ) -> list[Indexed]:
        """Segments from that start of the computer whose first frame is older than so many µs since
        it, or else since 1970 by the wall clock.

        Where ``boot`` is "" or ``boottime`` is given, what this costs depends on how many these
        are, and not on how many there are.
        """
        condition = "boottime < ?" if boottime is not None else "started_at < ?"
        if boottime is None and not boot:
            condition = f"boottime = 0 and {condition}"
        limit = boottime if boottime is not None else claimed
        with self._database() as database:
            rows = database.execute(
                f"select {_INDEXED} from segments where boot = ? and {condition}", (boot, limit)
            )
            return [Indexed(*row) for row in rows]

    def finished(self, boot: str, after: Indexed | None, most: int) -> list[Indexed]:
        """Segments from that start of the computer that are not being written, oldest first: at
        most so many, and only such as come after that one."""
        place = (after.boottime, after.started_at, after.name) if after else (-1, -(2**62), "")
        with self._database() as database:
            rows = database.execute(
                f"select {_INDEXED} from segments where boot = ? "
                "and (boottime, started_at, name) > (?, ?, ?) and state != ? "
                "order by boottime, started_at, name limit ?",
                (boot, *place, SegmentState.OPEN.value, most),
            )
            return [Indexed(*row) for row in rows]

    def unknown(self, names: Sequence[str]) -> set[str]:
        """Those of these names of which there is no row."""
        with self._database() as database:
            rows = database.execute(
                "select value from json_each(?) where value not in (select name from segments)",
                (json.dumps(names),),
            )
            return {name for (name,) in rows}

    def take_in(self, rows: Iterable[Mapping[str, Any]], is_there: Callable[[str], bool]) -> int:
        """Add rows of segments that have none, if they are still there, and say how many.

        Whoever deletes removes the file before the row: so no row is added that would stay.
        """
        added = 0
        names = ", ".join(f":{name}" for name in _COLUMNS)
        with self._writing() as database:
            for row in rows:
                if is_there(row["name"]):
                    added += database.execute(
                        f"insert or ignore into segments ({', '.join(_COLUMNS)}) values ({names})",
                        dict(row),
                    ).rowcount
        return added

    def forget(self, names: Iterable[str], *, gaps_before: int = 0) -> None:
        """Remove these rows, gaps that ended before then (µs since 1970), and what the write-ahead
        log still holds of them."""
        with self._writing() as database:
            database.conn.executemany(
                "delete from segments where name = ?", [(name,) for name in names]
            )
            database.execute("delete from gaps where ended_at < ?", (gaps_before,))
        self._owes_log = True
        self.empty_log()

    def empty_log(self) -> bool:
        """Take out of the write-ahead log what was forgotten; False while somebody reads there.

        secure_delete overwrites the database's own pages; the log keeps old ones until now.
        """
        if self._owes_log:
            with self._database() as database:
                database.execute(f"PRAGMA busy_timeout={round(_READER_PATIENCE * 1000)}").fetchall()
                checkpoint = database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._owes_log = bool(checkpoint.fetchone()[0])
        return not self._owes_log

    @staticmethod
    def _table(database: Database) -> Table:
        return database.table("segments")

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        """A transaction that is a writer's from its beginning.

        One that begins by reading can't wait for another writer: SQLite refuses it at once.
        """
        with self._database() as database:
            database.execute("begin immediate")
            try:
                yield database
            except BaseException:
                database.conn.rollback()
                raise
            database.conn.commit()

    @contextmanager
    def _database(self) -> Iterator[Database]:
        try:
            # SQLite would make it readable to others; its log takes over the file's mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, timeout=_LOCK_PATIENCE)
        except (OSError, sqlite3.Error) as error:
            raise StorageTrouble(f"the index of recordings can't be opened: {error}") from None
        try:
            connection.execute("PRAGMA secure_delete=ON").fetchall()
            # No names in files elsewhere, which would have to be deleted too.
            connection.execute("PRAGMA temp_store=MEMORY").fetchall()
            yield Database(connection, execute_plugins=False)
        except sqlite3.Error as error:
            what = f"the index of recordings can't be used: {error}"
            if type(error) is sqlite3.DatabaseError:
                raise IndexDamaged(
                    f"{what}. It can be made again: smartpole recordings reindex FOLDER"
                ) from None
            raise StorageTrouble(what) from None
        finally:
            connection.close()
