"""How long a message takes from one domain to another, one message at a time."""

from __future__ import annotations

__all__ = ["BareHops", "measure_answered_hops", "measure_bare_hops", "measure_hops"]

import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Annotated

import msgspec
import trio

from bench.configuration import IDENTITY
from bench.harness import BenchmarkFailed
from runtime import (
    Actor,
    Authority,
    Capability,
    Domain,
    Inlet,
    Message,
    Needs,
    Outlet,
    Reading,
    Sensitivity,
    Storage,
    load_blueprint,
)
from runtime.blueprint import Isolation
from runtime.border import BorderCodec
from runtime.channel import Link, Overflow, Queue
from runtime.crossing import ReceivingEnd, SendingEnd, new_marker
from runtime.house import Housing
from runtime.pole import Pole

_PAUSE = 0.001
"""Seconds between two messages: each finds both loops asleep, as a rare message does."""
_PATIENCE = 60.0
_CONFIGURATION = """
[actors.near]
type = "near"

[actors.far]
type = "far"
grants = ["HopFile"]

[[channels]]
from = "near.ticks"
to = "far.ticks"
"""


class Tick(Message, sensitivity=Sensitivity.OPERATIONAL):
    """When it was sent, on the machine's monotonic clock."""

    nanoseconds: Annotated[int, msgspec.Meta(ge=0)]


class HopFile(Capability, kind=Storage("run"), rights="write down how long hops took"):
    """A file for the durations: what a process measured does not leave it otherwise."""

    def __init__(self, authority: Authority) -> None:
        self._path = authority.require_folder() / "hops.json"

    def write(self, durations: list[float]) -> None:
        self._path.write_bytes(msgspec.json.encode(durations))


class Near(Actor, domain=Domain.PUBLIC):
    """Sends, and waits a little."""

    ticks: Outlet[Tick]

    async def run(self) -> None:
        while True:
            await self.ticks.send(Tick(nanoseconds=perf_counter_ns()))
            await trio.sleep(_PAUSE)


class Far(Actor, domain=Domain.CONTROL):
    """Receives, and notes how long it took."""

    ticks: Inlet[Tick]
    file: Needs[HopFile]
    received: Reading

    async def start(self) -> None:
        self._hops: list[float] = []

    async def run(self) -> None:
        async for tick in self.ticks:
            self._hops.append((perf_counter_ns() - tick.nanoseconds) / 1000)
            self.received.add()

    async def stop(self) -> None:
        await self.blocking(self.file.write, self._hops)


def measure_hops(housing: Housing, isolation: Isolation, messages: int) -> list[float]:
    """Microseconds of so many hops at least. Raises BenchmarkFailed where the pole gives fewer."""
    with TemporaryDirectory(prefix="smartpole-") as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(IDENTITY + _CONFIGURATION, encoding="utf-8")
        pole = Pole(
            load_blueprint(path, actor_types={"near": Near, "far": Far}),
            housing=housing,
            isolation=isolation,
            log_level="critical",
        )
        trio.run(_until_received, pole, messages)
        file = Path(folder) / "state" / "run" / "hops.json"
        if not file.exists():
            crashes = "; ".join(f"{one.child}: {one.error} {one.message}" for one in pole.crashes())
            raise BenchmarkFailed(f"the pole measured no hop. Crashes: {crashes or 'none'}")
        hops = msgspec.json.decode(file.read_bytes(), type=list[float])
    return hops[len(hops) // 10 :]


async def _until_received(pole: Pole, messages: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.move_on_after(_PATIENCE):
            while not any(  # noqa: ASYNC110 - a pole announces nothing to outsiders
                actor.readings.get("received", 0) >= messages for actor in pole.status().actors
            ):
                await trio.sleep(0.1)
        pole.stop()


class BareHops(msgspec.Struct):
    """Microseconds of hops between two bare trio loops, each in a thread, over a socket pair."""

    alone: list[float]
    """After a pause, as ``measure_hops`` has it."""
    answered: list[float]
    """As soon as the one before was answered, as ``measure_answered_hops`` has it."""


def measure_bare_hops(messages: int) -> BareHops:
    """What the machine and trio take alone: eight bytes, and nothing of ours."""
    return BareHops(
        alone=_exchange(_BareEnds(), messages, pause=_PAUSE),
        answered=_exchange(_BareEnds(), messages, pause=0.0),
    )


def measure_answered_hops(messages: int) -> list[float]:
    """Microseconds of so many hops over the border, each sent as soon as the one before was
    answered over another: as messaging systems are measured.

    No pole could do that, because no configuration may lead from domain to domain and back; so
    these are the border's ends alone, in two threads' loops without walls.
    """
    return _exchange(_BorderEnds(), messages, pause=0.0)


class _Ends:
    """Two sides, each of which sends a time to the other and receives one."""

    def __init__(self) -> None:
        self.ways = [socket.socketpair() for _ in range(2)]
        for end in self.all():
            end.setblocking(False)

    def all(self) -> list[socket.socket]:
        return [end for way in self.ways for end in way]

    async def side(self, number: int, work: _Work) -> None:
        raise NotImplementedError


Send = Callable[[int], Awaitable[None]]
Receive = Callable[[], Awaitable[int]]
_Work = Callable[[Send, Receive], Awaitable[None]]


class _BareEnds(_Ends):
    async def side(self, number: int, work: _Work) -> None:
        outward, inward = self.ways[number][0], self.ways[1 - number][1]
        clock = struct.Struct("q")

        async def send(nanoseconds: int) -> None:
            outward.send(clock.pack(nanoseconds))

        async def receive() -> int:
            while True:
                try:
                    return int(clock.unpack(inward.recv(clock.size))[0])
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(inward)

        await work(send, receive)


class _BorderEnds(_Ends):
    def __init__(self) -> None:
        super().__init__()
        self._markers = [new_marker(), new_marker()]

    async def side(self, number: int, work: _Work) -> None:
        codec = BorderCodec(Tick, places=(), limit=1024)
        queue: Queue[Tick] = Queue("hops", Tick)
        sending = SendingEnd(
            "hops",
            codec,
            self.ways[number][0],
            capacity=queue.capacity,
            overflow=Overflow.BLOCK,
            on_violation=_refuse,
        )
        receiving = ReceivingEnd(
            "hops",
            codec,
            self.ways[1 - number][1],
            queue,
            capacity=queue.capacity,
            on_violation=_refuse,
        )
        outlet = Outlet[Tick]._mint("hops", Tick, [Link(sending, sending)])
        inlet = Inlet[Tick]._mint(queue)

        async def send(nanoseconds: int) -> None:
            await outlet.send(Tick(nanoseconds=nanoseconds))

        async def receive() -> int:
            return (await anext(inlet)).nanoseconds

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            nursery.start_soon(receiving.run)
            sending.begin(self._markers[number])
            receiving.begin(self._markers[1 - number])
            await work(send, receive)
            await sending.flushed(1.0)
            nursery.cancel_scope.cancel()


def _refuse(why: str) -> None:
    raise BenchmarkFailed(f"the border refused what the benchmark sent: {why}")


def _exchange(ends: _Ends, messages: int, *, pause: float) -> list[float]:
    hops: list[float] = []

    async def ask(send: Send, receive: Receive) -> None:
        for _ in range(messages):
            if pause:
                await trio.sleep(pause)
            sent = perf_counter_ns()
            await send(sent)
            hops.append((await receive() - sent) / 1000)

    async def answer(send: Send, receive: Receive) -> None:
        for _ in range(messages):
            await receive()
            await send(perf_counter_ns())

    other = threading.Thread(target=trio.run, args=(ends.side, 1, answer))
    other.start()
    try:
        trio.run(ends.side, 0, ask)
    finally:
        other.join()
        for end in ends.all():
            end.close()
    return hops[len(hops) // 10 :]
