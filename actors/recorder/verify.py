"""Verifying recordings: from a copied folder and the pole's public key, without the pole."""

from __future__ import annotations

__all__ = ["ClockStep", "Finding", "Verification", "verify"]

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from actors.recorder.chain import (
    BEGINNING,
    EMPTY,
    Begun,
    ChainRecord,
    Deleted,
    Gap,
    Line,
    Pruned,
    Segment,
    chain_files,
    parse_line,
    segment_name,
)
from actors.recorder.files import digest_of, stored_names
from actors.recorder.heads import ToldHead
from actors.recorder.index import PART
from actors.recorder.signing import VerifyKey

_STEP = 2_000_000
"""Microseconds; less is a leap second, or a small correction."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as the pole left it."""

    kind: str
    """``missing``, ``changed``, ``foreign`` (segments); ``altered``, ``removed``, ``moved``,
    ``beginning``, ``cut off``, ``exchanged`` (records of the chain)."""
    what: str
    """The segment's name, or the record's place."""
    text: str


class ClockStep(msgspec.Struct, frozen=True):
    """The pole's wall clock was set while the pole ran."""

    before: str
    """Name of the first segment after it."""
    seconds: float
    """How far ahead (back, if negative)."""


@dataclass(slots=True)
class Verification:
    """What was found. Times in microseconds since 1970."""

    records: int = 0
    first: int = 0
    """Number of the first record that is kept."""
    last: int = 0
    head: str = BEGINNING
    """SHA-256 of the last record."""
    told: int | None = None
    """How many of the heads that the ledger tells of are not older than the chain's beginning: only
    by these it is seen that the end of a chain was cut off. None where no ledger was asked."""
    told_last: int = 0
    """Number of the newest record that the ledger tells of."""
    segments: int = 0
    """Segments that are there, as they were signed."""
    open: int = 0
    """Begun and not closed: being written, or left by a power cut that no start followed yet."""
    deleted: int = 0
    """Deleted by retention."""
    elsewhere: int = 0
    """Not in this copy; only where a part was asked for."""
    gaps: list[Gap] = field(default_factory=list)
    clock_steps: list[ClockStep] = field(default_factory=list)
    """No fault of the recordings; but names and times are by that clock."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.findings

    @property
    def _end(self) -> str:
        if self.told is None:
            return "whether the newest records were cut off is not seen without --ledger"
        if not self.told:
            return (
                "the ledger tells of none of these records, so whether the newest were cut off "
                "can't be said: it is another pole's, an older copy, or was not told"
            )
        return (
            f"the ledger knows the chain up to record {self.told_last:,}; whether newer ones were "
            "cut off is not seen"
        )

    def __str__(self) -> str:
        lines = [
            f"  {self.segments:,} segments are as the pole signed them; {self.open} open, "
            f"{self.deleted:,} deleted by retention"
            + (f", {self.elsewhere:,} not in this copy" if self.elsewhere else ""),
            f"  chain: records {self.first:,} to {self.last:,}, ending with {self.head}",
            f"  its end: {self._end}",
        ]
        lines += [
            f"  gap: {gap.camera}, {_time(gap.start)} to {_time(gap.end)}: {gap.reason}"
            for gap in self.gaps
        ]
        lines += [
            f"  clock: set {abs(step.seconds):,.0f} s {'ahead' if step.seconds > 0 else 'back'} "
            f"before {step.before}; times are by the clock as it was"
            for step in self.clock_steps
        ]
        lines += [f"  {one.kind.upper()} {one.what}: {one.text}" for one in self.findings]
        verdict = f"NOT as the pole left it: {len(self.findings)} findings"
        lines.append("  all is as the pole left it" if self.is_whole else f"  {verdict}")
        return "\n".join(lines)


@dataclass(slots=True)
class _Told:
    """What the chain tells."""

    first: ChainRecord | None = None
    begun: dict[int, Begun] = field(default_factory=dict)
    closed: dict[int, Segment] = field(default_factory=dict)
    deleted: set[tuple[int, int]] = field(default_factory=set)
    pruned: list[Pruned] = field(default_factory=list)
    clocks: dict[str, int] = field(default_factory=dict)
    """Of each start of the computer, when its boottime was 0 by the wall clock as it was last."""
    digests: dict[int, str] = field(default_factory=dict)
    """Of the records that the ledger tells of, and of the one before the first."""


def verify(
    folder: Path,
    key: VerifyKey,
    *,
    heads: Sequence[ToldHead] | None = None,
    part: bool = False,
) -> Verification:
    """Hold the segments of a folder against their manifests, and these against the pole's key and
    against what its ledger tells of them (``told_heads``).

    With ``part``, segments that are missing are no finding: only some were copied. Blocks; raises
    OSError where the folder can't be read.
    """
    found = Verification()
    told = _read_chain(folder, key, found, {head.number for head in heads or ()})
    if heads is not None:
        _judge_heads(heads, told, found)
    _judge_segments(folder, told, found, part=part)
    return found


def _read_chain(
    folder: Path, key: VerifyKey, found: Verification, wanted: Set[int] = frozenset()
) -> _Told:
    told = _Told()
    previous: Line | None = None
    for place, raw in _raw_lines(folder):
        try:
            line = parse_line(raw)
        except (ValueError, msgspec.DecodeError):
            found.findings.append(
                Finding("altered", place, "this is no record, or not one as the pole writes them")
            )
            continue
        if not key.signed(line.signed, line.signature):
            found.findings.append(
                Finding("altered", place, "the pole did not sign this: it was changed or put in")
            )
            continue
        _judge_order(place, previous, line, found)
        found.records += 1
        if told.first is None:
            told.first, found.first = line.record, line.record.number
            told.digests[line.record.number - 1] = line.record.previous
        found.last, found.head = line.record.number, line.digest
        if line.record.number in wanted:
            told.digests[line.record.number] = line.digest
        previous = line
        match line.record:
            case Begun() as begun:
                told.begun[begun.number] = begun
                _judge_clock(begun, told, found)
            case Segment() as closed:
                told.closed[closed.begun] = closed
            case Deleted(segments=segments):
                told.deleted.update(segments)
            case Gap() as gap:
                found.gaps.append(gap)
            case Pruned() as pruned:
                told.pruned.append(pruned)
    if told.first is None:
        found.findings.append(
            Finding("beginning", "chain", "there is no chain of manifests that this pole signed")
        )
    else:
        _judge_beginning(told.first, told.pruned, found)
    return told


def _raw_lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in chain_files(folder).values():
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path.name}, line {number}", line.removesuffix(b"\n")


def _judge_order(place: str, previous: Line | None, line: Line, found: Verification) -> None:
    if previous is None:
        return
    expected = previous.record.number + 1
    if line.record.number > expected:
        found.findings.append(
            Finding(
                "removed",
                place,
                f"records {expected} to {line.record.number - 1} are missing before it",
            )
        )
    elif line.record.number < expected:
        found.findings.append(
            Finding("moved", place, f"record {line.record.number} stands where {expected} belongs")
        )
    elif line.record.previous != previous.digest:
        found.findings.append(
            Finding("removed", place, "the record before it is not the one that the pole put there")
        )


def _judge_clock(begun: Begun, told: _Told, found: Verification) -> None:
    """Within a boot, wall clock and boottime run alike unless the wall clock is set."""
    if not begun.boot:  # by an earlier version
        return
    clock = begun.start - begun.boottime
    step = clock - told.clocks.setdefault(begun.boot, clock)
    if abs(step) > _STEP:
        told.clocks[begun.boot] = clock
        found.clock_steps.append(ClockStep(segment_name(begun), step / 1_000_000))


def _judge_beginning(first: ChainRecord, pruned: list[Pruned], found: Verification) -> None:
    """A chain begins at 1, or where the pole says that it cut it."""
    begins = {(0, BEGINNING), *((record.until, record.head) for record in pruned)}
    if (first.number - 1, first.previous) not in begins:
        found.findings.append(
            Finding(
                "removed",
                "chain",
                f"it begins with record {first.number}, and no record of the pole says that "
                "retention removed those before",
            )
        )


def _judge_heads(heads: Sequence[ToldHead], told: _Told, found: Verification) -> None:
    """Each record that the ledger tells of stands in the chain as it was then, unless it is older
    than the beginning. Where one within the chain is missing, that is found already."""
    kept = [head for head in heads if head.number in told.digests or head.number > found.last]
    found.told, found.told_last = len(kept), max((head.number for head in kept), default=0)
    if told.first is not None and found.told_last > found.last:
        found.findings.append(
            Finding(
                "cut off",
                "chain",
                f"the end was cut off: the ledger tells of record {found.told_last}, and the chain "
                f"ends at {found.last}",
            )
        )
    others = [head for head in kept if told.digests.get(head.number, head.digest) != head.digest]
    if others:
        first = min(others, key=lambda head: head.number)
        found.findings.append(
            Finding(
                "exchanged",
                "chain",
                f"record {first.number} is not the one that entry {first.entry} of the ledger "
                f"tells of, nor is what hangs on it ({len(others)} entries in all)",
            )
        )


def _judge_segments(folder: Path, told: _Told, found: Verification, *, part: bool) -> None:
    files = stored_names(folder)
    open_files = stored_names(folder, PART)
    known: set[str] = set()
    for number, begun in told.begun.items():
        name = segment_name(begun)
        known.add(name)
        closed = told.closed.get(number)
        gone = (number, begun.start // 1_000_000) in told.deleted
        if name in files and closed is not None and closed.state != EMPTY:
            _judge_content(folder / name, closed, found)
        elif name in files:
            found.findings.append(
                Finding("changed", name, "the pole did not sign a manifest for it")
            )
        elif name in open_files:
            _judge_head(folder / (name + PART), begun, found)
        elif gone:
            found.deleted += 1
        elif closed is not None and closed.state == EMPTY:
            continue
        elif part:
            found.elsewhere += 1
        else:
            when = _time(begun.start)
            found.findings.append(
                Finding(
                    "missing",
                    name,
                    f"camera {begun.camera}, from {when}: the pole recorded it, retention did not "
                    "delete it, and it is not there",
                )
            )
    for name in sorted((files | open_files) - known):
        found.findings.append(Finding("foreign", name, "the pole did not record this"))


def _judge_content(path: Path, closed: Segment, found: Verification) -> None:
    size = path.stat().st_size
    if size != closed.size:
        text = f"it has {size:,} bytes, and had {closed.size:,} when the pole signed it"
    elif digest_of(path) != closed.sha256:
        text = "its bytes are not those that the pole signed"
    else:
        found.segments += 1
        return
    found.findings.append(Finding("changed", path.name, text))


def _judge_head(path: Path, begun: Begun, found: Verification) -> None:
    is_empty = path.stat().st_size < begun.head_size  # the power failed before anything was in it
    if is_empty or digest_of(path, size=begun.head_size) == begun.head:
        found.open += 1
    else:
        found.findings.append(
            Finding("changed", path.name, "it does not begin as the segment that the pole began")
        )


def _time(microseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
