"""The smallest range: no segment too many, none too few, and each hole said."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.disclosure.account import Account, Kind, Piece, Range, account_for
from actors.recorder.chain import Begun, ChainRecord, Deleted, Gap, Segment, segment_name
from actors.recorder.gaps import LEAST

SECOND, TENTH = 1_000_000, 100_000
ORIGIN = 1_800_000_000 * SECOND
PREVIOUS = "0" * 64


@dataclass
class Tape:
    """A chain that is being written, and what a camera's pictures show at each second."""

    records: list[ChainRecord]

    def _number(self) -> int:
        return len(self.records) + 1

    def begin(self, start: int, camera: str, place: str) -> Begun:
        begun = Begun(
            number=self._number(), previous=PREVIOUS, camera=camera, place=place, start=start,
            codec="h264", width=64, height=48, head="", head_size=0,
        )  # fmt: skip
        self.records.append(begun)
        return begun

    def close(self, begun: Begun, end: int | None, state: str = "complete") -> None:
        segment = Segment(
            number=self._number(), previous=PREVIOUS, begun=begun.number, camera=begun.camera,
            place=begun.place, start=begun.start, end=end, codec="h264", size=1, sha256="",
            state=state,
        )  # fmt: skip
        self.records.append(segment)

    def gap(self, start: int, end: int, camera: str) -> None:
        gap = Gap(
            number=self._number(), previous=PREVIOUS, camera=camera, place="crossing",
            start=start, end=end, reason="away",
        )  # fmt: skip
        self.records.append(gap)

    def delete(self, begun: Begun) -> None:
        pair = (begun.number, begun.start // SECOND)
        self.records.append(
            Deleted(number=self._number(), previous=PREVIOUS, at=0, segments=(pair,))
        )


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Two cameras; segments, gaps, clock jumps, deletions, what power cuts left, in any mixture."""
    tape = Tape([])
    now = {"camera-0": ORIGIN, "camera-1": ORIGIN}
    for _ in range(draw(st.integers(0, 14))):
        camera = draw(st.sampled_from(sorted(now)))
        place = draw(st.sampled_from(["crossing", "crossing", "crossing", "park"]))
        length = draw(st.integers(1, 90)) * SECOND
        match draw(st.integers(0, 9)):
            case 0:
                tape.gap(now[camera], now[camera] + length, camera)
            case 1:  # the clock is put right, or wrong
                length = draw(st.integers(-60, 60)) * SECOND
            case 2:
                tape.begin(now[camera], camera, place)
            case 3:
                tape.delete(_closed(tape, now[camera], length, camera, place))
            case 4:
                tape.close(tape.begin(now[camera], camera, place), None, "empty")
            case 5:  # silence of which nobody signed anything
                pass
            case _:
                _closed(tape, now[camera], length, camera, place)
        now[camera] += length
    return tape


def _closed(tape: Tape, start: int, length: int, camera: str, place: str) -> Begun:
    begun = tape.begin(start, camera, place)
    tape.close(begun, start + length - TENTH)
    return begun


def ranges() -> st.SearchStrategy[Range]:
    return st.builds(
        lambda cameras, start, length: Range(
            ("crossing",), cameras, ORIGIN + start * TENTH, ORIGIN + (start + length) * TENTH
        ),
        st.sampled_from([("camera-0",), ("camera-0", "camera-1"), ("camera-1",)]),
        st.integers(-600, 6000),
        st.integers(1, 4000),
    )


def names(account: Account) -> set[str]:
    return {piece.what for piece in account.segments}


def brute(tape: Tape, wanted: Range) -> set[str]:
    """One segment after the other, tenth of a second by tenth of a second."""
    gone = {pair for one in tape.records if isinstance(one, Deleted) for pair in one.segments}
    found = set()
    for one in tape.records:
        if not isinstance(one, Segment) or one.state == "empty" or one.end is None:
            continue
        if one.place != "crossing" or one.camera not in wanted.cameras:
            continue
        shown = range(one.start, one.end + 1, TENTH)
        is_gone = (one.begun, one.start // SECOND) in gone
        if not is_gone and any(wanted.start <= moment < wanted.end for moment in shown):
            found.add(segment_name(one))
    return found


@given(tapes(), ranges())
@settings(max_examples=150, deadline=None)
def test_no_segment_too_many_and_none_too_few(tape: Tape, wanted: Range) -> None:
    assert names(account_for(wanted, tape.records)) == brute(tape, wanted)


@given(tapes(), ranges())
@settings(max_examples=150, deadline=None)
def test_every_moment_is_accounted_for(tape: Tape, wanted: Range) -> None:
    account = account_for(wanted, tape.records)
    for camera in wanted.cameras:
        reached = wanted.start
        for piece in sorted(
            (one for one in account.pieces if one.camera == camera), key=lambda one: one.start
        ):
            assert piece.start - reached < LEAST
            reached = max(reached, piece.end)
        assert wanted.end - reached < LEAST
    for piece in account.pieces:
        assert piece.camera in wanted.cameras
        assert piece.start < wanted.end
        assert piece.end >= wanted.start


@given(tapes(), ranges())
@settings(max_examples=150, deadline=None)
def test_who_has_only_the_lines_of_the_package_sees_the_same(tape: Tape, wanted: Range) -> None:
    account = account_for(wanted, tape.records)
    few = [record for record in tape.records if record.number in account.numbers]
    again = account_for(wanted, few)
    assert again.pieces == account.pieces
    assert again.numbers == account.numbers


@pytest.mark.parametrize(
    ("start", "end", "is_wanted"),
    [(-10, 0, False), (-10, 1, True), (599, 700, True), (600, 700, False), (599, 600, True)],
)
def test_the_first_and_the_last_picture(start: int, end: int, is_wanted: bool) -> None:
    tape = Tape([])
    only = _closed(tape, ORIGIN, 60 * SECOND, "camera-0", "crossing")  # its last at 59.9 s
    wanted = Range(("crossing",), ("camera-0",), ORIGIN + start * TENTH, ORIGIN + end * TENTH)
    account = account_for(wanted, tape.records)
    assert names(account) == ({segment_name(only)} if is_wanted else set())


def test_what_there_is_of_an_evening() -> None:
    tape = Tape([])
    first = _closed(tape, ORIGIN, 60 * SECOND, "camera-0", "crossing")
    tape.gap(ORIGIN + 60 * SECOND, ORIGIN + 100 * SECOND, "camera-0")
    second = _closed(tape, ORIGIN + 100 * SECOND, 60 * SECOND, "camera-0", "crossing")
    third = tape.begin(ORIGIN + 200 * SECOND, "camera-0", "crossing")
    tape.delete(first)
    wanted = Range(("crossing",), ("camera-0",), ORIGIN + 30 * SECOND, ORIGIN + 230 * SECOND)
    account = account_for(wanted, tape.records)
    assert [(one.kind, one.what) for one in account.pieces] == [
        (Kind.DELETED, segment_name(first)),
        (Kind.GAP, "away"),
        (Kind.SEGMENT, segment_name(second)),
        (Kind.UNACCOUNTED, ""),
        (Kind.OPEN, segment_name(third)),
    ]
    assert account.pieces[3] == Piece(
        "camera-0", ORIGIN + 160 * SECOND - TENTH, third.start, Kind.UNACCOUNTED, ""
    )
