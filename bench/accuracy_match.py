"""What was found in one picture, beside what is labelled there."""

from __future__ import annotations

__all__ = ["FaceFound", "Judged", "judge"]

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from bench.accuracy_labels import Labelled, Place
from models import Box, PersonSeen
from models.assignment import assign

_NARROWEST, _WIDEST = 0.4, 2.5
"""A face found may have this many widths of the one labelled: where a face ends is a matter of
taste, and the labels are by eye."""


class FaceFound(msgspec.Struct, frozen=True):
    """One labelled face, and what was said of it."""

    width: float
    """Pixels, in the picture that was looked at."""
    gender: str
    """As labelled: ``male``, ``female`` or nothing."""
    mask: str
    found: bool
    said_gender: str = "unknown"
    said_mask: str = "unknown"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One picture's finds."""

    seen: tuple[PersonSeen, ...]
    faces_known: bool
    """Whether anyone said how many faces there are."""
    faces: tuple[FaceFound, ...]
    """Those labelled."""
    faces_wrong: tuple[float, ...]
    """Widths of finds that are no labelled face."""
    people: int
    """How many were counted."""
    people_known: bool
    people_there: int
    people_right: int
    people_wrong: int


def judge(row: Labelled, seen: Sequence[PersonSeen], scale: float) -> Judged:
    """Compare what was found in a picture, made smaller by ``scale``, with its labels."""
    people = len(seen)
    if row.places is None:
        faces, wrong = _faces_by_number(row, seen)
        there = row.persons or 0
        most = there if row.persons_max is None else row.persons_max
        right = min(people, there)
        return Judged(
            seen=tuple(seen),
            faces_known=row.faces is not None,
            faces=faces,
            faces_wrong=wrong,
            people=people,
            people_known=row.persons is not None,
            people_there=there,
            people_right=right,
            people_wrong=max(0, people - most),
        )
    unclear = [place for place in row.places if place.what == "unclear"]
    faces, wrong = _faces_by_place(row.places, unclear, seen, scale)
    right, doubtful, there = _people_by_place(row.places, unclear, seen, scale)
    # Of those that fit no label, so many may be shapes which may be people.
    spare = max(0, (row.persons_max or 0) - (row.persons or 0))
    return Judged(
        seen=tuple(seen),
        faces_known=row.faces is not None,
        faces=faces,
        faces_wrong=wrong,
        people=people,
        people_known=row.persons is not None,
        people_there=there,
        people_right=right,
        people_wrong=max(0, people - right - doubtful - spare),
    )


def _faces_by_place(
    places: Sequence[Place], unclear: Sequence[Place], seen: Sequence[PersonSeen], scale: float
) -> tuple[tuple[FaceFound, ...], tuple[float, ...]]:
    labels = [place for place in places if place.what == "face"]
    found = [one for one in seen if one.face is not None]
    boxes = [one.face for one in found if one.face is not None]
    possible = np.zeros((len(labels), len(boxes)), bool)
    cost = np.zeros(possible.shape)
    for row, label in enumerate(labels):
        for column, box in enumerate(boxes):
            x, y, width = label.x * scale, label.y * scale, label.width * scale
            possible[row, column] = (
                _holds(box, x, y) and _NARROWEST < box.width / max(width, 1) < _WIDEST
            )
            cost[row, column] = math.dist(box.centre, (x, y)) / max(width, 1)
    match = assign(cost, possible)
    faces = []
    for row, label in enumerate(labels):
        width = label.width * scale
        if row in match:
            said = found[match[row]].attributes
            faces.append(
                FaceFound(width, label.gender, label.mask, True, said.gender.value, said.mask.value)
            )
        else:
            faces.append(FaceFound(width, label.gender, label.mask, False))
    taken = set(match.values())
    wrong = [
        box.width
        for column, box in enumerate(boxes)
        if column not in taken and not _is_unclear(box, unclear, scale)
    ]
    return tuple(faces), tuple(wrong)


def _people_by_place(
    places: Sequence[Place], unclear: Sequence[Place], seen: Sequence[PersonSeen], scale: float
) -> tuple[int, int, int]:
    """How many were found, how many finds are neither right nor wrong, how many there are."""
    labels = [place for place in places if place.what == "person"]
    boxes = [_reach(one) for one in seen]
    possible = np.zeros((len(labels), len(boxes)), bool)
    cost = np.zeros(possible.shape)
    for row, label in enumerate(labels):
        x, y = label.x * scale, label.y * scale
        for column, box in enumerate(boxes):
            possible[row, column] = _holds(box, x, y)
            cost[row, column] = math.dist(box.centre, (x, y)) / max(box.width, 1)
    match = assign(cost, possible)
    taken = set(match.values())
    doubtful = sum(
        _is_unclear(box, unclear, scale) for column, box in enumerate(boxes) if column not in taken
    )
    return len(match), doubtful, len(labels)


def _reach(one: PersonSeen) -> Box:
    """Where a person's body is taken to be; below the face, where only that was found."""
    if one.body is not None:
        return one.body.widened(0.1)
    assert one.face is not None
    face = one.face
    return Box(
        face.left - face.width,
        face.top - face.height / 2,
        face.right + face.width,
        face.bottom + 4 * face.height,
    )


def _faces_by_number(
    row: Labelled, seen: Sequence[PersonSeen]
) -> tuple[tuple[FaceFound, ...], tuple[float, ...]]:
    """Where only numbers are known: the widest finds are taken for the faces there are, and what
    they show is known where all of them show the same."""
    if row.faces is None:
        return (), ()
    found = sorted(
        (one for one in seen if one.face is not None),
        key=lambda one: one.face.width if one.face else 0.0,
        reverse=True,
    )
    gender = _of_all(row.faces, {"male": row.faces_male, "female": row.faces_female})
    mask = _of_all(row.faces, {"worn": row.masked, "not worn": row.unmasked})
    faces = [
        FaceFound(
            one.face.width if one.face else 0.0,
            gender,
            mask,
            True,
            one.attributes.gender.value,
            one.attributes.mask.value,
        )
        for one in found[: row.faces]
    ]
    # How wide one is that was not found, nobody knows: it counts among the large ones.
    faces += [FaceFound(math.inf, gender, mask, False)] * (row.faces - len(faces))
    wrong = [one.face.width for one in found[row.faces :] if one.face is not None]
    return tuple(faces), tuple(wrong)


def _of_all(faces: int, counts: dict[str, int | None]) -> str:
    return next((name for name, count in counts.items() if faces and count == faces), "")


def _holds(box: Box, x: float, y: float) -> bool:
    return box.left <= x <= box.right and box.top <= y <= box.bottom


def _is_unclear(box: Box, unclear: Sequence[Place], scale: float) -> bool:
    return any(
        math.dist(box.centre, (place.x * scale, place.y * scale)) <= place.width * scale / 2
        for place in unclear
    )
