"""Where released slices are kept: one SQLite file that only grows, until slices are too old."""

from __future__ import annotations

__all__ = ["StatisticsStore"]

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlite_utils import Database

from actors.statistics.errors import BudgetSpent, SliceRefused, StoreFailed, reason_of
from actors.statistics.noise import load_library
from actors.statistics.reading import FILE, devices_in, people_in
from actors.statistics.release import Released, ReleasedDevices, ReleasedPeople
from actors.statistics.schema import OUTBOX, SCHEMA, TOO_NEW, VERSION
from runtime import Authority, Capability, Storage, Unrecoverable

_DAY = 86_400
JAPAN = 9 * 3600
"""Seconds by which Japan is ahead of UTC."""


class StatisticsStore(
    Capability, kind=Storage("public"), rights="append released slices; read them"
):
    """Appends released slices to ``statistics.db``, and reads them.

    ``schema`` says what the file can hold. What is stored already, by place and start, stays as it
    is, so that appending again does no harm.

    Its methods block, and may be called from any thread.
    """

    def __init__(self, authority: Authority) -> None:
        path = authority.require_folder() / FILE
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
            raise StoreFailed(f"{path} can't be opened: {reason_of(error)}.") from None

    @classmethod
    def prepare(cls, authority: Authority) -> object:
        """Load OpenDP where noise is asked for: behind its walls, the domain can't."""
        if getattr(authority.settings, "noise", None) is not None:
            load_library()
        return None

    def append(
        self, released: Released, *, budget: int | None = None, report: bool = False
    ) -> bool:
        """Store one slice, durably. False where one of this place and start is stored already,
        which stays as it is. To be reported, it is among the ``unreported`` from then on.

        ``budget`` is the most ε, in thousandths, of all slices of a place that begin on one day of
        Japan. What is stored of them is what was spent; with nothing left, it raises BudgetSpent.
        Raises StoreFailed or SliceRefused, too.
        """
        table = "people_slices" if isinstance(released, ReleasedPeople) else "device_slices"
        key = (released.place, released.start)
        with self._transaction():
            found = self._database.execute(
                f"SELECT 1 FROM {table} WHERE place = ? AND start = ?", key
            )
            if found.fetchone() is not None:
                return False  # else a group that was withheld could be added later
            # Not INSERT OR IGNORE, which would pass over what the schema refuses.
            if isinstance(released, ReleasedDevices):
                values = (*key, released.end, released.k, released.devices)
                self._database.execute("INSERT INTO device_slices VALUES (?, ?, ?, ?, ?)", values)
            else:
                if budget is not None:
                    self._require_budget(released, budget)
                self._insert_people(released)
            if report:
                self._database.execute("INSERT INTO unreported VALUES (?, ?, ?)", _key(released))
        return True

    def unreported(self) -> list[Released]:
        """The slices that are to be reported, as they are stored, in order of time."""
        with self._transaction():
            found = self._database.execute("SELECT what, place, start FROM unreported").fetchall()
            if not found:
                return []
            since, until = min(key[2] for key in found), max(key[2] for key in found) + 1
            connection, keys = self._database.conn, set(found)
            stored: list[Released] = [
                *people_in(connection, since, until),
                *devices_in(connection, since, until),
            ]
        wanted = [one for one in stored if _key(one) in keys]
        return sorted(wanted, key=lambda one: (one.end, one.place))

    def reported(self, slices: Iterable[Released]) -> None:
        """These were reported."""
        with self._transaction():
            for one in slices:
                self._database.execute(
                    "DELETE FROM unreported WHERE what = ? AND place = ? AND start = ?", _key(one)
                )

    def expire(self, before: int) -> int:
        """Delete slices that start before that time, in seconds since 1970; how many there were.

        What the schema refuses to delete, because it is too new, stays.
        """
        old = f"start < ? AND NOT ({TOO_NEW.format(row='')})"
        with self._transaction():
            self._database.execute(f"DELETE FROM unreported WHERE {old}", (before,))
            self._database.execute(f"DELETE FROM people_groups WHERE {old}", (before,))
            people = self._database.execute(f"DELETE FROM people_slices WHERE {old}", (before,))
            devices = self._database.execute(f"DELETE FROM device_slices WHERE {old}", (before,))
        return people.rowcount + devices.rowcount

    def people_until(self) -> dict[str, int]:
        """By place, the latest end of a slice of people, in seconds since 1970."""
        with self._transaction():
            latest = 'SELECT place, max("end") FROM people_slices GROUP BY place'
            return dict(self._database.execute(latest).fetchall())

    def people(self, since: int = 0) -> list[ReleasedPeople]:
        """Slices of people that start at ``since`` or later, in order of time."""
        with self._transaction():
            return people_in(self._database.conn, since)

    def devices(self, since: int = 0) -> list[ReleasedDevices]:
        """Slices of devices that start at ``since`` or later, in order of time."""
        with self._transaction():
            return devices_in(self._database.conn, since)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _insert_people(self, released: ReleasedPeople) -> None:
        key = (released.place, released.start)
        self._database.execute(
            "INSERT INTO people_slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                released.end,
                released.k,
                released.pictures,
                released.coverage_tenths,
                released.peak,
                released.mean_tenths,
                *(released.age_bands or (None, None, None)),
                released.noise_thousandths,
            ),
        )
        for one in released.groups:
            self._database.execute(
                "INSERT INTO people_groups VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, *one.group.names, released.k, one.peak, one.mean_tenths),
            )

    def _require_budget(self, released: ReleasedPeople, budget: int) -> None:
        midnight = (released.start + JAPAN) // _DAY * _DAY - JAPAN
        (spent,) = self._database.execute(
            "SELECT coalesce(sum(noise_thousandths), 0) FROM people_slices "
            "WHERE place = ? AND start >= ? AND start < ?",
            (released.place, midnight, midnight + _DAY),
        ).fetchone()
        if spent + (released.noise_thousandths or 0) > budget:
            raise BudgetSpent(
                f"of the privacy budget for {released.place}, {spent / 1000:g} of "
                f"{budget / 1000:g} is spent today; it begins anew at midnight in Japan."
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._database.atomic():
                yield
        except sqlite3.IntegrityError as error:
            # SQLite names the constraint, not the value.
            raise SliceRefused(f"a slice does not fit the schema: {error}") from None
        except sqlite3.Error as error:
            raise StoreFailed(f"{self._path} can't be used now: {reason_of(error)}.") from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise Unrecoverable(
                f"{self._path} was written by another version of smartpole (schema {version}, "
                f"this one knows {VERSION}). Move it away, or run the version that wrote it."
            )
        self._database.enable_wal()
        connection.execute("PRAGMA synchronous=FULL")  # a pole loses its power at any time
        connection.execute("PRAGMA foreign_keys=ON")
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            )
        connection.executescript(OUTBOX)


def _key(released: Released) -> tuple[str, str, int]:
    what = "people" if isinstance(released, ReleasedPeople) else "devices"
    return what, released.place, released.start


def _is_broken(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT")
