"""The two ends of a channel between domains: what passes, and what is held up.

In virtual time, over real sockets. Who breaks the rules is dealt with in ``test_crossing_rules``;
bytes in any pieces, and sides that die in the middle of them, in ``test_crossing_schedules``.
"""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime.channel import DROP_OLDEST, LATEST, Overflow
from runtime.crossing import MARKER_BYTES, WINDOW, new_marker
from runtime.errors import BorderRefused
from tests.unit.runtime.ends import LENGTH, Border, Numbered, drain, frame

MARKER = b"sixteen bytes...".ljust(MARKER_BYTES, b".")


def credits_in(answer: bytes, marker: bytes = MARKER) -> list[int]:
    """What a receiving end granted, after its marker."""
    assert answer[:MARKER_BYTES] == marker
    grants = answer[MARKER_BYTES:]
    assert len(grants) % LENGTH.size == 0
    return [granted for (granted,) in LENGTH.iter_unpack(grants)]


def test_markers_are_never_the_same() -> None:
    drawn = {new_marker() for _ in range(100)}
    assert len(drawn) == 100
    assert {len(marker) for marker in drawn} == {MARKER_BYTES}


# -- what passes ----------------------------------------------------------------------------


async def test_messages_arrive_as_they_were_sent_and_in_order() -> None:
    with Border.open() as border:
        queue = border.queue(capacity=8)
        sending, receiving = border.sending(capacity=8), border.receiving(queue, end=border.far)
        received = []
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sending.run)
                nursery.start_soon(receiving.run)
                receiving.begin(MARKER)
                sending.begin(MARKER)
                for number in range(100):
                    sent = Numbered(number=number, data=bytes([number]) * (number * 400))
                    while not sending.put(sending.cross(sent)):
                        await sending.wait_for_room()
                    if number % 3 == 0:
                        await wait_all_tasks_blocked()
                        while queue.statistics().waiting:
                            received.append(queue.take())
                await wait_all_tasks_blocked()
                while queue.statistics().waiting:
                    received.append(queue.take())
                nursery.cancel_scope.cancel()
    assert [one.number for one in received] == list(range(100))
    assert all(one.data == bytes([one.number]) * (one.number * 400) for one in received)
    assert border.violations == []
    assert sending.statistics().accepted == 100


def test_a_message_that_its_type_does_not_describe_is_refused_before_it_is_sent() -> None:
    with Border.open() as border:
        sending = border.sending()
        sending.begin(MARKER)
        with pytest.raises(BorderRefused):
            sending.cross(Numbered(number="a picture"))  # type: ignore[arg-type]
        assert border.peer.read() == MARKER


async def test_nothing_is_sent_to_nobody() -> None:
    with Border.open() as border:
        sending = border.sending()
        assert sending.is_full
        assert not sending.put(frame(1)[4:])
        assert border.peer.read() == b""
        with trio.move_on_after(1000) as waiting:
            await sending.wait_for_room()
        assert waiting.cancelled_caught


async def test_a_sender_waits_for_who_is_to_receive_and_goes_on_when_it_comes() -> None:
    with Border.open() as border:
        sending = border.sending()
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                while not sending.put(frame(7)[4:]):
                    await sending.wait_for_room()

            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            sending.begin(MARKER)
        assert border.peer.read() == MARKER + frame(7)


# -- credits --------------------------------------------------------------------------------


@pytest.mark.parametrize(("capacity", "window"), [(1, 1), (4, 4), (WINDOW, WINDOW), (500, WINDOW)])
def test_no_more_is_under_way_than_the_window(capacity: int, window: int) -> None:
    with Border.open() as border:
        sending = border.sending(capacity=capacity)
        sending.begin(MARKER)
        taken = [sending.put(frame(number)[4:]) for number in range(window + 3)]
        assert taken == [True] * window + [False] * 3
        assert border.peer.read() == MARKER + b"".join(map(frame, range(window)))
        told = sending.statistics()
        assert (told.accepted, told.in_hand, told.waiting) == (window, window, 0)


async def test_each_credit_lets_one_more_pass() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            await sending.wait_for_room()  # there is some
            while sending.put(frame(0)[4:]):
                pass
            border.peer.read()
            border.peer.write(MARKER + LENGTH.pack(2) + LENGTH.pack(1)[:3])
            await wait_all_tasks_blocked()
            assert [sending.put(frame(n)[4:]) for n in (1, 2, 3)] == [True, True, False]
            border.peer.write(LENGTH.pack(1)[3:])
            await wait_all_tasks_blocked()
            assert [sending.put(frame(n)[4:]) for n in (3, 4)] == [True, False]
            nursery.cancel_scope.cancel()
        assert border.peer.read() == b"".join(map(frame, (1, 2, 3)))
    assert border.violations == []


@pytest.mark.parametrize("capacity", [1, 2, 5, 32, 100])
async def test_a_receiver_grants_what_it_has_room_for_and_no_more(capacity: int) -> None:
    window = min(capacity, WINDOW)
    with Border.open() as border:
        queue = border.queue(capacity)
        receiving = border.receiving(queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            border.peer.write(MARKER)
            answer, sent, taken = b"", 0, 0
            while sent < 4 * capacity:
                allowed = window + sum(credits_in(answer)) if answer else window
                if sent == allowed:  # it has taken what it can; now an actor takes one
                    taken += len(drain(queue, 1))
                elif sent < allowed:
                    border.peer.write(frame(sent))
                    sent += 1
                await wait_all_tasks_blocked()
                answer += border.peer.read()
                # One who reads nothing has never more before it than its queue and a window.
                assert sent - taken <= capacity + window
            nursery.cancel_scope.cancel()
    assert border.violations == []


async def test_a_batch_passes_as_far_as_there_are_credits_and_in_one_piece() -> None:
    """A socket of packets shows what was given to it at once."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        for end in (near, far):
            end.setblocking(False)
        border = Border(near, far)
        sending = border.sending(capacity=3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            assert border.peer.read() == MARKER
            assert sending.put_all([frame(n)[4:] for n in range(5)]) == 3
            assert border.peer.read() == b"".join(map(frame, range(3)))
            assert border.peer.read() == b""
            border.peer.write(MARKER + LENGTH.pack(2))
            await wait_all_tasks_blocked()
            assert sending.put_all([frame(n)[4:] for n in (3, 4)]) == 2
            assert border.peer.read() == frame(3) + frame(4)
            nursery.cancel_scope.cancel()
    assert border.violations == []


# -- channels that never block --------------------------------------------------------------


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped", "replaced"),
    [(DROP_OLDEST, [7, 8, 9], 4, 0), (LATEST, [9], 0, 6)],
)
async def test_what_has_no_credit_waits_here_where_the_channel_does_not_block(
    overflow: Overflow, kept: list[int], dropped: int, replaced: int
) -> None:
    with Border.open() as border:
        sending = border.sending(capacity=3, overflow=overflow)
        window = sending.window
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            for number in range(10):
                assert not sending.is_full
                assert sending.put(frame(number)[4:])
            told = sending.statistics()
            assert told.accepted == 10
            assert (told.in_hand, told.waiting) == (window, len(kept))
            assert (told.dropped, told.replaced) == (dropped, replaced)
            assert border.peer.read() == MARKER + b"".join(map(frame, range(window)))
            border.peer.write(MARKER + LENGTH.pack(window))
            await wait_all_tasks_blocked()
            assert border.peer.read() == b"".join(map(frame, kept))
            nursery.cancel_scope.cancel()


async def test_what_waits_is_sent_before_what_comes_later() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=2, overflow=DROP_OLDEST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            for number in range(4):  # two pass, two wait
                sending.put(frame(number)[4:])
            border.peer.write(MARKER + LENGTH.pack(1))
            await wait_all_tasks_blocked()
            sending.put(frame(4)[4:])
            border.peer.write(LENGTH.pack(2))
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert border.peer.read() == MARKER + b"".join(map(frame, range(5)))


async def test_before_anyone_is_there_a_channel_that_does_not_block_keeps_the_newest() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=2, overflow=DROP_OLDEST)
        for number in range(5):
            assert sending.put(frame(number)[4:])
        sending.begin(MARKER)
        assert border.peer.read() == MARKER + frame(3) + frame(4)
        assert sending.statistics().dropped == 3


async def test_what_was_under_way_to_one_that_died_is_counted_as_dropped() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=4)
        sending.begin(MARKER)
        for number in range(3):
            sending.put(frame(number)[4:])
        sending.begin(new_marker())
        told = sending.statistics()
        assert (told.accepted, told.dropped, told.in_hand, told.acknowledged) == (3, 3, 0, 0)


async def test_what_had_no_room_in_the_socket_is_not_sent_to_who_comes_after() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=32)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            for _ in range(32):
                assert sending.put(frame(1, 50_000)[4:])
            again = new_marker()
            sending.begin(again)
            sending.put(frame(2)[4:])
            come = b""
            while data := border.peer.read():
                come += data
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert len(come) < 31 * 50_000, "the socket can't have taken it all"
    assert come.endswith(again + frame(2))


async def test_half_a_credit_of_the_last_receiver_is_no_part_of_the_next_one_s() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            assert sending.put(frame(0)[4:])
            border.peer.write(MARKER + LENGTH.pack(1)[:3])
            await wait_all_tasks_blocked()
            again = new_marker()
            sending.begin(again)
            assert [sending.put(frame(n)[4:]) for n in range(3)] == [True, True, False]
            border.peer.write(again + LENGTH.pack(2))
            await wait_all_tasks_blocked()
            assert [sending.put(frame(n)[4:]) for n in range(3)] == [True, True, False]
            nursery.cancel_scope.cancel()
    assert border.violations == []


@pytest.mark.parametrize("taken", ["less than half a window", "one that waited for room"])
async def test_nobody_is_granted_what_the_last_sender_sent(taken: str) -> None:
    """Or the next one, to which more would be granted than it has sent, would complain."""
    with Border.open() as border:
        queue = border.queue(capacity=4)
        receiving = border.receiving(queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            border.peer.write(MARKER + frame(0))
            last = 0
            if taken == "one that waited for room":
                for last in range(1, 6):
                    await wait_all_tasks_blocked()
                    border.peer.write(frame(last))
            await wait_all_tasks_blocked()
            border.peer.read()
            again = new_marker()
            receiving.begin(again)
            old = drain(queue)
            await wait_all_tasks_blocked()
            border.peer.write(again + frame(7))
            await wait_all_tasks_blocked()
            assert old + drain(queue) in ([*range(last + 1), 7], [*range(last), 7])
            assert credits_in(border.peer.read(), again) == []
            nursery.cancel_scope.cancel()
    assert border.violations == []


# -- ends -----------------------------------------------------------------------------------


async def test_finish_takes_what_is_there_first() -> None:
    with Border.open() as border:
        queue = border.queue(capacity=2)
        receiving = border.receiving(queue)
        receiving.begin(MARKER)
        border.peer.write(MARKER + frame(0) + frame(1))
        over = trio.Event()
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                await receiving.run()
                over.set()

            nursery.start_soon(run)
            await wait_all_tasks_blocked()
            border.peer.write(frame(2) + frame(3))
            receiving.finish()
            await wait_all_tasks_blocked()
            assert not over.is_set(), "the queue is full: an actor has to take something first"
            assert drain(queue) == [0, 1]
            await over.wait()
        assert drain(queue) == [2, 3]


async def test_one_that_waits_for_more_is_over_when_it_is_told_to_finish() -> None:
    with Border.open() as border:
        receiving = border.receiving(border.queue())
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiving.run)
                receiving.begin(MARKER)
                await wait_all_tasks_blocked()
                receiving.finish()


@pytest.mark.parametrize("end", ["sending", "receiving"])
async def test_where_the_pole_is_gone_nothing_raises_and_nothing_spins(end: str) -> None:
    with Border.open() as border:
        sending = border.sending()
        receiving = border.receiving(border.queue())
        ours = sending if end == "sending" else receiving
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.run)
            ours.begin(MARKER)
            await wait_all_tasks_blocked()
            border.far.close()
            await wait_all_tasks_blocked()
            if ours is sending:
                sending.put(frame(0)[4:])
                await sending.flushed(patience=1)
                assert not sending.put(frame(1)[4:])
            nursery.cancel_scope.cancel()
    assert border.violations == []


async def test_flushed_waits_for_as_long_as_something_moves() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=2, overflow=DROP_OLDEST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            for number in range(4):
                sending.put(frame(number)[4:])
            border.peer.write(MARKER)
            flushed = trio.Event()

            async def flush() -> None:
                await sending.flushed(patience=10)
                flushed.set()

            nursery.start_soon(flush)
            for _ in range(2):
                await trio.sleep(9)
                assert not flushed.is_set()
                border.peer.write(LENGTH.pack(1))
                await wait_all_tasks_blocked()
            assert flushed.is_set()
            nursery.cancel_scope.cancel()
        assert border.peer.read() == MARKER + b"".join(map(frame, range(4)))


async def test_flushed_gives_up_on_one_that_takes_nothing() -> None:
    with Border.open() as border:
        sending = border.sending(capacity=1, overflow=DROP_OLDEST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            for number in range(2):
                sending.put(frame(number)[4:])
            began = trio.current_time()
            await sending.flushed(patience=10)
            assert trio.current_time() - began == pytest.approx(10)
            nursery.cancel_scope.cancel()
