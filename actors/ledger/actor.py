"""The ledger's actor: what others report goes into the ledger, in order and in batches."""

from __future__ import annotations

__all__ = ["LedgerKeeper"]

from collections.abc import Sequence

import trio

from runtime import (
    Actor,
    BlueprintView,
    Domain,
    Inlet,
    Ledger,
    LedgerRefused,
    LedgerTrouble,
    Needs,
    Reading,
    Receipt,
    blueprint_words,
    inlet,
)

_RETRY = 5.0


class LedgerKeeper(Actor, domain=Domain.CONTROL):
    """Appends every receipt that it is sent, of whatever kind.

    A receipt is acknowledged when it is on the disk and signed; after a crash it may be appended
    twice, and never not at all. While the disk is full, receipts wait, and with them whoever sends
    and does not mind waiting. One that may not stand in the ledger is counted and logged.
    """

    receipts: Inlet[Receipt] = inlet(capacity=256, acknowledge="manual")
    ledger: Needs[Ledger]
    blueprint: Needs[BlueprintView]
    entries_appended: Reading
    receipts_refused: Reading

    async def run(self) -> None:
        self._words = blueprint_words(self.blueprint.blueprint)
        async for batch in self.receipts.batches():
            await self._append(batch)
            self.receipts.acknowledge()

    async def _append(self, batch: Sequence[Receipt]) -> None:
        try:
            await self._append_patiently(batch)
        except LedgerRefused as refusal:
            if len(batch) > 1:  # the others have nothing to do with it
                for receipt in batch:
                    await self._append([receipt])
                return
            self.receipts_refused.add()
            self.log.error("a receipt was refused", reason=str(refusal))
        else:
            self.entries_appended.add(len(batch))

    async def _append_patiently(self, batch: Sequence[Receipt]) -> None:
        is_failing = False
        while True:
            try:
                await self.blocking(self.ledger.append, batch, self._words)
            except LedgerTrouble as trouble:
                if not is_failing:
                    self.log.error("receipts wait to be written", reason=str(trouble))
                is_failing = True
                await trio.sleep(_RETRY)
            else:
                if is_failing:
                    self.log.info("the receipts that waited are written")
                return
