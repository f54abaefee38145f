"""Memory in which pictures wait and are worked on, used again for each and overwritten after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Allocate", "Scratch", "on_the_heap", "tensor_of"]

Allocate = Callable[[int], memoryview]
"""Makes so many bytes of zeroed, writable memory for pictures, which lives as long as the view."""

_Number = TypeVar("_Number", bound=np.generic)

_ALIGNED = 64
"""Bytes: a cache line."""
_STEP = 1 << 20
"""Bytes by which scratch grows, or each picture's largest face would make it grow a little."""


def on_the_heap(size: int) -> memoryview:
    """Ordinary memory, for those that have no better."""
    return memoryview(bytearray(size))


def tensor_of(shape: tuple[int, ...], allocate: Allocate) -> NDArray[np.float32]:
    """An array of zeros in memory of its own."""
    size = math.prod(shape)
    if size == 0:
        return np.zeros(shape, np.float32)
    return np.frombuffer(allocate(size * 4), np.float32).reshape(shape)


class Scratch:
    """Room for the arrays between a picture and what a model gets of it.

        part = scratch.array((3, 64, 64), np.float32)
        ...
        scratch.erase()

    Taking such arrays from the heap would cost more than filling them, where freed memory goes back
    to the kernel; and what lay in them would be out of reach. It grows to what one use needs.
    """

    def __init__(self, allocate: Allocate = on_the_heap) -> None:
        """`allocate` makes the memory."""
        self._allocate = allocate
        self._block: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._used = 0
        self._apart: list[NDArray[Any]] = []

    def array(self, shape: tuple[int, ...], kind: type[_Number]) -> NDArray[_Number]:
        """An array that holds anything, to be used until the next `erase`."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        start, end = self._used, self._used + size
        self._used = -(-end // _ALIGNED) * _ALIGNED
        if end > self._block.size:
            # The block grows at the next `erase`: arrays that are in use can't be moved.
            apart: NDArray[_Number] = np.empty(shape, kind)
            self._apart.append(apart)
            return apart
        return self._block[start:end].view(kind).reshape(shape)

    def erase(self) -> None:
        """Overwrite what was used. Arrays from before may not be used any more."""
        for array in self._apart:
            array.fill(0)
        self._apart.clear()
        self._block[: self._used].fill(0)
        if self._used > self._block.size:
            size = -(-self._used // _STEP) * _STEP
            self._block = np.frombuffer(self._allocate(size), np.uint8)
        self._used = 0
