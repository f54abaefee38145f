"""Looking at a picture whole and in tiles, with sessions that answer as they are told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import PeopleFinder, Search
from models.finder import TILE_OVERLAP, tiles


class _Session:
    """Answers like a model's session, and keeps the shapes that it was given."""

    def __init__(self, outputs: dict[str, Callable[[np.ndarray], np.ndarray]]) -> None:
        self._answers = outputs
        self.outputs = list(outputs)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, tensor: np.ndarray) -> list[np.ndarray]:
        self.shapes.append(tensor.shape)
        return [answer(tensor) for answer in self._answers.values()]


def _blind_face() -> _Session:
    def maps(channels: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda t: np.zeros((1, channels, t.shape[2] // 4, t.shape[3] // 4), np.float32)

    names = {"heatmap": 1, "scale": 2, "offset": 2, "landmarks": 10}
    return _Session({name: maps(count) for name, count in names.items()})


def _white_is_a_body() -> _Session:
    """A body of 16 by 16 pixels around each white pixel in the middle of a cell of 8."""

    def scores(tensor: np.ndarray) -> np.ndarray:
        bright = tensor[0, 0, 4::8, 4::8] > 1.5
        cells = sum((tensor.shape[2] // s) * (tensor.shape[3] // s) for s in (8, 16, 32))
        made = np.zeros((1, cells, 1), np.float32)
        made[0, : bright.size, 0] = bright.ravel() * 0.9
        return made

    def distances(tensor: np.ndarray) -> np.ndarray:
        made = np.zeros((1, scores(tensor).shape[1], 4, 11), np.float32)
        made[..., 1] = 50
        return made.reshape(1, -1, 44)

    return _Session({"scores": scores, "distances": distances})


def _attribute(classes: int) -> _Session:
    return _Session({"p": lambda tensor: np.zeros((len(tensor), classes), np.float32)})


def _finder(search: Search) -> tuple[PeopleFinder, _Session, _Session]:
    face, person = _blind_face(), _white_is_a_body()
    made = PeopleFinder(
        face=face,  # type: ignore[arg-type]
        person=person,  # type: ignore[arg-type]
        age=_attribute(81),  # type: ignore[arg-type]
        gender=_attribute(2),  # type: ignore[arg-type]
        mask=_attribute(2),  # type: ignore[arg-type]
        search=search,
    )
    return made, face, person


@given(st.integers(32, 4000), st.integers(32, 3000), st.integers(1, 8), st.integers(1, 8))
def test_tiles_cover_the_picture_and_overlap(
    width: int, height: int, columns: int, rows: int
) -> None:
    found = list(tiles(width, height, columns, rows))
    assert len(found) == columns * rows
    sizes = {(right - left, bottom - top) for left, top, right, bottom in found}
    assert len(sizes) == 1
    ((across, down),) = sizes
    assert min(left for left, *_ in found) == min(top for _, top, *_ in found) == 0
    assert max(right for *_, right, _ in found) == width
    assert max(bottom for *_, bottom in found) == height
    for side, starts in ((across, {t[0] for t in found}), (down, {t[1] for t in found})):
        gaps = np.diff(sorted(starts))
        assert (gaps <= side * (1 - TILE_OVERLAP) + 2).all()


def test_a_wide_picture_is_reduced_for_each_detector() -> None:
    finder, face, person = _finder(Search(face_width=320, person_width=160))
    finder.find(np.zeros((480, 640, 3), np.uint8))
    assert face.shapes == [(1, 3, 256, 320)]  # 240 and what is lacking to a multiple of 32
    assert person.shapes == [(1, 3, 128, 160)]


def test_a_small_picture_is_not_enlarged() -> None:
    finder, face, person = _finder(Search())
    finder.find(np.zeros((64, 96, 3), np.uint8))
    assert face.shapes == person.shapes == [(1, 3, 64, 96)]


@pytest.mark.parametrize("at", [(36, 36), (68, 68), (100, 148), (124, 124), (124, 196)])
def test_whoever_is_seen_in_several_tiles_is_counted_once(at: tuple[int, int]) -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    row, column = at
    picture[row - 4 : row + 4, column - 4 : column + 4] = 255
    finder, _, person = _finder(Search(person_width=256, tiles=(2, 2)))
    (found,) = finder.find(picture)
    assert found.body is not None
    assert found.body.left <= column <= found.body.right
    assert found.body.top <= row <= found.body.bottom
    assert len(person.shapes) == 5
    finder.erase()
    for detector in (finder._persons, finder._tile_persons, finder._faces, finder._tile_faces):
        assert not detector._input._tensor.any()


def test_tiles_find_who_is_too_small_in_the_whole() -> None:
    """At a quarter of its size the white spot fades."""
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[180:188, 180:188] = 255
    assert _finder(Search(person_width=128))[0].find(picture) == []
    (found,) = _finder(Search(person_width=128, tiles=(2, 2)))[0].find(picture)
    assert found.body is not None
    assert 160 < found.body.left < 184 < found.body.right < 208


def test_who_is_cut_by_a_tile_is_left_to_the_next() -> None:
    """At the very edge of the first tile, half of the body would be seen there."""
    ((_, _, edge, _), _) = tiles(256, 64, 2, 1)
    column = edge // 8 * 8 - 4
    picture = np.zeros((64, 256, 3), np.uint8)
    picture[32:40, column - 4 : column + 4] = 255
    (found,) = _finder(Search(person_width=128, tiles=(2, 1)))[0].find(picture)
    assert found.body is not None
    assert found.body.right - found.body.left >= 14
