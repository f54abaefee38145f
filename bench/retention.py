"""Retention: a purge of 1,000 expired segments out of a million kept ones, beside 10,000.

Both folders are purged in the same rounds by what the pole uses: looked up, told to the signed
chain of manifests, files removed, rows removed and overwritten, log emptied, chain shortened. After
each round as many young segments are added, so that the folders keep their sizes. Files are there
of those that expire, and in both folders as many others as one look at the folder takes in. The
chain has as many files as so many segments make; those that are never reached have one record.
"""

from __future__ import annotations

__all__ = ["Folder", "benchmark"]

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec

from actors.recorder.capability import RecordingExpiry
from actors.recorder.chain import Begun, segment_name
from actors.recorder.index import SegmentIndex
from bench.harness import BenchmarkFailed, Effort, Outcome, Target, compare, take_turns
from runtime import Authority

_MANY, _FEW = 1_000_000, 10_000
_EXPIRES = 1_000
_OTHERS = 4_096
_RECORDS = 4_096
"""In one file of the chain."""
_APART = 1_000_000
"""Microseconds from one segment to the next."""
_NO_SIGNATURE = b"A" * 88
_LEAST_KEPT = 20_000
_SAME = Target(of="ratio", most=1.5)


def benchmark(effort: Effort) -> Outcome:
    """Both sizes in turn."""
    many = effort.count(_MANY, least=_LEAST_KEPT)
    with TemporaryDirectory(prefix="smartpole-") as name:
        folders = {
            f"out of {size:,}": Folder(Path(name) / str(size), size, effort.rounds + 1)
            for size in (many, _FEW)
        }
        large, small = folders
        idle = take_turns({one: folders[one].look for one in folders}, effort.rounds)
        purges = take_turns({one: folders[one].purge for one in folders}, effort.rounds)
    figures = [
        compare(f"{name}, {large}", results, large, small, unit="ms", better="lower", target=_SAME)
        for name, results in (
            (f"purge of {_EXPIRES:,} segments", purges),
            ("a sweep that finds nothing", idle),
        )
    ]
    return Outcome(figures=tuple(figures))


class Folder:
    """A folder with an index of so many segments, one a second, the oldest of which expire."""

    def __init__(self, folder: Path, size: int, rounds: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._first = time.time_ns() // 1000 - size * _APART
        self._next = 0
        SegmentIndex(folder / "index.db")
        self._insert(size)
        self._expired = 0
        expiring = rounds * _EXPIRES
        self._write_chain(expiring, size + expiring)
        self._touch(_OTHERS)
        authority = Authority._mint(actor="retention", folder=folder, settings=None, facts={})
        self._expiry = RecordingExpiry._mint(authority)
        if self._expiry.expired(self._first):
            raise BenchmarkFailed("segments expire before their time")

    def look(self) -> float:
        """Milliseconds for a sweep when nothing has expired."""
        before = self._first + self._expired * _APART
        began = perf_counter()
        found = self._expiry.expired(before)
        self._expiry.tidy(before, time.time_ns() // 1000)
        took = perf_counter() - began
        if found:
            raise BenchmarkFailed(f"{len(found)} segments were taken for expired")
        return took * 1000

    def purge(self) -> float:
        """Milliseconds for the sweep that deletes the next thousand."""
        expiring = range(self._expired, self._expired + _EXPIRES)
        for number in expiring:
            (self._folder / segment_name(self._begun(number))).write_bytes(b"ciphertext")
        self._expired += _EXPIRES
        before = self._first + self._expired * _APART
        began = perf_counter()
        deleted, failed = self._expiry.delete(self._expiry.expired(before))
        self._expiry.tidy(before, time.time_ns() // 1000)
        took = perf_counter() - began
        if len(deleted) != _EXPIRES or failed:
            raise BenchmarkFailed(f"{len(deleted)} of {_EXPIRES} segments were deleted")
        self._insert(_EXPIRES)
        self._touch(_EXPIRES)
        return took * 1000

    def _begun(self, number: int) -> Begun:
        return Begun(
            number=2 * number + 1, previous="0" * 64, camera="camera-1", place="crossing",
            start=self._first + number * _APART, codec="h264", width=1920, height=1080,
            head="0" * 64, head_size=300,
        )  # fmt: skip

    def _insert(self, count: int) -> None:
        """Rows of the next segments, in one transaction."""
        rows = (
            (segment_name(begun), begun.camera, begun.place, begun.start, begun.start + _APART)
            for begun in map(self._begun, range(self._next, self._next + count))
        )
        with closing(sqlite3.connect(self._folder / "index.db", isolation_level=None)) as database:
            database.execute("begin")
            database.executemany(
                "insert into segments (name, camera, place, started_at, ended_at, bytes, state) "
                "values (?, ?, ?, ?, ?, 1, 'complete')",
                rows,
            )
            database.execute("commit")
            database.execute("pragma wal_checkpoint(truncate)").fetchall()
        self._next += count

    def _touch(self, count: int) -> None:
        """Files of the youngest."""
        for number in range(self._next - count, self._next):
            (self._folder / segment_name(self._begun(number))).touch()

    def _write_chain(self, expiring: int, size: int) -> None:
        """Unsigned, which shortening does not look at: signing two million takes minutes."""
        lines = self._lines(range(expiring))
        for number in range(2 * size // _RECORDS + 1):
            here = list(islice(lines, _RECORDS // 2)) or list(
                self._lines(range(number * _RECORDS // 2, number * _RECORDS // 2 + 1))
            )
            (self._folder / f"chain-{number:08}.log").write_bytes(b"".join(here))

    def _lines(self, numbers: range) -> Iterator[bytes]:
        for number in numbers:
            body = msgspec.json.encode(self._begun(number))
            yield body[:-1] + b',"signature":"' + _NO_SIGNATURE + b'"}\n'
