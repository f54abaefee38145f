"""Where pictures lie while they are looked at."""

from __future__ import annotations

__all__ = ["PictureMemory"]

import weakref
from typing import Any, ClassVar

from models import Arena
from runtime.memory import BufferPool, Lease, LockedMemory, Protection, protect


class PictureMemory:
    """Locked memory for pictures, and for the numbers that detectors make of them.

    One for each actor; the arena of ONNX Runtime is shared by all of a process.
    """

    erases: ClassVar[bool] = True
    """Benchmarks set it to False before a pole starts, to learn what erasing costs. Then nothing is
    overwritten or locked; it is no setting, and nothing else may touch it."""

    def __init__(self, *, picture: int = 0) -> None:
        """``picture``: bytes of one, where that is known already. Larger ones get theirs."""
        self._pictures = BufferPool(picture, count=1 if picture else 0)
        self._made: list[tuple[weakref.ref[Any], Protection, int]] = []
        self._arena_locked = 0
        self._arena_protection = Protection(True, True, True)

    def lease(self, size: int) -> Lease:
        """Room for one picture, in bytes, until it is released and overwritten."""
        return self._pictures.lease(size)

    def allocate(self, size: int) -> memoryview:
        """Room for a detector's input (``models.Allocate``), as long as a view of it is kept."""
        made = LockedMemory(size)
        block = made.block()
        self._made.append((weakref.ref(block), made.protection, size))
        return memoryview(block).cast("B")

    def lock(self, arena: Arena) -> None:
        """Lock what the arena is seen to use; it grows with the first pictures of a size."""
        if arena.used > self._arena_locked:
            self._arena_locked = arena.used
            self._arena_protection = protect(arena.address, arena.used)

    @property
    def lacking(self) -> str:
        """What the kernel refused, for people; empty where nothing was."""
        made = (protection for protection, _ in self._in_use())
        found = (self._pictures.protection(), *made, self._arena_protection)
        return next((one.lacking for one in found if one.lacking), "")

    @property
    def unlocked(self) -> int:
        """Bytes that may be swapped out."""
        return (
            self._pictures.statistics().unlocked
            + sum(size for protection, size in self._in_use() if not protection.locked)
            + (0 if self._arena_protection.locked else self._arena_locked)
        )

    def _in_use(self) -> list[tuple[Protection, int]]:
        """What was allocated, without what a larger piece has replaced."""
        self._made = [entry for entry in self._made if entry[0]() is not None]
        return [(protection, size) for _, protection, size in self._made]
