"""Boxes in a picture, and cutting pictures to them. All of it numpy on whole arrays.

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
    "crop_resize",
    "crop_square",
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
    shared = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - shared
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
    overlaps = iou(ordered, ordered) > threshold
    if inside < 1:
        sizes = areas(ordered)
        smaller = np.minimum(sizes[:, None], sizes[None, :])
        overlaps |= intersections(ordered, ordered) > inside * smaller
    alive = np.ones(order.size, bool)
    for place in range(order.size - 1):
        if alive[place]:
            alive[place + 1 :] &= ~overlaps[place, place + 1 :]
    return order[alive]


def padded_side(side: int, multiple: int) -> int:
    """The next multiple of `multiple` that is at least `side`."""
    return -(-side // multiple) * multiple


def crop_resize(picture: Picture, box: Box, out: Floats) -> None:
    """Cut `box` out of a picture and scale it bilinearly into `out`, in place.

    `picture` is uint8 of shape (H, W, 3), `out` float32 of shape (3, h, w) and gets values 0 to 255
    in the picture's channel order. What lies outside the picture is black. Where several pixels
    fall into one, whole numbers of them are averaged first. All intermediate copies are overwritten
    before this returns.
    """
    if not (box.width > 0 and box.height > 0):
        out.fill(0)
        return
    rows = _axis(box.top, box.bottom, out.shape[1])
    columns = _axis(box.left, box.right, out.shape[2])
    patch = _patch(picture, rows, columns)
    upper = patch[rows.cells]
    lower = patch[rows.cells + 1]
    _blend(upper, lower, rows.fractions[:, None, None])
    left = upper[:, columns.cells]
    right = upper[:, columns.cells + 1]
    _blend(left, right, columns.fractions[None, :, None])
    np.copyto(out, left.transpose(2, 0, 1))
    for copy in (patch, upper, lower, left, right):
        copy.fill(0)


def crop_square(picture: Picture, square: Square, out: Floats) -> None:
    """Cut `square` out of a picture, turn it upright and scale it bilinearly into `out`, in place.

    Otherwise like `crop_resize`; `out` is as high as wide.
    """
    if not square.angle or square.side <= 0:
        crop_resize(picture, square.box, out)
        return
    count = out.shape[1]
    box = square.box
    # A grid around it whose cells hold whole pixels, and the places in it that are looked up.
    pixels = max(int(square.side / count), 1)
    rows = _grid(box.top, box.bottom, pixels)
    columns = _grid(box.left, box.right, pixels)
    patch = _patch(picture, rows, columns)
    steps = ((np.arange(count) + 0.5) / count - 0.5) * square.side
    across, down = math.cos(square.angle), math.sin(square.angle)
    x = square.x + across * steps[None, :] - down * steps[:, None]
    y = square.y + down * steps[None, :] + across * steps[:, None]
    x, y = (x - columns.origin) / pixels - 0.5, (y - rows.origin) / pixels - 0.5
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, below = (
        (x - column)[..., None].astype(np.float32),
        (y - row)[..., None].astype(np.float32),
    )
    copies = [patch[row + i, column + j] for i in (0, 1) for j in (0, 1)]
    _blend(copies[0], copies[1], right)
    _blend(copies[2], copies[3], right)
    _blend(copies[0], copies[2], below)
    np.copyto(out, copies[0].transpose(2, 0, 1))
    for copy in (patch, *copies):
        copy.fill(0)


def _grid(start: float, stop: float, pixels: int) -> _Axis:
    """A grid with a cell more on either side than is looked up."""
    origin = math.floor(start) - 2 * pixels
    length = math.ceil((stop - origin) / pixels) + 2
    none = np.zeros(0)
    return _Axis(origin, pixels, length, none.astype(np.intp), none.astype(np.float32))


def _blend(first: Floats, second: Floats, fraction: Floats) -> None:
    """first += (second - first) * fraction, in place; `second` is scratch afterwards."""
    second -= first
    second *= fraction
    first += second


class _Axis(msgspec.Struct, frozen=True):
    """Where, along one axis, the result's cells lie on a grid of averaged pixels."""

    origin: int
    """The pixel at which the grid starts; may lie outside the picture."""
    pixels: int
    """Pixels that are averaged into one cell of the grid."""
    length: int
    """Cells of the grid."""
    cells: NDArray[np.intp]
    """For each cell of the result, the cell of the grid before its centre."""
    fractions: Floats
    """How far beyond that cell's centre it lies, 0 to 1."""


def _axis(start: float, stop: float, count: int) -> _Axis:
    step = (stop - start) / count
    pixels = max(int(step), 1)
    centres = start + (np.arange(count) + 0.5) * step
    origin = int(np.floor(centres[0] - pixels / 2))
    positions = (centres - origin) / pixels - 0.5
    cells = positions.astype(np.intp)
    fractions = (positions - cells).astype(np.float32)
    return _Axis(origin, pixels, int(cells[-1]) + 2, cells, fractions)


def _patch(picture: Picture, rows: _Axis, columns: _Axis) -> Floats:
    """The grid's cells as float32 (rows, columns, 3), black outside the picture."""
    height, width = rows.length * rows.pixels, columns.length * columns.pixels
    patch = np.zeros((height, width, 3), np.float32)
    top, left = max(-rows.origin, 0), max(-columns.origin, 0)
    bottom = min(picture.shape[0] - rows.origin, height)
    right = min(picture.shape[1] - columns.origin, width)
    if top < bottom and left < right:
        patch[top:bottom, left:right] = picture[
            rows.origin + top : rows.origin + bottom, columns.origin + left : columns.origin + right
        ]
    if rows.pixels == columns.pixels == 1:
        return patch
    shape = (rows.length, rows.pixels, columns.length, columns.pixels, 3)
    averaged = np.asarray(patch.reshape(shape).mean(axis=(1, 3), dtype=np.float32))
    patch.fill(0)
    return averaged
