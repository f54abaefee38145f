"""Channels: one way, in batches, and there and back, against other queues of the same size.

Every contestant makes the same message objects, one after another, and moves the same number of
them from one sending task to one receiving task. Pykka's queue has no bound, so its sender never
waits: that is how it works, and its figures say so.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Annotated, Any

import msgspec
import pykka
import trio

from bench.harness import Effort, Figure, Outcome, Target, compare, take_turns
from runtime import Count, Inlet, Message, Outlet, PlaceName, Sensitivity, UnixSeconds
from runtime.border import BorderCodec
from runtime.channel import Link, Queue

CAPACITY = 64
"""An inlet's usual capacity."""

OURS = "Outlet and Inlet"
BATCHES = "send_nowait and batches()"
BORDER = "Outlet and Inlet across a border"
TRIO = "trio memory channel"
ASYNCIO = "asyncio.Queue"
PYKKA_TELL = "pykka tell (unbounded)"
PYKKA_ASK = "pykka ask"

_PLACE = "east-exit"


class Tick(Message, sensitivity=Sensitivity.OPERATIONAL):
    """The smallest message that says something."""

    number: int


class Numbers(Message, sensitivity=Sensitivity.AGGREGATE):
    """A message such as the crowd system sends."""

    place: PlaceName
    taken_at: UnixSeconds
    people: Count


class Packet(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    """A message such as a camera sends."""

    sequence: Annotated[int, msgspec.Meta(ge=0)]
    data: Annotated[bytes, msgspec.Meta(max_length=1024 * 1024)]


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    return Outcome(
        figures=(*_one_way(effort), *_round_trip(effort), *_across_a_border(effort)),
    )


def _one_way(effort: Effort) -> list[Figure]:
    count = effort.count(4000, 100)
    results = take_turns(
        {
            OURS: partial(_rate, _ours_one_way, count),
            TRIO: partial(_rate, _trio_one_way, count),
            BATCHES: partial(_rate, _batches_one_way, count),
            ASYNCIO: partial(_rate, _asyncio_one_way, count),
            PYKKA_TELL: partial(_rate, _pykka_one_way, count),
        },
        effort.rounds,
    )
    figure = partial(compare, results=results, unit="messages/s", better="higher")
    return [
        figure("send, one by one", ours=OURS, other=TRIO, target=Target(of="ratio", least=0.95)),
        figure("send, one by one", ours=OURS, other=ASYNCIO, note="put() does not reschedule"),
        figure("send, one by one", ours=OURS, other=PYKKA_TELL),
        figure("drain", ours=BATCHES, other=TRIO, target=Target(of="ratio", least=8)),
        figure("drain", ours=BATCHES, other=ASYNCIO),
        figure("drain", ours=BATCHES, other=PYKKA_TELL),
    ]


def _round_trip(effort: Effort) -> list[Figure]:
    count = effort.count(1500, 50)
    results = take_turns(
        {
            OURS: partial(_microseconds, _ours_round_trip, count),
            TRIO: partial(_microseconds, _trio_round_trip, count),
            ASYNCIO: partial(_microseconds, _asyncio_round_trip, count),
            PYKKA_ASK: partial(_microseconds, _pykka_round_trip, count),
        },
        effort.rounds,
    )
    figure = partial(compare, "round trip", results, OURS, unit="µs", better="lower")
    return [
        figure(TRIO, target=Target(of="ratio", most=1.2)),
        figure(ASYNCIO),
        figure(PYKKA_ASK),
    ]


def _across_a_border(effort: Effort) -> list[Figure]:
    count = effort.count(4000, 100)
    data = bytes(range(256)) * 80
    figures = []
    for what, message_type, make in (
        ("a count", Numbers, lambda n: Numbers(place=_PLACE, taken_at=n, people=n % 100)),
        ("a packet of 20 kB", Packet, lambda n: Packet(sequence=n, data=data)),
    ):
        codec: BorderCodec[Any] = BorderCodec(message_type, places=[_PLACE])
        results = take_turns(
            {
                BORDER: partial(_microseconds, _ours_one_way, count, message_type, make, codec),
                OURS: partial(_microseconds, _ours_one_way, count, message_type, make),
            },
            effort.rounds,
        )
        name = f"send {what} to another domain"
        figures.append(compare(name, results, BORDER, OURS, unit="µs", better="lower"))
    return figures


def _rate(transfer: Callable[..., float], count: int, *more: Any) -> float:
    return count / transfer(count, *more)


def _microseconds(transfer: Callable[..., float], count: int, *more: Any) -> float:
    return transfer(count, *more) / count * 1e6


# -- ours -----------------------------------------------------------------------------------------


def _tick(number: int) -> Tick:
    return Tick(number=number)


def _channel(
    message_type: type[Any] = Tick, codec: BorderCodec[Any] | None = None
) -> tuple[Outlet[Any], Inlet[Any], Queue[Any]]:
    queue: Queue[Any] = Queue("bench.inlet", message_type, capacity=CAPACITY)
    outlet = Outlet._mint("bench.outlet", message_type, [Link(queue, codec)])
    return outlet, Inlet._mint(queue), queue


def _ours_one_way(
    count: int,
    message_type: type[Any] = Tick,
    make: Callable[[int], Any] = _tick,
    codec: BorderCodec[Any] | None = None,
) -> float:
    outlet, inlet, queue = _channel(message_type, codec)

    async def send() -> None:
        for number in range(count):
            await outlet.send(make(number))
        queue.finish()

    async def receive() -> None:
        received = 0
        async for _ in inlet:
            received += 1
        assert received == count

    return trio.run(_timed_in_trio, send, receive)


def _batches_one_way(count: int) -> float:
    outlet, inlet, queue = _channel()

    async def send() -> None:
        for number in range(count):
            message = _tick(number)
            try:
                outlet.send_nowait(message)
            except trio.WouldBlock:
                await outlet.send(message)
        queue.finish()

    async def receive() -> None:
        received = 0
        async for batch in inlet.batches():
            for _ in batch:
                received += 1
        assert received == count

    return trio.run(_timed_in_trio, send, receive)


def _ours_round_trip(count: int) -> float:
    requests_out, requests_in, requests = _channel()
    replies_out, replies_in, _ = _channel()

    async def ask() -> None:
        for number in range(count):
            await requests_out.send(_tick(number))
            await anext(replies_in)
        requests.finish()

    async def answer() -> None:
        async for message in requests_in:
            await replies_out.send(_tick(message.number))

    return trio.run(_timed_in_trio, ask, answer)


# -- trio -----------------------------------------------------------------------------------------


async def _timed_in_trio(*tasks: Callable[[], Awaitable[object]]) -> float:
    async with trio.open_nursery() as nursery:
        began = perf_counter()
        for task in tasks:
            nursery.start_soon(task)
    return perf_counter() - began


def _trio_one_way(count: int) -> float:
    sender, receiver = trio.open_memory_channel[Tick](CAPACITY)

    async def send() -> None:
        for number in range(count):
            await sender.send(_tick(number))
        sender.close()

    async def receive() -> None:
        received = 0
        async for _ in receiver:
            received += 1
        assert received == count

    return trio.run(_timed_in_trio, send, receive)


def _trio_round_trip(count: int) -> float:
    requests_out, requests_in = trio.open_memory_channel[Tick](CAPACITY)
    replies_out, replies_in = trio.open_memory_channel[Tick](CAPACITY)

    async def ask() -> None:
        for number in range(count):
            await requests_out.send(_tick(number))
            await anext(replies_in)
        requests_out.close()

    async def answer() -> None:
        async for message in requests_in:
            await replies_out.send(_tick(message.number))

    return trio.run(_timed_in_trio, ask, answer)


# -- asyncio --------------------------------------------------------------------------------------


async def _timed_in_asyncio(*tasks: Callable[[], Coroutine[Any, Any, None]]) -> float:
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task())
    return perf_counter() - began


def _asyncio_one_way(count: int) -> float:
    queue: asyncio.Queue[Tick | None] = asyncio.Queue(CAPACITY)

    async def send() -> None:
        for number in range(count):
            await queue.put(_tick(number))
        await queue.put(None)

    async def receive() -> None:
        received = 0
        while await queue.get() is not None:
            received += 1
        assert received == count

    return asyncio.run(_timed_in_asyncio(send, receive))


def _asyncio_round_trip(count: int) -> float:
    requests: asyncio.Queue[Tick | None] = asyncio.Queue(CAPACITY)
    replies: asyncio.Queue[Tick] = asyncio.Queue(CAPACITY)

    async def ask() -> None:
        for number in range(count):
            await requests.put(_tick(number))
            await replies.get()
        await requests.put(None)

    async def answer() -> None:
        while (message := await requests.get()) is not None:
            await replies.put(_tick(message.number))

    return asyncio.run(_timed_in_asyncio(ask, answer))


# -- pykka ----------------------------------------------------------------------------------------


class _Receiver(pykka.ThreadingActor):
    """Counts ticks and answers each; any other message asks how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self._received = 0

    def on_receive(self, message: object) -> object:
        if isinstance(message, Tick):
            self._received += 1
            return _tick(message.number)
        return self._received


def _pykka_one_way(count: int) -> float:
    actor = _Receiver.start()
    try:
        began = perf_counter()
        for number in range(count):
            actor.tell(_tick(number))
        received = actor.ask("how many")
        took = perf_counter() - began
        assert received == count
        return took
    finally:
        actor.stop()


def _pykka_round_trip(count: int) -> float:
    actor = _Receiver.start()
    try:
        began = perf_counter()
        for number in range(count):
            actor.ask(_tick(number))
        return perf_counter() - began
    finally:
        actor.stop()
