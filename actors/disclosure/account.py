"""What there is of a camera and a time: the smallest set of segments, and what is missing and why.

It is computed from signed lines of the chain of manifests alone, the same way on the manager's
computer over the whole chain and by the recipient over the few lines in the package. So that nobody
need believe the manager that nothing was left out: each moment of the time that was asked for is a
segment, or a signed gap, or a signed deletion, or is said to be unaccounted for.
"""

from __future__ import annotations

__all__ = ["Account", "Kind", "Piece", "Range", "account_for"]

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.recorder.chain import EMPTY, Begun, ChainRecord, Deleted, Gap, Segment, segment_name
from actors.recorder.gaps import LEAST

_LONGEST = 10 * 60 * 1_000_000
"""No recorder makes a longer segment."""


class Range(NamedTuple):
    """Cameras at places, and a time in microseconds since 1970: from ``start`` until before
    ``end``."""

    places: tuple[str, ...]
    cameras: tuple[str, ...]
    start: int
    end: int

    def is_about(self, record: Begun | Segment | Gap) -> bool:
        """Whether a record tells of one of these cameras there."""
        return record.camera in self.cameras and record.place in self.places


class Kind(enum.Enum):
    """What there is of a stretch of time."""

    SEGMENT = "segment"
    GAP = "gap"
    """The pole signed that there are no pictures, and why."""
    DELETED = "deleted"
    """It was recorded, and retention deleted it."""
    OPEN = "open"
    """It is being written, or a power cut left it so: it has no signed manifest yet."""
    UNACCOUNTED = "unaccounted"
    """The pole signed nothing of it: it did not record then, or the lines were taken away."""


class Piece(NamedTuple):
    """A stretch of a camera's time, as it was recorded; it may reach beyond what was asked for."""

    camera: str
    start: int
    end: int
    kind: Kind
    what: str
    """The segment's name, or the gap's reason."""
    number: int = 0
    """The segment's: of the record that it began with."""


@dataclass(slots=True)
class Account:
    """All of what was asked for, by camera and time."""

    pieces: list[Piece] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    """Of the chain's records that it rests on."""

    @property
    def segments(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.kind is Kind.SEGMENT]

    @property
    def missing(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.kind is not Kind.SEGMENT]


class _Segment:
    """What the chain tells of one segment."""

    __slots__ = ("begun", "closed", "deleted", "follower")

    def __init__(self) -> None:
        self.begun: Begun | None = None
        self.closed: Segment | None = None
        self.follower: _Segment | None = None
        """The camera's next one: there is nothing of this one after that has begun."""
        self.deleted = 0
        """Number of the record that says so."""

    def stretch(self, wanted: Range) -> tuple[int, int]:
        """From its first to its last picture, as far as somebody signed that."""
        if self.closed is not None:
            last = self.closed.end if self.closed.end is not None else self.closed.start
            return self.closed.start, last
        assert self.begun is not None
        start = self.begun.start
        next = self.follower.begun if self.follower is not None else None
        return start, min(
            start + _LONGEST, wanted.end, max(start, next.start) if next is not None else wanted.end
        )

    def rests_on(self) -> Iterator[int]:
        """Numbers of the records that it takes to say so."""
        one: _Segment | None = self
        while one is not None:
            yield from (told.number for told in (one.begun, one.closed) if told is not None)
            one = one.follower if one.closed is None else None


def account_for(wanted: Range, records: Iterable[ChainRecord]) -> Account:
    """What there is of it, by these records, which may be read as they come.

    The segments are those of which some picture lies in the range, and no other: without one of
    them something would be missing, and any other would show what was not asked for.
    """
    segments, gaps = _of_interest(wanted, records)
    account = Account()
    for camera in wanted.cameras:
        pieces = sorted(
            [*_segments_of(camera, wanted, segments, account), *_gaps_of(camera, gaps, account)],
            key=lambda piece: (piece.start, piece.end),
        )
        account.pieces += _with_holes(camera, wanted, pieces)
    return account


def _of_interest(
    wanted: Range, records: Iterable[ChainRecord]
) -> tuple[dict[int, _Segment], list[Gap]]:
    segments: dict[int, _Segment] = {}
    gaps: list[Gap] = []
    latest: dict[str, _Segment] = {}
    for record in records:
        match record:
            case Begun(camera=camera) if wanted.is_about(record) and record.start < wanted.end:
                one = segments.setdefault(record.number, _Segment())
                one.begun = record
                if camera in latest:
                    latest[camera].follower = one
                latest[camera] = one
            case Segment() if wanted.is_about(record) and record.start < wanted.end:
                segments.setdefault(record.begun, _Segment()).closed = record
            case Deleted():
                for number, _ in record.segments:
                    if number in segments:
                        segments[number].deleted = record.number
            case Gap() if wanted.is_about(record):
                if record.start < wanted.end and record.end > wanted.start:
                    gaps.append(record)
            case _:
                pass
    return segments, gaps


def _segments_of(
    camera: str, wanted: Range, segments: dict[int, _Segment], account: Account
) -> Iterator[Piece]:
    for number, one in segments.items():
        told = one.closed or one.begun
        if told is None or told.camera != camera:
            continue
        start, end = one.stretch(wanted)
        is_empty = one.closed is not None and one.closed.state == EMPTY
        if is_empty or end < wanted.start:
            continue
        kind = Kind.OPEN if one.closed is None else Kind.SEGMENT
        if one.deleted:
            kind = Kind.DELETED
            account.numbers.add(one.deleted)
        account.numbers.update(one.rests_on())
        yield Piece(camera, start, end, kind, segment_name(told), number)


def _gaps_of(camera: str, gaps: list[Gap], account: Account) -> Iterator[Piece]:
    for gap in gaps:
        if gap.camera == camera:
            account.numbers.add(gap.number)
            yield Piece(camera, gap.start, gap.end, Kind.GAP, gap.reason)


def _with_holes(camera: str, wanted: Range, pieces: list[Piece]) -> Iterator[Piece]:
    """The pieces, and between them what nothing tells of. What is shorter than a gap that the
    pole would have signed is the time between two pictures."""
    reached = wanted.start
    for piece in pieces:
        if piece.start - reached >= LEAST:
            yield Piece(camera, reached, piece.start, Kind.UNACCOUNTED, "")
        reached = max(reached, piece.end)
        yield piece
    if wanted.end - reached >= LEAST:
        yield Piece(camera, reached, wanted.end, Kind.UNACCOUNTED, "")
