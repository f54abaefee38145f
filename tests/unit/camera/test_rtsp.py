"""The camera actor on a real RTSP camera that goes away, falls silent, and asks for a password."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import wait_all_tasks_blocked

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket, Interruption
from actors.crowd.decoder import PictureDecoder
from bench.rtsp_camera import RtspServer
from runtime.pole import Pole
from tests.poles import (
    CrowdSink,
    Gathering,
    SecuritySink,
    actor_status,
    eventually,
    gathering_in,
    running_pole,
)

pytestmark = [pytest.mark.rtsp, pytest.mark.real_time]

Packets = Gathering[EncodedPacket]
Servers = Callable[..., RtspServer]

POLE = """
[actors.camera]
type = "camera"
place = "crossing"
grants = ["CameraLink"]
settings = {{ source = "{source}", timeout = "{timeout}", first_delay = "100ms" }}

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


@asynccontextmanager
async def pole_on(
    folder: Path, source: str, patience: str = "4s", credentials: str = ""
) -> AsyncIterator[tuple[Pole, Packets, Packets]]:
    crowd, security = Packets(), Packets()
    types = {
        "camera": Camera,
        "crowd": gathering_in(CrowdSink, crowd),
        "security": gathering_in(SecuritySink, security),
    }
    text = POLE.format(source=source, timeout=patience)
    if credentials:
        (folder / "camera.secret").write_text(credentials + "\n")
        (folder / "camera.secret").chmod(0o600)
        text = text.replace("timeout =", 'credentials = "camera.secret", timeout =')
    async with running_pole(folder, text, types) as pole:
        yield pole, crowd, security


def outages(log: list[EventDict]) -> list[str]:
    return [event["reason"] for event in log if event["event"] == "camera outage"]


async def test_packets_reach_both_systems(tmp_path: Path, rtsp_server: Servers) -> None:
    server = rtsp_server()
    async with pole_on(tmp_path, server.address()) as (pole, crowd, security):
        await crowd.until(lambda packets: len(packets) >= 60)
        await security.until(lambda packets: len(packets) >= 60)
        assert actor_status(pole, "camera").readings["packets"] >= 60
        assert actor_status(pole, "camera").readings["outages"] == 0

    packets = security.messages
    assert packets == crowd.messages
    assert [packet.sequence for packet in packets] == list(range(len(packets)))
    assert len({packet.session for packet in packets}) == 1
    assert all(packet.header for packet in packets if packet.key)
    assert sum(packet.key for packet in packets) >= 5
    assert packets[0].header is not None
    assert (packets[0].header.codec, packets[0].header.width) == ("h264", 64)
    times = [packet.dts for packet in packets if packet.dts is not None]
    assert times == sorted(times)

    decoder = PictureDecoder(interval=0, width=768, threads=1)
    key = next(number for number, packet in enumerate(packets) if packet.key)
    shown = [picture for packet in packets for picture in decoder.feed(packet)]
    assert key < 10  # one second's worth: the film has a key picture each second
    assert decoder.skipped == key
    assert len(shown) == len(packets) - key


async def test_a_killed_camera_is_an_outage_and_comes_back(
    tmp_path: Path, rtsp_server: Servers, log: list[EventDict]
) -> None:
    server = rtsp_server()
    async with pole_on(tmp_path, server.address()) as (pole, crowd, security):
        await security.until(lambda packets: len(packets) >= 10)
        server.kill()
        await eventually(lambda: len(outages(log)) >= 3)
        before = len(security.messages)
        assert actor_status(pole, "camera").readings["outages"] >= 3
        server.start()
        await security.until(lambda packets: len(packets) >= before + 20)
        for name in ("camera", "crowd", "security"):
            status = actor_status(pole, name)
            assert (status.state, status.incarnation, status.crashes) == ("running", 1, 0)

    first, *others = outages(log)
    assert first.endswith("ended its stream")
    assert all("nothing listens there" in reason for reason in others)
    delays = [event["retry_in"] for event in log if event["event"] == "camera outage"]
    assert delays[0] <= 0.1 < delays[2]  # each try waits about twice as long as the one before
    sessions = [packet.session for packet in security.messages]
    assert sessions == sorted(sessions)
    assert len(set(sessions)) == 2
    reasons = {packet.session: packet.after for packet in security.messages if packet.after}
    assert list(reasons.values()) == [Interruption.STARTED, Interruption.ENDED]
    numbers = [packet.sequence for packet in security.messages]
    assert numbers == list(range(len(numbers)))
    assert crowd.messages == security.messages


async def test_the_end_of_a_live_stream_is_an_outage(
    tmp_path: Path, rtsp_server: Servers, log: list[EventDict]
) -> None:
    server = rtsp_server(at_most=15)
    async with pole_on(tmp_path, server.address()) as (pole, _, security):
        await security.until(lambda packets: len({packet.session for packet in packets}) >= 2)
        assert actor_status(pole, "camera").crashes == 0
    assert outages(log)[0].endswith("ended its stream")


async def test_a_camera_that_falls_silent_is_an_outage(
    tmp_path: Path, rtsp_server: Servers, log: list[EventDict]
) -> None:
    server = rtsp_server()
    async with pole_on(tmp_path, server.address(), patience="500ms") as (pole, _, security):
        await security.until(lambda packets: len(packets) >= 10)
        server.fall_silent()
        await eventually(lambda: len(outages(log)) >= 2, within=5)
        assert actor_status(pole, "camera").crashes == 0
    address = f"rtsp 127.0.0.1:{server.port}"
    assert outages(log)[:2] == [
        f"the camera ({address}) broke off: it did not answer in time",
        f"the camera ({address}) can't be opened: it did not answer in time",
    ]


async def test_stopping_does_not_wait_for_a_silent_camera(
    tmp_path: Path, rtsp_server: Servers
) -> None:
    server = rtsp_server()
    async with pole_on(tmp_path, server.address(), patience="1500ms") as (_, _, security):
        await security.until(lambda packets: len(packets) >= 5)
        server.fall_silent()
        await wait_all_tasks_blocked(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5


async def test_stopping_does_not_wait_for_the_next_try(
    tmp_path: Path, log: list[EventDict]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nothing listens
        address = f"rtsp://127.0.0.1:{closed.getsockname()[1]}/street"
        async with pole_on(tmp_path, address) as (pole, _, _):
            await eventually(lambda: len(outages(log)) >= 4)
            assert actor_status(pole, "crowd").state == "running"
            assert actor_status(pole, "camera").idle == ("packets",)
            began = time.monotonic()
    assert time.monotonic() - began < 1
    assert all(reason.endswith("can't be opened: nothing listens there") for reason in outages(log))


async def test_a_host_that_never_answers(tmp_path: Path, log: list[EventDict]) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()  # connections are taken by the kernel, and nobody says a word
        address = f"rtsp://127.0.0.1:{mute.getsockname()[1]}/street"
        secret = "viewer:tr33house"
        async with pole_on(tmp_path, address, "300ms", credentials=secret) as (_, _, _):
            await eventually(lambda: outages(log))
    assert outages(log)[0].endswith("can't be opened: it did not answer in time")
    assert "tr33house" not in repr(log)


@pytest.mark.parametrize("password", ["tr33house", "a/b?c#d@e:f%g"])
async def test_passwords_work_and_appear_nowhere(
    tmp_path: Path,
    rtsp_server: Servers,
    log: list[EventDict],
    capfd: pytest.CaptureFixture[str],
    password: str,
) -> None:
    server = rtsp_server(user=f"viewer:{password}")
    quoted = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in password)

    (tmp_path / "wrong").mkdir()
    secret = "viewer:wr0ngsecret"
    async with pole_on(tmp_path / "wrong", server.address(), credentials=secret) as (
        pole,
        _,
        security,
    ):
        await eventually(lambda: outages(log))
        told = repr((log, pole.status(), pole.crashes()))
        assert not security.messages
    assert outages(log)[0].endswith("can't be opened: it refuses these credentials")
    assert "wr0ngsecret" not in told

    (tmp_path / "right").mkdir()
    secret = f"viewer:{password}"
    async with pole_on(tmp_path / "right", server.address(), credentials=secret) as (
        pole,
        _,
        security,
    ):
        await security.until(lambda packets: len(packets) >= 3)
        server.kill()
        await eventually(lambda: len(outages(log)) >= 3)
        told = repr((log, pole.status(), pole.crashes()))
    assert password not in told
    assert quoted not in told
    assert "viewer" not in told
    written = "".join(capfd.readouterr())
    assert password not in written
    assert quoted not in written


async def test_a_camera_that_asks_for_a_digest(tmp_path: Path, rtsp_server: Servers) -> None:
    server = rtsp_server(user="viewer:tr33house", digest=True)
    async with pole_on(tmp_path, server.address(), credentials="viewer:tr33house") as (
        _,
        _,
        security,
    ):
        await security.until(lambda packets: len(packets) >= 3)


async def test_an_unknown_path_is_told_apart(
    tmp_path: Path, rtsp_server: Servers, log: list[EventDict]
) -> None:
    server = rtsp_server()
    async with pole_on(tmp_path, server.address().replace("street", "s3cretpath")):
        await eventually(lambda: outages(log))
    assert outages(log)[0].endswith("can't be opened: it has no stream under this path")
    assert "s3cretpath" not in repr(log)


async def test_credentials_that_others_may_read_are_refused(
    tmp_path: Path, rtsp_server: Servers, log: list[EventDict]
) -> None:
    server = rtsp_server(user="viewer:tr33house")
    async with pole_on(tmp_path, server.address(), credentials="viewer:tr33house") as (
        _,
        _,
        security,
    ):
        await security.until(lambda packets: len(packets) >= 3)
        (tmp_path / "camera.secret").chmod(0o640)
        server.kill()
        await eventually(lambda: any("mode 0640" in reason for reason in outages(log)))
        before = len(security.messages)
        server.start()
        (tmp_path / "camera.secret").chmod(0o600)
        await security.until(lambda packets: len(packets) >= before + 3)
    (told,) = {reason for reason in outages(log) if "mode 0640" in reason}
    assert "chmod 600" in told
    assert "tr33house" not in repr(log)
    title = await trio.Path("/proc/self/cmdline").read_text()
    assert "tr33house" not in title
