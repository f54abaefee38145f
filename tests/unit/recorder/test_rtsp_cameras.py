"""Several real RTSP cameras and one recorder: each codec, cameras that go, cameras gone wrong."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import pytest
import trio
from structlog.typing import EventDict

from actors.camera.actor import Camera
from actors.recorder.actor import Recorder
from actors.recorder.chain import Gap, Segment, chain_files, lines_of, segment_name
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import verify
from bench.rtsp_camera import RtspServer, rtsp_server_lacks
from tests.cameras import make_film
from tests.poles import actor_status, eventually, running_pole
from tests.recording_pole import CrowdSink
from tests.recordings import Manager

pytestmark = [pytest.mark.rtsp, pytest.mark.real_time]

POLE = """
[actors.recorder]
type = "recorder"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "3s" }
[actors.sink]
type = "sink"
"""
CAMERA = """
[actors.NAME]
type = "camera"
place = "crossing"
grants = ["CameraLink"]
settings = { source = "SOURCE", first_delay = "100ms", longest_delay = "500ms", timeout = "2s" }
[[channels]]
from = "NAME.for_crowd"
to = "sink.packets"
[[channels]]
from = "NAME.for_security"
to = "recorder.packets"
"""
TYPES = {"camera": Camera, "recorder": Recorder, "sink": CrowdSink}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RtspServer]]:
    if missing := rtsp_server_lacks():
        pytest.skip(missing)
    with ExitStack() as servers:

        def begin(*, codec: str = "libx264", size: tuple[int, int] = (64, 48), **options: object
        ) -> RtspServer:  # fmt: skip
            film = tmp_path / f"{codec}-{size[0]}.mp4"
            if not film.exists():
                make_film(film, codec=codec, size=size, pictures=50, rate=25, key_every=25)
            return servers.enter_context(RtspServer(film, **options))  # type: ignore[arg-type]

        yield begin


def pole_of(folder: Path, manager: Manager, **cameras: RtspServer) -> str:
    (folder / "managers.pub").write_text(manager.public + "\n")
    return POLE + "".join(
        CAMERA.replace("NAME", name).replace("SOURCE", server.address())
        for name, server in cameras.items()
    )


def records(folder: Path) -> tuple[list[Segment], list[Gap]]:
    security = folder / "state" / "security"
    if not security.exists():
        return [], []
    found = [line.record for path in chain_files(security).values() for line in lines_of(path)]
    return (
        [record for record in found if isinstance(record, Segment)],
        [record for record in found if isinstance(record, Gap)],
    )


def segments_of(folder: Path, camera: str) -> list[Segment]:
    return [record for record in records(folder)[0] if record.camera == camera]


def pictures(folder: Path, manager: Manager, segment: Segment) -> list[tuple[int, int]]:
    film = manager.open(folder / "state" / "security" / segment_name(segment))
    with av.open(io.BytesIO(film), "r") as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


def require_whole(folder: Path) -> None:
    security = folder / "state" / "security"
    key = VerifyKey.from_text((security / "pole.pub").read_text())
    assert verify(security, key).findings == []


async def test_one_recorder_takes_every_codec(
    tmp_path: Path, manager: Manager, serve: Callable[..., RtspServer]
) -> None:
    cameras = {
        "avc": serve(),
        "hevc": serve(codec="libx265"),
        "jpeg": serve(codec="mjpeg", size=(128, 96)),
    }
    async with running_pole(tmp_path, pole_of(tmp_path, manager, **cameras), TYPES) as pole:
        await eventually(
            lambda: all(len(segments_of(tmp_path, name)) >= 2 for name in cameras), within=25
        )
        assert actor_status(pole, "recorder").crashes == 0
    for name, codec in (("avc", "h264"), ("hevc", "hevc"), ("jpeg", "mjpeg")):
        found = segments_of(tmp_path, name)
        assert {segment.codec for segment in found} == {codec}
        whole = next(segment for segment in found if segment.state == "complete")
        assert len(pictures(tmp_path, manager, whole)) >= 50
    assert records(tmp_path)[1] == []
    require_whole(tmp_path)


async def restarts(
    folder: Path, manager: Manager, serve: Callable[..., RtspServer], times: int
) -> None:
    """One camera's server is killed and started again; the other's goes on."""
    cameras = {"shaky": serve(), "steady": serve()}
    async with running_pole(folder, pole_of(folder, manager, **cameras), TYPES) as pole:
        for number in range(times):
            before = actor_status(pole, "shaky").readings["packets"]
            await eventually(
                lambda b=before: actor_status(pole, "shaky").readings["packets"] >= b + 30,
                within=20,
            )
            cameras["shaky"].kill()
            gone = actor_status(pole, "shaky").readings["outages"]
            await eventually(
                lambda g=gone: actor_status(pole, "shaky").readings["outages"] > g, within=20
            )
            await trio.sleep(1.6)
            await trio.to_thread.run_sync(cameras["shaky"].start)
            del number
        before = actor_status(pole, "shaky").readings["packets"]
        await eventually(
            lambda: actor_status(pole, "shaky").readings["packets"] >= before + 60, within=20
        )
        status = actor_status(pole, "recorder")
        assert status.crashes == 0
        assert status.readings["gaps"] == times
        steady = status.inlets[1]
        assert (steady.name, steady.dropped) == ("recorder.packets[steady]", 0)
        assert actor_status(pole, "steady").readings["packets_lost"] == 0
    gaps = records(folder)[1]
    assert [(gap.camera, gap.place) for gap in gaps] == [("shaky", "crossing")] * times
    assert {gap.reason for gap in gaps} <= {
        "the camera ended its stream", "the connection broke off", "the camera fell silent",
    }  # fmt: skip
    assert all(gap.end - gap.start >= 1_500_000 for gap in gaps)
    require_whole(folder)


async def test_a_camera_that_goes_and_comes_leaves_gaps_with_a_reason(
    tmp_path: Path, manager: Manager, serve: Callable[..., RtspServer]
) -> None:
    await restarts(tmp_path, manager, serve, 3)


@pytest.mark.long
async def test_fifty_restarts(
    tmp_path: Path, manager: Manager, serve: Callable[..., RtspServer]
) -> None:
    await restarts(tmp_path, manager, serve, 50)


def corrupted(units: list[bytes]) -> list[bytes]:
    """Every third unit is damaged, key pictures go missing, and some are nothing at all."""
    chance, sent = random.Random(7), []
    for number, unit in enumerate(units):
        if number % 25 == 0 and number % 50:
            continue
        damaged = bytearray(unit)
        if number % 3 == 0:
            for _ in range(1 + len(unit) // 20):
                damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        sent.append(bytes(damaged))
        if number % 10 == 9:
            sent.append(b"\0\0\0\1\x65" + chance.randbytes(50))
    return sent


async def test_cameras_gone_wrong_stop_no_other(
    tmp_path: Path, manager: Manager, serve: Callable[..., RtspServer], log: list[EventDict]
) -> None:
    other = make_film(tmp_path / "other.mp4", size=(128, 96), pictures=50, rate=25, key_every=25)
    with RtspServer(other) as larger:
        more = larger._units.read_bytes()

    def growing(units: list[bytes]) -> list[bytes]:
        """The picture's size changes in the middle of the stream."""
        at, found = 0, []
        while at < len(more):
            size = int.from_bytes(more[at : at + 4], "big")
            found.append(more[at + 4 : at + 4 + size])
            at += 4 + size
        return units + found

    cameras = {
        "corrupt": serve(change=corrupted),
        "backwards": serve(back_every=40),
        "growing": serve(change=growing),
        "tame": serve(),
    }
    async with running_pole(tmp_path, pole_of(tmp_path, manager, **cameras), TYPES) as pole:
        await eventually(lambda: len(segments_of(tmp_path, "tame")) >= 3, within=30)
        for name in ("recorder", *cameras):
            assert actor_status(pole, name).crashes == 0
        assert actor_status(pole, "tame").readings["packets_lost"] == 0
        assert actor_status(pole, "growing").readings["packets"] > 200
    tame = segments_of(tmp_path, "tame")
    shown = sum(len(pictures(tmp_path, manager, segment)) for segment in tame)
    seconds = (tame[-1].end or 0) - tame[0].start
    assert shown >= seconds / 1e6 * 25 - 3, "not one is missing in the middle"
    assert not [gap for gap in records(tmp_path)[1] if gap.camera == "tame"]
    for name in ("backwards", "growing"):
        assert segments_of(tmp_path, name), f"{name} was recorded all the same"
    require_whole(tmp_path)
