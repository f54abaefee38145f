"""Which part of a camera's picture is looked at. The rest is black before any model sees it."""

from __future__ import annotations

__all__ = ["Polygon", "Region", "why_no_polygon"]

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Polygon = tuple[tuple[float, float], ...]
"""Corners as shares of the picture's width and height, each from 0 (left, top) to 1."""

_MOST_CORNERS = 64


def why_no_polygon(corners: Sequence[Sequence[float]]) -> str:
    """What is wrong with a polygon, as what was expected; empty where nothing is."""
    if not 3 <= len(corners) <= _MOST_CORNERS:
        return f"a polygon of 3 to {_MOST_CORNERS} corners, each [x, y]"
    if any(not 0 <= part <= 1 for corner in corners for part in corner):
        return "corners as shares of the picture, from 0 to 1"
    x, y = np.array(corners).T
    if abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) < 1e-6:
        return "a polygon that encloses something"
    return ""


class Region:
    """What of a picture is looked at: inside one polygon, and outside some others.

        region = Region(within=settings.region, masked=settings.masked)
        looked_at = region.cut(rgb)

    Where a neighbour's window is, or a place that is none of the pole's business, nothing is
    detected, because there is nothing but black (guideline 6.1: no more than the purpose needs).
    """

    def __init__(self, *, within: Polygon = (), masked: Sequence[Polygon] = ()) -> None:
        """Without ``within``, all of the picture."""
        self._within = within
        self._masked = tuple(masked)
        self._size = (0, 0)
        self._black: NDArray[np.bool_] | None = None
        self._box = (slice(None), slice(None))

    def cut(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Black out, in place, what must not be looked at, and return the part that is left: a view
        of the upright rectangle around the region."""
        if not self._within and not self._masked:
            return rgb
        if rgb.shape[:2] != self._size:
            self._draw(*rgb.shape[:2])
        part = rgb[self._box]
        if self._black is not None:
            np.copyto(part, 0, where=self._black)
        return part

    def _draw(self, height: int, width: int) -> None:
        self._size = (height, width)
        if self._within:
            x, y = np.array(self._within).T
            left, top = int(x.min() * width), int(y.min() * height)
            right = max(left + 1, int(np.ceil(x.max() * width)))
            bottom = max(top + 1, int(np.ceil(y.max() * height)))
            self._box = (slice(top, bottom), slice(left, right))
        black = np.zeros((height, width), bool)
        if self._within:
            black |= ~_inside(self._within, height, width)
        for polygon in self._masked:
            black |= _touched(polygon, height, width)
        black = np.ascontiguousarray(black[self._box])
        self._black = black[:, :, None] if black.any() else None


def _inside(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose middle lies in the polygon (even-odd rule)."""
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    inside = np.zeros((height, width), bool)
    for (x, y), (next_x, next_y) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if y == next_y:
            continue
        crossed = (rows >= min(y, next_y)) & (rows < max(y, next_y))
        at = x + (rows[crossed] - y) * (next_x - x) / (next_y - y)
        inside[crossed] ^= columns[None, :] >= at[:, None]
    return inside


def _touched(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels in the polygon and those beside it, so that its edge hides rather too much."""
    inside = _inside(polygon, height, width)
    wide = inside.copy()
    wide[1:] |= inside[:-1]
    wide[:-1] |= inside[1:]
    inside = wide.copy()
    wide[:, 1:] |= inside[:, :-1]
    wide[:, :-1] |= inside[:, 1:]
    return wide
