"""Pairs at the least cost, against trying all."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.assignment import assign


@st.composite
def _tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    size = rows * columns
    costs = draw(st.lists(st.floats(0, 100, width=32), min_size=size, max_size=size))
    possible = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    shape = (rows, columns)
    return np.array(costs, np.float32).reshape(shape), np.array(possible, bool).reshape(shape)


def _best(cost: np.ndarray, possible: np.ndarray) -> tuple[int, float]:
    rows, columns = cost.shape
    for count in range(min(rows, columns), 0, -1):
        sums = [
            sum(float(cost[pair]) for pair in zip(some, others, strict=True))
            for some in combinations(range(rows), count)
            for others in permutations(range(columns), count)
            if all(possible[pair] for pair in zip(some, others, strict=True))
        ]
        if sums:
            return count, min(sums)
    return 0, 0.0


@given(_tables())
def test_as_many_pairs_as_can_be_at_the_least_cost(table: tuple[np.ndarray, np.ndarray]) -> None:
    cost, possible = table
    found = assign(cost, possible)
    assert all(possible[pair] for pair in found.items())
    assert len(set(found.values())) == len(found)
    count, least = _best(cost, possible)
    assert len(found) == count
    assert abs(sum(float(cost[pair]) for pair in found.items()) - least) < 1e-3


def test_a_crowd_is_paired() -> None:
    """A hundred faces in a row, each nearest to the body that is the next one's."""
    places = np.arange(100.0)
    cost = np.abs(places[:, None] - (places[None, :] - 0.6))
    found = assign(cost, cost < 2)
    assert found == {index: index for index in range(100)}
