"""An integer linear program, solved exactly by HiGHS (Q. Huangfu and J. A. J. Hall, *Parallelizing
the dual revised simplex method*, Mathematical Programming Computation 10, 2018), as SciPy has it.
"""

from __future__ import annotations

__all__ = ["IntegerProgram", "Limits", "Sum", "Unsolved", "times", "total", "value"]

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Sum = Counter[int]
"""A weighted sum of variables, by number."""
Limits = tuple[Sum, float, float]
"""That a sum is not below the one and not above the other."""

_SECONDS = 60.0
_INFEASIBLE = 2


class Unsolved(Exception):
    """The solver gave up, which says nothing of whether there is a solution."""


@dataclass(slots=True)
class IntegerProgram:
    """Whole numbers of which inequalities are known: make variables, require things, then ask.

    What is asked may come with ``also``: more limits, for this question only. None is the answer
    where nothing fits.
    """

    _bounds: list[tuple[int, int]] = field(default_factory=list)
    _rows: list[Limits] = field(default_factory=list)

    def variable(self, least: int, most: int) -> Sum:
        self._bounds.append((least, most))
        return Sum({len(self._bounds) - 1: 1})

    def yes_or_no(self) -> Sum:
        return self.variable(0, 1)

    def require(self, that: Sum, least: float = -math.inf, most: float = math.inf) -> None:
        self._rows.append((that, least, most))

    def require_if(self, yes: Sum, that: Sum, most: int, never_above: int | None = None) -> None:
        """The sum is not above ``most`` if a yes-or-no is yes.

        ``never_above``, where it is known, is what the sum can't be above in any case; the closer
        it is, the sooner the program is solved.
        """
        beyond = (self._greatest(that) if never_above is None else never_above) - most
        if beyond > 0:
            self.require(total([that, times(yes, beyond)]), most=most + beyond)

    def require_any(self, of: Iterable[Sum]) -> None:
        """At least one yes-or-no is yes."""
        self.require(total(of), least=1)

    def solution(self, also: Sequence[Limits] = (), most: Sum | None = None) -> list[int] | None:
        """The values of all variables: any that fit, or those for which ``most`` is greatest."""
        rows = [*self._rows, *also]
        costs = np.zeros(len(self._bounds))
        for one, weight in (most or {}).items():
            costs[one] = -weight
        matrix = csr_array(
            (
                [float(weight) for row, _, _ in rows for weight in row.values()],
                [one for row, _, _ in rows for one in row],
                np.cumsum([0, *(len(row) for row, _, _ in rows)]),
            ),
            shape=(len(rows), len(costs)),
        )
        limits = LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows])
        # HiGHS (in SciPy 1.17) with presolve called a program infeasible that is not: asked twice.
        for presolve in (True, False):
            found = milp(
                costs,
                integrality=np.ones_like(costs),
                bounds=Bounds(*np.array(self._bounds).T),
                constraints=limits,
                options={"time_limit": _SECONDS, "presolve": presolve},
            )
            if found.status != _INFEASIBLE:
                break
        else:
            return None
        if found.x is None or found.status:
            raise Unsolved(found.message)
        return [round(one) for one in found.x]

    def most(self, of: Sum, also: Sequence[Limits] = ()) -> int | None:
        found = self.solution(also, most=of)
        return None if found is None else value(of, found)

    def least(self, of: Sum, also: Sequence[Limits] = ()) -> int | None:
        found = self.most(times(of, -1), also)
        return None if found is None else -found

    def _greatest(self, of: Sum) -> int:
        return sum(weight * self._bounds[one][weight > 0] for one, weight in of.items())


def value(of: Sum, solution: Sequence[int]) -> int:
    return sum(weight * solution[one] for one, weight in of.items())


def total(sums: Iterable[Sum]) -> Sum:
    made: Sum = Sum()
    for one in sums:
        made.update(one)
    return made


def times(that: Sum, factor: int) -> Sum:
    return Sum({one: factor * weight for one, weight in that.items()})
