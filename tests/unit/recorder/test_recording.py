from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from actors.camera.messages import EncodedPacket
from actors.recorder.capability import RecordingStore, StorageTrouble
from actors.recorder.keys import Keys
from actors.recorder.recording import Recording, Tally
from tests.cameras import make_film, packets_of
from tests.recordings import HEADER, Manager, packet_run, storage, stored_packets

CHUNK = 64 * 1024
START_CODE = b"\0\0\0\1"


def recording_in(folder: Path, manager: Manager, *, length: float = 60) -> Recording:
    return Recording(
        storage(RecordingStore, folder),
        Keys([manager.recipient]),
        camera="camera",
        place="crossing",
        length=length,
        log=structlog.get_logger("recorder"),
    )


def record(recording: Recording, packets: Iterable[EncodedPacket]) -> None:
    for packet in packets:
        recording.accept([packet])
        recording.write()


def films(folder: Path, manager: Manager) -> list[list[tuple[float, bool, bytes]]]:
    """What stands in each file, in the order in which they were begun."""
    files = sorted(folder.glob("*.mp4.age*"), key=lambda file: file.stat().st_ctime_ns)
    return [stored_packets(manager.open(file)) for file in files]


def data_of(packets: Iterable[EncodedPacket]) -> list[bytes]:
    return [packet.data for packet in packets]


def test_every_packet_stands_once_in_order_and_unchanged(tmp_path: Path, manager: Manager) -> None:
    packets = packet_run([10] * 7 + [3], size=9000)
    recording = recording_in(tmp_path, manager, length=2)
    record(recording, packets)
    recording.close(for_good=True)
    segments = films(tmp_path, manager)
    assert [len(segment) for segment in segments] == [20, 20, 20, 13]
    assert [data for segment in segments for _, _, data in segment] == data_of(packets)
    for segment in segments:
        assert segment[0][:2] == (0.0, True)
        assert [round(moment, 3) for moment, _, _ in segment] == [
            round(n * 0.1, 3) for n in range(len(segment))
        ]
    assert recording.unsafe == 0
    size = sum(file.stat().st_size for file in tmp_path.glob("*.age"))
    assert recording.take_tally() == Tally(recorded=73, segments=4, size=size)
    assert recording.take_tally() == Tally()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg", "mpeg4"])
def test_each_codec_of_street_cameras(codec: str, tmp_path: Path, manager: Manager) -> None:
    packets = packets_of(make_film(tmp_path / "film.mp4", codec=codec, size=(128, 96)))
    folder = tmp_path / "security"
    recording = recording_in(folder, manager, length=1)
    record(recording, packets)
    recording.close(for_good=True)
    segments = films(folder, manager)
    assert len(segments) == 2
    assert [data for segment in segments for _, _, data in segment] == data_of(packets)


def as_sent_over_rtsp(packets: list[EncodedPacket], *, in_band: bool) -> list[EncodedPacket]:
    """The same with start codes (ITU-T H.264 annex B) instead of lengths; ``in_band`` has the
    parameter sets in the key pictures alone."""
    assert packets[0].header is not None
    record, sets, at = packets[0].header.extradata, b"", 6
    for _ in range(2):  # one sequence parameter set, then (a count before it) one picture's
        size = int.from_bytes(record[at : at + 2], "big")
        sets += START_CODE + record[at + 2 : at + 2 + size]
        at += 2 + size + 1
    sent = []
    for packet in packets:
        units, at = b"", 0
        while at < len(packet.data):
            size = int.from_bytes(packet.data[at : at + 4], "big")
            units += START_CODE + packet.data[at + 4 : at + 4 + size]
            at += 4 + size
        header = packet.header and msgspec.structs.replace(
            packet.header, extradata=b"" if in_band else sets
        )
        data = sets + units if in_band and packet.key else units
        sent.append(msgspec.structs.replace(packet, data=data, header=header))
    return sent


@pytest.mark.parametrize("in_band", [False, True])
def test_a_stream_as_rtsp_carries_it(in_band: bool, tmp_path: Path, manager: Manager) -> None:
    packets = packets_of(make_film(tmp_path / "film.mp4", size=(128, 96)))
    folder = tmp_path / "security"
    recording = recording_in(folder, manager, length=1)
    record(recording, as_sent_over_rtsp(packets, in_band=in_band))
    recording.close(for_good=True)
    pictures = []
    for file in sorted(folder.glob("*.age")):
        with av.open(io.BytesIO(manager.open(file)), "r") as container:
            pictures.append([(f.width, f.height) for f in container.decode(video=0)])
    assert pictures == [[(128, 96)] * 10] * 2


def test_packets_before_the_first_key_picture_are_passed_over(
    tmp_path: Path, manager: Manager
) -> None:
    packets = packet_run([5, 5])
    recording = recording_in(tmp_path, manager)
    recording.accept(packets[2:5])
    recording.write()
    assert recording.unsafe == 0
    record(recording, packets[5:])
    recording.close(for_good=True)
    assert [data for _, _, data in films(tmp_path, manager)[0]] == data_of(packets[5:])
    tally = recording.take_tally()
    assert (tally.skipped, tally.recorded) == (3, 5)


OTHER_SIZE = msgspec.structs.replace(HEADER, width=128)
OTHER_RATE = msgspec.structs.replace(HEADER, frame_rate_numerator=25)


@pytest.mark.parametrize(
    ("second", "segments"),
    [
        (packet_run([5], first=5), 1),
        (packet_run([5], first=5, header=OTHER_RATE), 1),
        (packet_run([5], first=5, header=OTHER_SIZE), 2),
        (packet_run([5], first=5, session=2), 2),
    ],
    ids=["nothing new", "another frame rate", "another size", "another session"],
)
def test_what_begins_another_segment(
    second: list[EncodedPacket], segments: int, tmp_path: Path, manager: Manager
) -> None:
    packets = packet_run([5]) + second
    recording = recording_in(tmp_path, manager)
    record(recording, packets)
    recording.close(for_good=True)
    found = films(tmp_path, manager)
    assert len(found) == segments
    assert [data for segment in found for _, _, data in segment] == data_of(packets)


def changed(packets: list[EncodedPacket], change: Callable[[int, EncodedPacket], dict[str, object]]
) -> list[EncodedPacket]:  # fmt: skip
    return [
        msgspec.structs.replace(packet, **change(number, packet))
        for number, packet in enumerate(packets)
    ]


@pytest.mark.parametrize(
    ("change", "mended"),
    [
        (lambda n, p: {"dts": None, "pts": None}, 0),
        (lambda n, p: {"dts": None}, 0),
        (lambda n, p: {"pts": None}, 0),
        (lambda n, p: {"dts": 7, "pts": 7}, 11),
        (lambda n, p: {"dts": p.dts + (10**9 if n >= 6 else 0)}, 1),
        (lambda n, p: {"dts": p.dts - (10**9 if n >= 6 else 0), "pts": None}, 1),
        (lambda n, p: {"dts": p.dts + 2**62, "pts": p.pts + 2**62}, 0),
        (lambda n, p: {"dts": p.dts - 5000, "pts": p.pts - 9000}, 0),
        (lambda n, p: {"duration": 0}, 0),
    ],
    ids=[
        "no times", "no dts", "no pts", "always the same", "a jump ahead", "a jump back",
        "enormous", "negative, shown before decoded", "no durations",
    ],
)  # fmt: skip
def test_whatever_times_the_camera_gives(
    change: Callable[[int, EncodedPacket], dict[str, object]],
    mended: int,
    tmp_path: Path,
    manager: Manager,
) -> None:
    packets = changed(packet_run([4, 4, 4]), change)
    recording = recording_in(tmp_path, manager)
    record(recording, packets)
    recording.close(for_good=True)
    (film,) = films(tmp_path, manager)
    assert [data for _, _, data in film] == data_of(packets)
    moments = [moment for moment, _, _ in film]
    assert moments == sorted(moments)
    assert 1.0 <= moments[-1] <= 1.2
    assert recording.take_tally().mended == mended


def test_an_empty_packet_is_passed_over(
    tmp_path: Path, manager: Manager, log: list[EventDict]
) -> None:
    packets = changed(packet_run([5, 5]), lambda n, p: {"data": b""} if n in (2, 5, 7) else {})
    recording = recording_in(tmp_path, manager)
    record(recording, packets)
    recording.close(for_good=True)
    (film,) = films(tmp_path, manager)
    assert [data for _, _, data in film] == [data for data in data_of(packets) if data]
    tally = recording.take_tally()
    assert (tally.recorded, tally.skipped) == (7, 3)
    assert [event["event"] for event in log].count("packet skipped") == 1


def test_a_stream_that_fits_no_film_is_reported_once(
    tmp_path: Path, manager: Manager, log: list[EventDict]
) -> None:
    header = msgspec.structs.replace(HEADER, codec="rawvideo")
    recording = recording_in(tmp_path, manager)
    record(recording, packet_run([2, 2, 2], header=header))
    record(recording, packet_run([2], first=6))
    recording.close(for_good=True)
    tally = recording.take_tally()
    assert (tally.recorded, tally.skipped) == (2, 6)
    (report,) = [event for event in log if event["log_level"] == "error"]
    assert "rawvideo" in report["reason"]
    assert "h264" in report["reason"]


def test_names_tell_place_and_time_and_nothing_else(tmp_path: Path, manager: Manager) -> None:
    recording = recording_in(tmp_path, manager)
    record(recording, packet_run([3]))
    assert [path.suffix for path in tmp_path.iterdir() if "mp4" in path.name] == [".part"]
    recording.close(for_good=True)
    (name,) = (path.name for path in tmp_path.glob("*.age"))
    assert re.fullmatch(r"20270115T080000Z-crossing-[0-9a-f]{8}\.mp4\.age", name)


# -- what is safe ---------------------------------------------------------------------------


def safe_or_pending(
    folder: Path, manager: Manager, recording: Recording, sent: list[EncodedPacket]
) -> None:
    """If the program died now, what it has not handed back would complete what is on the disk."""
    pending = list(recording._pending)
    assert pending == sent[len(sent) - recording.unsafe :]
    assert not pending or pending[0].key
    on_disk = {data for film in films(folder, manager) for _, _, data in film}
    assert on_disk.issuperset(data_of(sent[: len(sent) - recording.unsafe]))


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    size=st.sampled_from([40, 3000, 20_000, CHUNK - 700, CHUNK, 3 * CHUNK]),
    length=st.sampled_from([0.2, 1.0, 60.0]),
    batch=st.integers(1, 20),
)
def test_at_every_moment_everything_is_safe_or_still_in_hand(
    manager: Manager, groups: list[int], size: int, length: float, batch: int
) -> None:
    packets = packet_run(groups, size=size)
    with TemporaryDirectory() as name:
        folder = Path(name)
        recording = recording_in(folder, manager, length=length)
        for end in range(batch, len(packets) + batch, batch):
            recording.accept(packets[end - batch : end])
            recording.write()
            if list(folder.glob("*.part")) and recording._segment._age.sealed:  # type: ignore[union-attr]
                safe_or_pending(folder, manager, recording, packets[:end])
            else:
                assert recording.unsafe <= end
        recording.close(for_good=True)
        assert recording.unsafe == 0
        found = [data for film in films(folder, manager) for _, _, data in film]
        assert found == data_of(packets)


@pytest.mark.parametrize("place", [1, 7, 9, 10, 11, 20])
def test_a_pause_within_a_group_loses_nothing(place: int, tmp_path: Path, manager: Manager) -> None:
    packets = packet_run([10, 10, 10], size=5000)
    recording = recording_in(tmp_path, manager)
    record(recording, packets[:place])
    recording.close()
    begun = (place - 1) % 10 + 1
    assert recording.unsafe == begun, "what comes next can't be decoded without it"
    record(recording, packets[place:])
    recording.close(for_good=True)
    first, second = films(tmp_path, manager)
    assert [data for _, _, data in first] == data_of(packets[:place])
    assert second[0][:2] == (0.0, True)
    repeated = begun % 10
    assert [data for _, _, data in second] == data_of(packets[place - repeated :])
    tally = recording.take_tally()
    assert (tally.recorded, tally.repeated, tally.skipped) == (30, repeated, 0)


def test_packets_that_never_came_end_a_segment(tmp_path: Path, manager: Manager) -> None:
    packets = packet_run([10, 10, 10], size=5000)
    recording = recording_in(tmp_path, manager)
    record(recording, packets[:15] + packets[17:])
    recording.close(for_good=True)
    first, second = films(tmp_path, manager)
    assert [data for _, _, data in first] == data_of(packets[:15])
    assert [data for _, _, data in second] == data_of(packets[20:])
    tally = recording.take_tally()
    assert (tally.recorded, tally.skipped) == (25, 3)


def test_little_stays_in_hand(tmp_path: Path, manager: Manager) -> None:
    """A group is safe as soon as its last chunk is: with the next group, or the one after."""
    recording = recording_in(tmp_path, manager)
    for place, packet in enumerate(packet_run([10] * 20, size=12_000)):
        recording.accept([packet])
        recording.write()
        assert recording.unsafe <= place % 10 + 1 + 2 * 10
    assert recording.take_tally().recorded >= 170


def test_a_camera_without_key_pictures_does_not_fill_the_memory(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, log: list[EventDict]
) -> None:
    monkeypatch.setattr("actors.recorder.recording._MOST_KEPT", 1_000_000)
    packets = packet_run([10, 600, 10], size=20_000)
    recording = recording_in(tmp_path, manager)
    for packet in packets:
        recording.accept([packet])
        recording.write()
        assert recording._kept <= 1_000_000
    recording.close(for_good=True)
    found = [data for film in films(tmp_path, manager) for _, _, data in film]
    assert found == data_of(packets)
    assert recording.take_tally().recorded == len(packets)
    assert "no key picture for long" in {event["event"] for event in log}


# -- a disk that refuses --------------------------------------------------------------------


@contextmanager
def full_disk(folder: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From now on the folder's segments may grow by so many bytes, all together."""
    write, left = os.write, room

    def limited(descriptor: int, data: bytes) -> int:
        nonlocal left
        if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder)):
            return write(descriptor, data)
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[:left])
        left -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", limited)
        yield


@pytest.mark.parametrize("room", [0, 100, 70_000, 200_000, 333_333])
def test_a_full_disk_loses_nothing(
    room: int, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packet_run([10] * 6, size=8000)
    recording = recording_in(tmp_path, manager)
    with full_disk(tmp_path, room, monkeypatch):
        recording.accept(packets)
        for _ in range(3):
            with pytest.raises(StorageTrouble, match="No space left on device"):
                recording.write()
            room = 0
    before = [data for film in films(tmp_path, manager) for _, _, data in film]
    recording.close(for_good=True)
    found = [data for film in films(tmp_path, manager) for _, _, data in film]
    assert set(found) == set(data_of(packets))
    twice = len(found) - len(set(found))
    tally = recording.take_tally()
    assert tally.recorded == len(packets)
    assert twice <= tally.repeated
    assert before == data_of(packets)[: len(before)], "what fitted stays readable"
    assert recording.unsafe == 0
    assert not list(tmp_path.glob("*.part"))


def test_a_segment_that_cannot_be_finished_is_written_again(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packet_run([5, 5])
    recording = recording_in(tmp_path, manager)
    record(recording, packets)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "failed")))
        with pytest.raises(StorageTrouble, match="failed"):
            recording.close(for_good=True)
    assert recording.unsafe == len(packets)
    recording.close(for_good=True)
    assert [data for _, _, data in films(tmp_path, manager)[-1]] == data_of(packets)
