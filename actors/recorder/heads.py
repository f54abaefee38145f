"""How far the chain of manifests went, as the pole's ledger tells it."""

from __future__ import annotations

__all__ = ["ToldHead", "told_heads"]

import struct
from typing import NamedTuple

from actors.ledger.receipts import RecordingsSigned
from actors.recorder.signing import VerifyKey
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import kind_of

_KIND = kind_of(RecordingsSigned)


class ToldHead(NamedTuple):
    """The chain's last record at some time."""

    number: int
    digest: str
    """SHA-256 of its line."""
    entry: int
    """Of the ledger."""


def told_heads(ledger: LedgerFolder, key: VerifyKey) -> list[ToldHead]:
    """What a ledger, which is verified whole, tells of the chain that this key signs, in the order
    in which it was told. Blocks; raises LedgerDamaged and LedgerTrouble."""
    ledger.audit()
    return [
        ToldHead(entry.number, struct.pack(">8I", *entry.digest).hex(), index)
        for index, _, entry in ledger.entries(wanted=lambda record: record.kind == _KIND)
        if isinstance(entry, RecordingsSigned) and entry.key == key.number
    ]
