"""How this process keeps memory, and how some of it is kept for what may never leave it.

``LockedMemory`` is memory from the kernel that is not swapped out, not in a core dump and not in a
forked child. ``BufferPool`` lends such memory out and overwrites it when it comes back:

    with pool.lease(size) as lease:
        lease.memory[:4] = b"some"

All of it works in a domain that may do no more than map, unmap, lock and advise anonymous memory.
"""

from __future__ import annotations

__all__ = [
    "BufferPool",
    "Lease",
    "LockedMemory",
    "PoolStatistics",
    "Protection",
    "keep_large_blocks_apart",
    "overwriting_what_is_freed",
    "protect",
    "share_one_heap",
]

import ctypes
import errno
import mmap
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import msgspec

_M_ARENA_MAX, _M_PERTURB, _M_MMAP_THRESHOLD = -8, -6, -3
"""From glibc's malloc.h; see mallopt(3)."""
_LARGE = 256 * 1024
_NO_DUMP, _NO_FORK = 16, 10
"""MADV_DONTDUMP and MADV_DONTFORK of Linux; see madvise(2)."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def share_one_heap() -> None:
    """Have all threads use one heap. Call it before any thread is started.

    glibc gives each thread a heap of its own, and what one frees the others can't use: with worker
    threads that handle whole pictures, a pole's memory would grow by a fifth for nothing.
    Without effect where the C library is not glibc.
    """
    _mallopt(_M_ARENA_MAX, 1)


def keep_large_blocks_apart() -> None:
    """From now on, blocks of 256 KiB and more mostly go back to the kernel when they are freed.

    Such as a decoder's pictures: what lay in them is gone then. glibc would otherwise learn from
    the first such block to keep the next ones in its heap. A block may still come from the heap
    where it has room. Without effect where the C library is not glibc.
    """
    _mallopt(_M_MMAP_THRESHOLD, _LARGE)


@contextmanager
def overwriting_what_is_freed() -> Iterator[None]:
    """Have the heap overwrite whatever this process frees meanwhile, of more than a kilobyte.

    It slows all threads a little. Without effect where the C library is not glibc.
    """
    _mallopt(_M_PERTURB, 0xFF)
    try:
        yield
    finally:
        _mallopt(_M_PERTURB, 0)


def _mallopt(option: int, value: int) -> None:
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(option, value)


class Protection(msgspec.Struct, frozen=True):
    """What the kernel promised for a piece of memory."""

    locked: bool
    """Never written to swap."""
    left_out_of_dumps: bool
    left_out_of_forks: bool
    """A forked child does not have it."""
    lacking: str = ""
    """What was refused and what would help, for people; empty where nothing was."""


def protect(address: int, size: int, *, lock: bool = True) -> Protection:
    """Lock the pages that lie wholly or partly in these bytes; leave them out of dumps and forks.

    Locking makes the pages resident; without ``lock`` that is not even tried. Where the kernel
    refuses something, the answer says so.
    """
    page = mmap.PAGESIZE
    start = address // page * page
    length = -(-(address + size - start) // page) * page
    refused = []
    locked = lock and _libc.mlock(start, length) == 0
    if lock and not locked:
        code = errno.errorcode.get(ctypes.get_errno(), "?")
        refused.append(
            f"{length / 2**20:.0f} MiB could not be locked ({code}) and may be swapped out; "
            "raise RLIMIT_MEMLOCK (LimitMEMLOCK= in a systemd unit)"
        )
    no_dump = _libc.madvise(start, length, _NO_DUMP) == 0
    no_fork = _libc.madvise(start, length, _NO_FORK) == 0
    if not (no_dump and no_fork):
        refused.append("the kernel did not leave memory out of dumps and forks")
    return Protection(locked, no_dump, no_fork, "; ".join(refused))


class LockedMemory:
    """Memory of its own mapping, zeroed and protected as far as the kernel allows.

    It is unmapped when nothing refers to it or to a view of it any more.
    """

    def __init__(self, size: int) -> None:
        """``size`` in bytes. Raises OSError where there is no memory."""
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.size = size
        self.protection = protect(ctypes.addressof(self.block()), size)

    def block(self) -> ctypes.Array[ctypes.c_ubyte]:
        """A new object over all the bytes. Every view made of it keeps it alive, and no other."""
        return (ctypes.c_ubyte * self.size).from_buffer(self._map)

    def erase(self) -> None:
        """Overwrite all of it with zeros."""
        ctypes.memset(ctypes.addressof(self.block()), 0, self.size)


class Lease:
    """A buffer that is lent out until ``release``, or to the end of a ``with``.

    Nothing can take back a view of ``memory`` that someone keeps, a numpy array for instance.
    Such a view reads zeros after the release, and for ever: its buffer is not lent out again.
    A copy that someone made is beyond anyone's reach.
    """

    def __init__(self, pool: BufferPool, buffer: LockedMemory, size: int) -> None:
        self._pool = pool
        self._buffer: LockedMemory | None = buffer
        self._block: ctypes.Array[ctypes.c_ubyte] | None = buffer.block()
        self._size = size

    @property
    def memory(self) -> memoryview:
        """The bytes, to be written and read. Raises ValueError after the release."""
        if self._block is None:
            raise ValueError("the lease has been released, and its memory may not be used any more")
        return memoryview(self._block).cast("B")[: self._size]

    def release(self) -> None:
        """Overwrite the buffer and give it back. Does nothing the second time."""
        buffer, block = self._buffer, self._block
        if buffer is None or block is None:
            return
        buffer.erase()
        kept = weakref.ref(block)
        self._buffer = self._block = block = None
        self._pool._take_back(buffer, is_kept=kept() is not None)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class PoolStatistics(msgspec.Struct, frozen=True):
    """What a pool has lent."""

    lent: int
    """Buffers that are out now."""
    free: int
    """Buffers that wait."""
    retired: int
    """Buffers given up because a view of them was kept beyond the lease."""
    unlocked: int
    """Bytes that the kernel did not lock, of those out and those that wait."""


class BufferPool:
    """Lends locked buffers of one size, and overwrites each when it comes back.

    ``count`` of them are made at once; more are made when all are out. Asking for more bytes than
    the buffers have makes new ones of that size, and lets the smaller ones go.
    May be used by several threads.
    """

    def __init__(self, size: int, count: int = 1) -> None:
        """``size`` in bytes."""
        self._size = size
        self._free = [LockedMemory(size) for _ in range(count)]
        self._out: list[LockedMemory] = []
        self._retired = 0
        self._lock = threading.Lock()

    def lease(self, size: int) -> Lease:
        """A buffer of zeros with at least ``size`` bytes, of which the lease shows that many."""
        with self._lock:
            if size > self._size:
                self._size = size
                self._free.clear()
            buffer = self._free.pop() if self._free else LockedMemory(self._size)
            self._out.append(buffer)
        return Lease(self, buffer, size)

    def protection(self) -> Protection:
        """What the kernel promised for the buffers at hand."""
        with self._lock:
            for buffer in (*self._free, *self._out):
                if buffer.protection.lacking:
                    return buffer.protection
        return Protection(True, True, True)

    def statistics(self) -> PoolStatistics:
        with self._lock:
            return PoolStatistics(
                lent=len(self._out),
                free=len(self._free),
                retired=self._retired,
                unlocked=sum(
                    buffer.size
                    for buffer in (*self._free, *self._out)
                    if not buffer.protection.locked
                ),
            )

    def _take_back(self, buffer: LockedMemory, *, is_kept: bool) -> None:
        with self._lock:
            self._out.remove(buffer)
            if is_kept:
                self._retired += 1
            elif buffer.size >= self._size:
                self._free.append(buffer)
