"""Disclosures in plain words, for a manager's terminal. What stands there goes into no log."""

from __future__ import annotations

__all__ = ["facts", "listing", "listing_json", "spell_verified", "verified_json"]

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from actors.custody.box import Accepted, BoxContents, Decided
from actors.custody.disclosure import OPEN_WITHIN, Disclosures
from actors.custody.order import DisclosureRequest, SignedOrder
from actors.custody.times import JAPAN, spell_minute, spell_time
from actors.disclosure.account import Kind
from actors.disclosure.contents import Why
from actors.disclosure.verify import Verified
from actors.ledger.receipts import numbers_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 12
_PREFIX = "disclosure-"
_MISSING = {
    Kind.DELETED.value: "deleted by retention before it was handed over (signed by the pole)",
    Kind.OPEN.value: "still being written, or cut off by a power failure: not signed yet",
    Kind.UNACCOUNTED.value: "nothing that the pole signed tells of it",
    Why.UNOPENED.value: "recorded; the manager says that no key of theirs opens it",
    Why.TORN.value: "recorded; it breaks off before its first picture",
    Why.CHANGED.value: "recorded; the manager says that the file was not what the pole signed",
    Why.ABSENT.value: "recorded; the manager says that the file was not there",
}


def facts(request: DisclosureRequest) -> Iterator[str]:
    """What a request asks for, a line each."""
    ground = request.ground.value if request.ground is not None else "none"
    document = f", {request.document}" if request.document else ""
    yield f"ground     {ground}{document}"
    yield f"for        {request.facility or request.authority}"
    yield f"where      {', '.join(request.places)}: {', '.join(request.cameras)}"
    yield f"time       {_span(request.start, request.end)}"
    yield f"happened   {_span(request.event_start, request.event_end)}"
    yield f"written    {_span(request.written_start, request.written_end)}"
    yield f"recipient  {request.recipient}"


def listing(
    contents: BoxContents, entries: Mapping[tuple[int, ...], int], *, everything: bool
) -> list[str]:
    """The disclosures that were accepted and are not over; all, and what was refused, if
    ``everything`` is asked for."""
    now = datetime.now(UTC)
    past = Disclosures.of(contents)
    lines: list[str] = []
    for id, request in past.requests.items():
        if id in past.exports and not everything:
            continue
        order = request.signed.order
        assert isinstance(order, DisclosureRequest)
        approval = past.approvals.get(id)
        lines.append(f"request {id[:_SHOWN]}  {_state(id in past.exports, approval, now)}")
        lines += [f"  {line}" for line in facts(order)]
        for what, step in (
            ("requested", request),
            ("approved", approval),
            ("opened", past.openings.get(id)),
            ("exported", past.exports.get(id)),
        ):
            if step is not None:
                lines.append(f"  {what:<10} {_step(step, entries)}")
        lines.append("")
    if everything:
        lines += [line for one in contents.decided for line in _refused(one)]
    waiting = sum(1 for one in contents.waiting if (one.kind or "").startswith(_PREFIX))
    if waiting:
        lines.append(
            f"{waiting} {'order waits' if waiting == 1 else 'orders wait'} for a decision."
        )
    if not lines and past.requests:
        return ["no request is open; --all shows those that were exported, too."]
    return lines or ["nothing is requested."]


def _state(is_exported: bool, approval: Accepted | None, now: datetime) -> str:
    if is_exported:
        return "exported"
    if approval is None:
        return "waits for another manager's approval"
    until = approval.at + OPEN_WITHIN
    if now > until:
        return "approval is over"
    return f"approved, to be exported until {spell_minute(until)}"


def _step(one: Accepted, entries: Mapping[tuple[int, ...], int]) -> str:
    entry = entries.get(numbers_of(one.signed.id))
    where = f"ledger entry {entry}" if entry is not None else "NOT IN THE LEDGER"
    return f"{spell_minute(one.at)}, by {one.signed.signer}; {where}"


def _refused(one: Decided) -> Iterator[str]:
    if one.outcome.why is not None and (one.outcome.kind or "").startswith(_PREFIX):
        when = spell_minute(one.outcome.at)
        yield f"refused, decision {one.outcome.number}, {when}: {one.outcome.kind}"
        yield f"  {one.outcome.said}"
        yield ""


def listing_json(contents: BoxContents, entries: Mapping[tuple[int, ...], int]) -> str:
    """All of it, for a machine."""
    past = Disclosures.of(contents)

    def step(one: Accepted | None) -> dict[str, Any] | None:
        if one is None:
            return None
        return {
            "id": one.signed.id,
            "at": one.at,
            "by": one.signed.signer,
            "ledger_entry": entries.get(numbers_of(one.signed.id)),
            "order": one.signed.order,
        }

    whole = {
        "requests": [
            {
                "id": id,
                "request": step(request),
                "approval": step(past.approvals.get(id)),
                "opening": step(past.openings.get(id)),
                "export": step(past.exports.get(id)),
            }
            for id, request in past.requests.items()
        ],
        "refused": [
            {"order": _id(one.signed), "outcome": one.outcome}
            for one in contents.decided
            if not one.outcome.accepted and (one.outcome.kind or "").startswith(_PREFIX)
        ],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def _id(signed: SignedOrder | None) -> str | None:
    return signed.id if signed is not None else None


# -- a verified package -------------------------------------------------------------------------


def spell_verified(found: Verified) -> Iterator[str]:
    """What verifying a package found, a line each."""
    yield f"{'✓' if found.is_good else '✗'} {found.folder}: {_verdict(found)}"
    if found.request is not None:
        order = found.request.order
        assert isinstance(order, DisclosureRequest)
        yield f"  request    {found.request.id}"
        for line in facts(order):
            yield f"  {line}"
        yield (
            f"  decided    requested by {found.request.signer}, approved by {found.approver}, "
            f"opened and packed by {found.opener}"
        )
    if found.package:
        yield f"  package    {found.package} (as the pole's ledger names it)"
    segments = "1 segment is" if found.films == 1 else f"{found.films} segments are"
    yield f"  {segments} as the pole recorded and signed"
    for piece, why in found.missing:
        span = _span(_moment(piece.start), _moment(piece.end))
        text = f"the pole signed why: {piece.what}" if why == Kind.GAP.value else _MISSING[why]
        yield f"  missing    {piece.camera}, {span}: {text}"
    for one in found.findings:
        yield f"  {one.kind.upper()} {one.what}: {one.text}"


def verified_json(found: Verified, entry: int | None) -> dict[str, Any]:
    """The same for a machine; ``entry`` is the ledger's of the package, where that was asked."""
    return {
        "ok": found.is_good,
        "package": found.package,
        "ledger_entry": entry,
        "request": found.request.id if found.request is not None else None,
        "segments": found.films,
        "missing": [
            {"camera": one.camera, "start": one.start, "end": one.end, "why": why}
            for one, why in found.missing
        ],
        "findings": found.findings,
    }


def _verdict(found: Verified) -> str:
    if found.is_good:
        return "as it was handed over; requested, approved and opened as the pole's ledger has it"
    return f"NOT as it was handed over, {len(found.findings)} findings"


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _span(start: datetime, end: datetime) -> str:
    begin, finish = start.astimezone(JAPAN), end.astimezone(JAPAN)
    if begin == finish:
        return spell_time(begin)
    last = f"{finish:%H:%M:%S}" if begin.date() == finish.date() else f"{finish:%Y-%m-%d %H:%M:%S}"
    return f"{begin:%Y-%m-%d %H:%M:%S} to {last} (Japan)"
