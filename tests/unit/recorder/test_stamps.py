"""Each segment says in which start of the computer it was recorded, and when in it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import msgspec
import pytest
import structlog

from actors.recorder.capability import RecordingExpiry, RecordingStore
from actors.recorder.chain import BEGINNING, Begun, Chain, Gap, lines_of
from actors.recorder.files import CLOCK
from actors.recorder.keys import Keys
from actors.recorder.recording import Recording
from actors.recorder.signing import PoleKey, VerifyKey
from actors.recorder.verify import ClockStep, verify
from runtime import Authority
from runtime.cli import main
from runtime.clock import Clock, boot_id, boottime
from tests.recordings import START, Manager, packet_run, storage

FACTS = {"place": "crossing", "codec": "h264", "width": 64, "height": 48}
SECOND = 1_000_000


def begun_in(folder: Path) -> list[Begun]:
    lines = [line.record for line in lines_of(folder / "chain-00000000.log")]
    return [record for record in lines if isinstance(record, Begun)]


def key_of(folder: Path) -> VerifyKey:
    return VerifyKey.from_text((folder / "pole.pub").read_text())


def record(folder: Path, *, boottimes: bool) -> list[int]:
    """Two segments through the recorder's own code; the boottimes of their first frames."""
    packets = packet_run([10, 10, 10, 10])
    if boottimes:
        packets = [
            msgspec.structs.replace(packet, boottime=77 * SECOND + number * 100_000)
            for number, packet in enumerate(packets)
        ]
    recording = Recording(
        storage(RecordingStore, folder),
        Keys([Manager().recipient]),
        camera="camera",
        place="crossing",
        length=2.0,
        log=structlog.get_logger(),
    )
    recording.accept(packets)
    recording.close(for_good=True)
    return [packet.boottime for packet in packets if packet.sequence in (0, 20)]


def test_it_is_the_first_frames_boottime_however_late_it_is_written(tmp_path: Path) -> None:
    expected = record(tmp_path, boottimes=True)
    begun = begun_in(tmp_path)
    assert [one.boottime for one in begun] == expected == [77 * SECOND, 79 * SECOND]
    assert {one.boot for one in begun} == {boot_id()}


def test_where_the_camera_noted_none_it_is_that_of_writing(tmp_path: Path) -> None:
    before = boottime()
    record(tmp_path, boottimes=False)
    assert all(before <= one.boottime <= boottime() for one in begun_in(tmp_path))
    assert {one.boot for one in begun_in(tmp_path)} == {boot_id()}


def test_records_of_earlier_versions_verify_beside_new_ones(tmp_path: Path) -> None:
    key = PoleKey.of_folder(tmp_path)
    old = {
        "kind": "begun", "number": 1, "previous": BEGINNING, "camera": "camera", "start": START,
        "head": hashlib.sha256(b"head").hexdigest(), "head_size": 4, **FACTS,
    }  # fmt: skip
    signed = json.dumps(old, separators=(",", ":")).encode()
    signature = base64.b64encode(key.sign(signed))
    line = signed[:-1] + b',"signature":"' + signature + b'"}\n'
    (tmp_path / "chain-00000000.log").write_bytes(line)
    Chain(tmp_path, key).append(
        Gap, camera="camera", place="crossing", start=START, end=START + 1, reason="away"
    )
    found = verify(tmp_path, key_of(tmp_path))
    # The segment itself was never written here; its record is as good as any.
    assert {finding.kind for finding in found.findings} == {"missing"}
    assert (found.first, found.last) == (1, 2)
    assert begun_in(tmp_path)[0].boot == ""
    assert begun_in(tmp_path)[0].boottime == 0


@pytest.mark.parametrize("name", ["boot", "boottime"])
def test_a_stamp_that_was_changed_is_found(tmp_path: Path, name: str) -> None:
    record(tmp_path, boottimes=True)
    assert verify(tmp_path, key_of(tmp_path)).is_whole
    path = tmp_path / "chain-00000000.log"
    text = path.read_text()
    old = f'"{name}":' + (f'"{boot_id()}"' if name == "boot" else str(77 * SECOND))
    assert text.count(old) >= 1
    new = f'"{name}":' + ('"00"' if name == "boot" else "1")
    path.write_text(text.replace(old, new, 1))
    found = verify(tmp_path, key_of(tmp_path))
    assert "altered" in {finding.kind for finding in found.findings}


def test_who_verifies_is_told_when_the_clock_was_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = storage(RecordingStore, tmp_path)
    names = []
    for wall, running in ((0, 0), (60, 60), (3720, 120), (3781, 180), (3840, 240), (240, 300)):
        segment = store.open_segment(
            started_at=START + wall * SECOND,
            boottime=50 * SECOND + running * SECOND,
            head=b"head",
            **FACTS,  # type: ignore[arg-type]
        )
        assert segment.finish(START)
        names.append(segment.name)
    found = verify(tmp_path, key_of(tmp_path))
    assert found.is_whole
    assert found.clock_steps == [ClockStep(names[2], 3600), ClockStep(names[5], -3660)]
    assert main(["recordings", "verify", str(tmp_path), "--key", str(tmp_path / "pole.pub")]) == 0
    said = capsys.readouterr().out
    assert f"clock: set 3,600 s ahead before {names[2]}" in said
    assert f"clock: set 3,660 s back before {names[5]}" in said


def test_a_boot_is_in_the_clocks_journal_before_anything_is_recorded_in_it(tmp_path: Path) -> None:
    authority = Authority._mint(actor="retention", folder=tmp_path, settings=None, facts={})
    RecordingExpiry.prepare(authority)
    assert boot_id() in (tmp_path / CLOCK).read_text()
    record(tmp_path, boottimes=False)
    timeline = Clock(tmp_path / CLOCK).read()
    for one in begun_in(tmp_path):
        moment = timeline.moment(one.boot, one.boottime, 0)
        assert 0 <= timeline.now - moment < 60 * SECOND
