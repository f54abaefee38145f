"""Keeping trio's worker threads away from confined threads.

trio keeps one cache of worker threads for the whole process. From a confined loop,
``trio.to_thread`` would run on a cached thread without walls, and leave one with walls to the
other loops.
"""

from __future__ import annotations

__all__ = ["mark_confined_thread", "refuse_trio_workers"]

import threading
from collections.abc import Callable
from typing import Any

import outcome
import trio._core._thread_cache as trio_threads

from runtime.errors import BlockingRefused


class _Marks(threading.local):
    """What is known of the calling thread. Ends with it."""

    is_confined = False


_marks = _Marks()


class _GuardedCache(trio_threads.ThreadCache):
    """trio's cache, which refuses work that comes from a confined thread."""

    __slots__ = ()

    def start_thread_soon(
        self,
        fn: Callable[[], Any],
        deliver: Callable[[outcome.Outcome[Any]], object],
        name: str | None = None,
    ) -> None:
        if _marks.is_confined:
            raise BlockingRefused(
                "blocking work was given to trio's worker threads from a confined domain (by "
                "trio.to_thread, anyio.to_thread, or trio's files, name look-up or processes). "
                "They serve the whole process and stand outside the domain's walls. Use "
                "self.blocking(...), which runs it on the domain's own workers."
            )
        super().start_thread_soon(fn, deliver, name)


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
