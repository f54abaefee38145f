"""Bytes on their way into a non-blocking socket."""

from __future__ import annotations

__all__ = ["Outgoing"]

import socket
from collections import deque


class Outgoing:
    """What a socket has not taken yet, oldest first. It never blocks and never waits."""

    __slots__ = ("_pieces", "_socket", "size")

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pieces: deque[memoryview] = deque()
        self.size = 0
        """Bytes that wait."""

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, data: bytes) -> None:
        self._pieces.append(memoryview(data))
        self.size += len(data)

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
            try:
                sent = self._socket.send(pieces[0], socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.clear()
                raise
            self.size -= sent
            if sent == len(pieces[0]):
                pieces.popleft()
            else:
                pieces[0] = pieces[0][sent:]
        return before - self.size
