"""The memory in which ONNX Runtime computes, in one known place, so that it can be overwritten.

What a model computes from a picture, above all in its first layers, is the picture in another form.
ONNX Runtime keeps such memory for the next run. Switching that off costs a quarter of the speed,
and what is freed stays in the process's heap all the same. So the process has one arena for all
sessions, reserved as one block whose address is found out, and overwritten after each picture.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.library import onnxruntime

__all__ = ["Arena"]

_RESERVED = 1 << 30
"""Bytes of addresses, not of memory: what is never computed with takes none. A picture takes about
110 bytes a pixel."""
_STRIDE = 256 * 1024
_SAMPLE = 256
_DONT_NEED = 4
"""MADV_DONTNEED of Linux; see madvise(2)."""
_ERRORS_ONLY = 3

_RELU = (
    b'\x08\x08:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04'
    b"\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""A model (ONNX IR 8, opset 13) with the one node y = Relu(x), each of one number. All it allocates
is its output, and the first thing that an arena hands out lies where it begins."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Arena:
    """ONNX Runtime's memory for all sessions of this process that are opened with it.

        arena = Arena.of_process()
        session = open_session(model, arena=arena)
        with arena.in_use():
            ...  # run sessions; keep no output array
        # overwritten

    One thread at a time, in the order of asking: a second waits, since nothing may be overwritten
    under another's hands.
    Models' weights do not lie there. Memory of a GPU is another matter, and not covered.
    """

    _of_process: ClassVar[Arena | None] = None
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, address: int, size: int) -> None:
        """Called by ``of_process`` alone."""
        self.address = address
        """Where it begins."""
        self.size = size
        """Bytes that are reserved."""
        self.used = 0
        """Bytes from the beginning that runs have been seen to touch; it grows."""
        self._turns = _Turns()
        block = (ctypes.c_ubyte * size).from_address(address)
        self._bytes: NDArray[np.uint8] = np.frombuffer(memoryview(block), np.uint8)

    @classmethod
    def of_process(cls) -> Arena:
        """The arena, made by the first call.

        Raises ``ModelError`` where ONNX Runtime puts it where it can't be found.
        """
        with cls._making:
            if cls._of_process is None:
                cls._of_process = cls(*_reserve())
            return cls._of_process

    @contextmanager
    def in_use(self, *, erase: bool = True) -> Iterator[None]:
        """Have it alone; at the end, all that was computed is overwritten.

        Only benchmarks have a use for ``erase=False``.
        """
        with self._turns:
            try:
                yield
            finally:
                if erase:
                    self.erase()

    def erase(self) -> None:
        """Overwrite what was used, and give the kernel back whatever lies behind it."""
        self._learn_used()
        page = mmap.PAGESIZE
        start = -(-(self.address + self.used) // page) * page
        end = (self.address + self.size) // page * page
        ctypes.memset(self.address, 0, start - self.address)
        # Dropped pages read as zeros. Only what never was in use before gets there, so that this
        # costs next to nothing; pages that come anew at each picture would cost a fifth of it.
        if _libc.madvise(start, end - start, _DONT_NEED) != 0:
            ctypes.memset(start, 0, end - start)
        ctypes.memset(end, 0, self.address + self.size - end)

    def _learn_used(self) -> None:
        """Where a few bytes behind the known part aren't zero, look for the end of them all."""
        behind = self._bytes[self.used : self.used + 8 * _STRIDE]
        if behind.size and self._samples(behind, _STRIDE // 4).any():
            samples = self._samples(self._bytes, _STRIDE)
            last = int(np.nonzero(samples)[0][-1]) if samples.any() else 0
            self.used = min(self.size, max(self.used, (last + 2) * _STRIDE))

    @staticmethod
    def _samples(memory: NDArray[np.uint8], stride: int) -> NDArray[np.bool_]:
        whole = memory[: memory.size // stride * stride].reshape(-1, stride)
        return np.asarray(whole[:, :_SAMPLE].any(axis=1))


class _Turns:
    """A lock that goes to who has waited longest. Of ``threading.Lock`` whoever gives it back may
    get it again at once, and one camera all of the machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until it is handed over, still taken

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


def _reserve() -> tuple[int, int]:
    """Address and size of ONNX Runtime's shared arena on the CPU, made now."""
    who = "ONNX Runtime's arena"
    try:
        onnxruntime.create_and_register_allocator(
            onnxruntime.OrtMemoryInfo(
                "Cpu",
                onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
                0,
                onnxruntime.OrtMemType.DEFAULT,
            ),
            # One region that is never followed by a second: what does not fit is an error.
            onnxruntime.OrtArenaCfg(
                {
                    "max_mem": _RESERVED,
                    "arena_extend_strategy": 0,
                    "initial_chunk_size_bytes": _RESERVED,
                }
            ),
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.use_env_allocators", "1")
        session = onnxruntime.InferenceSession(_RELU, options, providers=["CPUExecutionProvider"])
        zero = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32))
        (output,) = session.run_with_ort_values(["y"], {"x": zero})
        address: int = output.data_ptr()
    except Exception as error:
        # ONNX Runtime's exceptions share no base class that it exports.
        raise ModelError(who, "cannot be made", why=str(error).strip()) from error
    # A block that glibc allocated knows its size; anything else there is not the block's beginning.
    usable = getattr(_libc, "malloc_usable_size", None)
    if usable is None:
        raise ModelError(who, "cannot be found", why="the C library does not tell sizes of blocks")
    usable.argtypes, usable.restype = (ctypes.c_void_p,), ctypes.c_size_t
    size: int = usable(address)
    if not _RESERVED // 8 <= size <= _RESERVED + (1 << 20):
        raise ModelError(who, "does not begin where its first output lies")
    return address, min(size, _RESERVED)
