"""Channels: nothing accepted is lost, order is kept, every policy counts what it does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from runtime.border import BorderCodec
from runtime.channel import (
    BLOCK,
    DROP_OLDEST,
    LATEST,
    ChannelStatistics,
    Inlet,
    Link,
    Outlet,
    Overflow,
    Queue,
)
from runtime.errors import BorderRefused, ChannelMisuse
from runtime.message import Message, Sensitivity


class Note(Message, sensitivity=Sensitivity.OPERATIONAL):
    number: int


class LongNote(Note):
    text: str = ""


class Other(Message, sensitivity=Sensitivity.OPERATIONAL):
    number: int


def notes(*numbers: int) -> list[Note]:
    return [Note(number=n) for n in numbers]


def queue_of(capacity: int = 4, overflow: Overflow = BLOCK, *, manual: bool = False) -> Queue[Note]:
    return Queue("eye.notes", Note, capacity=capacity, overflow=overflow, manual_acknowledge=manual)


def ends(queue: Queue[Note]) -> tuple[Outlet[Note], Inlet[Note]]:
    return outlet_to(queue), inlet_of(queue)


def outlet_to(*queues: Queue[Note], codec: BorderCodec[Note] | None = None) -> Outlet[Note]:
    outlet: Outlet[Note] = Outlet._mint("sun.out", Note, [Link(q, codec) for q in queues])
    return outlet


def inlet_of(queue: Queue[Note]) -> Inlet[Note]:
    inlet: Inlet[Note] = Inlet._mint(queue)
    return inlet


def counts(queue: Queue[Note]) -> dict[str, int]:
    """The counters that are not zero."""
    told = queue.statistics()
    kinds = (
        "waiting", "in_hand", "accepted", "acknowledged", "dropped", "replaced", "redelivered",
        "poisoned",
    )  # fmt: skip
    return {kind: value for kind in kinds if (value := getattr(told, kind))}


async def take(inlet: Inlet[Note], n: int) -> list[int]:
    return [(await inlet.__anext__()).number for _ in range(n)]


# -- what is accepted, and how --------------------------------------------------------------------


async def test_messages_arrive_in_order_and_by_reference() -> None:
    queue = queue_of(8)
    outlet, inlet = ends(queue)
    sent = notes(1, 2, 3)
    for note in sent:
        await outlet.send(note)
    received = [await inlet.__anext__() for _ in sent]
    assert all(one is other for one, other in zip(sent, received, strict=True))


async def test_send_and_receive_are_checkpoints() -> None:
    outlet, inlet = ends(queue_of())
    with assert_checkpoints():
        await outlet.send(Note(number=1))
    await inlet.__anext__()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outlet.send, Note(number=2))
        with assert_checkpoints():
            await inlet.__anext__()


@pytest.mark.parametrize("batched", [False, True])
async def test_draining_lets_others_run(batched: bool) -> None:
    """A receiver that never finds its queue empty must not hold the loop."""
    queue = queue_of(1000, DROP_OLDEST)
    _, inlet = ends(queue)
    for n in range(1000):
        queue.put(Note(number=n))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        if batched:
            async for batch in inlet.batches(at_most=32):
                if batch[-1].number == 999:
                    break
        else:
            await take(inlet, 1000)
        assert turns >= 1000 // 40
        nursery.cancel_scope.cancel()


async def test_block_waits_and_accepts_exactly_its_capacity() -> None:
    queue = queue_of(3)
    outlet, inlet = ends(queue)
    accepted: list[int] = []

    async def feed() -> None:
        for note in notes(*range(10)):
            await outlet.send(note)
            accepted.append(note.number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        await wait_all_tasks_blocked()
        assert accepted == [0, 1, 2]
        with pytest.raises(trio.WouldBlock):
            outlet.send_nowait(Note(number=99))
        assert counts(queue) == {"accepted": 3, "waiting": 3}
        assert await take(inlet, 1) == [0]
        await wait_all_tasks_blocked()
        assert accepted == [0, 1, 2, 3]
        assert await take(inlet, 9) == list(range(1, 10))
    assert counts(queue) == {"accepted": 10, "acknowledged": 9, "in_hand": 1}
    assert queue.statistics().high_water == 3


async def test_latest_keeps_one_and_counts_the_replaced() -> None:
    queue = queue_of(5, LATEST)
    outlet, inlet = ends(queue)
    assert queue.capacity == 1
    for note in notes(*range(7)):
        await outlet.send(note)
    assert counts(queue) == {"accepted": 7, "waiting": 1, "replaced": 6}
    assert await take(inlet, 1) == [6]


async def test_drop_oldest_keeps_the_newest_and_counts_the_dropped() -> None:
    queue = queue_of(3, DROP_OLDEST)
    outlet, inlet = ends(queue)
    for note in notes(*range(7)):
        outlet.send_nowait(note)
    assert counts(queue) == {"accepted": 7, "waiting": 3, "dropped": 4}
    assert await take(inlet, 3) == [4, 5, 6]


@pytest.mark.parametrize("overflow", [LATEST, DROP_OLDEST])
async def test_policies_that_drop_never_make_a_sender_wait(overflow: Overflow) -> None:
    outlet, _ = ends(queue_of(1, overflow))
    with trio.fail_after(1):
        for note in notes(*range(100)):
            await outlet.send(note)


async def test_latest_holds_one_even_after_a_crash() -> None:
    queue = queue_of(1, LATEST)
    outlet, inlet = ends(queue)
    await outlet.send(Note(number=1))
    await take(inlet, 1)
    await outlet.send(Note(number=2))
    queue.reopen()
    assert counts(queue) == {"accepted": 2, "waiting": 2, "redelivered": 1}
    await outlet.send(Note(number=3))
    assert counts(queue) == {"accepted": 3, "waiting": 1, "redelivered": 1, "replaced": 2}
    assert await take(inlet_of(queue), 1) == [3]


def test_a_queue_needs_room() -> None:
    with pytest.raises(ChannelMisuse, match=r"eye\.notes needs a capacity of at least 1, not 0"):
        queue_of(0)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Other(number=1), "Other"),
        (LongNote(number=1, text="secret"), "LongNote"),
        ("secret", "str"),
        (None, "NoneType"),
    ],
)
@pytest.mark.parametrize("links", [1, 2])
@pytest.mark.parametrize("full", [False, True])
async def test_another_type_is_refused_and_nothing_is_sent(
    wrong: Any, named: str, links: int, full: bool
) -> None:
    queues = [queue_of(1) for _ in range(links)]
    outlet = outlet_to(*queues)
    if full:
        outlet.send_nowait(Note(number=0))
    before = [q.statistics() for q in queues]
    for send in (outlet.send_nowait, outlet.send):
        with pytest.raises(ChannelMisuse) as caught:
            result = send(wrong)
            assert result is not None
            await result
        assert f"sun.out carries Note and was given a {named}" in str(caught.value)
        assert "secret" not in str(caught.value)
    assert [q.statistics() for q in queues] == before


async def test_a_wrong_field_stops_at_the_border_and_reaches_nobody() -> None:
    near, far = queue_of(), queue_of()
    outlet: Outlet[Note] = Outlet._mint(
        "sun.out", Note, [Link(near), Link(far, BorderCodec(Note, places=()))]
    )
    with pytest.raises(BorderRefused):
        await outlet.send(Note(number="secret"))  # type: ignore[arg-type]
    assert counts(near) == counts(far) == {}


async def test_what_crosses_is_a_copy() -> None:
    queue = queue_of()
    outlet = outlet_to(queue, codec=BorderCodec(Note, places=()))
    sent = Note(number=1)
    await outlet.send(sent)
    received = await inlet_of(queue).__anext__()
    assert received == sent
    assert received is not sent


async def test_a_second_waiting_receiver_is_refused_and_the_first_goes_on() -> None:
    queue = queue_of()
    outlet, inlet = ends(queue)
    got: list[list[int]] = []

    async def first() -> None:
        got.append(await take(inlet, 2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        for second in (inlet, inlet_of(queue)):
            with pytest.raises(ChannelMisuse, match="a channel has one receiver"):
                await second.__anext__()
        await outlet.send(Note(number=1))
        await outlet.send(Note(number=2))
    assert got == [[1, 2]]


async def test_two_receivers_that_race_lose_nothing_and_see_no_foreign_error() -> None:
    """Misuse that can't be told from one receiver that changes its task."""
    queue = queue_of(200)
    _, inlet = ends(queue)
    for n in range(200):
        queue.put(Note(number=n))
    queue.finish()
    got: list[int] = []

    async def receive() -> None:
        try:
            async for note in inlet:
                got.append(note.number)
        except ChannelMisuse:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        nursery.start_soon(receive)
    assert sorted(got) == list(range(200))


# -- fan-out --------------------------------------------------------------------------------------


async def test_fan_out_reaches_all() -> None:
    queues = [queue_of(), queue_of(1, LATEST), queue_of(2, DROP_OLDEST)]
    outlet = outlet_to(*queues)
    for note in notes(1, 2, 3):
        await outlet.send(note)
    assert [await take(inlet_of(q), q.statistics().waiting) for q in queues] == [
        [1, 2, 3],
        [3],
        [2, 3],
    ]
    assert [s.accepted for s in outlet.statistics()] == [3, 3, 3]


async def test_fan_out_is_all_or_nothing() -> None:
    narrow, wide = queue_of(1), queue_of(10)
    outlet = outlet_to(narrow, wide)
    await outlet.send(Note(number=1))
    with pytest.raises(trio.WouldBlock):
        outlet.send_nowait(Note(number=2))
    with trio.move_on_after(5) as scope:
        await outlet.send(Note(number=2))
    assert scope.cancelled_caught
    assert counts(narrow) == counts(wide) == {"accepted": 1, "waiting": 1}


async def test_fan_out_waits_for_each_that_is_full_in_turn() -> None:
    one, two = queue_of(1), queue_of(1)
    outlet = outlet_to(one, two)
    await outlet.send(Note(number=1))
    done = trio.Event()

    async def feed() -> None:
        await outlet.send(Note(number=2))
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        await wait_all_tasks_blocked()
        assert await take(inlet_of(two), 1) == [1]
        await wait_all_tasks_blocked()
        assert not done.is_set()
        assert counts(two) == {"accepted": 1, "in_hand": 1}
        assert await take(inlet_of(one), 1) == [1]
    assert counts(one) == {"accepted": 2, "in_hand": 1, "waiting": 1}


# -- crash and redelivery -------------------------------------------------------------------------


async def test_what_was_in_hand_is_given_again_first_and_once() -> None:
    queue = queue_of(8)
    outlet, inlet = ends(queue)
    for note in notes(1, 2, 3, 4):
        await outlet.send(note)
    assert await take(inlet, 2) == [1, 2]
    assert counts(queue) == {"accepted": 4, "acknowledged": 1, "in_hand": 1, "waiting": 2}
    queue.reopen()
    assert counts(queue) == {"accepted": 4, "acknowledged": 1, "redelivered": 1, "waiting": 3}
    again = inlet_of(queue)
    assert await take(again, 3) == [2, 3, 4]
    queue.acknowledge()
    assert counts(queue) == {"accepted": 4, "acknowledged": 4, "redelivered": 1}


async def test_two_crashes_in_a_row_set_a_message_aside() -> None:
    queue = queue_of(8)
    for note in notes(1, 2, 3):
        queue.put(note)
    for _ in range(2):
        assert await take(inlet_of(queue), 1) == [1]
        queue.reopen()
    assert counts(queue) == {"accepted": 3, "waiting": 2, "redelivered": 1, "poisoned": 1}
    assert await take(inlet_of(queue), 2) == [2, 3]


async def test_each_message_may_crash_one_incarnation() -> None:
    queue = queue_of(8)
    for note in notes(1, 2, 3):
        queue.put(note)
    assert await take(inlet_of(queue), 1) == [1]
    queue.reopen()
    assert await take(inlet_of(queue), 2) == [1, 2]
    queue.reopen()
    assert await take(inlet_of(queue), 2) == [2, 3]
    queue.reopen()
    assert await take(inlet_of(queue), 1) == [3]
    queue.acknowledge()
    assert counts(queue) == {"accepted": 3, "acknowledged": 3, "redelivered": 3}


async def test_an_interrupted_incarnation_poisons_nothing() -> None:
    """A sibling's crash, or a stop, takes it down: that is not the message's fault."""
    queue = queue_of(8)
    for note in notes(1, 2):
        queue.put(note)
    for _ in range(5):
        assert await take(inlet_of(queue), 1) == [1]
        queue.reopen(crashed=False)
    assert counts(queue) == {"accepted": 2, "waiting": 2, "redelivered": 5}
    for _ in range(2):
        assert await take(inlet_of(queue), 1) == [1]
        queue.reopen()
    assert counts(queue)["poisoned"] == 1


async def test_redelivery_comes_even_where_the_queue_is_full() -> None:
    queue = queue_of(2)
    outlet, inlet = ends(queue)
    for note in notes(1, 2):
        await outlet.send(note)
    assert await take(inlet, 1) == [1]
    await outlet.send(Note(number=3))
    queue.reopen()
    assert queue.statistics().waiting == 3
    with pytest.raises(trio.WouldBlock):
        outlet.send_nowait(Note(number=4))
    again = inlet_of(queue)
    assert await take(again, 1) == [1]
    with pytest.raises(trio.WouldBlock):  # still two of two
        outlet.send_nowait(Note(number=4))
    assert await take(again, 1) == [2]
    outlet.send_nowait(Note(number=4))
    assert await take(again, 2) == [3, 4]


async def test_manual_acknowledgement_holds_everything_until_it_is_safe() -> None:
    queue = queue_of(8, manual=True)
    for note in notes(*range(6)):
        queue.put(note)
    inlet = inlet_of(queue)
    assert await take(inlet, 3) == [0, 1, 2]
    assert counts(queue) == {"accepted": 6, "in_hand": 3, "waiting": 3}
    inlet.acknowledge(keep=1)
    assert counts(queue) == {"accepted": 6, "acknowledged": 2, "in_hand": 1, "waiting": 3}
    assert await take(inlet, 2) == [3, 4]
    queue.reopen()
    again = inlet_of(queue)
    assert await take(again, 4) == [2, 3, 4, 5]
    again.acknowledge(keep=9)
    assert counts(queue)["in_hand"] == 4
    again.acknowledge()
    assert counts(queue) == {"accepted": 6, "acknowledged": 6, "redelivered": 3}


async def test_a_group_in_hand_is_set_aside_as_one() -> None:
    queue = queue_of(8, manual=True)
    for note in notes(*range(6)):
        queue.put(note)
    for _ in range(2):
        assert await take(inlet_of(queue), 3) == [0, 1, 2]
        queue.reopen()
    assert counts(queue) == {"accepted": 6, "redelivered": 3, "poisoned": 3, "waiting": 3}


@pytest.mark.parametrize("manual", [False, True])
async def test_batches_take_what_waits_and_acknowledge_like_single_messages(manual: bool) -> None:
    queue = queue_of(16, manual=manual)
    for note in notes(*range(10)):
        queue.put(note)
    queue.finish()
    sizes: list[int] = []
    received: list[int] = []
    async for batch in inlet_of(queue).batches(at_most=4):
        assert isinstance(batch, Sequence)
        sizes.append(len(batch))
        received += [note.number for note in batch]
        assert queue.statistics().in_hand == (len(received) if manual else len(batch))
    assert sizes == [4, 4, 2]
    assert received == list(range(10))
    assert queue.statistics().acknowledged == (0 if manual else 10)
    assert queue.statistics().high_water == 10


async def test_one_bad_message_of_a_batch_takes_no_other_with_it() -> None:
    """After a crash the batch comes again one by one, until it is clear which message it was."""
    queue = queue_of(16)
    for note in notes(*range(6)):
        queue.put(note)
    handled: list[int] = []
    sizes: list[list[int]] = []

    async def live() -> bool:
        seen: list[int] = []
        sizes.append(seen)
        async for batch in inlet_of(queue).batches():
            seen.append(len(batch))
            if any(note.number == 3 for note in batch):
                return False
            handled.extend(note.number for note in batch)
            if not queue.statistics().waiting:
                break
        return True

    while not await live():
        queue.reopen()
        queue.put(Note(number=9))
    assert sizes == [[6], [1, 1, 1, 1], [1], [1, 1, 3]]
    assert handled == [0, 1, 2, 4, 5, 9, 9, 9]
    queue.acknowledge()
    assert counts(queue) == {"accepted": 9, "acknowledged": 8, "redelivered": 7, "poisoned": 1}


async def test_two_messages_of_a_batch_that_crash_once_each_are_not_lost() -> None:
    queue = queue_of(16)
    for note in notes(*range(6)):
        queue.put(note)
    handled: list[int] = []
    crashed: set[int] = set()

    async def live() -> bool:
        async for batch in inlet_of(queue).batches():
            for note in batch:
                if note.number in (0, 4) and note.number not in crashed:
                    crashed.add(note.number)
                    return False
            handled.extend(note.number for note in batch)
            if not queue.statistics().waiting:
                break
        return True

    while not await live():
        queue.reopen()
    assert handled == list(range(6))
    assert queue.statistics().poisoned == 0


async def test_batches_wait_for_more_and_wake_senders() -> None:
    queue = queue_of(2)
    outlet, inlet = ends(queue)

    async def feed() -> None:
        for note in notes(*range(50)):
            await outlet.send(note)
        queue.finish()

    received: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        async for batch in inlet.batches():
            received += [note.number for note in batch]
    assert received == list(range(50))


# -- finishing ------------------------------------------------------------------------------------


async def test_a_batch_is_sent_as_far_as_there_is_room() -> None:
    queue = queue_of(capacity=3)
    outlet, inlet = ends(queue)
    assert outlet.send_batch_nowait([]) == 0
    assert outlet.send_batch_nowait(notes(1, 2)) == 2
    assert outlet.send_batch_nowait(notes(3, 4, 5)) == 1
    assert outlet.send_batch_nowait(notes(6)) == 0
    assert await take(inlet, 3) == [1, 2, 3]
    assert counts(queue) == {"accepted": 3, "acknowledged": 2, "in_hand": 1}


async def test_a_batch_to_several_stops_where_one_of_them_is_full() -> None:
    wide, narrow = queue_of(capacity=9), queue_of(capacity=2)
    assert outlet_to(wide, narrow).send_batch_nowait(notes(1, 2, 3, 4)) == 2
    assert counts(wide) == counts(narrow) == {"accepted": 2, "waiting": 2}


@pytest.mark.parametrize("queues", [1, 2])
@pytest.mark.parametrize("crosses", [False, True])
async def test_of_a_batch_with_one_at_fault_nothing_is_sent(queues: int, crosses: bool) -> None:
    to = [queue_of() for _ in range(queues)]
    outlet = outlet_to(*to, codec=BorderCodec(Note, places=()) if crosses else None)
    with pytest.raises(ChannelMisuse):
        outlet.send_batch_nowait([*notes(1), Other(number=2)])  # type: ignore[list-item]
    if crosses:
        with pytest.raises(BorderRefused):
            outlet.send_batch_nowait([*notes(1), Note(number="2")])  # type: ignore[arg-type]
    assert [counts(queue) for queue in to] == [{}] * queues


@pytest.mark.parametrize("manual", [False, True])
async def test_what_waits_is_taken_without_a_wait(manual: bool) -> None:
    queue = queue_of(capacity=9, manual=manual)
    outlet, inlet = ends(queue)
    assert not inlet.has_waiting
    assert list(inlet.receive_batch_nowait()) == []
    outlet.send_batch_nowait(notes(1, 2, 3))
    assert inlet.has_waiting
    assert [note.number for note in inlet.receive_batch_nowait(2)] == [1, 2]
    assert [note.number for note in inlet.receive_batch_nowait()] == [3]
    assert queue.statistics().in_hand == (3 if manual else 1)
    outlet.send_nowait(Note(number=4))
    queue.finish()
    assert [note.number for note in inlet.receive_batch_nowait()] == [4]
    with pytest.raises(trio.EndOfChannel):
        inlet.receive_batch_nowait()
    assert queue.statistics().in_hand == (4 if manual else 0)


async def test_finish_lets_the_receiver_drain_first() -> None:
    queue = queue_of(8)
    for note in notes(1, 2):
        queue.put(note)
    queue.finish()
    assert [note.number async for note in inlet_of(queue)] == [1, 2]
    assert counts(queue) == {"accepted": 2, "acknowledged": 2}


async def test_finish_wakes_a_waiting_receiver() -> None:
    queue = queue_of(8)
    got: list[list[Note]] = []

    async def receive() -> None:
        got.append([note async for note in inlet_of(queue)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        queue.finish()
    assert got == [[]]


async def test_finish_lets_waiting_senders_through_first() -> None:
    queue = queue_of(1)
    outlet, inlet = ends(queue)
    async with trio.open_nursery() as nursery:
        for note in notes(1, 2, 3):
            nursery.start_soon(outlet.send, note)
        await wait_all_tasks_blocked()
        queue.finish()
        assert sorted([note.number async for note in inlet])[0] in (1, 2, 3)
        nursery.cancel_scope.cancel()


async def test_reopening_takes_messages_again() -> None:
    queue = queue_of(8)
    queue.finish()
    assert [note async for note in inlet_of(queue)] == []
    queue.reopen()
    inlet = inlet_of(queue)
    with trio.move_on_after(1) as scope:
        await inlet.__anext__()
    assert scope.cancelled_caught


# -- cancellation at every checkpoint -------------------------------------------------------------


class CancelAt(trio.abc.Instrument):
    """Cancels a scope at the n-th step of a task: before it runs on, or once it has yielded."""

    def __init__(self, scope: trio.CancelScope, step: int, *, before: bool) -> None:
        self.scope, self.step, self.before = scope, step, before
        self.task: trio.lowlevel.Task | None = None
        self.seen = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and self.before:
            self._count()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and not self.before:
            self._count()

    def _count(self) -> None:
        if self.seen == self.step:
            self.scope.cancel()
        self.seen += 1


async def run_script(step: int, *, before: bool, victim: str, fan_out: bool, batched: bool) -> bool:
    """One sender, one receiver, one of them cancelled. True if the script ran to its end."""
    total = 12
    queue, side = queue_of(2), queue_of(3, DROP_OLDEST)
    outlet = outlet_to(queue, side) if fan_out else outlet_to(queue)
    sent: list[int] = []
    received: list[int] = []
    scope = trio.CancelScope()
    instrument = CancelAt(scope, step, before=before)

    async def feed() -> None:
        for note in notes(*range(total)):
            await outlet.send(note)
            sent.append(note.number)

    async def receive() -> None:
        if batched:
            async for batch in inlet_of(queue).batches(at_most=3):
                received.extend(note.number for note in batch)
        else:
            async for note in inlet_of(queue):
                received.append(note.number)

    async def run_victim(script: Any) -> None:
        instrument.task = trio.lowlevel.current_task()
        with scope:
            await script()

    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as nursery:
            victims = feed if victim == "sender" else receive
            nursery.start_soon(run_victim, victims)
            nursery.start_soon(receive if victim == "sender" else feed)
            for _ in range(20):
                await wait_all_tasks_blocked()
            told = queue.statistics()
            # What send returned for was accepted, and nothing else was: no half-sent message.
            assert told.accepted == len(sent)
            assert sent == list(range(len(sent)))
            # Every accepted message is received or waits, in order.
            waiting = [note.number for note in queue._waiting]
            assert received + waiting == sent
            assert told.acknowledged + told.in_hand == len(received)
            if fan_out:
                assert side.statistics().accepted == len(sent)
            # Nobody is left behind: after the victim's end a new pair can go on.
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    assert queue._receiver is None
    assert not queue._senders
    queue.reopen(crashed=False)
    queue.finish()
    rest = [note.number async for note in inlet_of(queue)]
    # The one in hand may come twice, never not at all.
    assert sorted({*received, *rest}) == sent
    return not scope.cancelled_caught


@pytest.mark.parametrize("victim", ["sender", "receiver"])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("fan_out", [False, True])
@pytest.mark.parametrize("batched", [False, True])
async def test_cancellation_at_every_checkpoint_loses_nothing(
    victim: str, before: bool, fan_out: bool, batched: bool
) -> None:
    for step in itertools.count():
        ended = await run_script(
            step, before=before, victim=victim, fan_out=fan_out, batched=batched
        )
        if ended and step > 30:
            break
    assert step < 500


def test_statistics_name_every_field_once() -> None:
    fields = ChannelStatistics.__struct_fields__
    assert len(set(fields)) == len(fields) == 13
