"""What is black before anything is detected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.crowd.region import Polygon, Region, why_no_polygon

_SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
_SHARES = st.floats(0, 1, width=32)


@st.composite
def _polygons(draw: st.DrawFn) -> Polygon:
    corners = draw(st.lists(st.tuples(_SHARES, _SHARES), min_size=3, max_size=6))
    if why_no_polygon(corners):
        return ((0.1, 0.1), (0.9, 0.2), (0.5, 0.8))
    return tuple(corners)


def _white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def _is_in(x: float, y: float, polygon: Polygon) -> bool:
    """Even-odd rule, one edge after the other."""
    inside = False
    for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (ay > y) != (by > y) and x > ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
    return inside


def _near_an_edge(x: float, y: float, polygon: Polygon) -> bool:
    """Where rounding may decide either way."""
    for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        along = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-12)
        share = min(1.0, max(0.0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / along))
        if np.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay)) < 1e-5:
            return True
    return False


@given(_SIZES, _polygons())
def test_nothing_in_a_masked_polygon_is_left(size: tuple[int, int], polygon: Polygon) -> None:
    rgb = _white(*size)
    part = Region(masked=[polygon]).cut(rgb)
    assert part.shape == rgb.shape
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = (column + 0.5) / size[1], (row + 0.5) / size[0]
            if _is_in(x, y, polygon) and not _near_an_edge(x, y, polygon):
                assert not rgb[row, column].any()


@given(_SIZES, _polygons())
def test_only_what_lies_in_the_region_is_left(size: tuple[int, int], polygon: Polygon) -> None:
    rgb = _white(*size)
    part = Region(within=polygon).cut(rgb)
    assert np.shares_memory(part, rgb)
    # What is handed on is the rectangle around the polygon, so look for its place in the picture.
    offset = part.__array_interface__["data"][0] - rgb.__array_interface__["data"][0]
    top, left = divmod(offset // 3, size[1])
    for row in range(part.shape[0]):
        for column in range(part.shape[1]):
            x, y = (left + column + 0.5) / size[1], (top + row + 0.5) / size[0]
            if not _near_an_edge(x, y, polygon):
                assert part[row, column].any() == _is_in(x, y, polygon)
    for corner_x, corner_y in polygon:
        assert left <= corner_x * size[1] <= left + part.shape[1] + 1e-6
        assert top <= corner_y * size[0] <= top + part.shape[0] + 1e-6


def test_a_masked_edge_hides_rather_too_much() -> None:
    rgb = _white(10, 10)
    Region(masked=[((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7))]).cut(rgb)
    black = ~rgb.any(axis=2)
    assert black.sum() == 36  # four by four pixels, and one more on each side
    assert black[2:8, 2:8].all()


def test_both_and_pictures_of_several_sizes() -> None:
    region = Region(
        within=((0, 0), (0.5, 0), (0.5, 1), (0, 1)),
        masked=[((0, 0), (1, 0), (1, 0.5), (0, 0.5))],
    )
    for height, width in ((20, 40), (10, 10), (20, 40)):
        part = region.cut(_white(height, width))
        assert part.shape == (height, width // 2, 3)
        assert not part[: height // 2].any()
        assert part[height // 2 + 1 :].all()


def test_without_any_the_picture_is_left_alone() -> None:
    rgb = _white(4, 4)
    assert Region().cut(rgb) is rgb
    assert rgb.all()


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(0, 0), (1, 1)], "3 to 64 corners"),
        ([(0, 0)] * 65, "3 to 64 corners"),
        ([(0, 0), (1, 0), (1, 1.5)], "from 0 to 1"),
        ([(0, 0), (768, 0), (768, 576)], "from 0 to 1"),
        ([(-0.1, 0), (1, 0), (1, 1)], "from 0 to 1"),
        ([(0, 0), (0.5, 0.5), (1, 1)], "encloses something"),
        ([(0, 0), (1, 0), (1, 1)], ""),
    ],
)
def test_what_is_no_polygon(corners: list[tuple[float, float]], expected: str) -> None:
    said = why_no_polygon(corners)
    assert expected in said
    assert bool(said) is bool(expected)
