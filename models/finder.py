"""Finds the people in one picture: faces, bodies, which belong together, and what faces show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import numpy as np

from models.attributes import AttributeEstimator
from models.face import OVERLAP as FACE_OVERLAP
from models.face import SCORE as FACE_SCORE
from models.face import Face, FaceDetector
from models.geometry import Box, Picture, boxes_array, suppress
from models.people import PersonSeen, fuse
from models.person import INSIDE as PERSON_INSIDE
from models.person import OVERLAP as PERSON_OVERLAP
from models.person import SCORE as PERSON_SCORE
from models.person import Person, PersonDetector
from models.picture import check_picture
from models.scratch import Allocate, Scratch, on_the_heap
from models.session import Session

__all__ = ["PeopleFinder", "Search"]

TILE_OVERLAP = 0.2
"""Share of a tile's side that the next one shows as well, so that who stands on the edge of one
stands whole in the other."""

TILE_HIGHEST = 0.5
"""Share of a tile's height above which a body in it is left to the look at the whole."""

_Found = TypeVar("_Found", Face, Person)


class Search(msgspec.Struct, frozen=True):
    """How closely to look. The defaults were chosen on the tuning pictures (see the cards)."""

    face_score: float = FACE_SCORE
    """Below it, 0 to 1, nothing is a face."""
    person_score: float = PERSON_SCORE
    """Below it, 0 to 1, nothing is a body."""
    face_width: int = 768
    """Pixels: in a wider picture faces are looked for in a copy of this width."""
    person_width: int = 576
    """Pixels: the same for bodies. Who is higher than 640 pixels there comes in pieces."""
    tiles: tuple[int, int] = (1, 1)
    """Columns and rows of tiles that are looked at as well, at the picture's own size; (1, 1) is
    none. For small and many people. It takes the time of a picture so large, on top."""


class PeopleFinder:
    """Finds people and estimates their attributes with five models.

        finder = PeopleFinder(face=..., person=..., age=..., gender=..., mask=...)
        people = finder.find(rgb)
        finder.erase()

    It remembers nothing from one picture to the next.
    """

    MODELS = ("face", "person", "age", "gender", "mask")
    """By the names of the manifest."""

    def __init__(
        self,
        *,
        face: Session,
        person: Session,
        age: Session,
        gender: Session,
        mask: Session,
        search: Search | None = None,
        allocate: Allocate = on_the_heap,
    ) -> None:
        """`allocate` makes the memory in which pictures wait."""
        search = search or Search()
        self._search = search
        self._tiled = search.tiles != (1, 1)
        scratch = Scratch(allocate)
        self._faces, self._tile_faces = (
            FaceDetector(face, score=search.face_score, allocate=allocate, scratch=scratch)
            for _ in range(2)
        )
        self._persons, self._tile_persons = (
            PersonDetector(person, score=search.person_score, allocate=allocate, scratch=scratch)
            for _ in range(2)
        )
        self._attributes = AttributeEstimator(
            age=age, gender=gender, mask=mask, allocate=allocate, scratch=scratch
        )

    @classmethod
    def opened(
        cls,
        session: Callable[[str], Session],
        *,
        search: Search | None = None,
        allocate: Allocate = on_the_heap,
    ) -> PeopleFinder:
        """A finder with the session that each name of ``MODELS`` gives."""
        return cls(
            face=session("face"),
            person=session("person"),
            age=session("age"),
            gender=session("gender"),
            mask=session("mask"),
            search=search,
            allocate=allocate,
        )

    def find(self, rgb: Picture) -> list[PersonSeen]:
        """Everyone in a picture (uint8, H x W x 3); boxes are in its pixels."""
        check_picture(rgb)
        width = rgb.shape[1]
        faces = self._faces.detect(rgb, min(1.0, self._search.face_width / width))
        people = self._persons.detect(rgb, min(1.0, self._search.person_width / width))
        if self._tiled:
            for tile in tiles(rgb.shape[1], rgb.shape[0], *self._search.tiles):
                left, top, right, bottom = tile
                part = rgb[top:bottom, left:right]
                faces += [_face_moved(face, left, top) for face in self._tile_faces.detect(part)]
                people += [
                    Person(_moved(person.box, left, top), person.score)
                    for person in self._tile_persons.detect(part)
                    if _is_small_and_whole(person.box, tile, rgb.shape[1], rgb.shape[0])
                ]
            faces = _once(faces, FACE_OVERLAP, 1.0)
            people = _once(people, PERSON_OVERLAP, PERSON_INSIDE)
        return fuse(faces, self._attributes.estimate(rgb, faces), people)

    def erase(self) -> None:
        """Overwrite all that was kept of the last picture."""
        for user in (self._faces, self._persons, self._attributes):
            user.erase()
        if self._tiled:
            self._tile_faces.erase()
            self._tile_persons.erase()


def tiles(width: int, height: int, columns: int, rows: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right, bottom of tiles of one size that cover a picture and overlap."""
    across, down = _part(width, columns), _part(height, rows)
    for row in range(rows):
        top = 0 if rows == 1 else round(row * (height - down) / (rows - 1))
        for column in range(columns):
            left = 0 if columns == 1 else round(column * (width - across) / (columns - 1))
            yield left, top, left + across, top + down


def _part(side: int, count: int) -> int:
    return side if count == 1 else round(side / (count - (count - 1) * TILE_OVERLAP))


def _moved(box: Box, x: float, y: float) -> Box:
    return Box(box.left + x, box.top + y, box.right + x, box.bottom + y)


def _face_moved(face: Face, x: float, y: float) -> Face:
    one, two, three, four, five = ((a + x, b + y) for a, b in face.points)
    return Face(_moved(face.box, x, y), face.score, (one, two, three, four, five))


def _is_small_and_whole(box: Box, tile: tuple[int, int, int, int], width: int, height: int) -> bool:
    """Whether a body is the tile's to find. Who is large was seen in the picture as a whole, and
    comes in pieces here; who reaches an edge behind which the picture goes on, is whole in the next
    tile."""
    left, top, right, bottom = tile
    across, down = right - left, bottom - top
    cut = (
        (box.left < 2 and left > 0)
        or (box.top < 2 and top > 0)
        or (box.right > across - 2 and right < width)
        or (box.bottom > down - 2 and bottom < height)
    )
    return not cut and box.height <= TILE_HIGHEST * down


def _once(found: list[_Found], overlap: float, inside: float) -> list[_Found]:
    """Each once of what several looks have found, best first; what is one is what is within one."""
    boxes = boxes_array(one.box for one in found)
    scores = np.array([one.score for one in found], np.float32)
    return [found[index] for index in suppress(boxes, scores, overlap, inside=inside)]
