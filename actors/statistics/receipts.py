"""What the ledger is told of a released slice: that it was released, and not what it says."""

from __future__ import annotations

__all__ = ["digest_of", "receipt_of"]

import hashlib

import msgspec

from actors.ledger.receipts import ReleasedKind, StatisticsReleased
from actors.statistics.export import json_of
from actors.statistics.release import Released, ReleasedDevices


def receipt_of(released: Released) -> StatisticsReleased:
    """The receipt of a slice as it is stored (``StatisticsStore.unreported``)."""
    if isinstance(released, ReleasedDevices):
        what, noise, withheld = ReleasedKind.DEVICES, None, released.devices is None
    else:
        what, noise = ReleasedKind.PEOPLE, released.noise_thousandths
        numbers = [released.peak, released.mean_tenths, *(g.mean_tenths for g in released.groups)]
        withheld = None in numbers or not released.groups
    return StatisticsReleased(
        place=released.place,
        what=what,
        start=released.start,
        end=released.end,
        k=released.k,
        withheld=withheld,
        epsilon_thousandths=noise or 0,
        digest=digest_of(released),
    )


def digest_of(released: Released) -> str:
    """SHA-256 of a slice as ``smartpole statistics --as json`` has it, without spaces and line
    breaks, so that whoever has both can hold them against each other."""
    return hashlib.sha256(msgspec.json.encode(json_of(released))).hexdigest()
