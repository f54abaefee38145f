"""A timeline: which moment is which, as it is known now."""

from __future__ import annotations

__all__ = ["EVER", "Basis", "Timeline"]

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

EVER = 2**62
"""Microseconds since 1970; later than anything."""


class Basis(enum.Enum):
    """How the time of a start of the computer is known."""

    SYNCHRONISED = "synchronised"
    """By NTP or its like, once since that start; counted by boottime from there."""
    BATTERY = "battery clock"
    """By the computer's own clock, because the operator vouches for it."""
    COUNTED = "counted"
    """Not known: counted on from the last time that is, as if the pole had not been off."""
    CLAIMED = "claimed"
    """By the wall clock alone, where nothing better was kept."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times in microseconds since 1970 (UTC), as of one look at the clocks.

    Retention asks how old something is. ``now`` minus ``moment`` is its true age where time is
    known; where it isn't, the age that it has at least.
    """

    now: int
    boot: str
    """Which start of the computer this is."""
    boottime: int
    basis: Basis
    """How ``now`` is known."""
    wall: int
    """What the wall clock shows."""
    offsets: Mapping[str, int]
    """For each start of the computer that is told of, by its boot id: the time at which its
    boottime was 0, or the latest at which that may have been."""
    began: int
    """When this journal was begun. What has no boot id was recorded before."""
    uncertain: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of each start whose time is not known: the earliest and the latest that its offset can be."""

    @property
    def is_known(self) -> bool:
        """Whether ``now`` is the time, not only the least that it may be."""
        return self.basis in (Basis.SYNCHRONISED, Basis.BATTERY)

    def moment(self, boot: str, boottime: int, claimed: int) -> int:
        """When it was ``boottime`` in that boot: the time, or the latest that it may have been.

        ``claimed`` is what the wall clock showed. It counts only where there is nothing else: for
        what has no boot id (""), and then it can't be later than this journal's beginning; and
        for a boot that ``Clock.account_for`` was not told of.
        """
        offset = self.offsets.get(boot)
        if offset is not None:
            return offset + boottime
        return min(claimed, self.now if boot else self.began)

    def span(self, boot: str, boottime: int, claimed: int) -> tuple[int, int]:
        """Between which times ``moment`` was for certain, as far as that is known: twice the same
        where the time is known. A hold that names times covers what may lie within them."""
        if boot in self.uncertain:
            earliest, latest = self.uncertain[boot]
            return earliest + boottime, latest + boottime
        moment = self.moment(boot, boottime, claimed)
        if boot in self.offsets:
            return moment, moment
        return min(moment, claimed), max(moment, claimed)

    def boottimes_before(self, moment: int) -> dict[str, int]:
        """By boot id, the boottime below which it was before that moment."""
        return {boot: moment - offset for boot, offset in self.offsets.items()}

    def claims_before(self, moment: int) -> int:
        """The same for what has no boot id: claimed times below this were before that moment."""
        return EVER if self.began < moment else moment
