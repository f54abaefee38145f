"""What the custodian decides about holds: placing, reviewing and releasing them.

Guideline 7.1(4) names two grounds and no other; 7.3(2) wants a manager for each site. Nothing here
reads a recording or a clock.
"""

from __future__ import annotations

__all__ = ["AHEAD", "HOLD_STEPS", "LONGEST_REVIEW", "WIDEST", "decide_hold"]

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from actors.custody.holds import Hold, HoldRegister
from actors.custody.managers import Manager, Managers
from actors.custody.order import HoldPlace, HoldRelease, HoldReview, Order, SignedOrder
from actors.custody.ruling import OrderRefused, Ruling, require_staffed, signer_in_term
from actors.ledger.receipts import Ground, HoldChanged, HoldStep, Refusal, numbers_of

WIDEST = timedelta(days=31)
"""What one order may hold at most, from the first picture to the last."""
AHEAD = timedelta(days=31)
"""How far into the future a hold may reach."""
LONGEST_REVIEW = timedelta(days=366)
"""Somebody has to look within so long whether a hold is still needed."""
HOLD_STEPS: Mapping[type[Order], HoldStep] = {
    HoldPlace: HoldStep.PLACED,
    HoldReview: HoldStep.REVIEWED,
    HoldRelease: HoldStep.RELEASED,
}
"""What an accepted order is in the ledger."""


def decide_hold(
    signed: SignedOrder,
    past: HoldRegister,
    managers: Managers,
    now: datetime,
    *,
    cameras: Mapping[str, str],
) -> Ruling:
    """Decide an order of one of the three kinds, which is meant for this pole.

    ``now`` is what the pole trusts to be the time; ``cameras`` tells the place of each camera.
    Whether the order was decided before is the caller's to know. Pure: what a crash made forget is
    decided in the same way again.
    """
    order = signed.order
    assert isinstance(order, HoldPlace | HoldReview | HoldRelease)
    why: Refusal | None = None
    try:
        signer = signer_in_term(signed, managers, now)
        if isinstance(order, HoldPlace):
            _require_place(order, signer, managers, now, cameras)
            text = (
                "recordings of that range are held until they are released. The hold opens none "
                "of them: reading takes a disclosure"
            )
        else:
            _require_known(order, signer, past)
            if isinstance(order, HoldReview):
                _require_review(order.review, now)
                text = "the hold was reviewed, and goes on"
            else:
                text = "the hold is over; what is past its time is deleted at the next sweep"
    except OrderRefused as refusal:
        why, text = refusal.why, str(refusal)
    return Ruling(why, text, _receipt(signed, past, why, managers))


def _receipt(
    signed: SignedOrder, past: HoldRegister, why: Refusal | None, managers: Managers
) -> HoldChanged:
    order = signed.order
    review = order.review if isinstance(order, HoldPlace | HoldReview) else None
    placed: HoldPlace | None
    if isinstance(order, HoldPlace):
        hold, placed = signed.id, order
    else:
        assert isinstance(order, HoldReview | HoldRelease)
        known = past.placed.get(order.hold)
        hold, placed = order.hold, known.order if known is not None else None
    number = placed.document.strip() if placed is not None else ""
    return HoldChanged(
        step=HOLD_STEPS[type(order)] if why is None else HoldStep.REFUSED,
        why=why,
        order=numbers_of(signed.id),
        hold=numbers_of(hold) if why is None or hold != signed.id else None,
        ground=placed.ground if placed is not None else None,
        document=numbers_of(hashlib.sha256(number.encode()).hexdigest()) if number else None,
        # Only names of the configuration: an order could carry anything as a place's name.
        places=tuple(one for one in placed.places if one in managers.places) if placed else (),
        start=int(placed.start.timestamp()) if placed is not None else 0,
        end=int(placed.end.timestamp()) if placed is not None else 0,
        review=int(review.timestamp()) if review is not None else 0,
        signer=signed.key_id,
    )


# -- placing ------------------------------------------------------------------------------------


def _require_place(
    order: HoldPlace,
    signer: Manager,
    managers: Managers,
    now: datetime,
    cameras: Mapping[str, str],
) -> None:
    if order.ground not in (Ground.LAW, Ground.AUTHORITY):
        which = "a facility's operator is none of them" if order.ground else "the order names none"
        raise OrderRefused(
            Refusal.GROUND,
            "recordings are kept beyond two weeks on two grounds only, and "
            f"{which} (guideline 7.1(4)). Accepted: ① law; ② an investigative authority's request.",
        )
    if not order.document.strip():
        raise OrderRefused(
            Refusal.DOCUMENT,
            "the order names no document (guideline 7.1(4)). Accepted: the number of the "
            "authority's request, or the law and its article.",
        )
    if not order.authority.strip():
        raise OrderRefused(
            Refusal.DOCUMENT,
            "the order does not say who asked (guideline 7.1(4)). Accepted: the authority as the "
            "document names it.",
        )
    if not order.places:
        raise OrderRefused(
            Refusal.RANGE,
            "the order names no place. Accepted: one or more of "
            f"{', '.join(sorted(managers.places))}.",
        )
    require_staffed(order.places, managers, now, "held")
    _require_own(signer, order)
    foreign = [one for one in order.cameras if cameras.get(one) not in order.places]
    if foreign:
        there = sorted(name for name, place in cameras.items() if place in order.places)
        raise OrderRefused(
            Refusal.RANGE,
            f"{len(foreign)} of the cameras named are not at the places named. Accepted: "
            f"{', '.join(there) or 'none, for no camera is there'}.",
        )
    _require_range(order, now)
    _require_review(order.review, now)


def _require_range(order: HoldPlace, now: datetime) -> None:
    if not order.start < order.end:
        raise OrderRefused(
            Refusal.RANGE,
            "the time to be held is empty. Accepted: an end that comes after the beginning.",
        )
    if order.end - order.start > WIDEST:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time to be held is longer than {WIDEST.days} days, and no more is kept beyond "
            "two weeks than was asked for (guideline 7.1(3), 7.1(4)). Accepted: up to "
            f"{WIDEST.days} days in one order.",
        )
    if order.end > now + AHEAD:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time to be held ends more than {AHEAD.days} days from now (guideline 7.1(3)). "
            "Accepted: an end before then, and another order when it has come.",
        )


def _require_review(review: datetime, now: datetime) -> None:
    if not now < review <= now + LONGEST_REVIEW:
        raise OrderRefused(
            Refusal.REVIEW,
            "that is no date at which to look whether the hold is still needed (guideline 7.1(4)). "
            f"Accepted: one within the next {LONGEST_REVIEW.days} days.",
        )


def _require_own(signer: Manager, order: HoldPlace) -> None:
    if not signer.answers_for(order.places):
        raise OrderRefused(
            Refusal.PLACE,
            f"{signer.name} does not answer for every place named (guideline 7.3(2)). Accepted of "
            f"{signer.name}: {', '.join(signer.places)}.",
        )


# -- what follows -------------------------------------------------------------------------------


def _require_known(order: HoldReview | HoldRelease, signer: Manager, past: HoldRegister) -> Hold:
    """The hold that it is about. That takes no deputy: what nobody may release is kept too long."""
    hold = past.in_force.get(order.hold)
    if hold is None:
        why = "is released already" if order.hold in past.placed else "was never placed"
        raise OrderRefused(
            Refusal.UNKNOWN,
            f"the hold that it names {why}. Accepted: one in force. See: smartpole hold list.",
        )
    _require_own(signer, hold.order)
    return hold
