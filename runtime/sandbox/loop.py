"""The descriptors by which a trio loop waits and is woken."""

from __future__ import annotations

__all__ = ["LoopDescriptors", "loop_descriptors"]

from dataclasses import dataclass

import trio
import trio._core._run as trio_run


@dataclass(frozen=True, slots=True)
class LoopDescriptors:
    """Of one running loop: what it waits with, and the two pairs of sockets that wake it."""

    epoll: int
    wakeups: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        return (self.epoll, *self.wakeups)


def loop_descriptors() -> LoopDescriptors | None:
    """Those of the loop that runs in the calling thread; None where none does.

    trio has no public name for them. Where a later trio has moved them this raises
    AttributeError: better than a loop that can't be woken.
    """
    if not trio.lowlevel.in_trio_run():
        return None
    runner = trio_run.GLOBAL_RUN_CONTEXT.runner
    loop = runner.io_manager
    pairs = (runner.entry_queue.wakeup, loop._force_wakeup)
    return LoopDescriptors(
        epoll=loop._epoll.fileno(),
        wakeups=tuple(
            end.fileno() for pair in pairs for end in (pair.wakeup_sock, pair.write_sock)
        ),
    )
