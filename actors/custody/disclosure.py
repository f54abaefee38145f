"""What the custodian decides about disclosure: request, approval, opening, export.

Guideline 7.2(1) names three grounds and no other; 7.2(2) one purpose, and forbids anonymised use
for another one as well; 7.3(2) wants a manager for each site. Each step is an order signed by
somebody whom the configuration names; request and approval by two people. Nothing here reads a
recording or a clock.
"""

from __future__ import annotations

__all__ = [
    "DISCLOSURE_STEPS",
    "OPEN_WITHIN",
    "REQUEST_FOR",
    "Disclosures",
    "decide_disclosure",
]

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from actors.custody.box import Accepted, BoxContents
from actors.custody.disclosure_request import (
    require_ground,
    require_request,
    require_responsible,
)
from actors.custody.managers import Manager, Managers
from actors.custody.order import (
    DisclosureApproval,
    DisclosureExport,
    DisclosureOpening,
    DisclosureRequest,
    Order,
    SignedOrder,
)
from actors.custody.ruling import OrderRefused, Ruling, signer_in_term
from actors.custody.times import spell_time
from actors.ledger.receipts import Disclosed, DisclosureStep, Refusal, numbers_of

REQUEST_FOR = timedelta(days=14)
"""A request can be approved for so long. Unheld recordings are gone then."""
OPEN_WITHIN = timedelta(days=7)
"""An approval is good for so long."""
DISCLOSURE_STEPS: Mapping[type[Order], DisclosureStep] = {
    DisclosureRequest: DisclosureStep.REQUESTED,
    DisclosureApproval: DisclosureStep.APPROVED,
    DisclosureOpening: DisclosureStep.OPENED,
    DisclosureExport: DisclosureStep.EXPORTED,
}
"""What an accepted order is in the ledger."""


class Disclosures:
    """How far each disclosure has come, by the accepted orders in any sequence."""

    def __init__(self, accepted: Iterable[Accepted] = ()) -> None:
        self.requests: dict[str, Accepted] = {}
        """By their own id."""
        self.approvals: dict[str, Accepted] = {}
        """By the id of the request, as those below."""
        self.openings: dict[str, Accepted] = {}
        self.exports: dict[str, Accepted] = {}
        for one in accepted:
            self.add(one)

    @classmethod
    def of(cls, contents: BoxContents) -> Disclosures:
        """Compute it from what lies in the order box."""
        return cls(contents.accepted)

    def add(self, one: Accepted) -> None:
        """Take in one more. Orders of other kinds are passed over."""
        match one.signed.order:
            case DisclosureRequest():
                self.requests[one.signed.id] = one
            case DisclosureApproval(request=request):
                self.approvals[request] = one
            case DisclosureOpening(request=request):
                self.openings[request] = one
            case DisclosureExport(request=request):
                self.exports[request] = one
            case _:
                pass


def decide_disclosure(
    signed: SignedOrder,
    past: Disclosures,
    managers: Managers,
    now: datetime,
    *,
    cameras: Mapping[str, str],
) -> Ruling:
    """Decide an order of one of the four kinds, which is meant for this pole.

    ``now`` is what the pole trusts to be the time; ``cameras`` tells the place of each camera that
    the configuration has. Whether the order was decided before is the caller's to know.
    """
    order = signed.order
    request_id = signed.id if isinstance(order, DisclosureRequest) else _request_of(order)
    known = past.requests.get(request_id)
    request = order if isinstance(order, DisclosureRequest) else known and known.signed.order
    assert request is None or isinstance(request, DisclosureRequest)
    why: Refusal | None = None
    try:
        signer = signer_in_term(signed, managers, now)
        if isinstance(order, DisclosureRequest):
            require_request(order, signer, managers, now, cameras)
            text = (
                "the request is accepted. It opens nothing yet: another manager must approve it "
                f"within {REQUEST_FOR.days} days"
            )
        else:
            text = _go_on(signed, request_id, signer, past, managers, now)
    except OrderRefused as refusal:
        why, text = refusal.why, str(refusal)
    return Ruling(why, text, _receipt(signed, request_id, request, why, managers))


def _request_of(order: Order) -> str:
    assert isinstance(order, DisclosureApproval | DisclosureOpening | DisclosureExport)
    return order.request


def _receipt(
    signed: SignedOrder,
    request_id: str,
    request: DisclosureRequest | None,
    why: Refusal | None,
    managers: Managers,
) -> Disclosed:
    order = signed.order
    number = request.document.strip() if request is not None else ""
    return Disclosed(
        step=DISCLOSURE_STEPS[type(order)] if why is None else DisclosureStep.REFUSED,
        why=why,
        order=numbers_of(signed.id),
        request=numbers_of(request_id),
        ground=request.ground if request is not None else None,
        document=numbers_of(hashlib.sha256(number.encode()).hexdigest()) if number else None,
        # Only names of the configuration: a request could carry anything as a place's name.
        places=tuple(one for one in request.places if one in managers.places) if request else (),
        start=int(request.start.timestamp()) if request is not None else 0,
        end=int(request.end.timestamp()) if request is not None else 0,
        signer=signed.key_id,
        package=numbers_of(order.package) if isinstance(order, DisclosureExport) else None,
    )


# -- what follows -------------------------------------------------------------------------------


def _go_on(
    signed: SignedOrder,
    request_id: str,
    signer: Manager,
    past: Disclosures,
    managers: Managers,
    now: datetime,
) -> str:
    """Approval, opening or export. Says what was accepted."""
    order = signed.order
    known = past.requests.get(request_id)
    if known is None:
        raise OrderRefused(
            Refusal.UNKNOWN,
            "there is no accepted request of that id. See: smartpole disclose list.",
        )
    request = known.signed.order
    assert isinstance(request, DisclosureRequest)
    # An export is a report of what was done: what has changed since can't undo it.
    if not isinstance(order, DisclosureExport):
        require_ground(request, managers, now)
        require_responsible(request, signer, managers, now)
    if isinstance(order, DisclosureApproval):
        return _approve(known, request_id, signer, past, managers, now)
    approval = past.approvals.get(request_id)
    if approval is None:
        raise OrderRefused(
            Refusal.UNKNOWN,
            "the request is not approved. Another manager than the requester approves it: "
            "smartpole disclose approve (guideline 7.2(1)).",
        )
    until = approval.at + OPEN_WITHIN
    if isinstance(order, DisclosureOpening):
        return _open(order, request_id, signer, past, now, until)
    assert isinstance(order, DisclosureExport)
    return _export(order, request_id, signer, past, managers, until)


def _approve(
    known: Accepted,
    request_id: str,
    signer: Manager,
    past: Disclosures,
    managers: Managers,
    now: datetime,
) -> str:
    if request_id in past.approvals:
        raise OrderRefused(Refusal.REPEATED, "the request is approved already; once is enough.")
    requester = managers.signer_of(known.signed)
    if requester is None or requester.name == signer.name or signer.key == requester.key:
        raise OrderRefused(
            Refusal.SAME_PERSON,
            f"{signer.name} requested this, and can't approve it too: two people decide "
            "(guideline 7.2(1)). Accepted: another manager or deputy of the place.",
        )
    if now > known.at + REQUEST_FOR:
        raise OrderRefused(
            Refusal.EXPIRED,
            f"the request was made {spell_time(known.at)}, and could be approved for "
            f"{REQUEST_FOR.days} days. Accepted: a new request.",
        )
    return (
        "the request is approved. It can be exported once, until "
        f"{spell_time(now + OPEN_WITHIN)}: smartpole disclose export"
    )


def _open(
    order: DisclosureOpening,
    request_id: str,
    signer: Manager,
    past: Disclosures,
    now: datetime,
    until: datetime,
) -> str:
    if request_id in past.openings:
        raise OrderRefused(
            Refusal.REPEATED,
            "this approval was used already, and is good for one export. Accepted: a new request "
            "(guideline 7.2(1)).",
        )
    if now > until:
        raise OrderRefused(
            Refusal.EXPIRED,
            f"the approval was good until {spell_time(until)}. Accepted: a new request.",
        )
    if order.key != str(signer.key.verifier):
        raise OrderRefused(
            Refusal.SIGNATURE,
            "the order names another public key than the one that signed it.",
        )
    return "the recordings asked for may be opened now, to make the one package"


def _export(
    order: DisclosureExport,
    request_id: str,
    signer: Manager,
    past: Disclosures,
    managers: Managers,
    until: datetime,
) -> str:
    opening = past.openings.get(request_id)
    if opening is None:
        raise OrderRefused(
            Refusal.UNKNOWN,
            "nothing was opened for that request, so that there can't be a package of it. Find "
            "out where this one comes from (guideline 7.3(1)).",
        )
    if request_id in past.exports:
        raise OrderRefused(
            Refusal.REPEATED,
            "there is a package for this approval already, and one is all that it is good for. "
            "Find out where this second one comes from (guideline 7.2(1), 7.3(1)).",
        )
    opener = managers.signer_of(opening.signed)
    if opener is None or opener.name != signer.name:
        raise OrderRefused(
            Refusal.SIGNATURE,
            "the recordings were opened by somebody else than who says to have made the package.",
        )
    if order.made > until:
        raise OrderRefused(
            Refusal.EXPIRED,
            f"the package was made after {spell_time(until)}, up to which the approval was good.",
        )
    return "the package stands in the pole's ledger"
