"""Boxes in a picture. All of it numpy on whole arrays.

Coordinates are pixels, columns x to the right and rows y down, from the picture's upper left
corner; pixel (0, 0) covers the square from 0 to 1. Arrays of boxes are float32 with one row of
(left, top, right, bottom) a box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "Square",
    "areas",
    "boxes_array",
    "intersections",
    "iou",
    "padded_side",
    "suppress",
]

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]


class Box(msgspec.Struct, frozen=True):
    """A rectangle in a picture, in pixels. It may reach beyond the picture."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        """Column and row of the middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def widened(self, fraction: float) -> Box:
        """The box with `fraction` of its width and height added on every side."""
        x, y = self.width * fraction, self.height * fraction
        return Box(self.left - x, self.top - y, self.right + x, self.bottom + y)


class Square(msgspec.Struct, frozen=True):
    """A square cut-out, upright or turned. It may reach beyond the picture."""

    x: float
    """Column of its middle, in pixels."""
    y: float
    """Row of its middle."""
    side: float
    """Pixels."""
    angle: float = 0.0
    """Radians by which its upper edge runs down to the right."""

    @property
    def box(self) -> Box:
        """The upright box around it."""
        half = self.side / 2 * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))
        return Box(self.x - half, self.y - half, self.x + half, self.y + half)


def boxes_array(boxes: Iterable[Box]) -> Floats:
    """The boxes as an array of shape (n, 4)."""
    rows = [(box.left, box.top, box.right, box.bottom) for box in boxes]
    return np.array(rows, np.float32).reshape(-1, 4)


def areas(boxes: Floats) -> Floats:
    """Area of each box; 0 for one turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersections(first: Floats, second: Floats) -> Floats:
    """Area that each of `first` (n) shares with each of `second` (m): shape (n, m)."""
    upper_left = np.maximum(first[:, None, :2], second[None, :, :2])
    lower_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(lower_right - upper_left, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of each of `first` with each of `second`, 0 to 1: shape (n, m)."""
    return _over_union(intersections(first, second), areas(first), areas(second))


def _over_union(shared: Floats, first: Floats, second: Floats) -> Floats:
    """What boxes of these areas share, by what they cover together."""
    union = first[:, None] + second[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def suppress(
    boxes: Floats, scores: Floats, threshold: float, *, inside: float = 1.0
) -> NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes to keep, best score first.

    A box goes when it overlaps a kept, better one by more than `threshold` (intersection over
    union), or when more than the share `inside` of the smaller of the two lies in the other. Of
    equal scores the earlier box wins, so the result depends on nothing but the input.
    """
    order = np.argsort(-scores, kind="stable")
    if order.size < 2:
        return order
    ordered = boxes[order]
    sizes, shared = areas(ordered), intersections(ordered, ordered)
    overlaps = _over_union(shared, sizes, sizes) > threshold
    if inside < 1:
        overlaps |= shared > inside * np.minimum(sizes[:, None], sizes[None, :])
    alive = np.ones(order.size, bool)
    for place in range(order.size - 1):
        if alive[place]:
            alive[place + 1 :] &= ~overlaps[place, place + 1 :]
    return order[alive]


def padded_side(side: int, multiple: int) -> int:
    """The next multiple of `multiple` that is at least `side`."""
    return -(-side // multiple) * multiple
