"""Which face belongs to which body."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import Box, Face, FaceAttributes, Gender, Mask, Person, fuse

_POINT = (0.0, 0.0)


def _face(x: float, y: float, width: float = 20) -> Face:
    """A face with its centre at (x, y)."""
    half = width / 2
    box = Box(x - half, y - half * 1.3, x + half, y + half * 1.3)
    return Face(box, 0.9, (_POINT, _POINT, _POINT, _POINT, _POINT))


def _body(left: float, top: float, width: float = 60, height: float = 180) -> Person:
    return Person(Box(left, top, left + width, top + height), 0.8)


_KNOWN = FaceAttributes(40, Gender.FEMALE, Mask.NOT_WORN)
_UNKNOWN = FaceAttributes()


@pytest.mark.parametrize(
    ("face", "belongs"),
    [
        (_face(130, 115), True),
        (_face(105, 115), True),
        (_face(130, 90), True),  # hair cut off: a little above the box
        (_face(130, 70), False),  # too far above
        (_face(130, 185), True),
        (_face(130, 200), False),  # a child in front: below the upper half
        (_face(95, 115), False),  # beside the body
        (_face(130, 115, width=80), False),  # wider than the body
        (_face(130, 200, width=58), True),  # near: the box holds little but the face
    ],
)
def test_a_face_belongs_to_the_upper_part_of_a_body(face: Face, belongs: bool) -> None:
    body = _body(100, 100)
    seen = fuse([face], [_KNOWN], [body])
    if belongs:
        assert [(one.body, one.attributes) for one in seen] == [(body.box, _KNOWN)]
    else:
        assert [(one.body, one.attributes) for one in seen] == [
            (None, _KNOWN),
            (body.box, _UNKNOWN),
        ]


def test_alone_they_count_too() -> None:
    assert fuse([], [], []) == []
    assert [one.attributes for one in fuse([_face(0, 0)], [_KNOWN], [])] == [_KNOWN]
    assert [one.attributes for one in fuse([], [], [_body(0, 0)])] == [_UNKNOWN]


def test_two_overlapping_people_get_their_own_faces() -> None:
    left, right = _body(100, 100), _body(130, 100)
    faces = [_face(160, 115), _face(128, 115)]
    other = FaceAttributes(gender=Gender.MALE)
    seen = fuse(faces, [_KNOWN, other], [left, right])
    assert [(one.body, one.attributes) for one in seen] == [
        (right.box, _KNOWN),
        (left.box, other),
    ]


def test_as_many_faces_get_a_body_as_can() -> None:
    """The nearest pair first would leave one face and one body over, which are one person."""
    wide, narrow = _body(100, 100, width=90), _body(160, 100)
    faces = [_face(165, 112), _face(105, 130)]
    seen = fuse(faces, [_KNOWN, _UNKNOWN], [wide, narrow])
    assert [one.body for one in seen] == [narrow.box, wide.box]


def test_pieces_of_a_near_person_are_that_person() -> None:
    whole, piece = _body(100, 100, 100, 200), _body(110, 130, 90, 250)
    seen = fuse([_face(150, 140, 50)], [_KNOWN], [whole, piece])
    assert len(seen) == 1
    # Without a face it is not told from someone behind; nor is one whose head is elsewhere.
    assert len(fuse([], [], [whole, piece])) == 2
    other = _body(110, 20, 90, 250)
    assert len(fuse([_face(150, 190, 50)], [_KNOWN], [whole, other])) == 2


def test_two_faces_in_one_body_are_two_people() -> None:
    assert len(fuse([_face(115, 115), _face(145, 115)], [_KNOWN, _KNOWN], [_body(100, 100)])) == 2


def test_attributes_go_with_faces() -> None:
    with pytest.raises(ValueError, match="1 faces with 0 attributes"):
        fuse([_face(0, 0)], [], [])


def _share(one: Box, other: Box) -> float:
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(wide, 0) * max(high, 0) / smaller


_coordinates = st.floats(0, 400, width=32)


@given(
    st.lists(st.builds(_face, _coordinates, _coordinates, st.floats(4, 80, width=32)), max_size=6),
    st.lists(st.builds(_body, _coordinates, _coordinates), max_size=6),
)
def test_nobody_is_lost_or_counted_twice(faces: list[Face], bodies: list[Person]) -> None:
    attributes = [FaceAttributes(age=float(index)) for index in range(len(faces))]
    seen = fuse(faces, attributes, bodies)
    assert len(faces) <= len(seen) <= len(faces) + len(bodies)
    assert [one.attributes for one in seen[: len(faces)]] == attributes
    assert [one.face for one in seen] == [face.box for face in faces] + [None] * (
        len(seen) - len(faces)
    )
    found = [repr(one.body) for one in seen if one.body is not None]
    left = Counter(repr(body.box) for body in bodies)
    left.subtract(found)
    assert min(left.values(), default=0) >= 0
    if len(faces) == 0:
        assert len(seen) == len(bodies)
    # Who is left out is a piece: it overlaps a body that a face went to.
    with_face = [one.body for one in seen[: len(faces)] if one.body is not None]
    for body in bodies:
        if left[repr(body.box)] > 0:
            assert any(_share(body.box, other) > 0.5 for other in with_face)
