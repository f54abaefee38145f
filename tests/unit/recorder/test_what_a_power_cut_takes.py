"""What has reached the disk for certain, moment by moment: a kill shows less than a power cut."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from actors.recorder.capability import RecordingStore
from actors.recorder.keys import Keys
from actors.recorder.recording import Recording
from actors.recorder.remultiplex import _Boxes
from tests.recordings import START, Manager, packet_run, storage, stored_packets

MOST = 1.6
"""Seconds; what the actor adds by gathering packets (0.1 s) and the disk by its own time is left
of the two that may be lost."""


@pytest.mark.parametrize("group", [10, 50, 400], ids=["1 s", "5 s", "40 s"])
@pytest.mark.parametrize("size", [300, 6_000, 60_000])
def test_what_is_synced_is_never_long_behind(
    size: int, group: int, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, synced = 0.0, 0
    part: Path | None = None
    fdatasync = os.fdatasync

    def sync(descriptor: int) -> None:
        nonlocal synced, part
        fdatasync(descriptor)
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        if target.endswith(".part"):
            part, synced = Path(target), os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fdatasync", sync)
    recording = Recording(
        storage(RecordingStore, tmp_path), Keys([manager.recipient]), camera="c", place="crossing",
        length=600, log=structlog.get_logger("recorder"), clock=lambda: now,
    )  # fmt: skip
    packets = packet_run([group] * (200 // group or 1), size=size)[:200]
    survives = tmp_path / "survives"
    for packet in packets:
        moment = (packet.captured_at - START) / 1e6
        recording.accept([packet])
        for tick in (0.0, 0.05):
            now = moment + tick
            recording.write()
        if moment < MOST or packet.sequence % 5:
            continue
        assert part is not None
        survives.write_bytes(part.read_bytes()[:synced])
        there = stored_packets(manager.open(survives))
        assert len(there) >= (moment - MOST) * 10, f"at {moment} s"
    recording.close(for_good=True)
    (file,) = tmp_path.glob("*.age")
    assert [data for _, _, data in stored_packets(manager.open(file))] == [
        packet.data for packet in packets
    ]


def test_a_usual_camera_needs_no_filler(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(
        "actors.recorder.remultiplex.Remultiplexer.filler",
        lambda *_: pytest.fail("filled up"),
    )
    recording = Recording(
        storage(RecordingStore, tmp_path), Keys([manager.recipient]), camera="c", place="crossing",
        length=600, log=structlog.get_logger("recorder"), clock=lambda: now,
    )  # fmt: skip
    for packet in packet_run([20] * 10, size=50_000):  # 4 Mbit/s
        now = (packet.captured_at - START) / 1e6
        recording.accept([packet])
        recording.write()
    recording.close(for_good=True)


@given(
    sizes=st.lists(st.one_of(st.integers(0, 40), st.none()), min_size=1, max_size=8),
    data=st.data(),
)
def test_filler_goes_between_boxes_only(sizes: list[int | None], data: st.DataObject) -> None:
    """However the muxer's output is cut up. None stands for a box with a long size."""
    film, ends = b"", {0}
    for size in sizes:
        body = bytes(size if size is not None else 9)
        if size is None:
            film += (1).to_bytes(4, "big") + b"mdat" + (16 + len(body)).to_bytes(8, "big") + body
        else:
            film += (8 + len(body)).to_bytes(4, "big") + b"moof" + body
        ends.add(len(film))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(film)))) | {0, len(film)})
    boxes = _Boxes()
    for begin, end in pairwise(cuts):
        boxes.pass_over(film[begin:end])
        assert boxes.at_end == (end in ends)
