"""Crops, against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models import crop as module
from models.crop import crop_resize, crop_square
from models.geometry import Box, Square
from models.scratch import Scratch

_numbers = st.floats(-50, 150, width=32)
_boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    _numbers,
    _numbers,
    st.floats(0, 100, width=32),
    st.floats(0, 100, width=32),
)
_pictures = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


@given(_pictures)
def test_a_crop_of_the_whole_is_the_picture(picture: np.ndarray) -> None:
    height, width, _ = picture.shape
    out = np.full((3, height, width), -1, np.float32)
    crop_resize(picture, Box(0, 0, width, height), out)
    assert np.array_equal(out, picture.transpose(2, 0, 1))


@given(_pictures, st.integers(-15, 15), st.integers(-15, 15))
def test_a_shifted_crop_is_black_outside(picture: np.ndarray, x: int, y: int) -> None:
    out = np.full((3, 8, 8), -1, np.float32)
    crop_resize(picture, Box(x, y, x + 8, y + 8), out)
    wide = np.zeros((60, 60, 3), np.uint8)
    wide[20 : 20 + picture.shape[0], 20 : 20 + picture.shape[1]] = picture
    assert np.array_equal(out, wide[20 + y : 28 + y, 20 + x : 28 + x].transpose(2, 0, 1))


@given(_pictures, _boxes, st.integers(1, 9), st.integers(1, 9))
def test_any_crop_stays_within_the_picture_values(
    picture: np.ndarray, box: Box, rows: int, columns: int
) -> None:
    out = np.full((3, rows, columns), np.nan, np.float32)
    crop_resize(picture, box, out)
    assert np.isfinite(out).all()
    assert out.min() >= -1e-3
    assert out.max() <= float(picture.max()) + 1e-3


def _slow_bilinear(picture: np.ndarray, box: Box, rows: int, columns: int) -> np.ndarray:
    def at(y: int, x: int) -> np.ndarray:
        inside = 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]
        return picture[y, x].astype(float) if inside else np.zeros(3)

    out = np.zeros((3, rows, columns))
    for row in range(rows):
        for column in range(columns):
            y = box.top + (row + 0.5) * box.height / rows - 0.5
            x = box.left + (column + 0.5) * box.width / columns - 0.5
            top, left = int(np.floor(y)), int(np.floor(x))
            v, u = y - top, x - left
            out[:, row, column] = (
                at(top, left) * (1 - v) * (1 - u)
                + at(top, left + 1) * (1 - v) * u
                + at(top + 1, left) * v * (1 - u)
                + at(top + 1, left + 1) * v * u
            )
    return out


@given(_pictures, st.floats(-5, 12), st.floats(-5, 12), st.floats(1, 11), st.floats(1, 11))
def test_enlarging_is_bilinear(
    picture: np.ndarray, x: float, y: float, width: float, height: float
) -> None:
    box = Box(x, y, x + width, y + height)
    out = np.zeros((3, 7, 9), np.float32)
    crop_resize(picture, box, out)
    if width < 18 and height < 14:  # below two pixels a cell nothing is averaged first
        assert np.allclose(out, _slow_bilinear(picture, box, 7, 9), atol=0.05)


def test_reducing_averages() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    picture = np.repeat(checks[:, :, None], 3, axis=2)
    out = np.zeros((3, 8, 8), np.float32)
    crop_resize(picture, Box(0, 0, 64, 64), out)
    assert np.allclose(out, 100)


@pytest.mark.parametrize("box", [Box(5, 5, 5, 9), Box(5, 5, 9, 5), Box(9, 9, 5, 5)])
def test_an_empty_box_gives_black(box: Box) -> None:
    out = np.ones((3, 4, 4), np.float32)
    crop_resize(np.full((20, 20, 3), 255, np.uint8), box, out)
    assert not out.any()


@given(
    _pictures,
    st.floats(-5, 17),
    st.floats(-5, 17),
    st.floats(1, 10),
    st.floats(-3.2, 3.2),
)
def test_a_turned_crop_is_bilinear(
    picture: np.ndarray, x: float, y: float, side: float, angle: float
) -> None:
    """Against a slow one that looks up each of its places alone; up to two pixels a cell nothing is
    averaged first."""
    out = np.full((3, 6, 6), np.nan, np.float32)
    crop_square(picture, Square(x, y, side, angle), out)
    steps = ((np.arange(6) + 0.5) / 6 - 0.5) * side
    for row, down in enumerate(steps):
        for column, across in enumerate(steps):
            at_x = x + np.cos(angle) * across - np.sin(angle) * down
            at_y = y + np.sin(angle) * across + np.cos(angle) * down
            pixel = Box(at_x - 0.5, at_y - 0.5, at_x + 0.5, at_y + 0.5)
            assert np.allclose(
                out[:, row, column], _slow_bilinear(picture, pixel, 1, 1)[:, 0, 0], atol=0.2
            )


@given(_pictures, _boxes, st.floats(-3.2, 3.2), st.integers(1, 9))
def test_any_turned_crop_stays_within_the_picture_values(
    picture: np.ndarray, box: Box, angle: float, count: int
) -> None:
    out = np.full((3, count, count), np.nan, np.float32)
    crop_square(picture, Square(*box.centre, box.width, angle), out)
    assert np.isfinite(out).all()
    assert out.min() >= -1e-3
    assert out.max() <= float(picture.max()) + 1e-3


def test_a_turned_crop_of_a_large_picture_averages() -> None:
    checks = (np.indices((256, 256)).sum(axis=0) % 2 * 200).astype(np.uint8)
    picture = np.repeat(checks[:, :, None], 3, axis=2)
    out = np.zeros((3, 8, 8), np.float32)
    crop_square(picture, Square(128, 128, 128, 0.4), out)
    assert np.allclose(out, 100, atol=4)


@given(_pictures, _boxes, st.floats(-3.2, 3.2), st.sampled_from([1, 40, 10**6]))
def test_bands_and_used_memory_change_nothing(
    picture: np.ndarray, box: Box, angle: float, band: int
) -> None:
    """One crop after another in the same scratch, in bands of any height, is as one by itself."""
    square = Square(*box.centre, box.height, angle)
    expected, expected_square = (np.zeros((3, 9, 7), np.float32), np.zeros((3, 7, 7), np.float32))
    crop_resize(picture, box, expected)
    crop_square(picture, square, expected_square)
    scratch = Scratch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BAND", band)
        for _ in range(2):
            out, out_square = np.full_like(expected, np.nan), np.full_like(expected_square, np.nan)
            crop_square(picture, square, out_square, scratch)
            crop_resize(picture, box, out, scratch)
            assert np.array_equal(out_square, expected_square)
            assert np.allclose(out, expected, atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("side", [30.0, 500.0])
@pytest.mark.parametrize("middle", [5.0, 300.0])
def test_nothing_of_a_crop_is_left_in_its_scratch(angle: float, side: float, middle: float) -> None:
    made: list[memoryview] = []

    def allocate(size: int) -> memoryview:
        made.append(memoryview(bytearray(size)))
        return made[-1]

    picture = np.full((700, 700, 3), 255, np.uint8)
    scratch = Scratch(allocate)
    for _ in range(2):
        out = np.zeros((3, 64, 64), np.float32)
        crop_square(picture, Square(middle, middle, side, angle), out, scratch)
        assert out.max() == 255
    assert made
    assert not any(any(memory) for memory in made)
