"""Where released slices are kept: one SQLite file that only grows."""

from __future__ import annotations

__all__ = ["SliceRefused", "StatisticsStore", "StoreFailed"]

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from sqlite_utils import Database
from sqlite_utils.db import Table

from actors.statistics.release import (
    DIMENSIONS,
    SMALLEST_K,
    Released,
    ReleasedAttribute,
    ReleasedDevices,
    ReleasedPeople,
)
from runtime import Authority, Capability, SmartpoleError, Storage, Unrecoverable

_FILE = "statistics.db"
_VERSION = 1
_LONGEST_SLICE = 3600
_MOST = 9_999
"""The bound of ``Count``."""


class StoreFailed(SmartpoleError):
    """The statistics could not be written or read now; it may help to try again later."""


class SliceRefused(SmartpoleError):
    """A slice does not fit the schema. It never will."""


class StatisticsStore(
    Capability, kind=Storage("public"), rights="append released slices; read them"
):
    """Appends released slices to ``statistics.db``, and reads them.

    The file's schema holds nothing else (guideline 6.1(3), 6.2(2)): places, windows, and numbers
    that are NULL or at least the slice's ``k``; it refuses to change or delete a row. What is
    stored already, by place and start, stays as it is, so that appending again does no harm.

    Its methods block, and may be called from any thread.
    """

    def __init__(self, authority: Authority) -> None:
        path = authority.require_folder() / _FILE
        self._path = path
        self._lock = threading.Lock()
        connection: sqlite3.Connection | None = None
        try:
            # SQLite would make the file readable by all.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
            self._database = Database(connection)
            self._prepare(connection)
        except PermissionError:
            raise Unrecoverable(f"{path} can't be opened: this user may not write to it.") from None
        except OSError as error:
            raise StoreFailed(f"{path} can't be opened: {error.strerror}.") from None
        except (sqlite3.Error, Unrecoverable) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, Unrecoverable):
                raise
            if _is_broken(error):
                raise Unrecoverable(
                    f"{path} is no SQLite database, or a damaged one. Move it away (a new one is "
                    "begun) and see what can be saved of it with `sqlite3 … .recover`."
                ) from None
            raise StoreFailed(f"{path} can't be opened: {_reason(error)}.") from None

    def append(self, released: Released) -> None:
        """Store one slice, durably. Raises StoreFailed or SliceRefused."""
        table = "device_slices" if isinstance(released, ReleasedDevices) else "people_slices"
        key = {"place": released.place, "start": released.start}
        with self._transaction():
            found = self._database.execute(
                f"SELECT 1 FROM {table} WHERE place = :place AND start = :start", key
            )
            if found.fetchone() is not None:
                return  # else a dimension that was withheld could be added later
            # Not INSERT OR IGNORE, which would pass over what the schema refuses.
            row = asdict(released)
            attributes = row.pop("attributes", ())
            self._table(table).insert(row)
            self._table("people_attributes").insert_all(
                [{**key, "k": released.k, **one} for one in attributes]
            )

    def people_until(self) -> int:
        """The latest end of a slice of people, in seconds since 1970; 0 where there is none."""
        with self._transaction():
            (latest,) = self._database.execute("SELECT max(end) FROM people_slices").fetchone()
        return int(latest or 0)

    def people(self, since: int = 0) -> list[ReleasedPeople]:
        """Slices of people that start at ``since`` or later, in order of time."""
        with self._transaction():
            attributes: dict[tuple[str, int], list[ReleasedAttribute]] = {}
            for row in self._rows("people_attributes", since, "dimension, value"):
                key = (row["place"], row["start"])
                attributes.setdefault(key, []).append(
                    ReleasedAttribute(row["dimension"], row["value"], row["people"])
                )
            return [
                ReleasedPeople(
                    **row, attributes=tuple(attributes.get((row["place"], row["start"]), ()))
                )
                for row in self._rows("people_slices", since, "place")
            ]

    def devices(self, since: int = 0) -> list[ReleasedDevices]:
        """Slices of devices that start at ``since`` or later, in order of time."""
        with self._transaction():
            return [ReleasedDevices(**row) for row in self._rows("device_slices", since, "place")]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _table(self, name: str) -> Table:
        return self._database.table(name)

    def _rows(self, table: str, since: int, order: str) -> Iterator[dict[str, Any]]:
        return self._table(table).rows_where("start >= ?", [since], order_by=f"start, {order}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._database.atomic():
                yield
        except sqlite3.IntegrityError as error:
            # SQLite names the constraint, not the value.
            raise SliceRefused(f"a slice does not fit the schema: {error}") from None
        except sqlite3.Error as error:
            raise StoreFailed(f"{self._path} can't be used now: {_reason(error)}.") from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise Unrecoverable(
                f"{self._path} was written by another version of smartpole (schema {version}, "
                f"this one knows {_VERSION}). Move it away, or run the version that wrote it."
            )
        self._database.enable_wal()
        connection.execute("PRAGMA synchronous=FULL")  # a pole loses its power at any time
        connection.execute("PRAGMA foreign_keys=ON")
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )


def _is_broken(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def _reason(error: BaseException) -> str:
    """SQLite's own words for its state; they hold no value of a row."""
    return str(error)


# -- the schema -------------------------------------------------------------------------------

_KEY = f"""
    place TEXT NOT NULL CHECK (
        length(place) BETWEEN 1 AND 40
        AND place NOT GLOB '*[^a-z0-9-]*' AND place NOT GLOB '-*'
    ),
    start INTEGER NOT NULL CHECK (start BETWEEN 0 AND 4294967295),
    k INTEGER NOT NULL CHECK (k BETWEEN {SMALLEST_K} AND {_MOST})"""

_WINDOW = f'"end" INTEGER NOT NULL CHECK ("end" - start BETWEEN 1 AND {_LONGEST_SLICE})'

_VALUES = " OR ".join(
    f"(dimension = '{dimension}' AND value IN ("
    + ", ".join(f"'{member.value}'" for member in values)
    + "))"
    for dimension, values in DIMENSIONS.items()
)


def _only_append(table: str, *key: str) -> str:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    return f"""
    CREATE TRIGGER {table}_never_change BEFORE UPDATE ON {table}
    BEGIN SELECT RAISE(ABORT, 'released statistics are never changed'); END;
    CREATE TRIGGER {table}_never_delete BEFORE DELETE ON {table}
    BEGIN SELECT RAISE(ABORT, 'released statistics are never deleted'); END;
    -- INSERT OR REPLACE would delete without the trigger above.
    CREATE TRIGGER {table}_never_replace BEFORE INSERT ON {table}
    WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
    BEGIN SELECT RAISE(IGNORE); END;
    """


_SCHEMA = f"""
CREATE TABLE people_slices ({_KEY},
    {_WINDOW},
    pictures INTEGER NOT NULL CHECK (pictures BETWEEN 1 AND 1000000),
    mean_tenths INTEGER CHECK (
        mean_tenths IS NULL
        OR peak IS NOT NULL AND mean_tenths BETWEEN 10 * k AND 10 * peak
    ),
    peak INTEGER CHECK (peak BETWEEN k AND {_MOST}),
    PRIMARY KEY (place, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE people_attributes ({_KEY},
    dimension TEXT NOT NULL,
    value TEXT NOT NULL CHECK ({_VALUES}),
    people INTEGER NOT NULL CHECK (people BETWEEN k AND {_MOST}),
    PRIMARY KEY (place, start, dimension, value),
    FOREIGN KEY (place, start) REFERENCES people_slices (place, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_slices ({_KEY},
    {_WINDOW},
    devices INTEGER CHECK (devices BETWEEN k AND {_MOST}),
    PRIMARY KEY (place, start)
) STRICT, WITHOUT ROWID;

{_only_append("people_slices", "place", "start")}
{_only_append("people_attributes", "place", "start", "dimension", "value")}
{_only_append("device_slices", "place", "start")}
"""
