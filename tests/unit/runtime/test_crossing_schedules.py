"""Both ends of a channel under schedules that Hypothesis thinks up: bytes that come in any pieces,
and either side started again while something is half written."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from runtime.channel import BLOCK, DROP_OLDEST, LATEST, Overflow, Queue
from runtime.crossing import WINDOW, ReceivingEnd, SendingEnd, new_marker
from tests.unit.runtime.ends import LIMIT, Border, Numbered, drain, frame, framed

EVERYTHING = 10**7


@dataclass(frozen=True)
class Send:
    """A message with so many bytes in it; where there is no room, nothing."""

    size: int


@dataclass(frozen=True)
class Carry:
    """Of the bytes that are on their way, so many arrive."""

    at_most: int
    back: bool


@dataclass(frozen=True)
class Take:
    """The receiving actor takes so many messages."""

    at_most: int


@dataclass(frozen=True)
class Restart:
    """One side has died, whatever it was about, and lives again."""

    sender: bool


STEPS = st.lists(
    st.one_of(
        st.builds(Send, st.integers(0, 40) | st.integers(3_900, 50_000)),
        st.builds(Carry, st.integers(1, 60) | st.integers(60, 100_000), st.booleans()),
        st.builds(Take, st.integers(1, 5)),
        st.builds(Restart, st.booleans()),
    ),
    max_size=40,
)


@dataclass
class Play:
    """Two ends, and a carrier between them who decides what arrives when."""

    capacity: int
    overflow: Overflow
    nursery: trio.Nursery
    stack: ExitStack
    received: list[int] = field(default_factory=list)
    sent: int = 0
    """Messages that were accepted, by any life of the sender; they are numbered in this order."""

    def __post_init__(self) -> None:
        self.source, self.near = self._pair()
        self.far, self.sink = self._pair()
        self.border = Border(self.source, self.sink)
        self._lives = {"sender": trio.CancelScope(), "receiver": trio.CancelScope()}
        self.sending = self._new_sender()
        self.queue, self.receiving = self._new_receiver()
        self.meet()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        for end in pair:
            self.stack.enter_context(end)
            end.setblocking(False)
        return pair

    def _new_sender(self) -> SendingEnd[Numbered]:
        end = self.border.sending(capacity=self.capacity, overflow=self.overflow)
        self._live("sender", end)
        return end

    def _new_receiver(self) -> tuple[Queue[Numbered], ReceivingEnd[Numbered]]:
        queue = self.border.queue(self.capacity, overflow=self.overflow)
        end = self.border.receiving(queue, end=self.sink, capacity=self.capacity)
        self._live("receiver", end)
        return queue, end

    def _live(self, side: str, end: SendingEnd[Numbered] | ReceivingEnd[Numbered]) -> None:
        scope = self._lives[side] = trio.CancelScope()

        async def run() -> None:
            with scope:
                await end.run()

        self.nursery.start_soon(run)

    def meet(self) -> None:
        """As the pole does: it tells the one end before the other may write."""
        marker = new_marker()
        self.receiving.begin(marker)
        self.sending.begin(marker)

    async def restart(self, side: str) -> None:
        self._lives[side].cancel()
        await wait_all_tasks_blocked()
        if side == "sender":
            self.sending = self._new_sender()
        else:
            # What the last one had in its queue is lost with it.
            self.queue, self.receiving = self._new_receiver()
        self.meet()

    def send(self, size: int) -> None:
        message = Numbered(number=self.sent, data=bytes(size))
        if self.sending.put(self.sending.cross(message)):
            self.sent += 1

    def take(self, at_most: int) -> int:
        taken = drain(self.queue, at_most)
        self.received += taken
        return len(taken)

    async def carry(self, at_most: int, back: bool) -> int:
        start, goal = (self.far, self.near) if back else (self.near, self.far)
        try:
            data = start.recv(min(at_most, 60_000))
        except BlockingIOError:
            return 0
        goal.sendall(data)
        await wait_all_tasks_blocked()
        return len(data)

    async def settle(self) -> None:
        """Carry and take everything, until nothing is on its way any more."""
        moved = 1
        while moved:
            await wait_all_tasks_blocked()
            moved = await self.carry(EVERYTHING, False) + await self.carry(EVERYTHING, True)
            moved += self.take(EVERYTHING)

    def check(self) -> None:
        assert self.border.violations == []
        told = self.sending.statistics()
        assert told.in_hand <= self.sending.window
        assert self.queue.statistics().waiting <= self.capacity
        assert self.received == sorted(set(self.received)), "in order, and none twice"

    async def do(self, step: Send | Carry | Take | Restart) -> None:
        match step:
            case Send(size):
                self.send(size)
            case Carry(at_most, back):
                await self.carry(at_most, back)
            case Take(at_most):
                self.take(at_most)
            case Restart(sender):
                await self.restart("sender" if sender else "receiver")
        await wait_all_tasks_blocked()
        self.check()


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([1, 2, 5, 40]), st.sampled_from([BLOCK, DROP_OLDEST, LATEST]))
async def test_whatever_happens_what_arrives_is_in_order_and_none_comes_twice(
    steps: list[Send | Carry | Take | Restart], capacity: int, overflow: Overflow
) -> None:
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            play = Play(capacity, overflow, nursery, stack)
            for step in steps:
                await play.do(step)
            # From now on nobody dies, and nothing is lost that there is room for.
            await play.settle()
            before = play.sent
            for _ in range(capacity + 3):
                play.send(10)
                await play.settle()
            play.check()
            assert play.received[-(capacity + 3) :] == list(range(before, play.sent))
            told = play.sending.statistics()
            assert told.waiting == 0
            # A receiver may owe the credits for less than half a window.
            assert told.in_hand <= play.sending.window // 2
            nursery.cancel_scope.cancel()


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from([1, 2, 5, 40]))
async def test_where_nobody_dies_nothing_is_lost(
    steps: list[Send | Carry | Take | Restart], capacity: int
) -> None:
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            play = Play(capacity, BLOCK, nursery, stack)
            for step in steps:
                if not isinstance(step, Restart):
                    await play.do(step)
            await play.settle()
            play.check()
            assert play.received == list(range(play.sent))
            nursery.cancel_scope.cancel()


@settings(max_examples=150, deadline=None)
@given(
    left_behind=st.binary(max_size=300),
    cuts=st.lists(st.integers(1, 400), max_size=60),
    sizes=st.lists(st.integers(0, 300), max_size=12),
)
async def test_a_stream_means_the_same_in_whatever_pieces_it_comes(
    left_behind: bytes, cuts: list[int], sizes: list[int]
) -> None:
    """After anything that one who died may have left behind."""
    marker = new_marker()
    stream = left_behind + marker + b"".join(frame(n, size) for n, size in enumerate(sizes))
    with Border.open() as border:
        queue = border.queue(20)
        receiving = border.receiving(queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(marker)
            for cut in [*cuts, len(stream)]:
                border.peer.write(stream[:cut])
                stream = stream[cut:]
                await wait_all_tasks_blocked()
            assert drain(queue) == list(range(len(sizes)))
            nursery.cancel_scope.cancel()
    assert border.violations == []


@settings(max_examples=300, deadline=None)
@given(
    good=st.integers(0, 5),
    bad=st.binary(max_size=80) | st.binary(max_size=80).map(framed),
    cuts=st.lists(st.integers(1, 60), max_size=20),
)
async def test_what_a_hostile_sender_writes_arrives_as_a_message_or_not_at_all(
    good: int, bad: bytes, cuts: list[int]
) -> None:
    """Held against another reading of the same bytes: a frame is a message, or the end."""
    marker = new_marker()
    stream = marker + b"".join(map(frame, range(good))) + bad + frame(good)
    expected, violated = _read(stream[len(marker) :])
    with Border.open() as border:
        queue = border.queue(WINDOW)  # more than so few bytes can hold
        receiving = border.receiving(queue)
        received: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(marker)
            for cut in [*cuts, len(stream)]:
                border.peer.write(stream[:cut])
                stream = stream[cut:]
                await wait_all_tasks_blocked()
                received += drain(queue)
            nursery.cancel_scope.cancel()
    assert received == expected
    assert bool(border.violations) == violated
    assert len(border.violations) <= 1


def _read(stream: bytes) -> tuple[list[int], bool]:
    """What is good at its beginning, and whether something bad ends it."""
    numbers: list[int] = []
    while len(stream) >= 4:
        length = int.from_bytes(stream[:4], "big")
        if length > LIMIT:
            return numbers, True
        content, stream = stream[4 : 4 + length], stream[4 + length :]
        if len(content) < length:
            break
        try:
            numbers.append(msgspec.msgpack.decode(content, type=Numbered).number)
        except msgspec.MsgspecError:
            return numbers, True
    return numbers, False
