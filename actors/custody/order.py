"""Orders: what people ask to happen with recordings, each signed with a key of their own.

An order is a C2SP signed note. Its text is a line that names the kind and the version, and below it
one JSON object that a person can read before signing:

    smartpole order v1: hold-release
    {
      "pole": "recordings+1f2e3d4c+AZ…",
      "made": "2026-11-25T13:20:00Z",
      "nonce": "d7a1…",
      "hold": "8c0e…"
    }

    — site-manager q83v…

There is one way to write each order, so its text's SHA-256 names it (``SignedOrder.id``), however
often it is sent. It names the pole by the key that signs its recordings, so that it means nothing
to another pole. What an order asks for may be refused; only what can't be read is no order at all.
"""

from __future__ import annotations

__all__ = [
    "KINDS",
    "LONGEST_ORDER",
    "CameraName",
    "DisclosureApproval",
    "DisclosureExport",
    "DisclosureOpening",
    "DisclosureRequest",
    "HoldPlace",
    "HoldRelease",
    "HoldReview",
    "Order",
    "OrderUnreadable",
    "Purpose",
    "SignedOrder",
    "kind_of_text",
    "read_order",
    "sign_order",
]

import enum
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, ClassVar

import msgspec

from actors.ledger.receipts import Ground
from runtime import Digest, PlaceName, SmartpoleError
from runtime.errors import NoteRefused
from runtime.ledger.note import Note, SignatureType, SigningKey, VerifierKey

LONGEST_ORDER = 32 * 1024
"""Bytes, with its signature."""
_HEADER = re.compile(r"smartpole order v1: ([a-z-]{1,40})\n")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2106, 1, 1, tzinfo=UTC)
"""Seconds since 1970 have 32 bits in the ledger."""

CameraName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z", max_length=128)]
"""The name of a camera's actor in the configuration."""
_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Places = Annotated[tuple[PlaceName, ...], msgspec.Meta(max_length=64)]
_Cameras = Annotated[tuple[CameraName, ...], msgspec.Meta(max_length=64)]
_Nonce = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Age = Annotated[str, msgspec.Meta(pattern=r"^age1[0-9a-z]{0,2000}\Z")]
_Segments = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class OrderUnreadable(SmartpoleError):
    """These bytes are no order: no signed note, of no known kind, or written in another way."""


class Purpose(enum.Enum):
    """What a facility's operator wants recordings for."""

    CRIME_PREVENTION = "crime prevention"
    """The only one there is (7.2(1) ③, 7.2(2))."""
    OTHER = "other"


def _nonce() -> str:
    return secrets.token_hex(16)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is common to all. Times are UTC, in whole seconds."""

    kind: ClassVar[str]

    pole: _Text
    """The public key by which the pole signs its recordings, in one line (``pole.pub``)."""
    made: datetime = msgspec.field(default_factory=_now)
    """When its signer made it, as they say."""
    nonce: _Nonce = msgspec.field(default_factory=_nonce)
    """So that asking for the same twice is two orders."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                if value.utcoffset() != timedelta(0) or value.microsecond:
                    raise ValueError(f"Expected {name} in UTC and whole seconds")
                if not _EARLIEST <= value < _LATEST:
                    raise ValueError(f"Expected {name} between 1970 and 2106")
            elif isinstance(value, str) and not value.isprintable():
                raise ValueError(f"Expected {name} of printable characters in one line")

    @property
    def text(self) -> str:
        """What is signed."""
        body = msgspec.json.format(msgspec.json.encode(self), indent=2).decode()
        return f"smartpole order v1: {self.kind}\n{body}\n"


class HoldPlace(Order, frozen=True, kw_only=True):
    """Keep recordings beyond their time, until they are released (7.1(4)). It opens nothing."""

    kind: ClassVar[str] = "hold-place"

    ground: Ground | None
    """None where it is none of the guideline's, which is refused."""
    document: _Text
    """Number of the document by which it was asked for, or the law and its article."""
    authority: _Text
    """Who asked."""
    places: _Places
    cameras: _Cameras = ()
    """Only these cameras at these places; none means all."""
    start: datetime
    end: datetime
    """What was captured before then."""
    review: datetime
    """When somebody has to look whether it is still needed."""


class HoldReview(Order, frozen=True, kw_only=True):
    """A hold was looked at, and is still needed."""

    kind: ClassVar[str] = "hold-review"

    hold: Digest
    """The ``SignedOrder.id`` of the order that placed it."""
    review: datetime
    """When somebody has to look again."""


class HoldRelease(Order, frozen=True, kw_only=True):
    """A hold is over: what is past its time is deleted at once."""

    kind: ClassVar[str] = "hold-release"

    hold: Digest


class DisclosureRequest(Order, frozen=True, kw_only=True):
    """Hand recordings over to somebody (7.2(1)). Its signer is the requester."""

    kind: ClassVar[str] = "disclosure-request"

    ground: Ground | None
    document: _Text
    """Number of the official inquiry, or the law and its article. Empty for a facility's operator,
    whose agreement stands in the configuration."""
    authority: _Text
    """To whom."""
    facility: _Text = ""
    """Its name in the configuration, where the ground is a facility's operator."""
    purpose: Purpose = Purpose.CRIME_PREVENTION
    anonymised: bool = False
    """Whether the recordings are to be anonymised, which is refused (7.2(2))."""
    places: _Places
    cameras: _Cameras
    """By name: all of a place is no smallest range."""
    written_start: datetime
    written_end: datetime
    """The time that the document itself names."""
    event_start: datetime
    event_end: datetime
    """When that which is looked for happened, as far as the requester knows: first and last."""
    start: datetime
    end: datetime
    """What is to be handed over: captured from then, and before then."""
    recipient: _Age
    """The recipient's age public key; nothing else will open the package."""


class DisclosureApproval(Order, frozen=True, kw_only=True):
    """Another person agrees with a request. Its signer is the approver."""

    kind: ClassVar[str] = "disclosure-approval"

    request: Digest
    """The ``SignedOrder.id`` of the request."""


class DisclosureOpening(Order, frozen=True, kw_only=True):
    """What was approved is going to be opened, once. Its signer makes the package."""

    kind: ClassVar[str] = "disclosure-opening"

    request: Digest
    key: _Text
    """The signer's own public key. As this order stands in the pole's ledger, whoever has the
    package knows by the pole's word whose signature on it counts."""


class DisclosureExport(Order, frozen=True, kw_only=True):
    """A package was made, as approved and opened."""

    kind: ClassVar[str] = "disclosure-export"

    request: Digest
    package: Digest
    """Of its ``SHA256SUMS``, and so of all that is in it."""
    segments: _Segments


KINDS: Mapping[str, type[Order]] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (
            HoldPlace, HoldReview, HoldRelease,
            DisclosureRequest, DisclosureApproval, DisclosureOpening, DisclosureExport,
        )
    }
)  # fmt: skip
"""Every kind of order there is, by the name in its first line."""


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order with the one signature below it, which does not count before it is verified."""

    order: Order
    note: Note

    @property
    def id(self) -> str:
        """What other orders call it: SHA-256 of its text, in hexadecimal."""
        return hashlib.sha256(self.note.text.encode()).hexdigest()

    @property
    def data(self) -> bytes:
        return bytes(self.note)

    @property
    def signer(self) -> str:
        """The name by which it claims to be signed."""
        return self.note.signatures[0].name

    @property
    def key_id(self) -> int:
        """The key by which it claims to be signed, by C2SP's four bytes."""
        return int.from_bytes(self.note.signatures[0].key_id, "big")

    def is_signed_by(self, key: VerifierKey) -> bool:
        """Whether that key's owner signed it."""
        try:
            return self.note.verify(key) is not None
        except NoteRefused:
            return False


def sign_order(order: Order, key: SigningKey) -> SignedOrder:
    """Sign an order. Raises NoteRefused for a key that cosigns instead of signing."""
    if key.verifier.type is not SignatureType.ED25519:
        raise NoteRefused(
            "orders are signed with a key that `smartpole keys signer` made, not with a witness's."
        )
    return SignedOrder(order, Note(order.text).signed(key))


def kind_of_text(data: bytes) -> str | None:
    """The kind that an order's first line names, readable or not; None where there is none."""
    match = _HEADER.match(data[:128].decode("ascii", "replace"))
    return match[1] if match is not None and match[1] in KINDS else None


def read_order(data: bytes) -> SignedOrder:
    """Read an order, its signature unverified. Raises OrderUnreadable, which quotes nothing."""
    if len(data) > LONGEST_ORDER:
        raise OrderUnreadable(f"an order has at most {LONGEST_ORDER} bytes")
    try:
        note = Note.parse(data)
    except NoteRefused:
        raise OrderUnreadable(
            "this is no order. Accepted: a signed note as `smartpole hold` and `smartpole "
            "disclose` make it"
        ) from None
    kind = kind_of_text(data)
    if kind is None:
        raise OrderUnreadable(f"its first line names no kind of order. Accepted: {_kinds()}")
    if len(note.signatures) != 1:
        raise OrderUnreadable("an order has one signature; whoever else agrees signs another order")
    try:
        order = msgspec.json.decode(note.text.partition("\n")[2], type=KINDS[kind])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise OrderUnreadable(f"its text is no {kind} as this version writes it") from None
    if order.text != note.text:
        raise OrderUnreadable("its text is written in another way than `smartpole` writes it")
    return SignedOrder(order, note)


def _kinds() -> str:
    return ", ".join(KINDS)
