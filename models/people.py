"""Counts people once, whether the face detector saw them, the person detector, or both."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from models.attributes import FaceAttributes
from models.face import Face
from models.geometry import Box, boxes_array
from models.person import Person

__all__ = ["PersonSeen", "fuse"]

HEAD_PART = 0.5
"""A face's centre lies in this upper share of its body's box. Half, because of near people the box
holds but head and shoulders."""
HEAD_ABOVE = 0.1
"""Share of the body's height by which a face's centre may lie above the box."""
FACE_SHARE = 1.1
"""A face is at most this much wider than its body's box."""


class PersonSeen(msgspec.Struct, frozen=True):
    """One person in one picture, known within that picture only: just counts go on from here."""

    body: Box | None
    """The body's box in pixels; None when only the face was found."""
    attributes: FaceAttributes
    """Estimated from the face; all unknown when only the body was found."""


def fuse(
    faces: Sequence[Face],
    attributes: Sequence[FaceAttributes],
    people: Sequence[Person],
) -> list[PersonSeen]:
    """One entry for each person: faces with the bodies they belong to, then faces and bodies alone.

    `attributes` go with `faces`. A face belongs to at most one body and the reverse. Where several
    would do, the pair is taken first whose face is nearest to where that body's head should be,
    measured in widths of the face.
    """
    if len(attributes) != len(faces):
        raise ValueError(f"{len(faces)} faces with {len(attributes)} attributes")
    body_of = _match(faces, people)
    taken = set(body_of.values())
    seen = [
        PersonSeen(people[body_of[index]].box if index in body_of else None, found)
        for index, found in enumerate(attributes)
    ]
    alone = [person for index, person in enumerate(people) if index not in taken]
    return seen + [PersonSeen(person.box, FaceAttributes()) for person in alone]


def _match(faces: Sequence[Face], people: Sequence[Person]) -> dict[int, int]:
    """Index of each matched face -> index of its body."""
    if not faces or not people:
        return {}
    heads = boxes_array(face.box for face in faces)[:, None, :]
    bodies = boxes_array(person.box for person in people)[None, :, :]
    x, y = (heads[..., 0] + heads[..., 2]) / 2, (heads[..., 1] + heads[..., 3]) / 2
    width, height = bodies[..., 2] - bodies[..., 0], bodies[..., 3] - bodies[..., 1]
    face_width = np.maximum(heads[..., 2] - heads[..., 0], 1)
    face_height = heads[..., 3] - heads[..., 1]
    possible = (
        (x >= bodies[..., 0])
        & (x <= bodies[..., 2])
        & (y >= bodies[..., 1] - HEAD_ABOVE * height)
        & (y <= bodies[..., 1] + HEAD_PART * height)
        & (face_width <= FACE_SHARE * width)
    )
    head_x, head_y = (bodies[..., 0] + bodies[..., 2]) / 2, bodies[..., 1] + face_height / 2
    distance = np.where(possible, np.hypot(x - head_x, y - head_y) / face_width, np.inf)
    found: dict[int, int] = {}
    for pair in np.argsort(distance, axis=None, kind="stable"):
        face, body = divmod(int(pair), len(people))
        if not possible[face, body]:
            break
        if face not in found and body not in found.values():
            found[face] = body
    return found
