"""Estimates age, gender and mask for the faces of one picture, in batches.

An estimate is a statistic's raw material and nothing more: it is uncertain for any one person, says
so (`UNKNOWN`, `None`) where the face is too small or the model too unsure, and never says who.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import msgspec
import numpy as np

from models.crop import crop_square
from models.face import Face
from models.geometry import Box, Floats, Picture, Square
from models.picture import check_picture
from models.scratch import Allocate, Scratch, on_the_heap, tensor_of
from models.session import Session

__all__ = ["AttributeEstimator", "FaceAttributes", "Gender", "Mask"]

MIN_AGE_WIDTH = 48.0
"""Pixels of face width. Below it the age model drifts towards its training set's mean."""
MIN_GENDER_WIDTH = 24.0
"""Pixels; the gender model looks at 32 x 32, of which the face fills about two thirds."""
MIN_GENDER_WIDTH_MASKED = 32.0
"""Pixels; the same where a mask is worn, or may be: there is but half a face to go by."""
MIN_MASK_WIDTH = 20.0
"""Pixels; smaller faces show no edge where a mask would begin."""
GENDER_CONFIDENCE = 0.8
"""Probability of the likelier gender below which it is unknown, for a bare face."""
GENDER_CONFIDENCE_MASKED = 0.9
"""The same where a mask is worn, or may be: the model then errs more, and towards male."""
MASK_SIDE = 160
"""Pixels: what the mask model looks at. It was trained at 224; there it takes two thirds more time
and recognises fewer masks on small faces."""
MASK_WORN = 0.5
"""Probability of a mask above which it is worn."""
MASK_NOT_WORN = 0.05
"""Probability of a mask below which none is worn; between the two it is unknown."""
MASK_SQUARE = 1.2
"""Side of the square for the mask model, in longer sides of the face's box."""
TURNED = 0.6
"""How far the nose may lie from the middle between the eyes, along the line through them and in
distances between them, before the face counts as turned away: at 0.5 it hides an eye."""

MEAN = (122.782, 117.001, 104.298)
SCALE = 256.0
AGES: Floats = np.array([0.25, *range(1, 81)], np.float32)
"""Years that the age model's 81 probabilities stand for; its first class is the first year."""

_BATCH = 8
"""Faces per run: beyond it a batch gains little, and the reserved memory grows with it."""

# Where the age and gender models' training crops have the eyes: the distance between their centres
# is this share of the crop's side, and the middle between them lies here (dlib's face chips with a
# padding of 0.2, from the mean shape of the five-point landmarks).
_EYE_DISTANCE = 0.375
_EYES_TO_MOUTH = 0.40
_EYES_X, _EYES_Y = 0.493, 0.301


class Gender(Enum):
    """Gender as estimated from a face; the model knows two, and may not know."""

    FEMALE = "female"
    MALE = "male"
    UNKNOWN = "unknown"


class Mask(Enum):
    """Whether a mask is worn."""

    WORN = "worn"
    NOT_WORN = "not worn"
    UNKNOWN = "unknown"


class FaceAttributes(msgspec.Struct, frozen=True):
    """What is estimated for one face. The defaults are what one knows without seeing a face."""

    age: float | None = None
    """Years, 0 to 80; None: unknown."""
    gender: Gender = Gender.UNKNOWN
    mask: Mask = Mask.UNKNOWN


class AttributeEstimator:
    """Estimates attributes with three models.

    estimator = AttributeEstimator(age=..., gender=..., mask=...)
    for face, found in zip(faces, estimator.estimate(rgb, faces)): ...
    estimator.erase()
    """

    def __init__(
        self,
        *,
        age: Session,
        gender: Session,
        mask: Session,
        allocate: Allocate = on_the_heap,
        scratch: Scratch | None = None,
    ) -> None:
        """`allocate` makes the memory in which faces wait, `scratch` is where they are cut out."""
        self._scratch = scratch or Scratch(allocate)
        self._age = _Batch(age, _BATCH, 64, MEAN, SCALE, allocate)
        self._gender = _Batch(gender, 2 * _BATCH, 32, MEAN, SCALE, allocate)
        self._mask = _Batch(mask, _BATCH, MASK_SIDE, (127.5, 127.5, 127.5), 127.5, allocate)

    def estimate(self, rgb: Picture, faces: Sequence[Face]) -> list[FaceAttributes]:
        """The attributes of each face of a picture (uint8, H x W x 3), in the order of `faces`.

        Nothing is said of faces that are too small for a model, or turned away.
        """
        check_picture(rgb)
        seen = [index for index, face in enumerate(faces) if not is_turned_away(face)]
        masks = self._masks(rgb, faces, seen)
        found = [FaceAttributes(mask=mask) for mask in masks]
        wanted = [index for index in seen if _is_wide_enough(faces[index], masks[index])]
        for start in range(0, len(wanted), _BATCH):
            part = wanted[start : start + _BATCH]
            genders, ages = self._genders_and_ages(rgb, part, faces, masks)
            for index, gender, age in zip(part, genders, ages, strict=True):
                found[index] = FaceAttributes(age, gender, masks[index])
        return found

    def erase(self) -> None:
        """Overwrite the last faces in this estimator's memory."""
        for batch in (self._age, self._gender, self._mask):
            batch.erase()

    def _masks(self, rgb: Picture, faces: Sequence[Face], seen: Sequence[int]) -> list[Mask]:
        chosen = [index for index in seen if faces[index].box.width >= MIN_MASK_WIDTH]
        found = [Mask.UNKNOWN] * len(faces)
        for start in range(0, len(chosen), _BATCH):
            part = chosen[start : start + _BATCH]
            for target, index in zip(self._mask.room(len(part)), part, strict=True):
                crop_square(rgb, _around(faces[index].box), target, self._scratch)
            for index, worn in zip(part, self._mask.run(len(part))[:, 0].tolist(), strict=True):
                if worn > MASK_WORN:
                    found[index] = Mask.WORN
                elif worn < MASK_NOT_WORN:
                    found[index] = Mask.NOT_WORN
        return found

    def _genders_and_ages(
        self, rgb: Picture, part: Sequence[int], faces: Sequence[Face], masks: Sequence[Mask]
    ) -> tuple[list[Gender], list[float | None]]:
        """What a batch of faces shows; each is cut out once, for both models."""
        chips = self._age.room(len(part))
        for target, index in zip(chips, part, strict=True):
            crop_square(rgb, chip(faces[index]), target, self._scratch)
        # For gender each face as it is and mirrored, at half the size: the mean of both answers is
        # right more often than either.
        halves = self._gender.room(2 * len(part))
        np.copyto(halves[::2], chips[:, :, ::2, ::2])
        for row, column in ((0, 1), (1, 0), (1, 1)):
            halves[::2] += chips[:, :, row::2, column::2]
        halves[::2] *= np.float32(0.25)
        np.copyto(halves[1::2], halves[::2, :, :, ::-1])
        both = self._gender.run(2 * len(part)).reshape(-1, 2, 2).mean(axis=1)
        genders = [
            _gender(female, male, masks[index])
            for index, (female, male) in zip(part, both.tolist(), strict=True)
        ]
        # A mask shifts the estimate by about ten years: then, and in doubt, better no age.
        aged = [
            place
            for place, index in enumerate(part)
            if masks[index] is Mask.NOT_WORN and faces[index].box.width >= MIN_AGE_WIDTH
        ]
        ages: list[float | None] = [None] * len(part)
        if aged:
            for target, place in enumerate(aged):
                if target != place:
                    np.copyto(chips[target], chips[place])
            years = (self._age.run(len(aged)) * AGES).sum(axis=1)
            for place, age in zip(aged, years.tolist(), strict=True):
                ages[place] = age
        return genders, ages


def _is_wide_enough(face: Face, mask: Mask) -> bool:
    """For gender, and so for age."""
    bare = mask is Mask.NOT_WORN
    return face.box.width >= (MIN_GENDER_WIDTH if bare else MIN_GENDER_WIDTH_MASKED)


def _gender(female: float, male: float, mask: Mask) -> Gender:
    least = GENDER_CONFIDENCE if mask is Mask.NOT_WORN else GENDER_CONFIDENCE_MASKED
    if max(female, male) < least:
        return Gender.UNKNOWN
    return Gender.FEMALE if female > male else Gender.MALE


def is_turned_away(face: Face) -> bool:
    """Whether the head is turned so far that its nose lies beyond an eye, or nearly."""
    left_eye, right_eye, nose, _, _ = face.points
    across = (right_eye[0] - left_eye[0], right_eye[1] - left_eye[1])
    middle = ((left_eye[0] + right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2)
    distance = across[0] ** 2 + across[1] ** 2
    along = (nose[0] - middle[0]) * across[0] + (nose[1] - middle[1]) * across[1]
    return abs(along) > TURNED * distance


def chip(face: Face) -> Square:
    """The square to cut out for the age and gender models, placed and turned by eyes and mouth.

    Where the head is turned, the eyes stand close together, and where it is lowered, the mouth is
    near; the wider of the two readings is right more often.
    """
    left_eye, right_eye, _, left_mouth, right_mouth = face.points
    x, y = (left_eye[0] + right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2
    mouth_x, mouth_y = (left_mouth[0] + right_mouth[0]) / 2, (left_mouth[1] + right_mouth[1]) / 2
    across = math.hypot(right_eye[0] - left_eye[0], right_eye[1] - left_eye[1])
    down = math.hypot(mouth_x - x, mouth_y - y)
    side = max(across / _EYE_DISTANCE, down / _EYES_TO_MOUTH)
    angle = math.atan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0])
    # From between the eyes to the middle of the square, in the square's own directions.
    right, below = (0.5 - _EYES_X) * side, (0.5 - _EYES_Y) * side
    cosine, sine = math.cos(angle), math.sin(angle)
    return Square(x + cosine * right - sine * below, y + sine * right + cosine * below, side, angle)


def _around(box: Box) -> Square:
    """The square for the mask model, upright as in its training."""
    return Square(*box.centre, max(box.width, box.height) * MASK_SQUARE)


class _Batch:
    """Runs one model over a few crops at a time, in memory that it reserves once."""

    def __init__(
        self,
        session: Session,
        size: int,
        side: int,
        mean: tuple[float, float, float],
        scale: float,
        allocate: Allocate,
    ) -> None:
        self._session = session
        self._tensor = tensor_of((size, 3, side, side), allocate)
        self._used = 0
        self._mean = np.array(mean, np.float32)[:, None, None]
        self._factor = np.float32(1 / scale)

    def room(self, count: int) -> Floats:
        """Where `count` crops go, with values from 0 to 255."""
        self._used = max(self._used, count)
        return self._tensor[:count]

    def run(self, count: int) -> Floats:
        """The model's output for the first `count`: shape (count, classes)."""
        tensor = self._tensor[:count]
        tensor -= self._mean
        tensor *= self._factor
        return self._session.run(tensor)[0]

    def erase(self) -> None:
        self._tensor[: self._used].fill(0)
        self._used = 0
