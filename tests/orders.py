"""Orders to hold and to release, as a manager makes them and the custodian accepts them."""

from __future__ import annotations

__all__ = ["Holder"]

from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.custody.box import BOX, OrderBoxFolder, Outcome
from actors.custody.order import HoldPlace, HoldRelease, Order, SignedOrder, sign_order
from actors.ledger.receipts import Ground
from runtime.ledger.note import SigningKey


class Holder:
    """Brings orders to the box of one folder of recordings, and decides them."""

    def __init__(self, folder: Path) -> None:
        self._box = OrderBoxFolder(folder / BOX)
        self._key = SigningKey.generate("site-manager")
        self._decisions = 0

    def place(
        self,
        start: int,
        end: int,
        *,
        places: tuple[str, ...] = ("crossing",),
        cameras: tuple[str, ...] = (),
        accepted: bool = True,
    ) -> SignedOrder:
        """A hold on what was captured between these times (µs since 1970, whole seconds)."""
        order = HoldPlace(
            pole="pole", ground=Ground.AUTHORITY, document="2026-1", authority="police",
            places=places, cameras=cameras, start=_time(start), end=_time(end),
            review=_time(end) + timedelta(days=90),
        )  # fmt: skip
        return self._put(order, accepted=accepted)

    def release(self, hold: SignedOrder) -> SignedOrder:
        """The end of it, accepted."""
        return self._put(HoldRelease(pole="pole", hold=hold.id), accepted=True)

    def _put(self, order: Order, *, accepted: bool) -> SignedOrder:
        signed = sign_order(order, self._key)
        self._box.put(signed)
        if accepted:
            self.decide(signed)
        return signed

    def decide(self, signed: SignedOrder) -> None:
        """It is accepted."""
        self._decisions += 1
        kind, at = signed.order.kind, datetime.now(UTC)
        outcome = Outcome(number=self._decisions, at=at, kind=kind, why=None, said="")
        self._box.decide(self._box.put(signed), outcome)


def _time(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=microseconds // 1_000_000)
