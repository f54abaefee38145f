"""Ledgers for tests: a kind of entry of their own, and folders to keep them in."""

from __future__ import annotations

__all__ = ["Named", "Noted", "Summed", "entries_of", "line", "lines", "new_log"]

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from runtime import DigestNumbers, Receipt, Sensitivity, Word, ledger_entry
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import encode_record
from runtime.ledger.files import public_key
from runtime.ledger.log import LedgerLog, create_log

_MOMENT = datetime(2026, 11, 25, 12, tzinfo=UTC)


@ledger_entry("test-noted")
class Noted(Receipt, sensitivity=Sensitivity.OPERATIONAL):
    """What tests have to say."""

    number: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


@ledger_entry("test-named")
class Named(Receipt, sensitivity=Sensitivity.OPERATIONAL):
    """Somebody whom tests name."""

    who: Word


@ledger_entry("test-summed")
class Summed(Receipt, sensitivity=Sensitivity.OPERATIONAL):
    """What tests have the digest of."""

    one: DigestNumbers
    other: DigestNumbers | None


def line(number: int) -> bytes:
    return encode_record(Noted(number=number), at=_MOMENT, by="tester")


def lines(numbers: Iterable[int]) -> list[bytes]:
    return [line(number) for number in numbers]


def new_log(folder: Path, numbers: Iterable[int] = ()) -> LedgerLog:
    """A new ledger with these entries."""
    create_log(folder, "smartpole/test")
    log = LedgerLog(folder)
    if made := lines(numbers):
        log.append(made)
    return log


def entries_of(folder: Path) -> list[int]:
    """The numbers that a ledger holds, verified from its files alone."""
    ledger = LedgerFolder(folder, public_key(folder))
    ledger.audit()
    return [entry.number for _, _, entry in ledger.entries() if isinstance(entry, Noted)]
