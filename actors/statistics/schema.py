"""What ``statistics.db`` can hold, and nothing else (guideline 6.1(3), 6.2(2)).

Places, windows, and numbers that are NULL or at least the slice's ``k``. Each table is STRICT, and
each column has a CHECK: no text but a place's name and the names of groups, no bytes, no fraction.
Rows are never changed, nor deleted before a week has passed since; slices of a place never overlap.
"""

from __future__ import annotations

__all__ = ["OUTBOX", "SCHEMA", "TOO_NEW", "VERSION"]

from actors.statistics.groups import GROUPS
from actors.statistics.release import SMALLEST_K

VERSION = 2
"""SQLite's user_version. 1 had no coverage and no groups."""

_MOST = 9_999
"""The bound of ``Count``."""

_LONGEST_SLICE = 3600
_WEEK = 7 * 86_400
_MOST_NOISE = 10_000

TOO_NEW = f"{{row}}start > CAST(strftime('%s', 'now') AS INTEGER) - {_WEEK}"
"""Whether a row, by name or "", may not be deleted yet."""

_KEY = """
    place TEXT NOT NULL CHECK (
        length(place) BETWEEN 1 AND 40
        AND place NOT GLOB '*[^a-z0-9-]*' AND place NOT GLOB '-*'
    ),
    start INTEGER NOT NULL CHECK (start BETWEEN 0 AND 4294967295)"""

_K = f"k INTEGER NOT NULL CHECK (k BETWEEN {SMALLEST_K} AND {_MOST})"

_WINDOW = f'"end" INTEGER NOT NULL CHECK ("end" - start BETWEEN 1 AND {_LONGEST_SLICE})'

_AGE_BANDS = """
    age_2 INTEGER CHECK (age_2 BETWEEN 1 AND 80),
    age_3 INTEGER CHECK ((age_3 IS NULL) = (age_2 IS NULL) AND age_3 BETWEEN age_2 + 1 AND 80),
    age_4 INTEGER CHECK ((age_4 IS NULL) = (age_3 IS NULL) AND age_4 BETWEEN age_3 + 1 AND 80)"""
"""Where the second to the fourth age band begin, in years; NULL where no group tells an age."""

_MEAN = """mean_tenths INTEGER CHECK (
        mean_tenths IS NULL
        OR peak IS NOT NULL AND mean_tenths BETWEEN 10 * k AND 10 * peak
    )"""


def _one_of(column: str, place: int) -> str:
    names = dict.fromkeys(group.names[place] for group in GROUPS)
    listed = ", ".join(f"'{name}'" for name in names)
    return f"{column} TEXT NOT NULL CHECK ({column} IN ({listed}))"


def _only_append(table: str, *key: str) -> str:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    return f"""
    CREATE TRIGGER {table}_never_change BEFORE UPDATE ON {table}
    BEGIN SELECT RAISE(ABORT, 'released statistics are never changed'); END;
    CREATE TRIGGER {table}_delete_late BEFORE DELETE ON {table}
    WHEN {TOO_NEW.format(row="OLD.")}
    BEGIN SELECT RAISE(ABORT, 'released statistics are never deleted within a week'); END;
    -- INSERT OR REPLACE would delete without the trigger above.
    CREATE TRIGGER {table}_never_replace BEFORE INSERT ON {table}
    WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
    BEGIN SELECT RAISE(IGNORE); END;
    """


def _never_overlap(table: str) -> str:
    return f"""
    CREATE TRIGGER {table}_never_overlap BEFORE INSERT ON {table}
    WHEN EXISTS (
        SELECT 1 FROM {table} WHERE place = NEW.place AND start <> NEW.start
        AND start BETWEEN NEW.start - {_LONGEST_SLICE} AND NEW."end" - 1 AND "end" > NEW.start
    )
    BEGIN SELECT RAISE(ABORT, 'slices of one place never overlap'); END;
    """


SCHEMA = f"""
CREATE TABLE people_slices ({_KEY},
    {_WINDOW},
    {_K},
    pictures INTEGER NOT NULL CHECK (
        pictures BETWEEN 1 AND 1000000
        AND rtrim(CAST(pictures AS TEXT), '0') IN ('1', '2', '5')
    ),
    coverage_tenths INTEGER NOT NULL CHECK (coverage_tenths BETWEEN 0 AND 10),
    peak INTEGER CHECK (peak BETWEEN k AND {_MOST}),
    {_MEAN},
    {_AGE_BANDS},
    noise_thousandths INTEGER CHECK (noise_thousandths BETWEEN 1 AND {_MOST_NOISE}),
    PRIMARY KEY (place, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE people_groups ({_KEY},
    {_one_of("gender", 0)},
    {_one_of("age", 1)},
    {_one_of("mask", 2)},
    {_K},
    peak INTEGER NOT NULL CHECK (peak BETWEEN k AND {_MOST}),
    {_MEAN},
    PRIMARY KEY (place, start, gender, age, mask),
    FOREIGN KEY (place, start) REFERENCES people_slices (place, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_slices ({_KEY},
    {_WINDOW},
    {_K},
    devices INTEGER CHECK (devices BETWEEN k AND {_MOST}),
    PRIMARY KEY (place, start)
) STRICT, WITHOUT ROWID;

{_only_append("people_slices", "place", "start")}
{_only_append("people_groups", "place", "start", "gender", "age", "mask")}
{_only_append("device_slices", "place", "start")}
{_never_overlap("people_slices")}
{_never_overlap("device_slices")}
"""

OUTBOX = f"""
CREATE TABLE IF NOT EXISTS unreported (
    what TEXT NOT NULL CHECK (what IN ('people', 'devices')),{_KEY},
    PRIMARY KEY (what, place, start)
) STRICT, WITHOUT ROWID;
"""
"""Which slices the ledger may not have heard of yet. Whoever only reads has no use for it, so that
a file without it is of the same version."""
