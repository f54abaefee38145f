"""A domain's own worker threads, for work that blocks or computes for long.

trio keeps one cache of worker threads for the whole process. A domain under a sandbox must not use
it: its work would run on a thread that another domain started, outside of its own walls, and leave
a thread behind that another domain finds confined. So each domain has threads of its own, started
after its walls stand, which they inherit.
"""

from __future__ import annotations

__all__ = ["Workers", "run_blocking"]

import contextvars
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")

_MOST_THREADS = 16

_current: trio.lowlevel.RunVar[Workers | None] = trio.lowlevel.RunVar("workers", None)
_Job = Callable[[], None]


class Workers:
    """The threads of one domain's loop: an asynchronous context manager.

    Threads start when they are needed, ``at_most`` of them, and end with the block. ``begin`` is
    called in each of them first, ``end`` last.
    """

    def __init__(
        self,
        name: str,
        *,
        at_most: int = _MOST_THREADS,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._limiter = trio.CapacityLimiter(at_most)
        self._begin, self._end = begin, end
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._before: Workers | None = None

    async def __aenter__(self) -> Workers:
        self._before = _current.get()
        _current.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _current.set(self._before)
        # Every job is over: whoever waits for one can't be cancelled meanwhile.
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run it in a thread, in the caller's context, and return what it returns.

        It can't be abandoned: one that is cancelled meanwhile waits for it all the same.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        async with self._limiter:
            task = trio.lowlevel.current_task()
            token = trio.lowlevel.current_trio_token()
            context = contextvars.copy_context()

            def job() -> None:
                result = outcome.capture(context.run, function, *arguments)
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)

            self._busy += 1
            try:
                self._hand_out(job)
                result: Any = await trio.lowlevel.wait_task_rescheduled(_can_not_abort)
            finally:
                self._busy -= 1
            return result  # type: ignore[no-any-return]

    def _hand_out(self, job: _Job) -> None:
        if len(self._threads) < self._busy:
            thread = threading.Thread(
                target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        self._jobs.put(job)

    def _work(self) -> None:
        try:
            self._begin()
            while (job := self._jobs.get()) is not None:
                job()
                del job  # or what it worked on would live until the next one
        finally:
            self._end()


def _can_not_abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


async def run_blocking(function: Callable[..., T], *arguments: object) -> T:
    """Run a function that blocks in a thread of this domain's workers.

    In a loop that has none, which is no domain's (a command's, a test's), trio's own do it.
    """
    workers = _current.get()
    if workers is None:
        return await trio.to_thread.run_sync(function, *arguments)
    return await workers.run(function, *arguments)
