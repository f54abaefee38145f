"""What a purge costs: as much as what expires, however much is kept. Counted, not timed."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import actors.recorder.chain as chain_module
from bench.retention import Folder

STEPS = 100
"""Of SQLite's virtual machine, between two counts."""


class Counted:
    """Counts steps of SQLite, entries of folders that are looked at, and records that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work: Counter[str] = Counter()
        connect, scandir, parse = sqlite3.connect, os.scandir, chain_module.parse_line

        def connected(*given: Any, **named: Any) -> sqlite3.Connection:
            connection = connect(*given, **named)
            connection.set_progress_handler(lambda: self._count("steps"), STEPS)
            return connection

        class Scanned:
            def __init__(scanned, folder: Path) -> None:
                scanned._entries = scandir(folder)

            def __iter__(scanned) -> Iterator[os.DirEntry[str]]:
                return scanned

            def __next__(scanned) -> os.DirEntry[str]:
                self._count("entries")
                return next(scanned._entries)

            def close(scanned) -> None:
                scanned._entries.close()

            def __enter__(scanned) -> Scanned:
                return scanned

            def __exit__(scanned, *_: object) -> None:
                scanned.close()

        def parsed(line: bytes) -> chain_module.Line:
            self._count("records")
            return parse(line)

        monkeypatch.setattr(sqlite3, "connect", connected)
        monkeypatch.setattr(os, "scandir", Scanned)
        monkeypatch.setattr(chain_module, "parse_line", parsed)

    def _count(self, what: str) -> int:
        self.work[what] += 1
        return 0


def test_a_purge_costs_the_same_out_of_ten_times_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[Counter[str]]] = []
    for size in (6_000, 60_000):
        folder = Folder(tmp_path / str(size), size, rounds=3)
        works = []
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            for measure in (folder.purge, folder.purge, folder.purge):
                counted.work.clear()
                measure()
                works.append(Counter(counted.work))
        found.append(works)
    for few, many in zip(*found, strict=True):
        # A tree of ten times as many rows is a level higher.
        assert 0 < many["steps"] <= few["steps"] * 1.25
        for work in (few, many):
            assert 0 < work["entries"] <= 4_096 + 1
            assert work["records"] <= 2 * 4_096
    for works in found:
        assert sum(work["records"] for work in works) > 2_048, "the chain is shortened too"
