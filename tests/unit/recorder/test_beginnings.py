"""A segment begins: file, chain, index, head. What holds wherever that breaks off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.recorder.capability import OpenSegment, RecordingStore, StorageTrouble
from tests.recordings import START, storage
from tests.unit.recorder.test_chain import FACTS, fill, look, rows


@pytest.mark.parametrize("step", ["chain", "index", "head", "half a head"])
def test_a_power_cut_while_a_segment_begins(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is missed that never was, and nothing stays of it."""

    class PowerCut(BaseException):
        pass

    def strike(*_: object, **__: object) -> None:
        raise PowerCut

    def half(segment: OpenSegment, data: bytes) -> None:
        os.write(segment._descriptor, data[:2])
        raise PowerCut

    store = storage(RecordingStore, tmp_path)
    where, instead = {
        "chain": ("actors.recorder.chain.Chain._write", strike),
        "index": ("actors.recorder.index.SegmentIndex.opened", strike),
        "head": ("actors.recorder.open_segment.OpenSegment.write", strike),
        "half a head": ("actors.recorder.open_segment.OpenSegment.write", half),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(where, instead)
        with pytest.raises(PowerCut):
            store.open_segment(camera="c", started_at=START, head=b"head", **FACTS)  # type: ignore[arg-type]
    (part,) = tmp_path.glob("*.part")
    for link in Path("/proc/self/fd").iterdir():  # what the end of a process does
        if link.is_symlink() and os.path.realpath(link) == str(part):
            os.close(int(link.name))
    fill(tmp_path, 1, first=5)
    if step != "chain":
        assert look(tmp_path).findings == []
    assert storage(RecordingStore, tmp_path).adopt_leftovers() == 0
    found = look(tmp_path)
    assert (found.findings, found.segments, found.open) == ([], 1, 0)
    assert len(rows(tmp_path)) == 1
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("step", ["create", "chain", "index"])
def test_a_segment_that_can_not_begin_leaves_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        if step == "index":
            raise StorageTrouble("full")
        raise OSError(28, "full")

    store = storage(RecordingStore, tmp_path)
    with monkeypatch.context() as patch:
        where = {
            "create": "actors.recorder.open_segment.sync_folder",
            "chain": "actors.recorder.chain.os.fdatasync",
            "index": "actors.recorder.index.SegmentIndex.opened",
        }[step]
        patch.setattr(where, fail)
        with pytest.raises(StorageTrouble, match="full"):
            store.open_segment(camera="c", started_at=START, head=b"head", **FACTS)  # type: ignore[arg-type]
    fill(tmp_path, 1)
    found = look(tmp_path)
    assert (found.findings, found.segments, found.open) == ([], 1, 0)
    assert len(rows(tmp_path)) == 1
    assert list(tmp_path.glob("*.part")) == []
