"""What the pole's ledger has of a disclosure: proofs of its orders, and the package."""

from __future__ import annotations

__all__ = ["entry_of_package", "prove_orders"]

from collections.abc import Sequence

from actors.custody.order import SignedOrder
from actors.disclosure.errors import DisclosureRefused
from actors.ledger.receipts import Disclosed, DisclosureStep, numbers_of
from runtime.errors import LedgerDamaged, LedgerTrouble, NoteRefused
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.proof import InclusionProof

_KIND = "disclosure"


def prove_orders(ledger: LedgerFolder, orders: Sequence[SignedOrder]) -> list[InclusionProof]:
    """Prove each, in their order. Blocks; raises DisclosureRefused."""
    places: dict[tuple[int, ...], int] = {}
    try:
        for index, _, entry in ledger.entries(wanted=lambda record: record.kind == _KIND):
            if isinstance(entry, Disclosed) and entry.step is not DisclosureStep.REFUSED:
                places.setdefault(entry.order, index)
        missing = [one for one in orders if numbers_of(one.id) not in places]
        if missing:
            raise DisclosureRefused(
                f"the ledger in {ledger.folder} has no signed entry of the "
                f"{missing[0].order.kind}, and nothing is opened that does not stand there "
                "(guideline 7.3(1)). If it was "
                "accepted just now, try again in a moment; of a copy, make it again"
            )
        return [ledger.prove(places[numbers_of(one.id)]) for one in orders]
    except (LedgerDamaged, LedgerTrouble, NoteRefused) as error:
        raise DisclosureRefused(str(error)) from None


def entry_of_package(ledger: LedgerFolder, package: str) -> int | None:
    """Which entry tells that this package was made, in a ledger that is verified whole; None where
    none does. Blocks; raises DisclosureRefused where the ledger is not as the pole signed it."""
    try:
        ledger.audit()
        for index, _, entry in ledger.entries(wanted=lambda record: record.kind == _KIND):
            if not isinstance(entry, Disclosed) or entry.step is not DisclosureStep.EXPORTED:
                continue
            if entry.package == numbers_of(package):
                return index
    except (LedgerDamaged, LedgerTrouble, NoteRefused) as error:
        raise DisclosureRefused(str(error)) from None
    return None
