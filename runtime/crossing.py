"""The way of one channel from domain to domain: a socket pair with an end in each.

Messages go one way, as frames: four bytes of length (big-endian), then the codec's bytes. Credits
come back, four bytes each: how many messages more the sender may send. So a receiver that doesn't
read holds its sender up and nothing else, and no sender can make a receiver keep more than it
granted.

Both ends begin with the same random marker, which the pole draws anew whenever either domain
starts, and read nothing before it. What a domain that died left half written is passed over that
way, and the domain at the other end keeps its socket for life: none is ever handed over, because
a domain under a sandbox could not take it. The pole announces a marker to the one end before the
other may write it; so an end that has read a marker's first byte, hears the pole out (``catch_up``)
before it looks at what it has read, and never takes a marker for something else.

A peer that breaks the rules (a length beyond the bound, a frame that its type does not describe, a
message without a credit) is cut off at once and reported.
"""

from __future__ import annotations

__all__ = ["MARKER_BYTES", "WINDOW", "ReceivingEnd", "SendingEnd", "new_marker"]

import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import trio

from runtime.border import BorderCodec
from runtime.channel import ChannelStatistics, Overflow, Queue
from runtime.errors import BorderRefused
from runtime.message import Message
from runtime.outgoing import Outgoing
from runtime.pace import Pace

M = TypeVar("M", bound=Message)

MARKER_BYTES = 16
WINDOW = 32
"""The most messages that are under way to a receiver that has not taken them."""

_LENGTH = struct.Struct(">I")
_MARKS = 0xC1
"""A marker's first byte: MessagePack never uses it for a type, nor does a grant hold it, so that
what is small seldom makes its reader ask for news."""
_READ_AT_ONCE = 256 * 1024
_MOST_WAITING = 4 * 1024 * 1024
"""Bytes that wait for room in the socket; beyond it a sender waits, if it has any waiting."""


def new_marker() -> bytes:
    """What both ends begin with, once."""
    return bytes((_MARKS,)) + os.urandom(MARKER_BYTES - 1)


class _MarkerSearch:
    """Finds a marker in a stream, however it is cut up."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._tail = b""

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """What follows the marker, or None if it has not come yet."""
        seen = self._tail + bytes(data)
        place = seen.find(self._marker)
        if place < 0:
            self._tail = seen[-(MARKER_BYTES - 1) :]
            return None
        return seen[place + MARKER_BYTES :]


class SendingEnd(Generic[M]):
    """The sender's end. To an outlet it looks like a queue that takes frames.

    It belongs to one loop. ``run`` must run for as long as the domain lives.
    """

    def __init__(
        self,
        name: str,
        codec: BorderCodec[M],
        end: socket.socket,
        *,
        capacity: int,
        overflow: Overflow,
        on_violation: Callable[[str], None],
        catch_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.codec = codec
        self.overflow = overflow
        self._socket = end
        self._capacity = 1 if overflow is Overflow.LATEST else capacity
        self.window = min(max(capacity, 1), WINDOW)
        self._on_violation = on_violation
        self._catch_up = catch_up
        self._up = False
        self._search: _MarkerSearch | None = None
        self._credits = 0
        self._grants = bytearray()
        self._outgoing = Outgoing(end)
        self._held: deque[bytes] = deque()
        """Frames of a channel that never blocks, waiting for a credit."""
        self._waiters = trio.lowlevel.ParkingLot()
        self._movement = trio.lowlevel.ParkingLot()
        self._wake = trio.Event()
        self._accepted = self._dropped = self._replaced = self._high_water = 0

    # -- what an outlet calls ---------------------------------------------------------------

    def cross(self, message: M) -> bytes:
        """The frame in which a message goes. Raises BorderRefused."""
        return self.codec.encode(message)

    def put(self, frame: bytes) -> bool:
        """Send a frame, or keep it where the channel's policy is not to block. False where the
        sender has to wait."""
        return self.put_all((frame,)) == 1

    def put_all(self, frames: Sequence[bytes]) -> int:
        """The same for several, oldest first: how many it took. They go in one piece, because each
        may wake the receiver."""
        taken = 0
        for frame in frames:
            if not self._put(frame):
                break
            taken += 1
        self._send_waiting()
        return taken

    def _put(self, frame: bytes) -> bool:
        if self._has_room():
            self._accepted += 1
            self._transmit(frame)
            return True
        if self.overflow is Overflow.BLOCK:
            return False
        self._accepted += 1
        if len(self._held) >= self._capacity:
            self._held.popleft()
            if self.overflow is Overflow.LATEST:
                self._replaced += 1
            else:
                self._dropped += 1
        self._held.append(frame)
        return True

    @property
    def is_full(self) -> bool:
        return self.overflow is Overflow.BLOCK and not self._has_room()

    async def wait_for_room(self) -> None:
        """Return when there may be room. Cancelling it loses nothing."""
        if self.is_full:
            await self._waiters.park()

    def statistics(self) -> ChannelStatistics:
        """Counts since this domain started: what is under way counts as in hand."""
        under_way = self.window - self._credits if self._up else 0
        waiting = len(self._held)
        gone = self._dropped + self._replaced
        return ChannelStatistics(
            name=self.name,
            message=self.codec.message_type.__name__,
            overflow=self.overflow.value,
            capacity=self._capacity,
            waiting=waiting,
            in_hand=under_way,
            high_water=max(self._high_water, waiting),
            accepted=self._accepted,
            acknowledged=max(0, self._accepted - gone - waiting - under_way),
            dropped=self._dropped,
            replaced=self._replaced,
            redelivered=0,
            poisoned=0,
        )

    # -- what the host calls ----------------------------------------------------------------

    def begin(self, marker: bytes) -> None:
        """A peer is there (again). What was under way to the one before is lost, and counted."""
        if self._up:
            self._dropped += self.window - self._credits
        self._outgoing.clear()
        self._grants.clear()
        self._up, self._search = True, _MarkerSearch(marker)
        self._credits = self.window
        self._outgoing.add(marker)
        self._go_on()
        self._wake.set()

    async def run(self) -> None:
        """Move bytes, both ways, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_grants)
            while True:
                while self._outgoing:
                    await trio.lowlevel.wait_writable(self._socket)
                    self._flush()
                self._wake = trio.Event()
                await self._wake.wait()

    async def flushed(self, patience: float) -> None:
        """Return when all that was accepted is in the socket, or for ``patience`` seconds nothing
        has moved: then nobody takes it. ``run`` must be running."""
        while self._up and (self._outgoing or self._held):
            with trio.move_on_after(patience) as waiting:
                await self._movement.park()
            if waiting.cancelled_caught:
                return

    def _has_room(self) -> bool:
        return (
            self._up
            and self._credits > 0
            and not self._held
            and (not self._outgoing or self._outgoing.size < _MOST_WAITING)
        )

    def _transmit(self, frame: bytes) -> None:
        self._credits -= 1
        self._high_water = max(self._high_water, self.window - self._credits)
        self._outgoing.add(_LENGTH.pack(len(frame)), frame)

    def _send_waiting(self) -> None:
        """Send what the socket takes now; ``run`` sends the rest."""
        if self._outgoing:
            self._flush()
        if self._outgoing:
            self._wake.set()

    def _flush(self) -> None:
        try:
            if self._outgoing.flush() and self._movement:
                self._movement.unpark_all()
        except OSError:  # the pole has gone, and with it both ends
            self._up = False
        if self._waiters and not self._outgoing:
            self._waiters.unpark_all()

    def _go_on(self) -> None:
        while self._held and self._up and self._credits > 0:
            self._transmit(self._held.popleft())
        self._send_waiting()
        self._movement.unpark_all()
        self._waiters.unpark_all()

    async def _read_grants(self) -> None:
        while True:
            try:
                data = self._socket.recv(4096)
            except (BlockingIOError, InterruptedError):
                await trio.lowlevel.wait_readable(self._socket)
                continue
            except OSError:
                data = b""
            if not data:  # the pole has gone, and with it both ends
                await trio.sleep_forever()
            if _MARKS in data:
                self._catch_up()
            self._take_grants(data)
            await trio.lowlevel.checkpoint()

    def _take_grants(self, data: bytes) -> None:
        if self._search is not None:
            found = self._search.feed(data)
            if found is None:
                return
            self._search, data = None, found
        if not self._up:
            return
        self._grants += data
        while len(self._grants) >= _LENGTH.size:
            (granted,) = _LENGTH.unpack_from(self._grants)
            del self._grants[: _LENGTH.size]
            if not 0 < granted <= self.window - self._credits:
                self._up = False
                self._on_violation("it granted more messages than were under way")
                return
            self._credits += granted
        self._go_on()


class ReceivingEnd(Generic[M]):
    """The receiver's end: puts what comes into an inlet's queue, and grants credits.

    ``per_second`` bounds how many messages a second it lets in, so that the bits which can leave
    the sender's domain are bounded by more than that domain's good will.
    """

    def __init__(
        self,
        name: str,
        codec: BorderCodec[M],
        end: socket.socket,
        queue: Queue[M],
        *,
        capacity: int,
        per_second: float | None = None,
        on_violation: Callable[[str], None],
        catch_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._codec = codec
        self._socket = end
        self._queue = queue
        self._pace = Pace.per_second(per_second) if per_second is not None else None
        self.window = min(max(capacity, 1), WINDOW)
        self._on_violation = on_violation
        self._catch_up = catch_up
        self._search: _MarkerSearch | None = None
        self._up = False
        self._owed = 0
        self._granted = 0
        """Messages that the sender may still send."""
        self._buffer = bytearray()
        """The beginning of a frame."""
        self._whole = 0
        """How long the buffer must be before there is anything new in it to be read."""
        self._scratch = bytearray(_READ_AT_ONCE)
        self._answer = bytearray()
        self._last = False
        self._generation = 0

    def begin(self, marker: bytes) -> None:
        """A sender is there (again): forget what was left half read."""
        self._up, self._search = True, _MarkerSearch(marker)
        self._generation += 1
        self._wipe()
        self._owed = 0
        self._granted = self.window
        self._answer[:] = marker
        self._respond()

    def finish(self) -> None:
        """The sender's domain has ended: ``run`` returns once it has taken what is there."""
        self._last = True
        trio.lowlevel.notify_closing(self._socket)  # wakes ``run``, and closes nothing

    async def run(self) -> None:
        """Take what comes in, until ``finish``."""
        while True:
            # Waiting first is what costs least where messages come one by one.
            if self._last:
                await trio.lowlevel.checkpoint()
            else:
                await self._wait()
            taken = self._receive()
            if taken is None:
                if self._last:
                    return
            elif taken:
                if self._scratch.find(_MARKS, 0, len(taken)) >= 0:
                    self._catch_up()
                try:
                    await self._take(taken)
                finally:
                    taken[:] = bytes(len(taken))  # it may be a piece of a picture
            else:  # the pole has gone
                return

    def _receive(self) -> memoryview | None:
        try:
            size = self._socket.recv_into(self._scratch)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            size = 0
        return memoryview(self._scratch)[:size]

    async def _wait(self) -> None:
        """Until there is something to read, or to know."""
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(self._socket)
        if self._answer:
            self._respond()

    async def _take(self, data: memoryview) -> None:
        generation = self._generation
        frames, broken = self._frames(data)
        for frame in frames:
            try:
                message = self._codec.decode(frame)
            except BorderRefused as refusal:
                self._cut_off(str(refusal))
                return
            if self._pace is not None:
                await trio.sleep(self._pace.delay(trio.current_time()))
                self._pace.note(trio.current_time())
            while not self._queue.put(message):
                await self._queue.wait_for_room()
            if generation != self._generation:
                return
            self._owe()
        if broken:
            self._cut_off(broken)

    def _frames(self, data: memoryview) -> tuple[list[memoryview], str]:
        """All that are whole now, and which rule is broken by what follows them.

        They are counted against what was granted before any of them is taken, because taking them
        grants more. What is left over is kept.
        """
        if not self._up:
            return [], ""
        if self._search is not None:
            if (found := self._search.feed(data)) is None:
                return [], ""
            self._search, data = None, memoryview(found)
        elif self._buffer:
            self._buffer += data
            if len(self._buffer) < self._whole:
                return [], ""  # not copied again for each of a picture's pieces
            data = memoryview(bytes(self._buffer))
            self._wipe()
        frames: list[memoryview] = []
        place, size, self._whole = 0, len(data), _LENGTH.size
        while place + _LENGTH.size <= size:
            (length,) = _LENGTH.unpack_from(data, place)
            if len(frames) >= self._granted:
                return [], "it sent more messages than it was granted"
            if length > self._codec.limit:
                limit = self._codec.limit
                return frames, f"it announced a message of {length} bytes, and {limit} pass"
            start, place = place + _LENGTH.size, place + _LENGTH.size + length
            if place > size:
                self._whole, place = _LENGTH.size + length, start - _LENGTH.size
                break
            frames.append(data[start:place])
        self._buffer += data[place:]
        self._granted -= len(frames)
        return frames, ""

    def _owe(self) -> None:
        self._owed += 1
        if self._owed * 2 >= self.window:
            self._answer += _LENGTH.pack(self._owed)
            self._granted += self._owed
            self._owed = 0
            self._respond()

    def _respond(self) -> None:
        while self._answer:
            try:
                sent = self._socket.send(self._answer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # the pole has gone
                self._answer.clear()
                return
            del self._answer[:sent]

    def _cut_off(self, why: str) -> None:
        self._up = False
        self._wipe()
        self._on_violation(why)

    def _wipe(self) -> None:
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer.clear()
