"""Decisions: whether what an order asks for is done, and why it isn't.

Pure: the same order, book, managers and time give the same decision, so that one which a crash
forgot is made again. What is said of a refusal names what was refused, why, with the guideline's
clause, and what would be accepted; it repeats nothing of what stands in the order.
"""

from __future__ import annotations

__all__ = ["Decision", "Decider", "WIDEST_DISCLOSURE", "WIDEST_HOLD"]

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from actors.custody.book import Book, Request
from actors.custody.managers import Manager, Managers
from actors.custody.order import (
    DisclosureApproval,
    DisclosureExport,
    DisclosureRequest,
    HoldPlace,
    HoldRelease,
    HoldReview,
    Order,
    Purpose,
    SignedOrder,
)
from actors.ledger.receipts import Ground, Refusal

WIDEST_HOLD = timedelta(days=31)
"""What one order may hold at most: from its first to its last picture, and into the future."""
WIDEST_DISCLOSURE = timedelta(days=7)
"""What one request may ask for at most: the smallest range that serves is disclosed."""
_LONGEST_REVIEW = timedelta(days=366)

_NO_HOLD_GROUND = (
    "recordings are kept beyond two weeks on two grounds only (guideline 7.1(4)). Accepted: a law "
    "(law), or an investigative authority's request (authority)"
)
_NO_DISCLOSURE_GROUND = (
    "recordings are handed over on three grounds only (guideline 7.2(1)). Accepted: a law (law); "
    "an investigative authority's official written inquiry (authority); a facility's operator with "
    "a confidentiality agreement on file, for crime prevention (facility)"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Accepted where ``why`` is None."""

    said: str
    why: Refusal | None = None


class _Refused(Exception):
    """Ends the judging of an order."""

    def __init__(self, why: Refusal, said: str) -> None:
        super().__init__(said)
        self.decision = Decision(f"refused: {said}.", why)


class Decider:
    """Decides about one pole's orders. ``pole`` is the public key that signs its recordings."""

    def __init__(self, managers: Managers, pole: str) -> None:
        self._managers = managers
        self._pole = pole

    def decide(self, signed: SignedOrder, book: Book, now: datetime) -> Decision:
        """Judge an order by what was accepted before it."""
        try:
            signer = self._signer(signed, now)
            if signed.id in book.accepted:
                raise _Refused(
                    Refusal.REPEATED,
                    "this very order was accepted before, and is carried out once. Accepted: a new "
                    "order",
                )
            return Decision(f"accepted: {self._judge(signed, signer, book, now)}.")
        except _Refused as refusal:
            return refusal.decision

    def _judge(self, signed: SignedOrder, signer: Manager, book: Book, now: datetime) -> str:
        match signed.order:
            case HoldPlace() as order:
                return self._place(order, signer, now)
            case HoldReview() as order:
                self._require_hold(order.hold, signer, book)
                _require_review(order.review, now)
                return "the hold was reviewed and goes on"
            case HoldRelease() as order:
                self._require_hold(order.hold, signer, book)
                return "the hold is over; what is past its time is deleted at the next sweep"
            case DisclosureRequest() as order:
                return self._request(order, signer, now)
            case DisclosureApproval() as order:
                return self._approve(order, signer, book, now)
            case DisclosureExport() as order:
                return self._export(order, signer, book, now)
            case _:  # pragma: no cover - KINDS and this match list the same
                raise AssertionError(f"no rule for {type(signed.order).__name__}")

    # -- who ------------------------------------------------------------------------------------

    def _signer(self, signed: SignedOrder, now: datetime) -> Manager:
        if signed.order.pole != self._pole:
            raise _Refused(
                Refusal.OTHER_POLE,
                "the order is for another pole, or for the key that this one had before. Accepted: "
                "an order that names the key in this pole's security/pole.pub",
            )
        signer = self._managers.signer_of(signed)
        if signer is None:
            raise _Refused(
                Refusal.SIGNATURE,
                "no manager whom the configuration names signed the order, or it was changed since "
                "(guideline 7.3(2)). Accepted: an order signed with the key of "
                f"{self._who_could(now)}",
            )
        if not signer.covers(now):
            raise _Refused(
                Refusal.TERM,
                f"{signer.name} signed the order and is not in their term (guideline 7.3(2)): it "
                f"is {signer.since} to {signer.until}. Accepted: an order signed by "
                f"{self._who_could(now)}",
            )
        return signer

    def _who_could(self, now: datetime) -> str:
        return " or ".join(self._managers.accepted_signers(now)) or "a manager in their term"

    def _require_staffed(self, places: Iterable[str], now: datetime, what: str) -> None:
        for place in places:
            lacking = " and no ".join(role.value for role in self._managers.lacking(place, now))
            if lacking:
                raise _Refused(
                    Refusal.UNSTAFFED,
                    f"one of its places has no {lacking} in their term, and without both nothing "
                    f"is {what} there (guideline 7.3(2)). Accepted: places for which the "
                    "configuration names a manager and a deputy who are in their term",
                )

    @staticmethod
    def _require_own(signer: Manager, places: Iterable[str]) -> None:
        if not signer.answers_for(places):
            raise _Refused(
                Refusal.PLACE,
                f"{signer.name} does not answer for every place that it is about (guideline "
                f"7.3(2)). Accepted from {signer.name}: {', '.join(signer.places)}",
            )

    # -- holds ----------------------------------------------------------------------------------

    def _place(self, order: HoldPlace, signer: Manager, now: datetime) -> str:
        if order.ground not in (Ground.LAW, Ground.AUTHORITY):
            raise _Refused(Refusal.GROUND, _NO_HOLD_GROUND)
        _require_document(order.document, order.authority, "7.1(4)")
        _require_places(order.places)
        self._require_staffed(order.places, now, "held")
        self._require_own(signer, order.places)
        _require_range(order.start, order.end, WIDEST_HOLD, "held", "7.1(3)")
        if order.end > now + WIDEST_HOLD:
            raise _Refused(
                Refusal.RANGE,
                f"its range ends more than {WIDEST_HOLD.days} days from now, and recordings are "
                "kept for two weeks as a rule (guideline 7.1(3)). Accepted: an end up to then, and "
                "another order later if it is needed",
            )
        _require_review(order.review, now)
        return (
            "recordings in its range are held until they are released. It opens none of them: a "
            "disclosure is another order"
        )

    def _require_hold(self, hold: str, signer: Manager, book: Book) -> None:
        """Ending a hold takes no deputy: what is kept too long is worse."""
        if hold not in book.holds:
            gone = " It was released" if hold in book.placed else " There is none of that number"
            raise _Refused(
                Refusal.UNKNOWN,
                f"it is about no hold in force.{gone}. Accepted: one that `smartpole hold list` "
                "shows",
            )
        self._require_own(signer, book.holds[hold].order.places)

    # -- disclosures ----------------------------------------------------------------------------

    def _request(self, order: DisclosureRequest, signer: Manager, now: datetime) -> str:
        if order.anonymised:
            raise _Refused(
                Refusal.ANONYMISED,
                "recordings are not anonymised for any other use (guideline 7.2(2)). Accepted: a "
                "request on one of the guideline's grounds, for what was recorded as it is",
            )
        if order.ground is None:
            raise _Refused(Refusal.GROUND, _NO_DISCLOSURE_GROUND)
        if order.purpose is not Purpose.CRIME_PREVENTION:
            raise _Refused(
                Refusal.PURPOSE,
                "recordings are used for crime prevention and nothing else (guideline 7.2(2)). "
                "Accepted: that purpose",
            )
        _require_places(order.places)
        if order.ground is Ground.FACILITY:
            self._require_agreement(order, now)
        else:
            _require_document(order.document, order.authority, "7.2(1)")
        self._require_staffed(order.places, now, "disclosed")
        self._require_own(signer, order.places)
        _require_range(order.start, order.end, WIDEST_DISCLOSURE, "disclosed", "7.2(1)")
        if order.start > now:
            raise _Refused(
                Refusal.RANGE,
                "its range has not begun, and nothing is promised ahead (guideline 7.2(1)). "
                "Accepted: a range that has begun",
            )
        return "requested; another manager or deputy has to approve it (guideline 7.2(1))"

    def _require_agreement(self, order: DisclosureRequest, now: datetime) -> None:
        facility = self._managers.facility(order.facility)
        if (
            facility is None
            or not facility.covers(now)
            or not set(order.places) <= set(facility.places)
        ):
            raise _Refused(
                Refusal.AGREEMENT,
                "there is no confidentiality agreement in force with this operator for every place "
                "that it is about (guideline 7.2(1) ③). Accepted: a facility that the "
                "configuration names, within its term, for its own places",
            )

    def _approve(
        self, order: DisclosureApproval, signer: Manager, book: Book, now: datetime
    ) -> str:
        request = _known(order.request, book)
        self._require_other(request, signer)
        if request.approval is not None:
            raise _Refused(
                Refusal.REPEATED,
                "the request is approved already. Accepted: its export, or a new request",
            )
        if request.order.ground is Ground.FACILITY:
            self._require_agreement(request.order, now)
        self._require_staffed(request.order.places, now, "disclosed")
        self._require_own(signer, request.order.places)
        return "approved; on the manager's computer: smartpole disclose export"

    def _require_other(self, request: Request, signer: Manager) -> None:
        if self._managers.signer_of(request.signed) == signer:
            raise _Refused(
                Refusal.SAME_PERSON,
                f"{signer.name} requested it, and two people have to agree (guideline 7.2(1)). "
                "Accepted: the approval of another manager or deputy, with their own key",
            )

    def _export(self, order: DisclosureExport, signer: Manager, book: Book, now: datetime) -> str:
        request = _known(order.request, book)
        if request.approval is None:
            raise _Refused(
                Refusal.UNKNOWN,
                "the request is not approved (guideline 7.2(1)). Accepted: an export of what "
                "another person approved",
            )
        if request.order.ground is Ground.FACILITY:
            self._require_agreement(request.order, now)
        self._require_staffed(request.order.places, now, "disclosed")
        self._require_own(signer, request.order.places)
        return "the export is recorded"


def _known(request: str, book: Book) -> Request:
    if request not in book.requests:
        raise _Refused(
            Refusal.UNKNOWN,
            "it is about no request that was accepted. Accepted: one that `smartpole disclose "
            "list` shows",
        )
    return book.requests[request]


def _require_document(document: str, authority: str, clause: str) -> None:
    if not document.strip() or not authority.strip():
        lacking = "document's number" if not document.strip() else "name of who asks"
        raise _Refused(
            Refusal.DOCUMENT,
            f"the {lacking} is missing (guideline {clause}). Accepted: an order with the number of "
            "the written request, or the law and its article, and the name of who asks",
        )


def _require_places(places: tuple[str, ...]) -> None:
    if not places:
        raise _Refused(
            Refusal.RANGE, "it names no place. Accepted: one or more places of the configuration"
        )


def _require_range(
    start: datetime, end: datetime, widest: timedelta, what: str, clause: str
) -> None:
    if not start < end:
        raise _Refused(
            Refusal.RANGE, "its range ends before it begins. Accepted: an end after the beginning"
        )
    if end - start > widest:
        raise _Refused(
            Refusal.RANGE,
            f"its range is longer than {widest.days} days, and no more is {what} than is needed "
            f"(guideline {clause}). Accepted: up to {widest.days} days in one order",
        )


def _require_review(review: datetime, now: datetime) -> None:
    if not now < review <= now + _LONGEST_REVIEW:
        raise _Refused(
            Refusal.REVIEW,
            "somebody has to look whether a hold is still needed (guideline 7.1(4)). Accepted: a "
            f"review date within the next {_LONGEST_REVIEW.days} days",
        )
