"""Bytes on their way into a non-blocking socket."""

from __future__ import annotations

__all__ = ["Outgoing"]

import socket
from collections import deque

_AT_ONCE = 256 * 1024
"""Bytes up to which pieces go together: each call may wake whoever reads at the other end, which
costs more than copying them."""


class Outgoing:
    """What a socket has not taken yet, oldest first. It never blocks and never waits."""

    __slots__ = ("_pieces", "_socket", "size")

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pieces: deque[bytes | memoryview] = deque()
        self.size = 0
        """Bytes that wait."""

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, *pieces: bytes) -> None:
        self._pieces.extend(pieces)
        self.size += sum(map(len, pieces))

    def clear(self) -> None:
        self._pieces.clear()
        self.size = 0

    def flush(self) -> int:
        """Send what the socket takes now, and say how many bytes that was.

        Raises OSError, with nothing left to be sent, where the other end is gone.
        """
        before = self.size
        pieces = self._pieces
        while pieces:
            first = self._first()
            try:
                sent = self._socket.send(first, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.clear()
                raise
            self.size -= sent
            if sent < len(first):
                pieces.appendleft(memoryview(first)[sent:])
                if not sent:
                    break
        return before - self.size

    def _first(self) -> bytes | memoryview:
        """Take out the oldest pieces that go together."""
        pieces = self._pieces
        first = pieces.popleft()
        together, size = [first], len(first)
        while pieces and size + len(pieces[0]) <= _AT_ONCE:
            together.append(pieces.popleft())
            size += len(together[-1])
        return b"".join(together) if len(together) > 1 else first
