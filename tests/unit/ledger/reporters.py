"""Actors that have something to report, in a module of their own, which processes load."""

from __future__ import annotations

__all__ = ["CONFIGURATION", "TYPES", "Reporter"]

from collections.abc import Iterable
from typing import ClassVar

import trio

from actors.ledger.actor import LedgerKeeper
from runtime import Actor, Domain, Outlet, Reading
from tests.ledgers import Named, Noted

CONFIGURATION = """
[actors.reporter]
type = "reporter"

[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]

[[channels]]
from = "reporter.said"
to = "ledger.receipts"

[[channels]]
from = "reporter.seen"
to = "ledger.receipts"
"""


class Reporter(Actor, domain=Domain.PUBLIC):
    """Sends what it is given, each message once through all its lives, and crashes at 666."""

    supply: ClassVar[Iterable[Noted | Named]] = iter(())
    said: Outlet[Noted]
    seen: Outlet[Named]
    sent: Reading

    async def run(self) -> None:
        for message in self.supply:
            if isinstance(message, Named):
                await self.seen.send(message)
            elif message.number == 666:
                raise RuntimeError("as it was told")
            else:
                await self.said.send(message)
            self.sent.add()
        await trio.sleep_forever()


TYPES: dict[str, type[Actor]] = {"reporter": Reporter, "ledger": LedgerKeeper}
