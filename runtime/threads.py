"""Keeping what a process shares away from confined threads: trio's workers, the standard streams.

trio keeps one cache of worker threads for the whole process. From a confined loop,
``trio.to_thread`` would run on a cached thread without walls, and leave one with walls to the
other loops. And what a confined thread prints would wait in a buffer, for an unconfined thread to
write it out.
"""

from __future__ import annotations

__all__ = [
    "guard_standard_streams",
    "is_confined_thread",
    "mark_confined_thread",
    "refuse_trio_workers",
]

import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import outcome
import trio._core._thread_cache as trio_threads

from runtime.errors import BlockingRefused, PrintingRefused


class _Marks(threading.local):
    """What is known of the calling thread. Ends with it."""

    is_confined = False


_marks = _Marks()


def is_confined_thread() -> bool:
    """Whether the calling thread is marked, or the kernel holds it.

    A thread that was started from a confined one stands within the same walls, and nobody has
    marked it. So this makes a system call that no domain's filter lets pass, and that is never
    refused otherwise.
    """
    if not _marks.is_confined:
        try:
            os.getsid(0)
        except PermissionError:
            _marks.is_confined = True
    return _marks.is_confined


class _GuardedCache(trio_threads.ThreadCache):
    """trio's cache, which refuses work that comes from a confined thread."""

    __slots__ = ()

    def start_thread_soon(
        self,
        fn: Callable[[], Any],
        deliver: Callable[[outcome.Outcome[Any]], object],
        name: str | None = None,
    ) -> None:
        if is_confined_thread():
            raise BlockingRefused(
                "blocking work was given to trio's worker threads from a confined domain (by "
                "trio.to_thread, anyio.to_thread, or trio's files, name look-up or processes). "
                "They serve the whole process and stand outside the domain's walls. Use "
                "self.blocking(...), which runs it on the domain's own workers."
            )
        super().start_thread_soon(fn, deliver, name)


_PRINTS_NOTHING = (
    "a confined domain prints nothing: it would wait in a buffer until an unconfined thread writes "
    "it out. Use self.log."
)


class _GuardedStream:
    """A standard stream that takes nothing from a confined thread, not even into its buffer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if is_confined_thread():
            raise PrintingRefused(_PRINTS_NOTHING)
        written: int = self._stream.write(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "detach", "reconfigure") and is_confined_thread():
            raise PrintingRefused(_PRINTS_NOTHING)
        return getattr(self._stream, name)


def guard_standard_streams() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` refuse marked threads. Once is enough."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _GuardedStream):
            setattr(sys, name, _GuardedStream(stream))


def mark_confined_thread() -> None:
    """From now on the calling thread gets no trio worker, if ``refuse_trio_workers`` was called."""
    _marks.is_confined = True


def refuse_trio_workers() -> None:
    """Make trio refuse workers to marked threads; all others get them as before. Once is enough.

    Everything that trio starts a thread for goes through this cache, whatever name it was
    imported by.
    """
    cache = trio_threads.THREAD_CACHE
    if not isinstance(cache, _GuardedCache):
        guarded = _GuardedCache()
        # Idle workers keep their own way back to the cache they came from, and end in it.
        trio_threads.THREAD_CACHE = guarded
