"""Counts people once, whether the face detector saw them, the person detector, or both."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.assignment import assign
from models.attributes import FaceAttributes
from models.face import Face
from models.geometry import Box, Floats, areas, boxes_array, intersections
from models.person import Person

__all__ = ["PersonSeen", "fuse"]

HEAD_PART = 0.5
"""A face's centre lies in this upper share of its body's box. Half, because of near people the box
holds but head and shoulders."""
HEAD_ABOVE = 0.1
"""Share of the body's height by which a face's centre may lie above the box."""
FACE_SHARE = 1.1
"""A face is at most this much wider than its body's box."""
HEAD_ONLY = 0.4
"""A face that takes this share of the body's height or more is nearly all that the box holds, and
may lie anywhere in it."""
FRAGMENT = 0.5
"""A body that would fit a face as well, but shares more than this part of the smaller of the two
with the body that got the face, is a piece of that person."""


class PersonSeen(msgspec.Struct, frozen=True):
    """One person in one picture, known within that picture only: just counts go on from here."""

    body: Box | None
    """The body's box in pixels; None when only the face was found."""
    attributes: FaceAttributes
    """Estimated from the face; all unknown when only the body was found."""
    face: Box | None = None
    """The face's box in pixels; None when only the body was found."""


def fuse(
    faces: Sequence[Face],
    attributes: Sequence[FaceAttributes],
    people: Sequence[Person],
) -> list[PersonSeen]:
    """One entry for each person: faces with the bodies they belong to, then faces and bodies alone.

    `attributes` go with `faces`. A face belongs to at most one body and the reverse; as many pairs
    are made as can be, and of all ways to make so many, the one whose faces are nearest in sum to
    where their bodies' heads should be, measured in widths of the face. Bodies that are left over
    and but repeat a body with a face are pieces of the same person, and don't count: people who
    are near and large come in several boxes.
    """
    if len(attributes) != len(faces):
        raise ValueError(f"{len(faces)} faces with {len(attributes)} attributes")
    heads = boxes_array(face.box for face in faces)
    bodies = boxes_array(person.box for person in people)
    possible, distance = _fits(heads, bodies)
    body_of = assign(distance, possible)
    alone = _without_pieces(bodies, possible, body_of)
    seen = [
        PersonSeen(people[body].box if (body := body_of.get(index)) is not None else None, found, f)
        for index, (found, f) in enumerate(zip(attributes, (f.box for f in faces), strict=True))
    ]
    return seen + [PersonSeen(people[index].box, FaceAttributes()) for index in alone]


def _fits(heads: Floats, bodies: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """For each face and body, whether they may be one person, and how far the face is from where
    the body's head should be, in widths of the face."""
    face, body = heads[:, None, :], bodies[None, :, :]
    x, y = (face[..., 0] + face[..., 2]) / 2, (face[..., 1] + face[..., 3]) / 2
    width, height = body[..., 2] - body[..., 0], body[..., 3] - body[..., 1]
    face_width = np.maximum(face[..., 2] - face[..., 0], 1)
    face_height = face[..., 3] - face[..., 1]
    head_part = np.where(face_height >= HEAD_ONLY * height, 1, HEAD_PART)
    possible = (
        (x >= body[..., 0])
        & (x <= body[..., 2])
        & (y >= body[..., 1] - HEAD_ABOVE * height)
        & (y <= body[..., 1] + head_part * height)
        & (face_width <= FACE_SHARE * width)
    )
    head_x, head_y = (body[..., 0] + body[..., 2]) / 2, body[..., 1] + face_height / 2
    return possible, np.asarray(np.hypot(x - head_x, y - head_y) / face_width, np.float32)


def _without_pieces(
    bodies: Floats, possible: NDArray[np.bool_], body_of: dict[int, int]
) -> list[int]:
    """Indices of bodies without a face that are people of their own."""
    taken = set(body_of.values())
    alone = [index for index in range(len(bodies)) if index not in taken]
    if not alone or not body_of:
        return alone
    sizes = areas(bodies)
    smaller = np.minimum(sizes[:, None], sizes[None, :])
    repeats = intersections(bodies, bodies) > FRAGMENT * smaller
    return [
        index
        for index in alone
        if not any(possible[face, index] and repeats[index, body] for face, body in body_of.items())
    ]
