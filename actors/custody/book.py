"""The book: what was accepted so far, computed from the order box."""

from __future__ import annotations

__all__ = ["Book", "Request"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from actors.custody.box import BoxContents
from actors.custody.holds import Hold, holds_in
from actors.custody.order import (
    DisclosureApproval,
    DisclosureExport,
    DisclosureRequest,
    HoldPlace,
    SignedOrder,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A disclosure that was requested, and how far it has come."""

    signed: SignedOrder
    order: DisclosureRequest
    approval: SignedOrder | None = None
    exports: tuple[SignedOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """Accepted orders and where they led to."""

    accepted: frozenset[str] = frozenset()
    """``SignedOrder.id`` of every accepted order."""
    placed: Mapping[str, HoldPlace] = field(default_factory=dict)
    """The order of every hold that was ever placed, by its id."""
    holds: Mapping[str, Hold] = field(default_factory=dict)
    """The holds that are not released, by the id of the order that placed them."""
    requests: Mapping[str, Request] = field(default_factory=dict)
    """By id."""

    @classmethod
    def of(cls, contents: BoxContents) -> Book:
        """Read it off what was decided."""
        signed = [
            one.signed
            for one in contents.decided
            if one.signed is not None and one.outcome.accepted
        ]
        return cls(
            accepted=frozenset(one.id for one in signed),
            placed={one.id: one.order for one in signed if isinstance(one.order, HoldPlace)},
            holds={hold.id: hold for hold in holds_in(contents) if hold.is_decided},
            requests=_requests(signed),
        )


def _requests(accepted: Iterable[SignedOrder]) -> dict[str, Request]:
    found: dict[str, Request] = {}
    for one in accepted:
        match one.order:
            case DisclosureRequest():
                found[one.id] = Request(one, one.order)
            case DisclosureApproval(request=request) if request in found:
                before = found[request]
                found[request] = Request(before.signed, before.order, one, before.exports)
            case DisclosureExport(request=request) if request in found:
                before = found[request]
                exports = (*before.exports, one)
                found[request] = Request(before.signed, before.order, before.approval, exports)
    return found
