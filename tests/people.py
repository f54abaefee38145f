"""People who sign orders, for tests: their keys, a configuration that names them, an order."""

from __future__ import annotations

__all__ = ["CAMERAS", "NOON", "POLE", "Person", "people", "place", "settings_of"]

from datetime import UTC, date, datetime, timedelta
from typing import Any

from actors.custody.managers import CustodianSettings, Facility, Manager, PublicKey, Role
from actors.custody.order import HoldPlace, Order, SignedOrder, sign_order
from actors.ledger.receipts import Ground
from runtime.ledger.note import SigningKey

NOON = datetime(2026, 11, 25, 3, tzinfo=UTC)
"""In Japan."""
POLE = "recordings+11223344+AbCd"
CAMERAS = {"camera-0": "crossing", "camera-1": "crossing", "camera-2": "hall"}


class Person:
    """Somebody with a private key, on their own computer."""

    def __init__(self, name: str) -> None:
        self.key = SigningKey.generate(name)
        self.name = name

    def sign(self, order: Order) -> SignedOrder:
        return sign_order(order, self.key)

    def named(
        self,
        role: Role = Role.MANAGER,
        *,
        places: tuple[str, ...] = ("crossing", "hall"),
        since: date = date(2026, 4, 1),
        until: date = date(2027, 3, 31),
    ) -> Manager:
        """As the configuration has them."""
        return Manager(
            name=self.name,
            role=role,
            places=places,
            since=since,
            until=until,
            key=PublicKey(self.key.verifier),
        )


def people() -> tuple[Person, Person]:
    """A manager and a deputy."""
    return Person("site-manager"), Person("site-deputy")


def settings_of(*managers: Manager, facilities: tuple[Facility, ...] = ()) -> CustodianSettings:
    return CustodianSettings(managers=managers, cameras=CAMERAS, facilities=facilities)


def place(**changes: Any) -> HoldPlace:
    """An order that is to be accepted at ``NOON``, but for what is changed."""
    fields: dict[str, Any] = {
        "pole": POLE,
        "made": NOON,
        "ground": Ground.AUTHORITY,
        "document": "第123号",
        "authority": "新宿警察署",
        "places": ("crossing",),
        "start": NOON - timedelta(days=3),
        "end": NOON - timedelta(days=2),
        "review": NOON + timedelta(days=30),
        **changes,
    }
    return HoldPlace(**fields)
