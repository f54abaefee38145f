"""One recorder and several cameras: who sent what, what is missing, and who pays for a crash."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import structlog

from actors.camera.messages import EncodedPacket, Interruption
from actors.recorder.actor import Recorder
from actors.recorder.capability import RecordingStore
from actors.recorder.chain import Begun, Gap, chain_files, lines_of, segment_name
from actors.recorder.keys import Keys
from actors.recorder.recording import Recording
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import verify
from runtime import Actor
from tests.poles import actor_status, eventually, running_pole, sending
from tests.recordings import START, Manager, packet_run, storage, stored_packets

POLE = """
[actors.recorder]
type = "recorder"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "2s" }
supervision = { first_delay = "10ms" }
"""
CAMERA = """
[actors.NAME]
type = "NAME"
PLACE
[[channels]]
from = "NAME.packets"
to = "recorder.packets"
"""


def pole_of(
    folder: Path, manager: Manager, supplies: dict[str, Iterable[EncodedPacket]]
) -> tuple[str, dict[str, type[Actor]]]:
    (folder / "managers.pub").write_text(manager.public + "\n")
    text, types = POLE, {"recorder": Recorder}
    for number, (name, supply) in enumerate(supplies.items()):
        place = 'place = "crossing"' if number else ""
        text += CAMERA.replace("NAME", name).replace("PLACE", place)
        types[name] = sending(supply)
    return text, types


def found_in(folder: Path, manager: Manager) -> dict[str, list[bytes]]:
    """Every packet of each camera, in the order of its segments."""
    security, found = folder / "state" / "security", defaultdict(list)
    for path in chain_files(security).values():
        for line in lines_of(path):
            if isinstance(record := line.record, Begun):
                file = security / segment_name(record)
                if not file.exists():  # nothing came of it
                    continue
                film = manager.open(file)
                found[record.camera] += [data for _, _, data in stored_packets(film)]
    return found


def packets_of(camera: int, groups: list[int] | None = None) -> list[EncodedPacket]:
    """With bytes of their own."""
    return [
        msgspec.structs.replace(packet, data=packet.data + bytes([camera]))
        for packet in packet_run(groups or [10] * 6, size=5000)
    ]


@pytest.fixture(params=["one thread for all", "a thread for each"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As quick as it is, or held for slow."""
    if request.param == "a thread for each":
        monkeypatch.setattr("actors.recorder.actor._QUICK", -1.0)


@pytest.mark.real_time
@pytest.mark.usefixtures("disk")
async def test_each_camera_has_segments_of_its_own(tmp_path: Path, manager: Manager) -> None:
    supplies = {f"camera-{number}": packets_of(number) for number in range(5)}
    async with running_pole(tmp_path, *pole_of(tmp_path, manager, supplies)) as pole:
        await eventually(lambda: actor_status(pole, "recorder").readings["segments_written"] >= 10)
    assert found_in(tmp_path, manager) == {
        name: [packet.data for packet in packets] for name, packets in supplies.items()
    }
    security = tmp_path / "state" / "security"
    with closing(sqlite3.connect(security / "index.db")) as index:
        rows = index.execute("select camera, place, count(*) from segments group by 1, 2")
        places = dict.fromkeys(supplies, "crossing") | {"camera-0": ""}
        assert rows.fetchall() == [(name, place, 3) for name, place in places.items()]
    key = VerifyKey.from_text((security / "pole.pub").read_text())
    found = verify(security, key)
    assert (found.findings, found.segments) == ([], 15)
    assert actor_status(pole, "recorder").readings["manifests"] == found.last


@pytest.mark.real_time
@pytest.mark.usefixtures("disk")
async def test_a_crash_over_one_camera_costs_no_other_a_packet(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the packet is poisoned: two incarnations in a row crash on it."""
    supplies = {f"camera-{number}": packets_of(number) for number in range(3)}
    write_one = Recording._write_one

    def strike(recording: Recording, packet: EncodedPacket) -> None:
        if packet.data[-1] == 1 and packet.sequence == 25:
            raise ZeroDivisionError
        write_one(recording, packet)

    monkeypatch.setattr(Recording, "_write_one", strike)
    async with running_pole(tmp_path, *pole_of(tmp_path, manager, supplies)) as pole:
        await eventually(lambda: actor_status(pole, "recorder").inlets[1].poisoned)
        await eventually(
            lambda: all(
                (queue.accepted, queue.waiting) == (60, 0)
                for queue in actor_status(pole, "recorder").inlets
            )
        )
    assert actor_status(pole, "recorder").crashes >= 2
    queues = {queue.name: queue for queue in actor_status(pole, "recorder").inlets}
    for name in ("camera-0", "camera-2"):
        assert queues[f"recorder.packets[{name}]"].poisoned == 0
    found = found_in(tmp_path, manager)
    for name in ("camera-0", "camera-2"):
        assert set(found[name]) == {packet.data for packet in supplies[name]}


# -- gaps -----------------------------------------------------------------------------------


def recording_in(folder: Path, manager: Manager) -> Recording:
    return Recording(
        storage(RecordingStore, folder), Keys([manager.recipient]),
        camera="camera", place="crossing", length=60, log=structlog.get_logger("recorder"),
    )  # fmt: skip


def gaps_in(folder: Path) -> list[tuple[float, float, str]]:
    """Begin and end in seconds from the first packet, and the reason; chain and index agree."""
    found = [
        ((gap.start - START) / 1e6, (gap.end - START) / 1e6, gap.reason)
        for path in chain_files(folder).values()
        for line in lines_of(path)
        if isinstance(gap := line.record, Gap)
    ]
    with closing(sqlite3.connect(folder / "index.db")) as index:
        rows = index.execute("select started_at, ended_at, reason from gaps order by 1").fetchall()
    assert found == [((a - START) / 1e6, (b - START) / 1e6, reason) for a, b, reason in rows]
    return found


def later(packets: list[EncodedPacket], seconds: float, **first: object) -> list[EncodedPacket]:
    moved = [
        msgspec.structs.replace(packet, captured_at=packet.captured_at + round(seconds * 1e6))
        for packet in packets
    ]
    return [msgspec.structs.replace(moved[0], **first), *moved[1:]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (Interruption.ENDED, "the camera ended its stream"),
        (Interruption.SILENT, "the camera fell silent"),
        (Interruption.REFUSED, "the camera refused the credentials"),
        (None, "no picture came"),
    ],
)
def test_a_gap_has_the_cameras_reason(
    after: Interruption | None, reason: str, tmp_path: Path, manager: Manager
) -> None:
    recording = recording_in(tmp_path, manager)
    recording.accept(packet_run([10]))
    recording.accept(later(packet_run([10], first=10, session=2), 7.0, after=after))
    recording.close(for_good=True)
    assert gaps_in(tmp_path) == [(0.9, 8.0, reason)]
    assert recording.take_tally().gaps == 1


def test_what_comes_on_after_a_moment_is_no_gap(tmp_path: Path, manager: Manager) -> None:
    recording = recording_in(tmp_path, manager)
    recording.accept(packet_run([10]))
    recording.accept(
        later(packet_run([10], first=10, session=2), 1.0, after=Interruption.BROKE_OFF)
    )
    recording.close(for_good=True)
    assert gaps_in(tmp_path) == []


def test_packets_that_were_let_go_by_are_a_gap_however_short(
    tmp_path: Path, manager: Manager
) -> None:
    packets = packet_run([10, 10, 10])
    recording = recording_in(tmp_path, manager)
    recording.accept(packets[:18] + packets[20:])
    recording.close(for_good=True)
    assert gaps_in(tmp_path) == [(1.7, 2.0, "the recorder could not keep up")]


def test_a_pole_that_was_off_says_so_when_it_records_again(
    tmp_path: Path, manager: Manager
) -> None:
    first = recording_in(tmp_path, manager)
    first.accept(later(packet_run([10]), 0.0, after=Interruption.STARTED))
    first.close(for_good=True)
    assert gaps_in(tmp_path) == [], "nothing was there before"
    second = recording_in(tmp_path, manager)
    second.accept(later(packet_run([10], session=2), 60.0, after=Interruption.STARTED))
    second.close(for_good=True)
    assert gaps_in(tmp_path) == [(0.9, 60.0, "the pole was not running")]


def test_a_clock_that_was_set_back_makes_no_gap(tmp_path: Path, manager: Manager) -> None:
    recording = recording_in(tmp_path, manager)
    recording.accept(packet_run([10]))
    recording.accept(later(packet_run([10], first=10, session=2), -3600.0))
    recording.close(for_good=True)
    assert gaps_in(tmp_path) == []
