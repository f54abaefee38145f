"""Cutting pictures to what a model looks at: scaled, upright, black where the picture ends.

Where several pixels fall into one, whole numbers of them are averaged first; then the result's
places are looked up bilinearly on that grid. Channels lie apart (planes) as early as possible,
since numpy is quick along long rows and slow along three numbers.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.geometry import Box, Floats, Picture, Square
from models.scratch import Scratch

__all__ = ["crop_resize", "crop_square"]

_BAND = 96 * 1024
"""Numbers of the grid that are worked on at a time, so that they stay in a core's own cache."""


def crop_resize(picture: Picture, box: Box, out: Floats, scratch: Scratch | None = None) -> None:
    """Cut `box` out of a picture and scale it bilinearly into `out`, in place.

    `picture` is uint8 of shape (H, W, 3), `out` float32 of shape (3, h, w) and gets values 0 to 255
    in the picture's channel order. What lies outside the picture is black. Where several pixels
    fall into one, whole numbers of them are averaged first. All intermediate copies lie in
    `scratch`, and are overwritten before this returns.
    """
    if not (box.width > 0 and box.height > 0):
        out.fill(0)
        return
    scratch = scratch or Scratch()
    rows = _axis(box.top, box.bottom, out.shape[1])
    columns = _axis(box.left, box.right, out.shape[2])
    # So many of the result's rows at a time.
    high = max(1, round(_BAND / (3 * columns.length) * out.shape[1] / rows.length))
    for start in range(0, out.shape[1], high):
        band = rows.part(start, start + high)
        _scale(_grid(picture, band, columns, scratch), band, columns, scratch, out, start)
        scratch.erase()


def crop_square(
    picture: Picture, square: Square, out: Floats, scratch: Scratch | None = None
) -> None:
    """Cut `square` out of a picture, turn it upright and scale it bilinearly into `out`, in place.

    Otherwise like `crop_resize`; `out` is as high as wide.
    """
    if not square.angle or square.side <= 0:
        crop_resize(picture, square.box, out, scratch)
        return
    scratch = scratch or Scratch()
    count = out.shape[1]
    box = square.box
    # A grid around it whose cells hold whole pixels, and the places in it that are looked up.
    pixels = max(int(square.side / count), 1)
    rows = _around(box.top, box.bottom, pixels)
    columns = _around(box.left, box.right, pixels)
    grid = _grid(picture, rows, columns, scratch).reshape(3, -1)
    steps = ((np.arange(count) + 0.5) / count - 0.5) * (square.side / pixels)
    across, down = math.cos(square.angle) * steps, math.sin(square.angle) * steps
    x = (square.x - columns.origin) / pixels - 0.5 + across[None, :] - down[:, None]
    y = (square.y - rows.origin) / pixels - 0.5 + down[None, :] + across[:, None]
    # They are above 0, so that this is the cell before each.
    column, row = x.astype(np.intp), y.astype(np.intp)
    right = (x - column).astype(np.float32).ravel()
    below = (y - row).astype(np.float32).ravel()
    cells = (row * columns.length + column).ravel()
    upper, lower, further = (scratch.array((3, cells.size), np.float32) for _ in range(3))
    for line, first in ((upper, 0), (lower, columns.length)):
        np.take(grid, cells + first, axis=1, out=line, mode="clip")
        np.take(grid, cells + (first + 1), axis=1, out=further, mode="clip")
        _blend(line, further, right)
    _blend(upper, lower, below)
    np.copyto(out, upper.reshape(out.shape))
    scratch.erase()


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

    def part(self, start: int, stop: int) -> _Axis:
        """The same for some of the result's cells, with no more of the grid than they need."""
        cells = self.cells[start:stop]
        first = int(cells[0])
        return _Axis(
            self.origin + first * self.pixels,
            self.pixels,
            int(cells[-1]) + 2 - first,
            cells - first,
            self.fractions[start:stop],
        )


def _axis(start: float, stop: float, count: int) -> _Axis:
    step = (stop - start) / count
    pixels = max(int(step), 1)
    centres = start + (np.arange(count) + 0.5) * step
    origin = int(np.floor(centres[0] - pixels / 2))
    positions = (centres - origin) / pixels - 0.5
    cells = positions.astype(np.intp)
    fractions = (positions - cells).astype(np.float32)
    return _Axis(origin, pixels, int(cells[-1]) + 2, cells, fractions)


def _around(start: float, stop: float, pixels: int) -> _Axis:
    """A grid with a cell more on either side than is looked up."""
    origin = math.floor(start) - 2 * pixels
    length = math.ceil((stop - origin) / pixels) + 2
    none = np.zeros(0)
    return _Axis(origin, pixels, length, none.astype(np.intp), none.astype(np.float32))


def _grid(picture: Picture, rows: _Axis, columns: _Axis, scratch: Scratch) -> Floats:
    """The grid's cells as float32 (3, rows, columns), black outside the picture."""
    part = _cut(picture, rows, columns, scratch)
    grid = scratch.array((3, rows.length, columns.length), np.float32)
    pixels = rows.pixels * columns.pixels
    if pixels == 1:
        np.copyto(grid, part.transpose(2, 0, 1))
        return grid
    kind: type[np.uint16 | np.uint32] = np.uint16 if pixels * 255 < 1 << 16 else np.uint32
    sums = scratch.array((rows.length, part.shape[1], 3), kind)
    np.copyto(sums, part[:: rows.pixels])
    for step in range(1, rows.pixels):
        np.add(sums, part[step :: rows.pixels], out=sums)
    lines = sums.reshape(rows.length, columns.length, columns.pixels, 3).transpose(2, 3, 0, 1)
    totals = scratch.array(grid.shape, kind)
    np.copyto(totals, lines[0])
    for line in lines[1:]:
        np.add(totals, line, out=totals)
    np.multiply(totals, np.float32(1 / pixels), out=grid)
    return grid


def _cut(picture: Picture, rows: _Axis, columns: _Axis, scratch: Scratch) -> Picture:
    """The grid's pixels, (height, width, 3): of the picture itself where it has them all."""
    height, width = rows.length * rows.pixels, columns.length * columns.pixels
    top, left = max(-rows.origin, 0), max(-columns.origin, 0)
    bottom = max(top, min(picture.shape[0] - rows.origin, height))
    right = max(left, min(picture.shape[1] - columns.origin, width))
    seen = picture[
        rows.origin + top : rows.origin + bottom, columns.origin + left : columns.origin + right
    ]
    if seen.shape[:2] == (height, width):
        return seen
    part = scratch.array((height, width, 3), np.uint8)
    part.fill(0)
    part[top:bottom, left:right] = seen
    return part


def _scale(
    grid: Floats, rows: _Axis, columns: _Axis, scratch: Scratch, out: Floats, start: int
) -> None:
    """Look the result's rows from `start` on up in a grid for them."""
    # First along the axis that leaves less to do along the other.
    if rows.cells.size < rows.length:
        grid = _along_rows(grid, rows, scratch)
        grid = _along_columns(grid, columns, scratch)
    else:
        grid = _along_columns(grid, columns, scratch)
        grid = _along_rows(grid, rows, scratch)
    np.copyto(out[:, start : start + rows.cells.size], grid)


def _along_rows(grid: Floats, rows: _Axis, scratch: Scratch) -> Floats:
    shape = (3, rows.cells.size, grid.shape[2])
    upper, lower = (scratch.array(shape, np.float32) for _ in range(2))
    np.take(grid, rows.cells, axis=1, out=upper, mode="clip")
    np.take(grid, rows.cells + 1, axis=1, out=lower, mode="clip")
    _blend(upper, lower, rows.fractions[:, None])
    return upper


def _along_columns(grid: Floats, columns: _Axis, scratch: Scratch) -> Floats:
    shape = (3, grid.shape[1], columns.cells.size)
    left, right = (scratch.array(shape, np.float32) for _ in range(2))
    np.take(grid, columns.cells, axis=2, out=left, mode="clip")
    np.take(grid, columns.cells + 1, axis=2, out=right, mode="clip")
    _blend(left, right, columns.fractions)
    return left


def _blend(first: Floats, second: Floats, fraction: Floats) -> None:
    """first += (second - first) * fraction, in place; `second` is scratch afterwards."""
    second -= first
    second *= fraction
    first += second
