"""The recorder in a real pole: a source stands where the camera would."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import trio
from structlog.typing import EventDict

from actors.camera.messages import EncodedPacket
from actors.recorder.actor import Recorder, RecorderSettings
from actors.recorder.capability import OpenSegment
from actors.recorder.recording import Recording
from runtime.config import Document, convert
from runtime.pole import Pole
from runtime.specification import Backoff
from tests.cameras import packets_of
from tests.poles import actor_status, eventually, running_pole, sending
from tests.recordings import Manager, packet_run, stored_packets

pytestmark = pytest.mark.real_time

GROUPS_AT_RISK = 3
"""Groups of 50 kB whose end may be in a chunk of 64 KiB that is not sealed yet."""
FOOTAGE = Path(__file__).parents[3] / "var" / "footage"
CONFIGURATION = """
[actors.camera]
type = "source"
[actors.recorder]
type = "recorder"
place = "crossing"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "2s" }
supervision = { first_delay = "10ms" }
[[channels]]
from = "camera.packets"
to = "recorder.packets"
"""


def configuration(folder: Path, manager: Manager) -> str:
    (folder / "managers.pub").write_text(manager.public + "\n")
    return CONFIGURATION


def recorded(pole: Pole) -> dict[str, int]:
    return dict(actor_status(pole, "recorder").readings)


def found_in(folder: Path, manager: Manager) -> list[bytes]:
    """Every packet in every segment of a pole, in order."""
    files = sorted((folder / "state" / "security").glob("*.mp4.age*"))
    return [data for file in files for _, _, data in stored_packets(manager.open(file))]


def pictures_in(folder: Path, manager: Manager) -> int:
    """How many pictures of a pole's segments can be decoded."""
    pictures = 0
    for file in (folder / "state" / "security").glob("*.mp4.age"):
        with av.open(io.BytesIO(manager.open(file)), "r") as container:
            pictures += sum(1 for _ in container.decode(video=0))
    return pictures


def received(pole: Pole, count: int) -> bool:
    (inlet,) = actor_status(pole, "recorder").inlets
    return inlet.accepted == count and inlet.waiting == 0


async def test_what_the_camera_sent_is_in_the_segments(tmp_path: Path, manager: Manager) -> None:
    packets = packet_run([10] * 12 + [4], size=5000)
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        await eventually(lambda: recorded(pole)["segments_written"] == 6)
    assert found_in(tmp_path, manager) == [packet.data for packet in packets]
    readings = recorded(pole)
    assert readings["packets_recorded"] == len(packets)
    assert readings["segments_written"] == 7
    assert readings["packets_skipped"] == readings["packets_repeated"] == 0
    assert not actor_status(pole, "recorder").idle
    (inlet,) = actor_status(pole, "recorder").inlets
    assert (inlet.acknowledged, inlet.in_hand) == (len(packets), 0)
    assert not list((tmp_path / "state" / "security").glob("*.part"))


@pytest.mark.footage
async def test_real_footage_stays_playable(tmp_path: Path, manager: Manager) -> None:
    packets = packets_of(FOOTAGE / "bikes.mp4")
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        await eventually(lambda: received(pole, len(packets)))
    assert Counter(found_in(tmp_path, manager)) == Counter(packet.data for packet in packets)
    assert pictures_in(tmp_path, manager) == len(packets) == 250


def back_at_work(pole: Pole) -> bool:
    """Whether it has crashed and been started again."""
    status = actor_status(pole, "recorder")
    return status.crashes > 0 and status.state == "running" and status.incarnation > status.crashes


@pytest.mark.parametrize("strikes", [{35}, {35, 36}, {0, 61, 99}])
async def test_a_crash_in_the_middle_loses_nothing(
    strikes: set[int], tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packet_run([10] * 12, size=5000)
    left, write_one = set(strikes), Recording._write_one

    def strike(recording: Recording, packet: EncodedPacket) -> None:
        if packet.sequence in left:
            left.remove(packet.sequence)
            raise ZeroDivisionError
        write_one(recording, packet)

    monkeypatch.setattr(Recording, "_write_one", strike)
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        # A crash while the pole stops is another matter: nobody would start the recorder again.
        await eventually(lambda: not left and recorded(pole)["packets_recorded"] >= 100)
        await eventually(lambda: received(pole, len(packets)))
    found = Counter(found_in(tmp_path, manager))
    assert set(found) == {packet.data for packet in packets}, "what was accepted is there"
    repeated = sum(found.values()) - len(packets)
    status = actor_status(pole, "recorder")
    assert repeated <= min(status.inlets[0].redelivered, GROUPS_AT_RISK * 10 * status.crashes)


async def test_a_crash_that_strikes_in_stop_as_well_repeats_a_group_and_loses_nothing(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packet_run([10] * 12, size=5000)
    strikes, write = 2, OpenSegment.write

    def strike(segment: OpenSegment, data: bytes) -> None:
        nonlocal strikes
        if strikes and segment.size > 100_000:
            strikes -= 1
            raise ZeroDivisionError
        write(segment, data)

    monkeypatch.setattr(OpenSegment, "write", strike)
    text = configuration(tmp_path, manager).replace('segment = "2s"', 'segment = "60s"')
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, text, types) as pole:
        await eventually(lambda: not strikes and back_at_work(pole))
        await eventually(lambda: received(pole, len(packets)))
    found = Counter(found_in(tmp_path, manager))
    assert set(found) == {packet.data for packet in packets}
    repeated = sum(found.values()) - len(packets)
    assert repeated <= actor_status(pole, "recorder").inlets[0].redelivered
    assert actor_status(pole, "recorder").inlets[0].poisoned == 0


async def test_a_wrong_key_takes_the_recorder_down_with_a_clear_message(
    tmp_path: Path, log: list[EventDict]
) -> None:
    (tmp_path / "managers.pub").write_text("age1nonsense\n")
    types = {"source": sending([]), "recorder": Recorder}
    async with running_pole(tmp_path, CONFIGURATION, types) as pole:
        await eventually(lambda: actor_status(pole, "recorder").state == "down")
    crash = actor_status(pole, "recorder").last_crash
    assert crash is not None
    assert f"{tmp_path / 'managers.pub'}, line 1: " in crash.message
    assert "smartpole keys make" in crash.message


async def test_quiet_closes_the_segment(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.recorder.actor._QUIET", 0.05)
    packets = packet_run([5])
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        await eventually(lambda: recorded(pole)["segments_written"] == 1)
        assert found_in(tmp_path, manager) == [packet.data for packet in packets]
        await trio.sleep(0.2)
        assert recorded(pole)["segments_written"] == 1
    (inlet,) = actor_status(pole, "recorder").inlets
    assert (inlet.acknowledged, inlet.in_hand) == (5, 0)


async def test_a_full_disk_makes_it_wait_and_go_on(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, log: list[EventDict]
) -> None:
    monkeypatch.setattr("actors.recorder.actor._PATIENCE", Backoff(first=0.02))
    packets = packet_run([10] * 12, size=5000)
    write, is_full = os.write, True

    def refuse(descriptor: int, data: bytes) -> int:
        if is_full and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refuse)
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        interrupted = "recording interrupted"
        await eventually(lambda: [e["event"] for e in log].count(interrupted) >= 2)
        assert actor_status(pole, "recorder").state == "running"
        is_full = False
        await eventually(lambda: recorded(pole)["packets_recorded"] >= 100)
    assert found_in(tmp_path, manager) == [packet.data for packet in packets]
    assert "recording goes on" in {event["event"] for event in log}
    report = next(event for event in log if event["event"] == "recording interrupted")
    assert "No space left on device" in report["reason"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with little room: all that is sent takes it twice."""
    folder = tmp_path / "state" / "security"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a file system takes root's rights")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def make_room(folder: Path) -> None:
    for file in folder.glob("*.age"):
        file.unlink()


async def test_a_really_full_disk(
    small_disk: Path, tmp_path: Path, manager: Manager, log: list[EventDict]
) -> None:
    packets = packet_run([10] * 12, size=8000)
    types = {"source": sending(packets), "recorder": Recorder}
    found: list[bytes] = []
    async with running_pole(tmp_path, configuration(tmp_path, manager), types) as pole:
        await eventually(lambda: "recording interrupted" in {event["event"] for event in log})
        full = found_in(tmp_path, manager)
        assert full == [packet.data for packet in packets][: len(full)], "what fitted is readable"
        found += full
        # The operator makes room: retention, or a manager who has taken a copy.
        make_room(small_disk)
        await eventually(lambda: "recording goes on" in {event["event"] for event in log})
        await eventually(lambda: received(pole, len(packets)))
        found += found_in(tmp_path, manager)
        make_room(small_disk)
    found += found_in(tmp_path, manager)
    assert set(found) == {packet.data for packet in packets}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('recipients = "x"', ""),
        ('recipients = "x"\nsegment = "1s"', ""),
        ('recipients = "x"\nsegment = "999ms"', "at least 1s"),
        ('recipients = "x"\nsegment = "11min"', "at most 10min"),
        ("", "recipients: this key is missing"),
    ],
)
def test_settings(written: str, problem: str) -> None:
    document = Document("pole.toml", written, Path("/etc"))
    settings = convert(document, document.data, (), RecorderSettings)
    assert problem in "\n".join(map(str, document.problems))
    assert (settings is None) == bool(problem)
    if settings is not None:
        assert settings.recipients == Path("/etc/x")
        assert settings.headline().startswith("segments of ")
