"""The ledger as an actor may hold it: it appends, and can neither read nor change."""

from __future__ import annotations

__all__ = ["Ledger"]

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from runtime.capability import Authority, Capability, Storage
from runtime.errors import LedgerDamaged, LedgerRefused, Unrecoverable
from runtime.ledger.entry import POLE, Receipt, encode_record, is_word
from runtime.ledger.log import LedgerLog


class Ledger(
    Capability, kind=Storage("ledger"), rights="append receipts; cannot read, change or delete"
):
    """Appends what actors report. What only the pole may say (``PoleEntry``) is refused.

    Its methods block. The pole has made the ledger, with its key, before any actor starts.
    """

    def __init__(self, authority: Authority) -> None:
        self._actor = authority.actor
        if self._actor == POLE or not is_word(self._actor):
            raise Unrecoverable(
                f"an actor that is named {self._actor!r} can't write into the ledger: {POLE!r} is "
                "the pole's own name there, and the longest has 128 characters. Give it another."
            )
        try:
            self._log = LedgerLog(authority.require_folder(), resume=True)
        except LedgerDamaged as damage:
            raise Unrecoverable(str(damage)) from None

    def append(self, receipts: Sequence[Receipt], words: Collection[str] = ()) -> range:
        """Append all of them, durably, or none; returns their places in the log.

        ``words`` are the names that may stand in a field of type ``Word``: those of the blueprint.
        Raises LedgerRefused for one that may not stand there, LedgerTrouble where it can't be
        written now, and Unrecoverable where the log is not what was signed.
        """
        now = datetime.now(UTC)
        for receipt in receipts:
            if not isinstance(receipt, Receipt):
                raise LedgerRefused(
                    f"actor {self._actor!r} may not write a {type(receipt).__name__} into the "
                    "ledger: only the pole says that of itself. Accepted: a Receipt."
                )
        lines = [encode_record(one, at=now, by=self._actor, words=words) for one in receipts]
        try:
            return self._log.append(lines)
        except LedgerDamaged as damage:
            raise Unrecoverable(str(damage)) from None

    def close(self) -> None:
        self._log.close()
