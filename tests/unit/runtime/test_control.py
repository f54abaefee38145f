"""The control socket: asked by many, by the dead, and by those who talk rubbish."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import zmq

from runtime.control import ask_status, control_path
from runtime.errors import PoleUnreachable
from runtime.house import Housing
from runtime.pole import Pole
from runtime.zeromq import ZmqSocket
from tests.example_pole import POLE, example_blueprint
from tests.unit.runtime.test_pole_at_work import TYPES

WORKER = POLE + '[actors.worker]\ntype = "worker"\n'


@asynccontextmanager
async def running_pole(folder: Path) -> AsyncIterator[Pole]:
    pole = Pole(example_blueprint(folder, WORKER, TYPES), housing=Housing.ONE_LOOP)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            await pole.ready.wait()
            yield pole
            pole.stop()


@pytest.mark.real_time
async def test_many_ask_at_once(tmp_path: Path) -> None:
    async with running_pole(tmp_path) as pole:
        answers: list[str] = []

        async def ask() -> None:
            status = await ask_status(tmp_path / "state")
            answers.append(f"{status.name} {status.actors[0].name} {status.actors[0].state}")

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(ask)
        assert answers == ["east-exit-01 worker running"] * 30
        asked = await ask_status(tmp_path / "state")
        assert asked.process == pole.status().process
        assert asked.blueprint == pole.blueprint.digest
        assert asked.actors == pole.status().actors


@pytest.mark.real_time
async def test_rubbish_is_answered_or_dropped_and_the_pole_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with running_pole(tmp_path) as pole:
        address = f"ipc://{control_path(state)}"
        with ZmqSocket(zmq.REQ) as client:
            client.connect(address)
            await client.send([b"\xff garbage"])
            (answer,) = await client.receive()
            assert json.loads(answer) == {"error": "unknown request", "accepted": ["status"]}
        with ZmqSocket(zmq.DEALER) as client:
            client.connect(address)
            rubbish: list[list[bytes]] = [
                [b""], [b"x"], [b"", b""], [b"", b"status", b"x"], [b"a"] * 50, [b"y" * 100_000],
            ]  # fmt: skip
            for frames in rubbish:
                await client.send(frames)
            for _ in rubbish:
                assert b"unknown request" in (await client.receive())[-1]
        # No ZeroMQ at all.
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(control_path(state)))
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n" + b"\x00" * 1000)
        assert (await ask_status(state)).actors[0].incarnation == 1
        assert not pole.crashes()
        assert pole._root.statistics()[0].crashes == 0


@pytest.mark.real_time
async def test_a_client_that_dies_while_it_waits_harms_nobody(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with running_pole(tmp_path):
        for _ in range(20):
            with ZmqSocket(zmq.REQ) as client:
                client.connect(f"ipc://{control_path(state)}")
                await client.send([b"status"])
        assert (await ask_status(state)).actors[0].state == "running"


async def test_no_pole(tmp_path: Path) -> None:
    with pytest.raises(PoleUnreachable) as caught:
        await ask_status(tmp_path / "state")
    assert f"no pole runs on {tmp_path}/state: its control socket does not exist" in str(
        caught.value
    )
    assert "smartpole run" in str(caught.value)


async def test_a_stale_socket(tmp_path: Path) -> None:
    path = control_path(tmp_path / "state")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with pytest.raises(PoleUnreachable) as caught:
        await ask_status(tmp_path / "state", timeout=3)
    assert "did not answer within 3 s" in str(caught.value)
    assert "stale" in str(caught.value)


@pytest.mark.real_time
async def test_a_pole_starts_over_a_stale_socket(tmp_path: Path) -> None:
    path = control_path(tmp_path / "state")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    async with running_pole(tmp_path):
        assert (await ask_status(tmp_path / "state")).name == "east-exit-01"


@pytest.mark.real_time
@pytest.mark.parametrize("answer", [b"", b"{}", b"\xff", b'{"error": "x"}', b"[1]"])
async def test_something_else_that_answers_there(tmp_path: Path, answer: bytes) -> None:
    path = control_path(tmp_path / "state")
    path.parent.mkdir(parents=True)
    with ZmqSocket(zmq.REP) as other:
        other.bind(f"ipc://{path}")

        async def reply() -> None:
            await other.receive()
            await other.send([answer])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reply)
            with pytest.raises(PoleUnreachable, match="is no pole of this version"):
                await ask_status(tmp_path / "state")


@pytest.mark.parametrize(
    "state", [Path("/proc/1/fd/x" + "y" * 300), Path("/dev/null"), Path("/" + "z" * 120)]
)
async def test_a_folder_that_cannot_hold_one(state: Path) -> None:
    with pytest.raises(PoleUnreachable):
        await ask_status(state)


async def test_a_socket_path_too_long_for_the_system(tmp_path: Path) -> None:
    state = tmp_path / ("a" * 100)
    path = control_path(state)
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(PoleUnreachable, match="is no pole of this version"):
        await ask_status(state)
