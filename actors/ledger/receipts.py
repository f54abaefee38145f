"""What actors report for the ledger: the closed list of their kinds.

Whoever has something to report sends one of these by an outlet that leads to ``ledger.receipts``.
None holds personal data (``runtime.ledger.entry``): people appear as the names that the
configuration gives to roles, documents as digests. What comes from the security system is bounded
as everything that leaves it: numbers, so digests are eight of them and people the number of their
key, as C2SP's signed notes have it.
"""

from __future__ import annotations

__all__ = [
    "ClockAlarm",
    "ClockFault",
    "DeletionReason",
    "Disclosed",
    "DisclosureStep",
    "Ground",
    "HoldChanged",
    "HoldStep",
    "KeyNumber",
    "NoticePublished",
    "RecordingsDeleted",
    "RecordingsSigned",
    "Refusal",
    "ReleasedKind",
    "RoomAlarm",
    "RoomState",
    "StatisticsReleased",
    "numbers_of",
]

import enum
import struct
from typing import Annotated

import msgspec

from runtime import (
    Count,
    Digest,
    DigestNumbers,
    PlaceName,
    Receipt,
    Sensitivity,
    UnixSeconds,
    ledger_entry,
)
from runtime.clock import Fault as ClockFault

_OPERATIONAL = Sensitivity.OPERATIONAL
_Places = Annotated[tuple[PlaceName, ...], msgspec.Meta(max_length=64)]
_Million = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Megabytes = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_RecordNumber = Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
"""Enough for eight cameras with segments of a minute for 500 years."""
_Seconds = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]

KeyNumber = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
"""The four bytes by which C2SP's signed notes tell keys apart, as a number; 0 where there is none.
In the configuration they stand in hexadecimal: ``NAME+ID+KEY``."""


def numbers_of(digest: str) -> tuple[int, ...]:
    """A SHA-256 in hexadecimal as ``DigestNumbers``."""
    return struct.unpack(">8I", bytes.fromhex(digest))


class Ground(enum.Enum):
    """On which recordings may be held or disclosed."""

    LAW = "law"
    """7.1(4) ①, 7.2(1) ①."""
    AUTHORITY = "investigative authority"
    """Its official written request: 7.1(4) ②, 7.2(1) ②."""
    FACILITY = "facility operator"
    """For crime prevention, with an NDA on file: 7.2(1) ③. It is no ground for a hold."""


# -- crowd information --------------------------------------------------------------------------


class ReleasedKind(enum.Enum):
    PEOPLE = "people"
    DEVICES = "devices"


@ledger_entry("release")
class StatisticsReleased(Receipt, sensitivity=_OPERATIONAL):
    """A slice of crowd information passed the gate and was stored (6.2(2), 11.1(2))."""

    place: PlaceName
    what: ReleasedKind
    start: UnixSeconds
    end: UnixSeconds
    k: Count
    """The smallest number that is shown."""
    withheld: bool
    """Whether anything in it was withheld."""
    epsilon_thousandths: _Million = 0
    """Of the differential privacy that was applied; 0 for none."""
    digest: Digest
    """Of the released slice, as it is stored."""


# -- the public notice --------------------------------------------------------------------------


@ledger_entry("notice")
class NoticePublished(Receipt, sensitivity=_OPERATIONAL):
    """From now on, this notice is in force (9.1(1))."""

    digest: Digest
    """Of ``/notice.json``."""
    configuration: Digest
    """What it was made from."""


# -- recordings ---------------------------------------------------------------------------------


@ledger_entry("recordings")
class RecordingsSigned(Receipt, sensitivity=_OPERATIONAL):
    """How far the chain of manifests goes, of which each record is signed by the pole and holds the
    hash of the one before: so what was recorded up to here can't be cut off or exchanged any more
    (7.2(1), 7.3(1)). ``smartpole recordings verify --ledger`` holds recordings against it."""

    number: _RecordNumber
    """Of the last record."""
    digest: DigestNumbers
    """Of its line in the chain, without its end."""
    key: KeyNumber
    """By which the pole signs its recordings."""


class RoomState(enum.Enum):
    SHORT = "short of room"
    """From now on the oldest recordings that are not held are deleted before their time."""
    ALL_HELD = "nothing may be deleted"
    """What is left is held or still being written: recording stops when the disk is full."""
    ENOUGH = "room again"


@ledger_entry("room-alarm")
class RoomAlarm(Receipt, sensitivity=_OPERATIONAL):
    """The disk for recordings runs out of room, or has room again."""

    state: RoomState
    free_megabytes: _Megabytes
    """Of the disk, at that moment (10⁶ bytes)."""


class DeletionReason(enum.Enum):
    EXPIRED = "expired"
    ROOM = "room"
    """The disk was full: the oldest that is not held goes first."""


@ledger_entry("deletion")
class RecordingsDeleted(Receipt, sensitivity=_OPERATIONAL):
    """Segments were deleted: ciphertext, index row and index log (7.1(3))."""

    reason: DeletionReason
    segments: _Million
    oldest: UnixSeconds
    """The first frame of the oldest of them; 0 where none had a time."""
    newest: UnixSeconds
    """The first frame of the newest of them."""


class Refusal(enum.Enum):
    """Why an order was refused, with the guideline's clause where it is one of its own."""

    UNREADABLE = "unreadable"
    OTHER_POLE = "for another pole"
    SIGNATURE = "not signed by a named manager"
    """7.3(2)."""
    TERM = "signer out of term"
    """7.3(2)."""
    PLACE = "not the signer's place"
    """7.3(2)."""
    UNSTAFFED = "no manager and deputy in term"
    """7.3(2)."""
    GROUND = "no valid ground"
    """7.1(4), 7.2(1)."""
    DOCUMENT = "no document"
    """7.1(4), 7.2(1)."""
    AGREEMENT = "no agreement in force"
    """7.2(1) ③."""
    PURPOSE = "another purpose"
    """7.2(2)."""
    ANONYMISED = "anonymised"
    """7.2(2)."""
    RANGE = "no such range"
    """Nowhere, empty, or wider than may be asked for at once: 7.2(1), 7.3(1)."""
    REVIEW = "no such review date"
    REPEATED = "decided before"
    UNKNOWN = "about nothing known"
    """It names a hold or request that was not accepted, or is over."""
    EXPIRED = "too late"
    """After the time for which a request, or an approval, is good."""
    RECIPIENT = "no recipient's key"
    SAME_PERSON = "requester and approver are one"
    """7.2(1): two people."""


class HoldStep(enum.Enum):
    PLACED = "placed"
    REVIEWED = "reviewed"
    RELEASED = "released"
    REFUSED = "refused"


@ledger_entry("hold")
class HoldChanged(Receipt, sensitivity=_OPERATIONAL):
    """Segments are kept beyond their time, or no longer, or that was refused (7.1(4))."""

    step: HoldStep
    why: Refusal | None = None
    """Where it was refused."""
    order: DigestNumbers
    """Of the signed text of the order that asked for it."""
    hold: DigestNumbers | None
    """Of the order that placed the hold; None where there is none."""
    ground: Ground | None = None
    """None where none of them was named."""
    document: DigestNumbers | None = None
    """Of the document's number, in UTF-8."""
    places: _Places = ()
    start: UnixSeconds = 0
    end: UnixSeconds = 0
    review: UnixSeconds = 0
    signer: KeyNumber
    """Whose key signed the order; where it was refused, whose it said it was."""


class DisclosureStep(enum.Enum):
    REQUESTED = "requested"
    REFUSED = "refused"
    APPROVED = "approved"
    OPENED = "opened"
    """Somebody is going to open recordings: the only way in which anybody may (7.3(1))."""
    EXPORTED = "exported"


@ledger_entry("disclosure")
class Disclosed(Receipt, sensitivity=_OPERATIONAL):
    """A disclosure went a step further, or was refused (7.2(1), 7.2(2))."""

    step: DisclosureStep
    why: Refusal | None = None
    """Where it was refused."""
    order: DigestNumbers
    """Of the signed text of the order that asked for it."""
    request: DigestNumbers | None
    """Of the order that requested the disclosure; None where there is none."""
    ground: Ground | None = None
    """None where none of them was named."""
    document: DigestNumbers | None = None
    """Of the document's number, in UTF-8."""
    places: _Places = ()
    start: UnixSeconds = 0
    end: UnixSeconds = 0
    signer: KeyNumber
    """Whose key signed the order; where it was refused, whose it said it was."""
    package: DigestNumbers | None = None
    """Of what was handed over."""


# -- time ---------------------------------------------------------------------------------------


@ledger_entry("clock-alarm")
class ClockAlarm(Receipt, sensitivity=_OPERATIONAL):
    """The wall clock can't be right, or nobody confirms it; what depends on it follows the written
    rule of ``runtime.clock.Clock`` (7.1(3))."""

    fault: ClockFault
    jump: _Seconds
    """How far, in seconds, as far as that is known."""
