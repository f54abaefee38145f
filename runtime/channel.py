"""Channels: typed queues between actors, with one receiver and any number of senders.

An actor sees only an end: an ``Outlet`` to send into, an ``Inlet`` to receive from. The queue
itself belongs to the pole and outlives every incarnation of the actors at its ends.

**Nothing accepted is lost.** A received message stays *in hand* until the receiver asks for the
next one (or calls ``acknowledge``, where its inlet is declared so). If the receiver crashes
meanwhile, the next incarnation receives it again, once; a message that two incarnations in a row
crashed on is set aside and counted as ``poisoned``.

**Checkpoints.** ``send`` is always one. Receiving is one whenever it waits, and at least every
32 messages while it drains what is there: the reschedule is what an exchange costs.
"""

from __future__ import annotations

__all__ = [
    "BLOCK",
    "DROP_OLDEST",
    "LATEST",
    "Batches",
    "ChannelStatistics",
    "Crossing",
    "Destination",
    "Inlet",
    "Link",
    "Outlet",
    "Overflow",
    "Queue",
]

import enum
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import trio
from trio.lowlevel import (
    Abort,
    Task,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from runtime.capability import NoPublicConstructor
from runtime.errors import ChannelMisuse
from runtime.message import Message

M = TypeVar("M", bound=Message)

_DRAIN_CHECKPOINT = 32
_MAX_DELIVERIES = 2


class Overflow(enum.Enum):
    """What a full queue does with one message more."""

    BLOCK = "block"
    """The sender waits."""
    LATEST = "latest"
    """The newest message replaces the one that waits (such a queue holds one)."""
    DROP_OLDEST = "drop-oldest"
    """The oldest waiting message makes room."""


BLOCK, LATEST, DROP_OLDEST = Overflow.BLOCK, Overflow.LATEST, Overflow.DROP_OLDEST


class ChannelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one queue since the pole started. Always
    ``accepted == acknowledged + in_hand + waiting + dropped + replaced + poisoned``."""

    name: str
    message: str
    overflow: str
    capacity: int
    waiting: int
    """Messages that nobody has received yet."""
    in_hand: int
    """Received, but the receiver is not done with them."""
    high_water: int
    """The most that ever waited."""
    accepted: int
    """Put into the queue."""
    acknowledged: int
    """Received and done with."""
    dropped: int
    """Lost to ``drop-oldest``."""
    replaced: int
    """Overtaken by a newer one under ``latest``."""
    redelivered: int
    """Given again to a new incarnation after a crash."""
    poisoned: int
    """Set aside because two incarnations in a row crashed on them."""


class Queue(Generic[M]):
    """The queue of one inlet. Made by the pole; actors see only its ends."""

    def __init__(
        self,
        name: str,
        message_type: type[M],
        *,
        capacity: int = 64,
        overflow: Overflow = BLOCK,
        manual_acknowledge: bool = False,
    ) -> None:
        if capacity < 1:
            raise ChannelMisuse(f"channel {name} needs a capacity of at least 1, not {capacity}.")
        self.name = name
        self.message_type = message_type
        self.overflow = overflow
        self.capacity = 1 if overflow is LATEST else capacity
        self.manual_acknowledge = manual_acknowledge
        self._waiting: deque[M] = deque()
        self._in_hand: deque[M] = deque()
        self._receiver: Task | None = None
        self._senders: deque[Task] = deque()
        self._finished = False
        self._is_innocent = False
        self._suspects = 0
        """How many of the oldest waiting messages were in hand when an incarnation crashed."""
        self._front: M | None = None
        self._front_deliveries = 0
        self._accepted = 0
        self._dropped = 0
        self._replaced = 0
        self._redelivered = 0
        self._poisoned = 0
        self._high_water = 0

    # -- the sender's side ------------------------------------------------------------------

    def put(self, message: M) -> bool:
        """Accept a message at once. False where the queue is full and its policy is to block."""
        waiting = self._waiting
        if len(waiting) >= self.capacity:
            if self.overflow is BLOCK:
                return False
            if self.overflow is LATEST:
                # After a crash, the one that was in hand may wait as well.
                self._replaced += len(waiting)
                waiting.clear()
                self._suspects = 0
            else:
                waiting.popleft()
                self._dropped += 1
                self._suspects = max(0, self._suspects - 1)
        waiting.append(message)
        self._accepted += 1
        if self._receiver is not None:
            reschedule(self._receiver)
            self._receiver = None
        return True

    def put_all(self, messages: Sequence[M]) -> int:
        """The same for several, oldest first: how many it accepted."""
        return sum(1 for _ in takewhile(self.put, messages))

    @property
    def is_full(self) -> bool:
        """Whether a sender would have to wait."""
        return self.overflow is BLOCK and len(self._waiting) >= self.capacity

    async def wait_for_room(self) -> None:
        """Return when there may be room. Cancelling it loses nothing."""
        if not self.is_full:
            return
        task = current_task()
        self._senders.append(task)

        def abort(_: object) -> Abort:
            self._senders.remove(task)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)

    # -- the receiver's side ----------------------------------------------------------------

    def take(self) -> M:
        """The oldest waiting message, now in hand. There must be one."""
        waiting = self._waiting
        depth = len(waiting)
        if depth > self._high_water:
            self._high_water = depth
        message = waiting.popleft()
        if self._suspects:
            self._suspects -= 1
        self._in_hand.append(message)
        if self._senders:
            self._wake_senders()
        return message

    def take_batch(self, at_most: int) -> list[M]:
        """The oldest waiting messages, if any, now in hand: cheaper in one go than one by one."""
        waiting = self._waiting
        if not (depth := len(waiting)):
            return []
        if depth > self._high_water:
            self._high_water = depth
        if self._suspects:
            # One by one, so that the next crash tells which of them it was.
            self._suspects -= 1
            batch = [waiting.popleft()]
        elif depth <= at_most:
            batch = list(waiting)
            waiting.clear()
        else:
            batch = [waiting.popleft() for _ in range(at_most)]
        self._in_hand.extend(batch)
        if self._senders:
            self._wake_senders()
        return batch

    def _wake_senders(self) -> None:
        while self._senders:
            # All of them: one that is woken here may still have to wait for another queue.
            reschedule(self._senders.popleft())

    async def wait_for_message(self) -> bool:
        """Wait until a message waits (True), or the queue is finished and empty (False)."""
        while not self._waiting:
            if self._finished:
                return False
            if self._receiver is not None:
                raise ChannelMisuse(
                    f"channel {self.name} has a receiver waiting already: a channel has one "
                    "receiver. Connect a second outlet, or share the messages inside the actor."
                )
            self._receiver = current_task()

            def abort(_: object) -> Abort:
                self._receiver = None
                return Abort.SUCCEEDED

            await wait_task_rescheduled(abort)
        return True

    def acknowledge(self, keep: int = 0) -> None:
        """Done with everything in hand but the newest ``keep`` messages."""
        if not keep:
            self._in_hand.clear()
        while len(self._in_hand) > keep:
            self._in_hand.popleft()

    # -- the pole's side --------------------------------------------------------------------

    def reopen(self, *, crashed: bool = True) -> None:
        """A new incarnation begins: what the last one had in hand waits again, in order.

        ``crashed`` says whether that one crashed, or was ended by its supervisor (because a
        sibling crashed), for which the message in hand is not to blame.
        """
        self._finished = False
        crashed, self._is_innocent = crashed and not self._is_innocent, False
        if not self._in_hand:
            return
        first = self._in_hand[0]
        if first is not self._front:
            self._front, self._front_deliveries = first, 0
        # Of a batch, nobody knows yet on which message it crashed.
        if crashed and (self.manual_acknowledge or len(self._in_hand) == 1):
            self._front_deliveries += 1
        if self._front_deliveries >= _MAX_DELIVERIES:
            # A receiver that acknowledges by itself was working on all that it has in hand: a
            # decoder needs the whole group or nothing, so it goes as one.
            self._poisoned += len(self._in_hand)
            self._front = None
        else:
            self._redelivered += len(self._in_hand)
            self._waiting.extendleft(reversed(self._in_hand))
            if crashed or self._suspects:
                self._suspects += len(self._in_hand)
        self._in_hand.clear()

    def exonerate(self) -> None:
        """What is in hand is not to blame for the crash that is coming."""
        self._is_innocent = True

    def finish(self) -> None:
        """No more is to come: the receiver's iteration ends when it has emptied the queue."""
        self._finished = True
        if self._receiver is not None:
            reschedule(self._receiver)
            self._receiver = None

    @property
    def holds_messages(self) -> bool:
        """Whether any wait or are in hand."""
        return bool(self._waiting or self._in_hand)

    def statistics(self) -> ChannelStatistics:
        gone = self._dropped + self._replaced + self._poisoned
        waiting, in_hand = len(self._waiting), len(self._in_hand)
        return ChannelStatistics(
            name=self.name,
            message=self.message_type.__name__,
            overflow=self.overflow.value,
            capacity=self.capacity,
            waiting=waiting,
            in_hand=in_hand,
            high_water=max(self._high_water, waiting),
            accepted=self._accepted,
            acknowledged=self._accepted - gone - waiting - in_hand,
            dropped=self._dropped,
            replaced=self._replaced,
            redelivered=self._redelivered,
            poisoned=self._poisoned,
        )


class Inlet(Generic[M], metaclass=NoPublicConstructor):
    """Where an actor receives. Iterate over it:

        async for packet in self.packets:
            ...

    The loop ends when the pole stops and everything that was sent has been received. Asking for
    the next message acknowledges the one before, unless the inlet is declared with
    ``acknowledge="manual"``: then call ``acknowledge()`` when the work is safe.
    """

    __slots__ = ("_queue", "_streak")

    def __init__(self, queue: Queue[M]) -> None:
        self._queue = queue
        self._streak = 0

    def __aiter__(self) -> Inlet[M]:
        return self

    async def __anext__(self) -> M:
        queue = self._queue
        if not queue.manual_acknowledge:
            queue._in_hand.clear()
        if queue._waiting:
            self._streak += 1
            if self._streak >= _DRAIN_CHECKPOINT:
                self._streak = 0
                await checkpoint()
        else:
            self._streak = 0
        if not queue._waiting and not await queue.wait_for_message():
            raise StopAsyncIteration
        return queue.take()

    def batches(self, at_most: int = 256) -> Batches[M]:
        """Everything that waits, as one sequence at a time: the fastest way to receive."""
        return Batches(self._queue, at_most)

    def receive_batch_nowait(self, at_most: int = 256) -> Sequence[M]:
        """Everything that waits now, or nothing; ``trio.EndOfChannel`` where a loop would end."""
        queue = self._queue
        if not queue.manual_acknowledge:
            queue.acknowledge()
        if not queue._waiting and queue._finished:
            raise trio.EndOfChannel
        return queue.take_batch(at_most)

    @property
    def has_waiting(self) -> bool:
        """Whether there is anything to receive."""
        return bool(self._queue._waiting)

    def acknowledge(self, *, keep: int = 0) -> None:
        """Everything received so far is safe: it will not be delivered again after a crash.

        ``keep`` is how many of the messages received last are not, and stay in hand.
        """
        self._queue.acknowledge(keep)

    def exonerate(self) -> None:
        """What is in hand here has nothing to do with the crash that is coming: for an actor that
        serves several inlets, and knows which of them it crashed on."""
        self._queue.exonerate()

    def statistics(self) -> ChannelStatistics:
        return self._queue.statistics()


class Batches(Generic[M]):
    """What ``Inlet.batches`` iterates over. No generator, so that an actor which crashes in the
    middle leaves nothing behind to be closed."""

    __slots__ = ("_at_most", "_queue")

    def __init__(self, queue: Queue[M], at_most: int) -> None:
        self._queue = queue
        self._at_most = at_most

    def __aiter__(self) -> Batches[M]:
        return self

    async def __anext__(self) -> Sequence[M]:
        queue = self._queue
        if not queue.manual_acknowledge:
            queue._in_hand.clear()
        await checkpoint()
        if not queue._waiting and not await queue.wait_for_message():
            raise StopAsyncIteration
        return queue.take_batch(self._at_most)


class Crossing(Protocol):
    """What turns a message into the form in which it crosses a border. Raises BorderRefused."""

    def cross(self, message: Any, /) -> Any: ...


class Destination(Protocol):
    """Where an outlet puts what it sends: a queue, or the near end of a way to another domain."""

    @property
    def is_full(self) -> bool: ...
    def put(self, message: Any, /) -> bool: ...
    def put_all(self, messages: Sequence[Any], /) -> int: ...
    async def wait_for_room(self) -> None: ...
    def statistics(self) -> ChannelStatistics: ...


class Link(Generic[M]):
    """One connection from an outlet to a queue, with a codec where it crosses a border."""

    __slots__ = ("codec", "queue")

    def __init__(self, queue: Destination, codec: Crossing | None = None) -> None:
        self.queue = queue
        self.codec = codec


class Outlet(Generic[M], metaclass=NoPublicConstructor):
    """Where an actor sends. It cannot know who receives, nor how many do."""

    __slots__ = ("_codec", "_links", "_name", "_only", "_type")

    def __init__(self, name: str, message_type: type[M], links: Sequence[Link[M]]) -> None:
        self._name = name
        self._type = message_type
        self._links = tuple(links)
        # Nearly every outlet feeds one queue, and that case is kept short: it is the hot path.
        only = links[0] if len(links) == 1 else None
        self._only = only.queue if only is not None else None
        self._codec = only.codec if only is not None else None

    async def send(self, message: M) -> None:
        """Send one message, waiting for room where the channel blocks.

        All or nothing: if it is cancelled, no receiver gets the message. Raises ChannelMisuse
        for another type of message and BorderRefused for one that its type does not describe.
        """
        await checkpoint_if_cancelled()
        if type(message) is not self._type:
            raise self._misuse(message)
        queue = self._only
        if queue is not None:
            if self._codec is not None:
                message = self._codec.cross(message)
            while not queue.put(message):
                await queue.wait_for_room()
        else:
            crossing = self._cross(message)
            while not self._put(crossing):
                for link in self._links:
                    await link.queue.wait_for_room()
        await cancel_shielded_checkpoint()

    def send_nowait(self, message: M) -> None:
        """Send at once or raise ``trio.WouldBlock``, in which case nothing was sent."""
        if type(message) is not self._type:
            raise self._misuse(message)
        queue = self._only
        if queue is not None:
            if self._codec is not None:
                message = self._codec.cross(message)
            if not queue.put(message):
                raise trio.WouldBlock
        elif not self._put(self._cross(message)):
            raise trio.WouldBlock

    def send_batch_nowait(self, messages: Sequence[M]) -> int:
        """Send as many as there is room for now, oldest first, and say how many that were: over a
        border far cheaper than one by one. Raises as ``send``, and then none was sent."""
        for message in messages:
            if type(message) is not self._type:
                raise self._misuse(message)
        if self._only is None:
            crossings = [self._cross(message) for message in messages]
            return sum(1 for _ in takewhile(self._put, crossings))
        if self._codec is None:
            return self._only.put_all(messages)
        return self._only.put_all([self._codec.cross(message) for message in messages])

    def _misuse(self, message: object) -> ChannelMisuse:
        return ChannelMisuse(
            f"{self._name} carries {self._type.__name__} and was given a "
            f"{type(message).__name__}. A subclass or look-alike is refused as well."
        )

    def _cross(self, message: M) -> list[Any]:
        return [link.codec.cross(message) if link.codec else message for link in self._links]

    def _put(self, crossing: list[Any]) -> bool:
        if any(link.queue.is_full for link in self._links):
            return False
        for link, message in zip(self._links, crossing, strict=True):
            link.queue.put(message)
        return True

    def statistics(self) -> tuple[ChannelStatistics, ...]:
        """One entry for each channel that the outlet feeds."""
        return tuple(link.queue.statistics() for link in self._links)
