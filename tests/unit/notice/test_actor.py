"""The notice as it runs: a real server on a real port, hosted as a pole hosts it."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import httpx
import pytest
import structlog
import trio

from actors.notice import Notice, NoticePort, NoticeSettings
from actors.notice.port import PortTaken, explain
from runtime import Capability, Network, SmartpoleError, Unrecoverable
from runtime.capability import Authority
from runtime.errors import ConfigurationError
from tests.example_pole import CONFIGURATION, example_blueprint
from tests.unit.notice.hosting import a_cell, a_free_port, running

pytestmark = pytest.mark.real_time


async def test_it_serves_what_runs_and_stops_when_told(tmp_path: Path) -> None:
    port = a_free_port()
    cell = a_cell(tmp_path, port)
    with structlog.testing.capture_logs() as lines, trio.fail_after(20):
        async with running(cell), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "人数を数える" in page.text
            assert "Preventing crime" in page.text
            assert "content-security-policy" in page.headers
            assert "server" not in page.headers
            notice = (await client.get("/notice.json")).json()
            assert notice["pole"] == "east-exit-01"
            assert (await client.get("/healthz")).status_code == 200
            assert cell.readings["pages_served"].value == 1
            assert cell.readings["notice_ready"].value == 1
            assert cell.idle() == ()
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as client:
                await client.get(f"http://127.0.0.1:{port}/")
    assert [line["event"] for line in lines] == ["the notice is served"]


async def test_it_starts_again_on_the_same_port_at_once(tmp_path: Path) -> None:
    cell = a_cell(tmp_path, a_free_port())
    address = cell.plan.settings.headline()
    with trio.fail_after(30):
        for served in (1, 2, 3):
            async with running(cell), httpx.AsyncClient() as client:
                assert (await client.get(address)).status_code == 200
            assert cell.readings["pages_served"].value == served


async def test_no_address_of_a_reader_is_logged(tmp_path: Path) -> None:
    """A reader's address is personal data, and what a reader sends may be nonsense."""
    port = a_free_port()
    with structlog.testing.capture_logs() as lines, trio.fail_after(20):
        async with running(a_cell(tmp_path, port)):
            for nonsense in (b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    own_port = stream.socket.getsockname()[1]
                    await stream.send_all(nonsense)
                    await stream.send_eof()
                    async for _ in stream:
                        pass
                assert str(own_port) not in str(lines)
    assert all("127.0.0.1:" not in str(line.get("what")) for line in lines)


async def test_a_reader_that_hangs_on_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    port = a_free_port()
    with trio.fail_after(9):
        async with running(a_cell(tmp_path, port)) as scope:
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            unfinished = await trio.open_tcp_stream("127.0.0.1", port)
            await unfinished.send_all(b"GET / HTTP/1.1\r\n")
            scope.cancel()
    await idle.aclose()
    await unfinished.aclose()


async def test_a_port_in_use_is_named_and_may_be_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        cell = a_cell(tmp_path, port)
        with pytest.raises(PortTaken, match=f"port {port} is in use by another program") as taken:
            await cell.build(1).serve(lambda: None)
        assert not isinstance(taken.value, Unrecoverable)
        assert "another port in its settings" in str(taken.value)
    with trio.fail_after(20):
        async with running(cell), httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200


async def test_it_can_be_stopped_before_it_is_ready(tmp_path: Path) -> None:
    cell = a_cell(tmp_path, a_free_port())
    with trio.fail_after(20):
        async with running(cell):
            pass


async def test_a_reader_that_does_not_read_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """Hypercorn shields its sends, so it is the kernel that gives up on such a reader."""
    port = a_free_port()
    cell = a_cell(tmp_path, port)
    with socket.socket() as reader, trio.fail_after(20):
        # So small that the pages asked for cannot all lie in the kernel.
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with running(cell):
            reader.connect(("127.0.0.1", port))
            reader.sendall(b"GET / HTTP/1.1\r\nHost: pole\r\n\r\n" * 50)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                assert (await client.get("/healthz")).status_code == 200
        assert cell.readings["pages_served"].value <= 50


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.EADDRINUSE, PortTaken, "port 8460 is in use"),
        (errno.EACCES, Unrecoverable, "below 1024"),
        (errno.EADDRNOTAVAIL, SmartpoleError, "no address 127.0.0.1"),
        (errno.ENOMEM, SmartpoleError, "Cannot allocate memory"),
    ],
)
def test_why_a_port_cannot_be_opened(number: int, kind: type[SmartpoleError], says: str) -> None:
    error = explain(OSError(number, "whatever"), NoticeSettings())
    assert type(error) is kind
    assert says in str(error)
    assert "http://127.0.0.1:8460/" in str(error)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("port = 0", "settings.port"),
        ("port = 65536", "settings.port"),
        ('host = "pole.example"', "Expected an IP address"),
        ("colour = 1", "this key is not known here"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, settings: str, says: str) -> None:
    notice = f'\n[actors.notice]\ntype = "notice"\nsettings = {{ {settings} }}\n'
    with pytest.raises(ConfigurationError, match=f"(?i){says}"):
        example_blueprint(tmp_path, CONFIGURATION + notice, {"notice": Notice})


def test_an_ipv6_address() -> None:
    assert NoticeSettings(host="::1").address == "http://[::1]:8460/"


def test_the_port_is_a_capability_of_the_notice_only() -> None:
    assert issubclass(NoticePort, Capability)
    assert NoticePort.kind == Network("notice")
    authority = Authority._mint(
        actor="notice", folder=None, settings=NoticeSettings(port=a_free_port()), facts={}
    )
    port = NoticePort._mint(authority)
    address = port.hand_over()
    assert address.startswith("fd://")
    port.close()
    # The server owns it now: it listens on, whatever becomes of the capability.
    with socket.socket(fileno=int(address.removeprefix("fd://"))) as served:
        assert served.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
