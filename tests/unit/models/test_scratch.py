"""Memory that is used again, and overwritten in between."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.scratch import Scratch

_uses = st.lists(st.lists(st.integers(0, 1 << 20), max_size=5), max_size=5)


@given(_uses)
def test_arrays_share_nothing_and_the_next_use_finds_zeros(
    uses: list[list[int]],
) -> None:
    made: list[memoryview] = []

    def allocate(size: int) -> memoryview:
        made.append(memoryview(bytearray(size)))
        return made[-1]

    scratch = Scratch(allocate)
    for sizes in uses:
        arrays = [scratch.array((size,), np.uint8) for size in sizes]
        for number, array in enumerate(arrays, start=1):
            array.fill(number)
        for number, array in enumerate(arrays, start=1):
            assert array.size == sizes[number - 1]
            assert (array == number).all()
        scratch.erase()
        assert not any(array.any() for array in arrays)
    assert not any(np.frombuffer(memory, np.uint8).any() for memory in made)
    assert len(made) <= len(uses)


def test_it_grows_once_to_what_a_use_needs() -> None:
    sizes: list[int] = []

    def allocate(size: int) -> memoryview:
        sizes.append(size)
        return memoryview(bytearray(size))

    scratch = Scratch(allocate)
    for _ in range(3):
        first = scratch.array((3, 700_000), np.float32)
        second = scratch.array((3, 10), np.uint16)
        assert (first.dtype, second.dtype) == (np.float32, np.uint16)
        scratch.erase()
    assert len(sizes) == 1
    assert sizes[0] >= 8_400_060
