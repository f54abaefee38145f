"""A ZeroMQ socket on trio's loop: nothing is lost, however often the receiver gives up waiting."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import zmq

from runtime.zeromq import ZmqSocket

pytestmark = pytest.mark.real_time
TOTAL = 4000


def push(address: str, total: int, bursts: random.Random | None, over: threading.Event) -> None:
    """A plain peer: sends numbers, in bursts with pauses of a real wait on a real socket.

    It stays until all is over: libzmq itself drops what a busy receiver has not yet read off a
    connection that ends.
    """
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(address)
    left = 0
    for number in range(total):
        if bursts is not None and left == 0:
            left = bursts.randint(1, 40)
            socket.poll(bursts.randint(0, 1), zmq.POLLIN)  # never readable: it waits
        left -= 1
        while not over.is_set() and not socket.poll(50, zmq.POLLOUT):
            pass  # full; a test that failed meanwhile must still end
        if over.is_set():
            break
        socket.send_multipart([str(number).encode(), b"x" * 10])
    over.wait()
    socket.close(linger=0)
    context.term()


@contextmanager
def peer(address: str, total: int, bursts: random.Random | None) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=push, args=(address, total, bursts, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("seed", [None, 1])
async def test_no_message_is_lost_under_timeouts(tmp_path: Path, seed: int | None) -> None:
    address = f"ipc://{tmp_path}/s"
    chance = random.Random(seed)
    received: list[int] = []
    given_up = 0
    with ZmqSocket(zmq.PULL) as socket:
        socket.bind(address)
        bursts = random.Random(seed) if seed is not None else None
        with peer(address, TOTAL, bursts), trio.fail_after(30):
            while len(received) < TOTAL:
                with trio.move_on_after(chance.choice([0, 0, 0.0001, 0.001])) as scope:
                    number, rest = await socket.receive()
                    # No checkpoint in between: what was received is written down.
                    assert rest == b"x" * 10
                    received.append(int(number))
                given_up += scope.cancelled_caught
    assert received == list(range(TOTAL))
    assert given_up > 100


async def test_no_message_is_lost_under_cancellation_from_outside(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    received: list[int] = []
    with ZmqSocket(zmq.PULL) as socket:
        socket.bind(address)

        async def receive(scope: trio.CancelScope) -> None:
            with scope:
                while True:
                    number, _ = await socket.receive()
                    received.append(int(number))

        with peer(address, TOTAL, random.Random(2)), trio.fail_after(30):
            while len(received) < TOTAL:
                async with trio.open_nursery() as nursery:
                    scope = trio.CancelScope()
                    nursery.start_soon(receive, scope)
                    for _ in range(1 + len(received) % 7):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
    assert received == list(range(TOTAL))


async def test_a_flood_does_not_hold_the_loop(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    with ZmqSocket(zmq.PULL) as socket:
        socket.bind(address)
        with peer(address, 500, None):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count)
                await socket.receive()
                before = turns
                for _ in range(499):
                    await socket.receive()
                assert turns - before >= 490
                nursery.cancel_scope.cancel()


async def test_requests_and_answers_in_both_directions(tmp_path: Path) -> None:
    """The state must be read again after each send: the descriptor is edge-triggered."""
    address = f"ipc://{tmp_path}/s"

    async def answer(server: ZmqSocket) -> None:
        while True:
            identity, empty, request = await server.receive()
            await server.send([identity, empty, request[::-1]])

    with ZmqSocket(zmq.ROUTER) as server, ZmqSocket(zmq.REQ) as client:
        server.bind(address)
        client.connect(address)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer, server)
                for number in range(1000):
                    await client.send([f"{number}!".encode()])
                    assert await client.receive() == [f"!{str(number)[::-1]}".encode()]
                nursery.cancel_scope.cancel()


async def test_sending_waits_while_the_peer_takes_nothing(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    with ZmqSocket(zmq.PUSH) as socket:
        socket.bind(address)
        with trio.move_on_after(0.01) as scope:
            await socket.send([b"nobody is there"])
        assert scope.cancelled_caught
        with ZmqSocket(zmq.PULL) as peer:
            peer.connect(address)
            with trio.fail_after(10):
                await socket.send([b"now"])
                assert await peer.receive() == [b"now"]


async def test_a_cancelled_receive_or_send_does_nothing(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    with ZmqSocket(zmq.PUSH) as out, ZmqSocket(zmq.PULL) as into:
        into.bind(address)
        out.connect(address)
        with trio.CancelScope() as scope:
            scope.cancel()
            await out.send([b"never"])
        with trio.fail_after(10):
            await out.send([b"once"])
            with trio.CancelScope() as scope:
                scope.cancel()
                await into.receive()
            assert await into.receive() == [b"once"]
