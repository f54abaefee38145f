"""Channels under schedules that Hypothesis thinks up: senders, receivers, crashes, cancels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.channel import BLOCK, LATEST, Inlet, Link, Outlet, Overflow, Queue
from runtime.message import Message, Sensitivity


class Item(Message, sensitivity=Sensitivity.OPERATIONAL):
    sender: int
    number: int


@dataclass(frozen=True)
class Sender:
    """Sends ``pauses``-many items, pausing before each; is cancelled at a time, or never."""

    pauses: list[int]
    cancelled_at: int | None


@dataclass(frozen=True)
class Receiver:
    """One incarnation: handles so many messages, then crashes on the next (or is interrupted)."""

    handles: int
    crashes: bool
    batched: bool
    pause: int


SENDERS = st.lists(
    st.builds(
        Sender,
        st.lists(st.integers(0, 2), max_size=12),
        st.none() | st.integers(0, 12),
    ),
    min_size=1,
    max_size=4,
)
RECEIVERS = st.lists(
    st.builds(Receiver, st.integers(0, 8), st.booleans(), st.booleans(), st.integers(0, 2)),
    max_size=5,
)


@dataclass
class Ledger:
    """What happened, written down beside the queue."""

    accepted: list[tuple[int, int]] = field(default_factory=list)
    deliveries: list[tuple[int, int]] = field(default_factory=list)
    done: set[tuple[int, int]] = field(default_factory=set)
    crashed_on: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))


class CrashedOnPurpose(Exception):
    pass


def check_counts(queue: Queue[Item], ledger: Ledger) -> None:
    told = queue.statistics()
    assert told.accepted >= len(ledger.accepted)  # a sender may be just about to write it down
    assert (
        min(
            told.waiting,
            told.in_hand,
            told.acknowledged,
            told.dropped,
            told.replaced,
            told.poisoned,
        )
        >= 0
    )
    assert told.accepted == (
        told.acknowledged + told.in_hand + told.waiting + told.dropped + told.replaced
        + told.poisoned
    )  # fmt: skip
    assert told.acknowledged <= len(set(ledger.deliveries))
    assert told.high_water >= told.waiting
    if queue.overflow is BLOCK:
        assert told.dropped == told.replaced == 0
    if not told.redelivered:
        assert told.waiting <= told.capacity


async def receive(inlet: Inlet[Item], plan: Receiver, queue: Queue[Item], ledger: Ledger) -> None:
    handled = 0

    async def handle(group: list[Item]) -> None:
        nonlocal handled
        for item in group:
            ledger.deliveries.append((item.sender, item.number))
        check_counts(queue, ledger)
        if handled >= plan.handles:
            for item in group:
                if plan.crashes:
                    ledger.crashed_on[item.sender, item.number] += 1
            if plan.crashes:
                raise CrashedOnPurpose
            raise trio.EndOfChannel  # interrupted: ends with something in hand, no crash
        handled += len(group)
        if plan.pause:
            await trio.sleep(plan.pause)
        ledger.done.update((item.sender, item.number) for item in group)

    if plan.batched:
        async for batch in inlet.batches(at_most=3):
            await handle(list(batch))
    else:
        async for item in inlet:
            await handle([item])


@settings(max_examples=150, deadline=None)
@given(
    senders=SENDERS,
    receivers=RECEIVERS,
    overflow=st.sampled_from(Overflow),
    capacity=st.integers(1, 4),
    fan_out=st.booleans(),
)
async def test_nothing_accepted_is_lost_and_every_count_is_true(
    senders: list[Sender],
    receivers: list[Receiver],
    overflow: Overflow,
    capacity: int,
    fan_out: bool,
) -> None:
    queue: Queue[Item] = Queue("eye.items", Item, capacity=capacity, overflow=overflow)
    side: Queue[Item] = Queue("ear.items", Item, capacity=1, overflow=LATEST)
    links = [Link(queue), Link(side)] if fan_out else [Link(queue)]
    outlet: Outlet[Item] = Outlet._mint("sun.out", Item, links)
    ledger = Ledger()
    all_sent = False

    async def send(index: int, plan: Sender) -> None:
        deadline = trio.current_time() + (
            float("inf") if plan.cancelled_at is None else plan.cancelled_at
        )
        with trio.CancelScope(deadline=deadline):
            for number, pause in enumerate(plan.pauses):
                await trio.sleep(pause)
                await outlet.send(Item(sender=index, number=number))
                ledger.accepted.append((index, number))

    async def receive_all() -> None:
        # The last incarnation takes everything that is left.
        for plan in [*receivers, Receiver(10**6, crashes=False, batched=False, pause=0)]:
            inlet: Inlet[Item] = Inlet._mint(queue)
            try:
                await receive(inlet, plan, queue, ledger)
            except CrashedOnPurpose:
                queue.reopen()
            except trio.EndOfChannel:
                queue.reopen(crashed=False)
            else:
                queue.acknowledge()
                return
            check_counts(queue, ledger)
            if all_sent:
                queue.finish()

    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_all)
            async with trio.open_nursery() as feeding:
                for index, plan in enumerate(senders):
                    feeding.start_soon(send, index, plan)
            all_sent = True
            queue.finish()

    told = queue.statistics()
    assert told.accepted == len(ledger.accepted) == len(set(ledger.accepted))
    assert told.waiting == told.in_hand == 0
    assert told.acknowledged == len(ledger.done)
    lost = set(ledger.accepted) - ledger.done
    assert len(lost) == told.dropped + told.replaced + told.poisoned
    # Only what crashed somebody twice may be poisoned; groups go as one.
    assert told.poisoned <= sum(1 for times in ledger.crashed_on.values() if times >= 2)
    if overflow is BLOCK:
        assert {key for key in lost if ledger.crashed_on[key] < 2} == set()
    if fan_out:
        assert side.statistics().accepted == told.accepted
    # In order for each sender, apart from what comes again.
    first_seen: dict[int, list[int]] = defaultdict(list)
    for sender, number in ledger.deliveries:
        if number not in first_seen[sender]:
            first_seen[sender].append(number)
    assert all(numbers == sorted(numbers) for numbers in first_seen.values())
