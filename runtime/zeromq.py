"""A ZeroMQ socket on trio's loop.

pyzmq has no trio support. ZeroMQ's file descriptor is edge-triggered: it becomes readable when
the socket's state *changes*, so the state (EVENTS) is read again before each wait and after each
send. A message that was received is returned without a checkpoint that could cancel and lose it.
"""

from __future__ import annotations

__all__ = ["ZmqSocket"]

from collections.abc import Sequence
from types import TracebackType

import trio
import zmq


class ZmqSocket:
    """One socket of one type, for one task at a time: a context manager."""

    def __init__(self, kind: int) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, 0)

    def __enter__(self) -> ZmqSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._context.term()

    def bind(self, address: str) -> None:
        self._socket.bind(address)

    def connect(self, address: str) -> None:
        self._socket.connect(address)

    async def receive(self) -> list[bytes]:
        """The frames of the next message."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await self._wait(zmq.POLLIN)
            else:
                # Lets others run, also while one message follows another; can't be cancelled.
                await trio.lowlevel.cancel_shielded_checkpoint()
                return frames

    async def send(self, frames: Sequence[bytes]) -> None:
        """Hand a message to ZeroMQ, waiting while it takes none."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                self._socket.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                await self._wait(zmq.POLLOUT)
            else:
                self._socket.getsockopt(zmq.EVENTS)
                return

    async def _wait(self, event: int) -> None:
        events = self._socket.getsockopt(zmq.EVENTS)
        assert isinstance(events, int)
        if not events & event:
            await trio.lowlevel.wait_readable(self._socket.fileno())
