"""Rulings: what was decided about an order, and why."""

from __future__ import annotations

__all__ = ["OrderRefused", "Ruling", "require_staffed", "signer_in_term"]

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from actors.custody.managers import Manager, Managers
from actors.custody.order import SignedOrder
from actors.ledger.receipts import Disclosed, HoldChanged, Refusal


class OrderRefused(Exception):
    """An order that is refused: why for the ledger, and in words for whoever asked.

    The words name what was refused, why, with the guideline's clause, and what would be accepted;
    they repeat nothing of what stands in the order.
    """

    def __init__(self, why: Refusal, text: str) -> None:
        super().__init__(text)
        self.why = why


class Ruling(NamedTuple):
    """What was decided. ``why`` is None where it was accepted."""

    why: Refusal | None
    text: str
    """For whoever asked."""
    receipt: HoldChanged | Disclosed | None
    """For the ledger, refused or not; None where the bytes ask for nothing known."""


def signer_in_term(signed: SignedOrder, managers: Managers, now: datetime) -> Manager:
    """Who signed an order, if they may. Raises OrderRefused (7.3(2))."""
    signer = managers.signer_of(signed)
    accepted = ", ".join(managers.accepted_signers(now)) or "nobody, for nobody is in their term"
    if signer is None:
        raise OrderRefused(
            Refusal.SIGNATURE,
            "the order is not signed by a manager whom the configuration names, or was changed "
            f"since (guideline 7.3(2)). Accepted: the key of {accepted}.",
        )
    if not signer.covers(now):
        raise OrderRefused(
            Refusal.TERM,
            f"{signer.name} is not in term, which runs from {signer.since} to {signer.until} "
            f"(guideline 7.3(2)). Accepted: the key of {accepted}.",
        )
    return signer


def require_staffed(places: Iterable[str], managers: Managers, now: datetime, what: str) -> None:
    """Refuse what is to be done where nobody answers for it (7.3(2)). Raises OrderRefused."""
    for place in places:
        if place not in managers.places:
            raise OrderRefused(
                Refusal.UNSTAFFED,
                "no manager is named for a place that the order names (guideline 7.3(2)). "
                f"Accepted: {', '.join(sorted(managers.places))}.",
            )
        if lacking := managers.lacking(place, now):
            roles = " and no ".join(role.value for role in lacking)
            raise OrderRefused(
                Refusal.UNSTAFFED,
                f"the place {place} has no {roles} in their term, and without both nothing is "
                f"{what} (guideline 7.3(2)). Accepted: places for which the configuration names "
                "a manager and a deputy who are in their term.",
            )
