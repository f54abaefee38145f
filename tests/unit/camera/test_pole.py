"""The camera actor and films, under a whole pole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from structlog.typing import EventDict

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.crowd.decoder import PictureDecoder
from runtime.errors import ConfigurationError
from tests.cameras import make_film, packets_of
from tests.poles import (
    CrowdSink,
    Gathering,
    SecuritySink,
    actor_status,
    eventually,
    gathering_in,
    running_pole,
)

pytestmark = pytest.mark.real_time

POLE = """
[actors.camera]
type = "camera"
place = "crossing"
grants = ["CameraLink"]
supervision = { restart = "transient" }
settings = { source = "file:FILM", first_delay = "50ms", longest_delay = "50ms", MORE }

[actors.crowd]
type = "crowd"
[actors.security]
type = "security"

[[channels]]
from = "camera.for_crowd"
to = "crowd.packets"
[[channels]]
from = "camera.for_security"
to = "security.packets"
"""


class Ends:
    """The two receivers, and the actor types of the pole."""

    def __init__(self) -> None:
        self.crowd, self.security = Gathering[EncodedPacket](), Gathering[EncodedPacket]()
        self.types = {
            "camera": Camera,
            "crowd": gathering_in(CrowdSink, self.crowd),
            "security": gathering_in(SecuritySink, self.security),
        }


def configuration(film: Path, more: str = "") -> str:
    return POLE.replace("FILM", str(film)).replace(", MORE", f", {more}" if more else "")


async def test_a_film_that_is_not_looped_ends_and_the_rest_goes_on(
    tmp_path: Path, film: Path
) -> None:
    ends = Ends()
    text = configuration(film, 'pace = "fast"')
    async with running_pole(tmp_path, text, ends.types) as pole:
        await ends.security.until(lambda packets: len(packets) == 20)
        await eventually(lambda: actor_status(pole, "camera").state == "finished")
        for name in ("crowd", "security"):
            assert actor_status(pole, name).state == "running"
        assert actor_status(pole, "camera").crashes == 0
    assert ends.crowd.messages == ends.security.messages
    assert [packet.sequence for packet in ends.crowd.messages] == list(range(20))


async def test_a_film_that_is_missing_may_still_come(
    tmp_path: Path, film: Path, log: list[EventDict]
) -> None:
    ends, late = Ends(), tmp_path / "late.mp4"
    text = configuration(late, 'pace = "fast", loop = true')
    async with running_pole(tmp_path, text, ends.types) as pole:
        await eventually(lambda: actor_status(pole, "camera").readings["outages"] >= 2)
        assert not ends.crowd.messages
        shutil.copy(film, late)
        await ends.crowd.until(lambda packets: len(packets) >= 50)
        assert actor_status(pole, "camera").incarnation == 1
        assert actor_status(pole, "camera").crashes == 0
    reasons = {event["reason"] for event in log if event["event"] == "camera outage"}
    assert reasons == {
        "the camera (file late.mp4) can't be opened: there is no such file or device"
    }


@pytest.mark.parametrize(("codec", "container"), [("libx265", "mp4"), ("mjpeg", "avi")])
async def test_other_codecs_pass_from_the_camera_to_the_crowd_systems_decoder(
    tmp_path: Path, codec: str, container: str
) -> None:
    film = make_film(tmp_path / f"film.{container}", codec=codec, size=(96, 64))
    ends = Ends()
    text = configuration(film, 'pace = "fast"')
    async with running_pole(tmp_path, text, ends.types):
        await ends.crowd.until(lambda packets: len(packets) == 20)
    decoder = PictureDecoder(interval=0.5, width=768, threads=1)
    shown = [one for packet in ends.crowd.messages for one in decoder.feed(packet)]
    assert [picture.rgb.shape for picture in shown] == [(64, 96, 3)] * 4
    assert decoder.skipped == 0


@pytest.mark.parametrize("damage", ["middle", "cut"])
async def test_a_damaged_film_leaves_the_pole_running(
    tmp_path: Path, film: Path, damage: str
) -> None:
    damaged = tmp_path / "damaged.ts"  # its packets stand one after another, without a table
    content = bytearray(make_film(damaged, pictures=60).read_bytes())
    if damage == "middle":
        middle = len(content) // 2
        content[middle : middle + 3000] = bytes(range(250)) * 12
    else:
        del content[len(content) // 2 :]
    damaged.write_bytes(content)
    ends = Ends()
    text = configuration(damaged, 'pace = "fast", loop = true')
    async with running_pole(tmp_path, text, ends.types) as pole:
        await ends.security.until(lambda packets: len({one.session for one in packets}) >= 3)
        for name in ("camera", "crowd", "security"):
            assert actor_status(pole, name).crashes == 0
    decoder = PictureDecoder(interval=0, width=768, threads=1)
    shown = sum(1 for packet in ends.security.messages for _ in decoder.feed(packet))
    assert shown >= len(ends.security.messages) // 3


async def test_a_whole_film_arrives_while_its_receiver_crashes(tmp_path: Path, film: Path) -> None:
    """Nothing that the recorder's queue has accepted is lost with an incarnation."""
    ends, crashed = Ends(), set[int]()

    def crash_once(packet: EncodedPacket) -> None:
        if packet.sequence in (0, 7, 8, 19) and packet.sequence not in crashed:
            crashed.add(packet.sequence)
            raise RuntimeError("pulled")

    ends.security = Gathering(crash_once)
    ends.types["security"] = gathering_in(SecuritySink, ends.security)
    text = configuration(film, 'pace = "fast"').replace(
        'type = "security"',
        'type = "security"\nsupervision = { first_delay = "1ms", longest_delay = "1ms" }',
    )
    async with running_pole(tmp_path, text, ends.types) as pole:
        await ends.security.until(lambda packets: len(packets) == 20)
        status = actor_status(pole, "security")
        assert (status.crashes, status.incarnation) == (4, 5)
        assert status.inlets[0].redelivered == 4
        assert status.inlets[0].poisoned == 0
        assert actor_status(pole, "crowd").crashes == 0
    assert [packet.sequence for packet in ends.security.messages] == list(range(20))
    assert len(packets_of(film)) == 20


async def test_an_unknown_kind_of_source_is_refused_with_its_line(tmp_path: Path) -> None:
    text = POLE.replace("file:FILM", "http://viewer:tr33house@camera/1").replace(", MORE", "")
    with pytest.raises(ConfigurationError) as refused:
        async with running_pole(tmp_path, text, Ends().types):
            await trio.sleep_forever()
    assert "one of file:, rtsp:, rtsps:, v4l2:" in str(refused.value)
    assert "tr33house" not in str(refused.value)
    assert refused.value.problems[0].line is not None
