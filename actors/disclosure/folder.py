"""A pole's state folder, or a copy of it, for who makes a package."""

from __future__ import annotations

__all__ = ["PoleFolder"]

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from actors.custody.box import BOX, BoxContents, OrderBoxFolder
from actors.custody.disclosure import OPEN_WITHIN, Disclosures
from actors.custody.order import DisclosureOpening, SignedOrder
from actors.disclosure.errors import DisclosureRefused
from actors.disclosure.package import Job
from actors.disclosure.proofs import prove_orders
from actors.disclosure.recordings import Recordings
from actors.disclosure.rewrap import Identity
from actors.recorder.signing import KeyRefused, VerifyKey
from runtime.errors import LedgerDamaged, LedgerTrouble, NoteRefused
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import public_key
from runtime.ledger.note import SigningKey
from runtime.ledger.writer import ledger_folder

_SECURITY = "security"


class PoleFolder:
    """Reads orders, recordings and ledger. Nothing is written. Raises DisclosureRefused."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._security = state / _SECURITY
        if not self._security.is_dir():
            raise DisclosureRefused(
                f"there are no recordings in {state}. Accepted: a pole's TOML file, or a copy of "
                "its state folder with security/ and ledger/ in it (and without the private keys)."
            )

    def contents(self) -> BoxContents:
        """The orders and what became of them. Raises BoxTrouble, too."""
        return OrderBoxFolder(self._security / BOX).read()

    def opening(self, request: str, signer: SigningKey, now: datetime) -> SignedOrder | None:
        """The accepted order by which that person may open that request now; None if there is none
        yet. Raises DisclosureRefused where there can't be one any more; BoxTrouble."""
        past = Disclosures.of(self.contents())
        opening, approval = past.openings.get(request), past.approvals.get(request)
        if opening is None or approval is None:
            return None
        if request in past.exports:
            raise DisclosureRefused(
                "a package was made of this approval already, and one is all that it is good for. "
                "Accepted: a new request (guideline 7.2(1))."
            )
        order = opening.signed.order
        assert isinstance(order, DisclosureOpening)
        if order.key != str(signer.verifier):
            raise DisclosureRefused(
                f"{opening.signed.signer} has opened this approval, and makes the one package. "
                "Accepted: that person's key, or a new request (guideline 7.2(1))."
            )
        if now > approval.at + OPEN_WITHIN:
            raise DisclosureRefused(
                f"the approval was good for {OPEN_WITHIN.days} days, and is over. Accepted: a new "
                "request."
            )
        return opening.signed

    def job(
        self,
        opening: SignedOrder,
        identities: Sequence[Identity],
        signer: SigningKey,
        now: Callable[[], datetime],
    ) -> Job:
        """All that the package of an opened request is made from. Blocks; raises
        DisclosureRefused and BoxTrouble."""
        order = opening.order
        assert isinstance(order, DisclosureOpening)
        past = Disclosures.of(self.contents())
        request = past.requests[order.request].signed
        approval = past.approvals[order.request].signed
        folder = ledger_folder(self._state)
        try:
            key = VerifyKey.from_text(request.order.pole)
            ledger = LedgerFolder(folder, public_key(folder))
        except (KeyRefused, LedgerDamaged, LedgerTrouble, NoteRefused) as error:
            raise DisclosureRefused(
                f"{error} Without the ledger nothing proves that this was requested and approved, "
                "and nothing is handed over (guideline 7.2(1), 7.3(1))."
            ) from None
        return Job(
            recordings=Recordings(self._security, key),
            request=request,
            approval=approval,
            opening=opening,
            proofs=prove_orders(ledger, [request, approval, opening]),
            ledger_key=str(ledger.key),
            identities=identities,
            signer=signer,
            now=now,
        )
