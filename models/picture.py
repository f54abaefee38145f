"""The buffer in which a picture waits, as numbers, for a detector to look at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.crop import crop_resize
from models.errors import ModelError
from models.geometry import Box, Floats, Picture, padded_side
from models.scratch import Allocate, Scratch, on_the_heap, tensor_of

__all__ = ["SIDE_MULTIPLE", "PictureInput", "check_picture"]

SIDE_MULTIPLE = 32
"""Both detectors halve a picture five times, so its sides must divide by two as often."""


class PictureInput:
    """Turns RGB pictures into a detector's input tensor, always in the same memory.

    The memory is made for the first picture (or for `size`, width and height in pixels) and again
    only when another size comes. `erase` overwrites it; nothing else here holds a picture.
    `scratch` is where pictures are scaled down.
    """

    def __init__(
        self,
        *,
        bgr: bool = False,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        size: tuple[int, int] | None = None,
        allocate: Allocate = on_the_heap,
        scratch: Scratch | None = None,
    ) -> None:
        self._allocate = allocate
        self._scratch = scratch or Scratch(allocate)
        self._order = -1 if bgr else 1
        # value * factor + shift is (value - mean) / scale, in two passes over the memory.
        scales = np.array(scale or (1, 1, 1), np.float64)
        self._factors = (1 / scales).astype(np.float32)
        self._shifts = (-np.array(mean or (0, 0, 0)) / scales).astype(np.float32)
        self._plain = mean is None and scale is None
        self._tensor: Floats = np.zeros((1, 3, 0, 0), np.float32)
        self._filled = (0, 0)
        if size is not None:
            self._resize(size[1], size[0])

    def load(self, rgb: Picture, reduced: float = 1.0) -> Floats:
        """The tensor (1 x 3 x H x W) of an RGB picture (uint8, H x W x 3).

        With `reduced` below 1 the picture is scaled down by that factor on the way. Where H or W is
        no multiple of 32, the tensor goes on to the right and below with zeros. It is overwritten
        by the next call.
        """
        check_picture(rgb)
        height, width = (max(1, round(side * reduced)) for side in rgb.shape[:2])
        if (height, width) != self._filled:
            self._resize(height, width)
        inner = self._tensor[0, :, :height, :width]
        planes = inner[:: self._order]
        if (height, width) == rgb.shape[:2]:
            for channel, plane in enumerate(planes):
                np.copyto(plane, rgb[:, :, channel])
        else:
            crop_resize(rgb, Box(0, 0, rgb.shape[1], rgb.shape[0]), planes, self._scratch)
        if not self._plain:
            inner *= self._factors[:, None, None]
            inner += self._shifts[:, None, None]
        return self._tensor

    def erase(self) -> None:
        """Overwrite the picture in this memory with zeros."""
        self._tensor.fill(0)

    def _resize(self, height: int, width: int) -> None:
        self.erase()
        shape = (1, 3, padded_side(height, SIDE_MULTIPLE), padded_side(width, SIDE_MULTIPLE))
        if shape != self._tensor.shape:
            self._tensor = tensor_of(shape, self._allocate)
        self._filled = (height, width)


def check_picture(rgb: NDArray[np.uint8]) -> None:
    """Raise `ModelError` unless `rgb` is a picture: uint8, H x W x 3, not empty."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ModelError(
            "detector",
            f"got an array of {rgb.dtype}, shape {rgb.shape}",
            accepted="an RGB picture: uint8, shape (height, width, 3)",
        )
