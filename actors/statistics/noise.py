"""Differential privacy for slices, with OpenDP: numbers with noise, and what that costs.

The unit of protection is one person's presence within one slice: with and without any one person,
in however many of its pictures, the chances of every release differ by a factor of at most e^ε
(C. Dwork et al., *Calibrating noise to sensitivity in private data analysis*, TCC 2006). Who stays
at a place all day is protected by what is spent there that day (sequential composition), and that
has a limit: ``epsilon_per_day``. A slice for which nothing is left is not released.

Told are the most people and the mean, with discrete Laplace noise (A. Ghosh, T. Roughgarden,
M. Sundararajan, *Universally utility-maximizing privacy mechanisms*, STOC 2009), half of ε each.
One person changes the peak by 1 at most, and the mean by 1 at most. Groups are not told: somebody
may be estimated differently from picture to picture and so change many of them at once. What is
below k after the noise is withheld as always; that, like all that is done to the numbers
afterwards, costs nothing more. Pictures and coverage are taken to depend on the machine alone.

What was spent is the sum over the slices that are stored: a slice and what it cost are one row, so
that no crash can part them.
"""

from __future__ import annotations

__all__ = ["NoisyRelease", "load_library"]

import importlib
import math
from collections.abc import Callable
from typing import Any

from actors.statistics.groups import EVERYBODY
from actors.statistics.release import ReleasedPeople, at_least
from actors.statistics.slices import PeopleSlice

_LIBRARY = "opendp.prelude"
_MOST = 9_999
_TENTHS = 10


def load_library() -> Any:
    """OpenDP, for which a domain must ask before its walls stand: it is loaded from a file."""
    library = importlib.import_module(_LIBRARY)
    library.enable_features("contrib")  # what has proofs and was not vetted by a second team yet
    return library


class NoisyRelease:
    """The gate for slices of people where noise is asked for; takes the place of
    ``release_people``. ``thousandths`` is the ε of each slice."""

    def __init__(self, thousandths: int) -> None:
        library = load_library()
        self.thousandths = thousandths
        half = thousandths / 2000
        self._peak = _laplace(library, sensitivity=1, epsilon=half)
        self._mean = _laplace(library, sensitivity=_TENTHS, epsilon=half)

    def __call__(self, raw: PeopleSlice, k: int) -> ReleasedPeople:
        everybody = raw.of(EVERYBODY)
        # Rounded down, a mean changes by no more than the tenths that one person is.
        exact = _TENTHS * everybody.in_all // raw.pictures
        peak = min(self._peak(everybody.peak), _MOST)
        mean = min(self._mean(exact), _TENTHS * peak)
        return ReleasedPeople(
            place=raw.place,
            start=raw.start,
            end=raw.end,
            k=k,
            pictures=at_least(raw.pictures),
            coverage_tenths=raw.coverage_tenths,
            peak=peak if peak >= k else None,
            mean_tenths=mean if peak >= k and mean >= _TENTHS * k else None,
            noise_thousandths=self.thousandths,
        )


def _laplace(library: Any, sensitivity: int, epsilon: float) -> Callable[[int], int]:
    """Noise for a whole number that one person changes by ``sensitivity`` at most."""
    scale = sensitivity / epsilon
    while True:
        mechanism = library.m.make_laplace(
            library.atom_domain(T="i32"), library.absolute_distance(T="i32"), scale=scale
        )
        if mechanism.map(sensitivity) <= epsilon:  # by the library's own conservative arithmetic
            return mechanism  # type: ignore[no-any-return]
        scale = math.nextafter(scale, math.inf)
