"""Reading released slices, for those who show or export them."""

from __future__ import annotations

__all__ = ["FILE", "StatisticsView", "devices_in", "people_in", "read_slices"]

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from actors.statistics.errors import StoreFailed, reason_of
from actors.statistics.groups import GROUP_NAMED
from actors.statistics.release import ReleasedDevices, ReleasedGroup, ReleasedPeople
from actors.statistics.schema import VERSION
from runtime import Authority, Capability, Storage

FILE = "statistics.db"

_FOREVER = 2**32


class StatisticsView(Capability, kind=Storage("public"), rights="read released slices"):
    """Reads what ``StatisticsStore`` of the same pole has stored. It can write nothing.

    Its methods block. Where nothing has been stored yet they find nothing.
    """

    def __init__(self, authority: Authority) -> None:
        self._path = authority.require_folder() / FILE

    def people(self, since: int, until: int = _FOREVER) -> list[ReleasedPeople]:
        """Slices of people that start in ``[since, until)``, by time. Raises StoreFailed."""
        with read_slices(self._path) as connection:
            return people_in(connection, since, until) if connection is not None else []

    def devices(self, since: int, until: int = _FOREVER) -> list[ReleasedDevices]:
        """Slices of devices that start in ``[since, until)``, by time. Raises StoreFailed."""
        with read_slices(self._path) as connection:
            return devices_in(connection, since, until) if connection is not None else []


@contextmanager
def read_slices(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that can't write; None where there is no such file. Raises StoreFailed."""
    if not path.is_file():
        yield None
        return
    try:
        # Not mode=ro: of a database with a write-ahead log, the reader keeps an index beside it.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=5)) as found:
            found.execute("PRAGMA query_only=ON")
            (version,) = found.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise StoreFailed(
                    f"{path} was written by another version of smartpole (schema {version}, this "
                    f"one reads {VERSION}). Use the version that wrote it."
                )
            yield found if version else None
    except sqlite3.Error as error:
        raise StoreFailed(f"{path} can't be read now: {reason_of(error)}.") from None


def people_in(
    connection: sqlite3.Connection, since: int = 0, until: int = _FOREVER
) -> list[ReleasedPeople]:
    """Slices of people that start in ``[since, until)``, in order of time and place."""
    groups: dict[tuple[str, int], list[ReleasedGroup]] = {}
    for place, start, gender, age, mask, peak, mean in connection.execute(
        "SELECT place, start, gender, age, mask, peak, mean_tenths FROM people_groups "
        "WHERE start >= ? AND start < ?",
        (since, until),
    ):
        group = GROUP_NAMED[gender, age, mask]
        groups.setdefault((place, start), []).append(ReleasedGroup(group, peak, mean))
    order = {group: place for place, group in enumerate(GROUP_NAMED.values())}
    return [
        ReleasedPeople(
            place, start, end, k, pictures, coverage, peak, mean,
            tuple(sorted(groups.get((place, start), ()), key=lambda one: order[one.group])),
            tuple(age for age in ages if age is not None), noise,
        )
        for place, start, end, k, pictures, coverage, peak, mean, *ages, noise
        in connection.execute(
            'SELECT place, start, "end", k, pictures, coverage_tenths, peak, mean_tenths, '
            "age_2, age_3, age_4, noise_thousandths FROM people_slices "
            "WHERE start >= ? AND start < ? ORDER BY start, place",
            (since, until),
        )
    ]  # fmt: skip


def devices_in(
    connection: sqlite3.Connection, since: int = 0, until: int = _FOREVER
) -> list[ReleasedDevices]:
    """Slices of devices that start in ``[since, until)``, in order of time and place."""
    return [
        ReleasedDevices(*row)
        for row in connection.execute(
            'SELECT place, start, "end", k, devices FROM device_slices '
            "WHERE start >= ? AND start < ? ORDER BY start, place",
            (since, until),
        )
    ]
