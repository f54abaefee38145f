"""The two ends of a channel between domains, and a peer at the other end that does as it likes."""

from __future__ import annotations

__all__ = ["LENGTH", "LIMIT", "Border", "Numbered", "Peer", "drain", "frame", "framed"]

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec

from runtime.border import BorderCodec
from runtime.channel import BLOCK, Overflow, Queue
from runtime.crossing import ReceivingEnd, SendingEnd
from runtime.message import Message, Sensitivity

LENGTH = struct.Struct(">I")
LIMIT = 60_000


class Numbered(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    """Numbered, and as long as one likes."""

    number: Annotated[int, msgspec.Meta(ge=0, le=10**6)]
    data: Annotated[bytes, msgspec.Meta(max_length=50_000)] = b""


def codec() -> BorderCodec[Numbered]:
    return BorderCodec(Numbered, places=(), limit=LIMIT)


def frame(number: int, size: int = 0) -> bytes:
    """A message as it stands on the wire."""
    return framed(msgspec.msgpack.encode(Numbered(number=number, data=bytes(size))))


def framed(content: bytes) -> bytes:
    return LENGTH.pack(len(content)) + content


def drain(queue: Queue[Numbered], at_most: int = 1_000_000) -> list[int]:
    """What an actor would receive now."""
    taken = []
    while queue.statistics().waiting and len(taken) < at_most:
        taken.append(queue.take().number)
        queue.acknowledge()
    return taken


class Peer:
    """The bare socket at the far side: it writes what it is told to, right or wrong."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, at_most: int = 1 << 20) -> bytes:
        """What has come so far."""
        try:
            return self.socket.recv(at_most)
        except BlockingIOError:
            return b""


class Border:
    """A socket pair with an end of ours at one side or at both."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.peer = Peer(far)
        self.violations: list[str] = []

    def sending(
        self,
        *,
        capacity: int = 4,
        overflow: Overflow = BLOCK,
        catch_up: Callable[[], None] = lambda: None,
    ) -> SendingEnd[Numbered]:
        return SendingEnd(
            "a.out → b.into",
            codec(),
            self.near,
            capacity=capacity,
            overflow=overflow,
            on_violation=self.violations.append,
            catch_up=catch_up,
        )

    def receiving(
        self,
        queue: Queue[Numbered],
        *,
        end: socket.socket | None = None,
        capacity: int | None = None,
        per_second: float | None = None,
        catch_up: Callable[[], None] = lambda: None,
    ) -> ReceivingEnd[Numbered]:
        return ReceivingEnd(
            "a.out → b.into",
            codec(),
            end or self.near,
            queue,
            capacity=capacity or queue.capacity,
            per_second=per_second,
            on_violation=self.violations.append,
            catch_up=catch_up,
        )

    @staticmethod
    def queue(capacity: int = 4, **options: Any) -> Queue[Numbered]:
        return Queue("b.into", Numbered, capacity=capacity, **options)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Border]:
        near, far = socket.socketpair()
        with near, far:
            for end in (near, far):
                end.setblocking(False)
            yield cls(near, far)
