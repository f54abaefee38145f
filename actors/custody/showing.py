"""Orders and holds in plain words, for a terminal. What stands there goes into no log."""

from __future__ import annotations

__all__ = ["about", "listing", "listing_json"]

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from actors.custody.box import BoxContents, Decided
from actors.custody.holds import Hold, HoldRegister, holds_in
from actors.custody.order import (
    DisclosureApproval,
    DisclosureExport,
    DisclosureOpening,
    HoldPlace,
    HoldRelease,
    HoldReview,
    SignedOrder,
)
from actors.custody.times import spell_minute
from actors.ledger.receipts import numbers_of

_SHOWN = 12


def about(signed: SignedOrder) -> Iterator[str]:
    """What an order is about, a line each. A hold or a request is called by its order's id."""
    order = signed.order
    if isinstance(order, HoldPlace):
        yield from _facts(order, order.review)
    elif isinstance(order, HoldReview | HoldRelease):
        yield f"hold       {order.hold[:_SHOWN]}"
        if isinstance(order, HoldReview):
            yield f"review     {spell_minute(order.review)}"
    elif isinstance(order, DisclosureApproval | DisclosureOpening | DisclosureExport):
        yield f"request    {order.request[:_SHOWN]}"


def listing(
    contents: BoxContents, entries: Mapping[tuple[int, ...], int], *, everything: bool
) -> Iterable[str]:
    """The holds in force; released and refused ones too, if ``everything`` is asked for."""
    now = datetime.now(UTC)
    register = HoldRegister.of(contents)
    made = {one.signed.id: one for one in contents.decided if one.signed and one.outcome.accepted}
    lines: list[str] = []
    for hold in holds_in(contents):
        state = "in force" if hold.is_decided else "in force, and waits for a decision"
        lines += _hold(hold, state, made.get(hold.id), entries, now)
    if everything:
        for id, hold in register.placed.items():
            if id not in register.in_force:
                lines += _hold(hold, "released", made.get(id), entries, now)
        lines += _refused(contents)
    waiting = [one for one in contents.waiting if not _places(one.signed)]
    if waiting:
        lines.append(f"{len(waiting)} other orders wait for a decision.")
    return lines or ["nothing is held."]


def _hold(
    hold: Hold,
    state: str,
    placed: Decided | None,
    entries: Mapping[tuple[int, ...], int],
    now: datetime,
) -> Iterator[str]:
    overdue = " — OVERDUE: look whether it is still needed" if hold.is_overdue(now) else ""
    yield f"hold {hold.id[:_SHOWN]}  {state}"
    for line in _facts(hold.order, hold.review):
        yield f"  {line}{overdue if line.startswith('review') else ''}"
    if placed is not None and placed.signed is not None:
        entry = entries.get(numbers_of(hold.id))
        where = f"ledger entry {entry}" if entry is not None else "NOT IN THE LEDGER"
        yield f"  placed     {spell_minute(placed.outcome.at)}, by {placed.signed.signer}; {where}"
    yield ""


def _facts(order: HoldPlace, review: datetime) -> Iterator[str]:
    ground = order.ground.value if order.ground is not None else "none"
    cameras = ", ".join(order.cameras) or "all cameras"
    yield f"ground     {ground}: {order.authority}, {order.document}"
    yield f"where      {', '.join(order.places)} ({cameras})"
    yield f"time       {spell_minute(order.start)} to {spell_minute(order.end)}"
    yield f"review     {spell_minute(review)}"


def _refused(contents: BoxContents) -> Iterator[str]:
    for one in contents.decided:
        if one.outcome.why is not None:
            kind = one.outcome.kind or "something that is no order"
            yield f"refused, decision {one.outcome.number}, {spell_minute(one.outcome.at)}: {kind}"
            yield f"  {one.outcome.said}"
            yield ""


def _places(signed: SignedOrder | None) -> bool:
    return signed is not None and isinstance(signed.order, HoldPlace)


def listing_json(contents: BoxContents, entries: Mapping[tuple[int, ...], int]) -> str:
    """All of it, for a machine."""
    in_force = {hold.id: hold for hold in holds_in(contents)}
    holds = {**HoldRegister.of(contents).placed, **in_force}
    whole = {
        "holds": [
            {
                "id": id,
                "in_force": id in in_force,
                "decided": hold.is_decided,
                "review": hold.review,
                "overdue": id in in_force and hold.is_overdue(datetime.now(UTC)),
                "order": hold.order,
                "ledger_entry": entries.get(numbers_of(id)),
            }
            for id, hold in holds.items()
        ],
        "decisions": [
            {"order": one.signed.id if one.signed is not None else None, "outcome": one.outcome}
            for one in contents.decided
        ],
        "waiting": len(contents.waiting),
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
