"""Boxes and suppression, against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.geometry import (
    Box,
    areas,
    boxes_array,
    intersections,
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
    sizes = areas(boxes)
    shared = intersections(boxes, boxes)
    same = iou(boxes, boxes) > threshold
    if inside < 1:
        same |= shared > inside * np.minimum(sizes[:, None], sizes[None, :])
    assert (np.diff(scores[kept]) <= 0).all()
    for place, one in enumerate(kept):
        assert not any(same[one, other] for other in kept[:place])
    for gone in set(range(len(found))) - set(kept.tolist()):
        better = [index for index in kept if scores[index] >= scores[gone]]
        assert any(same[gone, index] for index in better)


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


def test_boxes() -> None:
    box = Box(10, 20, 30, 60)
    assert (box.width, box.height, box.centre) == (20, 40, (20, 40))
    assert box.widened(0.1) == Box(8, 16, 32, 64)
    assert boxes_array([]).shape == (0, 4)
