"""The ledger: appending beside SQLite, verifying a million entries beside hashing the same lines.

Everything lies on the disk under the temporary folder and is as durable as on a pole: a batch
counts when the lines and the signed checkpoint are on the disk. SQLite stores the same lines, in
WAL mode with ``synchronous=FULL``: as durable, with neither tree nor signature.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from actors.ledger.receipts import DeletionReason, RecordingsDeleted
from bench.harness import Effort, Figure, Outcome, Target, compare, take_turns
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import encode_record
from runtime.ledger.files import ENTRIES, public_key
from runtime.ledger.log import LedgerLog, create_log

_FOR = 2_000
"""Entries that are appended in one measurement, in batches; fewer one by one."""
_ONE_BY_ONE = 50
_MANY = 1_000_000
_AT_ONCE = 10_000
_MOST_VERIFICATIONS = 3
_ENOUGH = Target(of="value", least=5_000)
_A_MINUTE = Target(of="value", most=60)
_SQLITE = "SQLite, the same lines"
_HASHES = "reading and hashing the same lines"


def benchmark(effort: Effort) -> Outcome:
    with TemporaryDirectory() as name:
        folder = Path(name)
        appending = [_append(folder, size, effort) for size in (1, 100, 1_000)]
        return Outcome(figures=(*appending, *_verify(folder, effort)))


def _lines(count: int) -> Iterator[bytes]:
    """Entries such as retention reports."""
    at = datetime.now(UTC)
    for number in range(count):
        receipt = RecordingsDeleted(
            reason=DeletionReason.EXPIRED, segments=number, oldest=number, newest=number
        )
        yield encode_record(receipt, at=at, by="ledger")


def _append(folder: Path, batch: int, effort: Effort) -> Figure:
    """Entries a second, from the receipt to the disk, in batches of that size."""
    count = effort.count(_FOR if batch > 1 else _ONE_BY_ONE, least=batch)
    count -= count % batch
    where = folder / f"ledger-{batch}"
    create_log(where, "smartpole/bench")
    log = LedgerLog(where)

    def ours() -> float:
        return _paced(count, batch, log.append)

    with closing(sqlite3.connect(folder / f"{batch}.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE entries (place INTEGER PRIMARY KEY, line BLOB NOT NULL)")

        def theirs() -> float:
            return _paced(count, batch, lambda lines: _insert(database, lines))

        results = take_turns({"ledger": ours, _SQLITE: theirs}, effort.rounds)
    log.close()
    return compare(
        f"append, {batch} at once" if batch > 1 else "append, one by one",
        results,
        "ledger",
        _SQLITE,
        unit="entries/s",
        better="higher",
        target=_ENOUGH if batch > 1 else None,
        note="durable and signed" if batch == 1 else "",
    )


def _insert(database: sqlite3.Connection, lines: list[bytes]) -> None:
    database.execute("BEGIN")
    database.executemany("INSERT INTO entries (line) VALUES (?)", [(line,) for line in lines])
    database.execute("COMMIT")


def _paced(count: int, batch: int, append: Callable[[list[bytes]], object]) -> float:
    began = perf_counter()
    for _ in range(count // batch):
        append(list(_lines(batch)))
    return count / (perf_counter() - began)


def _verify(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Seconds to verify a whole log from its files, and to open it as a pole does at its start."""
    count = effort.count(_MANY, least=_AT_ONCE)
    where = folder / "many"
    create_log(where, "smartpole/bench")
    log = LedgerLog(where)
    waiting: list[bytes] = []
    for line in _lines(count):
        waiting.append(line)
        if len(waiting) == _AT_ONCE:
            log.append(waiting)
            waiting = []
    log.append(waiting)
    log.close()

    def audit() -> float:
        began = perf_counter()
        found = LedgerFolder(where, public_key(where)).audit()
        assert found.size == count
        return perf_counter() - began

    def opened() -> float:
        began = perf_counter()
        LedgerLog(where).close()
        return perf_counter() - began

    def hashes() -> float:
        began = perf_counter()
        with open(where / ENTRIES, "rb") as file:
            for line in file:
                sha256(line).digest()
        return perf_counter() - began

    rounds = min(effort.rounds, _MOST_VERIFICATIONS)
    results = take_turns({"audit": audit, "opened": opened, _HASHES: hashes}, rounds, warm_up=False)
    size = (where / ENTRIES).stat().st_size
    for name, which in (("verify", "audit"), ("open, at a pole's start", "opened")):
        yield compare(
            f"{name}, {count:,} entries",
            results,
            which,
            _HASHES,
            unit="s",
            better="lower",
            target=_A_MINUTE if which == "audit" else None,
            details={"MB": round(size / 1e6, 1)},
        )
