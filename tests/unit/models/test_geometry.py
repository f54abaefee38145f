"""Boxes, suppression and crops, against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.geometry import (
    Box,
    Square,
    boxes_array,
    crop_resize,
    crop_square,
    iou,
    padded_side,
    suppress,
)

_numbers = st.floats(-50, 150, width=32)
_boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    _numbers,
    _numbers,
    st.floats(0, 100, width=32),
    st.floats(0, 100, width=32),
)


def _slow_iou(a: Box, b: Box) -> float:
    wide = min(a.right, b.right) - max(a.left, b.left)
    high = min(a.bottom, b.bottom) - max(a.top, b.top)
    shared = max(wide, 0) * max(high, 0)
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0 else 0.0


@given(st.lists(_boxes, max_size=6), st.lists(_boxes, max_size=6))
def test_iou_is_the_slow_one(first: list[Box], second: list[Box]) -> None:
    found = iou(boxes_array(first), boxes_array(second))
    assert found.shape == (len(first), len(second))
    slow = np.array([[_slow_iou(a, b) for b in second] for a in first]).reshape(found.shape)
    # float32 coordinates of a sliver lose digits in the subtraction: an absolute measure is fair.
    large = np.array(
        [[min(a.width, a.height, b.width, b.height) > 0.1 for b in second] for a in first], bool
    ).reshape(found.shape)
    assert np.allclose(found[large], slow[large], atol=1e-3)
    assert ((found >= 0) & (found <= 1.001)).all()


@given(
    st.lists(st.tuples(_boxes, st.floats(0, 1, width=32)), max_size=12),
    st.sampled_from([0.3, 0.5]),
    st.sampled_from([0.85, 1.0]),
)
def test_suppression_is_the_slow_one(
    found: list[tuple[Box, float]], threshold: float, inside: float
) -> None:
    boxes = boxes_array(box for box, _ in found)
    scores = np.array([score for _, score in found], np.float32)
    kept = suppress(boxes, scores, threshold, inside=inside)
    overlap = iou(boxes, boxes)
    alone = suppress(boxes, scores, threshold)
    assert set(kept) <= set(alone)
    assert (np.diff(scores[kept]) <= 0).all()
    for place, one in enumerate(kept):
        assert all(overlap[one, other] <= threshold for other in kept[:place])
    if inside == 1.0:
        for gone in set(range(len(found))) - set(kept.tolist()):
            better = [index for index in kept if scores[index] >= scores[gone]]
            assert any(overlap[gone, index] > threshold for index in better)


def test_suppression_of_a_part_inside() -> None:
    boxes = boxes_array([Box(0, 0, 100, 200), Box(10, 10, 60, 60), Box(200, 0, 300, 200)])
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [0, 1, 2]
    assert suppress(boxes, scores, 0.5, inside=0.85).tolist() == [0, 2]


def test_equal_scores_keep_the_earlier() -> None:
    boxes = boxes_array([Box(0, 0, 10, 10), Box(1, 0, 11, 10)])
    assert suppress(boxes, np.ones(2, np.float32), 0.5).tolist() == [0]


@given(st.integers(1, 5000), st.sampled_from([1, 32]))
def test_padded_side(side: int, multiple: int) -> None:
    padded = padded_side(side, multiple)
    assert padded % multiple == 0
    assert side <= padded < side + multiple


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


def test_boxes() -> None:
    box = Box(10, 20, 30, 60)
    assert (box.width, box.height, box.centre) == (20, 40, (20, 40))
    assert box.widened(0.1) == Box(8, 16, 32, 64)
    assert boxes_array([]).shape == (0, 4)
