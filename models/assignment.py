"""Pairs two kinds of things, each with at most one of the other: the assignment problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign"]


def assign(cost: NDArray[np.floating], possible: NDArray[np.bool_]) -> dict[int, int]:
    """Row -> column: as many pairs as can be made, and among those the least cost in sum.

    `cost` (n x m, finite, 0 or more) says what a pair costs, `possible` (n x m) which pairs may be
    made. The Hungarian method with shortest augmenting paths (Kuhn 1955; Jonker and Volgenant
    1987), O(n² m) with the inner loop in numpy.
    """
    rows, columns = possible.shape
    if not possible.any():
        return {}
    finite = np.where(possible, cost, 0).astype(np.float64)
    # Dearer than any set of pairs: no sum of costs outweighs one pair more.
    alone = float(finite.max()) * min(rows, columns) + 1
    # One column more for each row, in which it stays alone.
    table = np.full((rows, columns + rows), np.inf)
    table[:, :columns][possible] = finite[possible]
    table[np.arange(rows), columns + np.arange(rows)] = alone
    row_of = _solve(table)
    return {int(row): column for column, row in enumerate(row_of[:columns]) if row >= 0}


def _solve(table: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each column the row that it goes to, or -1. Every row gets a column."""
    rows, columns = table.shape
    row_of = np.full(columns + 1, -1)  # the last is a column outside, from which paths start
    of_rows, of_columns = np.zeros(rows), np.zeros(columns)
    for row in range(rows):
        row_of[columns] = row
        column = columns
        shortest = np.full(columns, np.inf)
        before = np.full(columns, columns)
        visited = np.zeros(columns + 1, bool)
        while row_of[column] >= 0:
            visited[column] = True
            here = row_of[column]
            reduced = table[here] - of_rows[here] - of_columns
            nearer = ~visited[:columns] & (reduced < shortest)
            shortest[nearer] = reduced[nearer]
            before[nearer] = column
            open_ = np.where(visited[:columns], np.inf, shortest)
            column = int(np.argmin(open_))
            step = open_[column]
            of_rows[row_of[visited]] += step
            of_columns[visited[:columns]] -= step
            shortest[~visited[:columns]] -= step
        while column != columns:
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    return row_of[:columns]
