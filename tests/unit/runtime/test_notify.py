"""sd_notify against a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from runtime.house import Housing
from runtime.notify import ServiceManager
from runtime.pole import Pole
from tests.example_pole import NOTICE, POLE, example_blueprint


@contextmanager
def service_manager(address: str) -> Iterator[trio.socket.SocketType]:
    """A socket as systemd has one; ``@`` stands for the null byte, as in NOTIFY_SOCKET."""
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        native = "\0" + address[1:] if address.startswith("@") else address
        # Binding a Unix socket never waits.
        trio.lowlevel.current_task()
        server._sock.bind(native)  # type: ignore[attr-defined]
        yield server


@pytest.fixture(params=["path", "path with an at sign", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = {
        "path": f"{tmp_path}/n",
        "path with an at sign": f"{tmp_path}/a@b",
        "abstract": f"@smartpole-test-{os.getpid()}",
    }[request.param]
    monkeypatch.setenv("NOTIFY_SOCKET", made)
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.mark.real_time
async def test_a_telling_arrives(address: str) -> None:
    with service_manager(address) as server, trio.fail_after(10):
        await ServiceManager().tell("READY=1", "STATUS=fine")
        assert await server.recv(1000) == b"READY=1\nSTATUS=fine"


async def test_without_a_service_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    await ServiceManager().tell("READY=1")


@pytest.mark.real_time
async def test_a_service_manager_that_is_gone_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/nobody")
    await ServiceManager().tell("READY=1")


async def test_a_service_manager_that_does_not_read_holds_nobody_up(address: str) -> None:
    with service_manager(address):
        with trio.move_on_after(1000) as scope:
            for _ in range(600):  # more than any net.unix.max_dgram_qlen
                await ServiceManager().tell("STOPPING=1")
                if trio.current_time() > 0 and scope.deadline - trio.current_time() < 999:
                    return  # it gave up on one that did not fit
        pytest.fail("the socket's queue never filled" if not scope.cancelled_caught else "stuck")


@pytest.mark.parametrize(
    ("usec", "pid", "period"),
    [
        (None, None, None),
        ("20000000", None, 10.0),
        ("20000000", "own", 10.0),
        ("20000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
def test_the_watchdogs_period_is_half_of_what_is_waited(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, period: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert ServiceManager().watchdog_period == period


@pytest.mark.real_time
async def test_a_pole_tells_ready_beats_and_tells_stopping(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    pole = Pole(example_blueprint(tmp_path, POLE + NOTICE), housing=Housing.ONE_LOOP)
    told: list[bytes] = []

    async def listen(server: trio.socket.SocketType) -> None:
        while b"STOPPING=1" not in told:
            told.append(await server.recv(1000))
            if told.count(b"WATCHDOG=1") == 5:
                pole.stop()

    with service_manager(address) as server, trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, server)
            await pole.run()
    assert told.count(b"READY=1") == 1
    assert told.count(b"STOPPING=1") == 1
    assert told.count(b"WATCHDOG=1") >= 5
    assert told.index(b"READY=1") < told.index(b"STOPPING=1")


async def test_a_pole_stopped_while_it_starts_never_says_ready(
    address: str, tmp_path: Path
) -> None:
    pole = Pole(example_blueprint(tmp_path, POLE + NOTICE), housing=Housing.ONE_LOOP)
    told: list[bytes] = []
    with service_manager(address) as server:
        pole.stop()
        await pole.run()
        server._sock.setblocking(False)  # type: ignore[attr-defined]
        with pytest.raises(BlockingIOError):
            while True:
                told.append(server._sock.recv(1000))  # type: ignore[attr-defined]
    assert told == [b"STOPPING=1"]
    assert not pole.ready.is_set()
