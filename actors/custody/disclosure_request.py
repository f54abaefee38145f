"""What a disclosure must be allowed by: its ground, who answers for it, the smallest range."""

from __future__ import annotations

__all__ = [
    "LONGEST_EVENT",
    "MARGIN",
    "require_ground",
    "require_request",
    "require_responsible",
]

from collections.abc import Mapping
from datetime import datetime, timedelta

from actors.custody.managers import Manager, Managers
from actors.custody.order import DisclosureRequest, Purpose
from actors.custody.ruling import OrderRefused, require_staffed
from actors.custody.times import spell_time
from actors.ledger.receipts import Ground, Refusal
from actors.recorder.age import Recipient

MARGIN = timedelta(minutes=30)
"""So far before and after what is looked for may be asked for."""
LONGEST_EVENT = timedelta(hours=24)
"""What is looked for at once; more are requests of their own."""

_GROUNDS = (
    "Accepted: ① law; ② an investigative authority's official written inquiry, with its document "
    "number; ③ the operator of the facility, for crime prevention, with an agreement of "
    "confidentiality on file (guideline 7.2(1))."
)


# -- who ----------------------------------------------------------------------------------------


def require_responsible(
    request: DisclosureRequest, signer: Manager, managers: Managers, now: datetime
) -> None:
    """A manager and a deputy are there, and the signer answers for the places (7.3(2))."""
    require_staffed(request.places, managers, now, "disclosed")
    if not signer.answers_for(request.places):
        raise OrderRefused(
            Refusal.PLACE,
            f"{signer.name} does not answer for every place named (guideline 7.3(2)). Accepted of "
            f"{signer.name}: {', '.join(signer.places)}.",
        )


# -- the request --------------------------------------------------------------------------------


def require_request(
    request: DisclosureRequest,
    signer: Manager,
    managers: Managers,
    now: datetime,
    cameras: Mapping[str, str],
) -> None:
    require_ground(request, managers, now)
    require_responsible(request, signer, managers, now)
    _require_cameras(request, cameras)
    _require_range(request, now)
    try:
        Recipient(request.recipient)
    except ValueError as error:
        raise OrderRefused(
            Refusal.RECIPIENT,
            f"the recipient's key can't be used: {error}. Accepted: the public key age1… that the "
            "recipient made with age-keygen and told you themselves (guideline 7.3(1)).",
        ) from None


def require_ground(request: DisclosureRequest, managers: Managers, now: datetime) -> None:
    """7.2(1), 7.2(2)."""
    if request.anonymised:
        raise OrderRefused(
            Refusal.ANONYMISED,
            "recordings are not handed over anonymised: they serve crime prevention only, and to "
            "anonymise them for something else is forbidden as well (guideline 7.2(2)). "
            "Statistics without pictures: smartpole statistics.",
        )
    if request.ground is None:
        raise OrderRefused(
            Refusal.GROUND,
            "the request names none of the grounds on which recordings may be handed over "
            f"(guideline 7.2(1)), and no other use of them is allowed (7.2(2)). {_GROUNDS}",
        )
    if request.purpose is not Purpose.CRIME_PREVENTION and request.ground is not Ground.LAW:
        raise OrderRefused(
            Refusal.PURPOSE,
            "recordings are used and handed over for crime prevention only (guideline 7.2(2)). "
            "Accepted: that purpose; or a law that obliges to hand them over (7.2(1) ①).",
        )
    if request.ground is Ground.FACILITY:
        _require_agreement(request, managers, now)
        return
    if not request.document.strip():
        what = (
            "the law and its article, or the number of the order that rests on it"
            if request.ground is Ground.LAW
            else "the number of the authority's official document; asking by word of mouth or by "
            "telephone is not enough"
        )
        clause = "①" if request.ground is Ground.LAW else "②"
        raise OrderRefused(
            Refusal.DOCUMENT,
            f"the request names no document (guideline 7.2(1) {clause}). Accepted: {what}.",
        )
    if not request.authority.strip():
        raise OrderRefused(
            Refusal.DOCUMENT,
            "the request does not say to whom (guideline 7.2(1)). Accepted: the authority or "
            "court as the document names it.",
        )


def _require_agreement(request: DisclosureRequest, managers: Managers, now: datetime) -> None:
    facility = managers.facility(request.facility)
    if facility is None:
        raise OrderRefused(
            Refusal.AGREEMENT,
            "no agreement of confidentiality with this facility's operator is on file (guideline "
            "7.2(1) ③). Accepted: the name of a facility in the configuration "
            "(actors.custodian.settings.facilities).",
        )
    if not facility.covers(now):
        raise OrderRefused(
            Refusal.AGREEMENT,
            f"the agreement of confidentiality with {facility.name} runs from {facility.since} to "
            f"{facility.until}, and is not in force now (guideline 7.2(1) ③).",
        )
    foreign = [place for place in request.places if place not in facility.places]
    if foreign:
        raise OrderRefused(
            Refusal.AGREEMENT,
            f"the agreement with {facility.name} is not about every place named (guideline "
            f"7.2(1) ③). Accepted: {', '.join(facility.places)}.",
        )


def _require_cameras(request: DisclosureRequest, cameras: Mapping[str, str]) -> None:
    if not request.places or not request.cameras:
        raise OrderRefused(
            Refusal.RANGE,
            "the request names no place or no camera. Only the smallest range is handed over "
            "(guideline 7.2(1)), so each camera is named.",
        )
    foreign = [camera for camera in request.cameras if cameras.get(camera) not in request.places]
    if foreign:
        there = [name for name, place in cameras.items() if place in request.places]
        raise OrderRefused(
            Refusal.RANGE,
            f"{len(foreign)} of the cameras named are not at the places named. Accepted: "
            f"{', '.join(sorted(there)) or 'none, for no camera is there'}.",
        )


def _require_range(request: DisclosureRequest, now: datetime) -> None:
    """The smallest range: by what the document names, and by when it happened."""
    asked = f"{spell_time(request.start)} to {spell_time(request.end)}"
    if not request.start < request.end:
        raise OrderRefused(Refusal.RANGE, f"the time asked for is empty: {asked}.")
    if request.end > now:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time asked for, {asked}, is not over yet. Only what was recorded is handed over; "
            "nothing is recorded for somebody on request (guideline 7.2(1)).",
        )
    if not request.written_start <= request.start < request.end <= request.written_end:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time asked for, {asked}, is wider than the document, which names "
            f"{spell_time(request.written_start)} to {spell_time(request.written_end)} (guideline "
            "7.2(1)).",
        )
    length = request.event_end - request.event_start
    if not timedelta(0) <= length <= LONGEST_EVENT:
        raise OrderRefused(
            Refusal.RANGE,
            "what is looked for must have happened within at most "
            f"{LONGEST_EVENT // timedelta(hours=1)} hours, and its end not before its beginning; "
            "several events are several requests (smallest range, guideline 7.2(1)).",
        )
    earliest, latest = request.event_start - MARGIN, request.event_end + MARGIN
    if request.start < earliest or request.end > latest:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time asked for, {asked}, is wider than what happened needs. Accepted: "
            f"from {spell_time(earliest)} to {spell_time(latest)} at most, "
            f"{MARGIN // timedelta(minutes=1)} minutes before and after it (smallest range, "
            "guideline 7.2(1)).",
        )
    if request.end <= request.event_start or request.start > request.event_end:
        raise OrderRefused(
            Refusal.RANGE,
            f"the time asked for, {asked}, holds nothing of what is looked for, which happened "
            f"from {spell_time(request.event_start)} to {spell_time(request.event_end)}.",
        )
