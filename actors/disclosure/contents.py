"""What a package says of itself (``contents.json``), and the names of what lies in it."""

from __future__ import annotations

__all__ = [
    "APPROVAL",
    "CONTENTS",
    "COVER",
    "EXPORT",
    "MANIFESTS",
    "OPENING",
    "REQUEST",
    "SUMS",
    "Contents",
    "Film",
    "LeftOut",
    "Why",
    "header_path",
    "proof_path",
    "video_path",
]

import enum
from typing import Annotated

import msgspec

from actors.recorder.index import start_of

COVER = "cover.html"
CONTENTS = "contents.json"
MANIFESTS = "manifests.log"
"""Lines of the pole's chain of manifests, as they stand there."""
REQUEST, APPROVAL, OPENING = "orders/request.note", "orders/approval.note", "orders/opening.note"
EXPORT = "export.note"
"""Signed by whoever made the package: it names the SHA-256 of ``SHA256SUMS``, and so everything."""
SUMS = "SHA256SUMS"

_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Film(_Part, frozen=True, kw_only=True):
    """One segment in the package. Times in microseconds since 1970."""

    name: str
    camera: str
    start: int
    end: int
    size: _Size
    """Bytes, as it lies in the package."""
    sha256: _Digest
    breaks_off: bool
    """Whether it ends before its end, because a power failure or a disk cut it off."""

    def __post_init__(self) -> None:
        if start_of(self.name) is None:
            raise ValueError("Expected a segment's name")


class Why(enum.Enum):
    """Why a segment that the pole signed is not in the package."""

    UNOPENED = "unopened"
    """No private key that the manager has opens it: its day's key was destroyed."""
    TORN = "torn"
    """It breaks off before its first picture: the power failed right after it began."""
    CHANGED = "changed"
    """It is not what the pole signed."""
    ABSENT = "absent"
    """It is not in the pole's folder, and the pole did not sign that it was deleted."""


class LeftOut(_Part, frozen=True, kw_only=True):
    """One segment that should be in the package, and is not."""

    name: str
    camera: str
    start: int
    end: int
    why: Why


class Contents(_Part, frozen=True, kw_only=True):
    """What the manager's tool put into the package."""

    version: int = 1
    made: str
    """When, in UTC."""
    recordings_key: str
    """By which the pole signs its recordings."""
    ledger_key: str
    """By which it signs its ledger."""
    films: tuple[Film, ...]
    left_out: tuple[LeftOut, ...] = ()


def video_path(name: str) -> str:
    """Where a segment lies."""
    return f"video/{name}"


def header_path(name: str) -> str:
    """Where the header that the pole gave it lies. With the payload of the video it makes the file
    whose SHA-256 the pole signed."""
    return f"headers/{name}.header"


def proof_path(order: str) -> str:
    """Where the proof lies that an order stands in the pole's ledger."""
    return f"ledger/{order.removeprefix('orders/').removesuffix('.note')}.proof"
