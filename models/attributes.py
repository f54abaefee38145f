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

from models.face import Face
from models.geometry import Box, Floats, Picture, Square, crop_resize, crop_square
from models.picture import Allocate, check_picture, on_the_heap, tensor_of
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
MASK_WORN = 0.5
"""Probability of a mask above which it is worn."""
MASK_NOT_WORN = 0.15
"""Probability of a mask below which none is worn; between the two it is unknown."""
MASK_DOUBTFUL = (0.1, 0.8)
"""Between these the mask model looks again, at another cut-out, and the mean of both counts."""
SMALL_MASK_WIDTH = 40.0
"""Pixels of face width below which masks are often taken for bare skin."""
MASK_NOT_WORN_SMALL = 0.05
"""What takes the place of MASK_NOT_WORN for such faces."""
MASK_SQUARE = 1.2
"""Side of the square for the mask model's first look, in longer sides of the face's box. The second
is at the box itself."""
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
    ) -> None:
        """`allocate` makes the memory in which faces wait."""
        self._age = _Batches(age, 64, MEAN, SCALE, allocate)
        self._gender = _Batches(gender, 32, MEAN, SCALE, allocate)
        self._mask = _Batches(mask, 224, (127.5, 127.5, 127.5), 127.5, allocate)

    def estimate(self, rgb: Picture, faces: Sequence[Face]) -> list[FaceAttributes]:
        """The attributes of each face of a picture (uint8, H x W x 3), in the order of `faces`.

        Nothing is said of faces that are too small for a model, or turned away.
        """
        check_picture(rgb)
        seen = [index for index, face in enumerate(faces) if not is_turned_away(face)]
        masks = self._masks(rgb, faces, seen)
        genders = self._genders(rgb, faces, seen, masks)
        ages = self._ages(rgb, faces, seen, masks)
        return [
            FaceAttributes(ages.get(index), genders[index], masks[index])
            for index in range(len(faces))
        ]

    def erase(self) -> None:
        """Overwrite the last faces in this estimator's memory."""
        for batches in (self._age, self._gender, self._mask):
            batches.erase()

    def _masks(self, rgb: Picture, faces: Sequence[Face], seen: Sequence[int]) -> list[Mask]:
        chosen = [index for index in seen if faces[index].box.width >= MIN_MASK_WIDTH]
        found = [Mask.UNKNOWN] * len(faces)
        worn = self._mask.run(rgb, [_around(faces[index].box) for index in chosen])[:, 0]
        low, high = MASK_DOUBTFUL
        (doubtful,) = np.nonzero((worn >= low) & (worn <= high))
        again = self._mask.run(rgb, [faces[chosen[place]].box for place in doubtful])[:, 0]
        worn[doubtful] = (worn[doubtful] + again) / 2
        for index, probability in zip(chosen, worn.tolist(), strict=True):
            small = faces[index].box.width < SMALL_MASK_WIDTH
            if probability > MASK_WORN:
                found[index] = Mask.WORN
            elif probability < (MASK_NOT_WORN_SMALL if small else MASK_NOT_WORN):
                found[index] = Mask.NOT_WORN
        return found

    def _genders(
        self, rgb: Picture, faces: Sequence[Face], seen: Sequence[int], masks: Sequence[Mask]
    ) -> list[Gender]:
        bare = [mask is Mask.NOT_WORN for mask in masks]
        chosen = [
            index
            for index in seen
            if faces[index].box.width
            >= (MIN_GENDER_WIDTH if bare[index] else MIN_GENDER_WIDTH_MASKED)
        ]
        found = [Gender.UNKNOWN] * len(faces)
        # Each face as it is and mirrored: the mean of both is right more often than either.
        crops = [chip(faces[index], mirrored) for index in chosen for mirrored in (False, True)]
        both = self._gender.run(rgb, crops).reshape(-1, 2, 2).mean(axis=1)
        for index, (female, male) in zip(chosen, both.tolist(), strict=True):
            least = GENDER_CONFIDENCE if bare[index] else GENDER_CONFIDENCE_MASKED
            if max(female, male) >= least:
                found[index] = Gender.FEMALE if female > male else Gender.MALE
        return found

    def _ages(
        self, rgb: Picture, faces: Sequence[Face], seen: Sequence[int], masks: Sequence[Mask]
    ) -> dict[int, float]:
        # A mask shifts the estimate by about ten years: then, and in doubt, better no age.
        wide = [index for index in seen if faces[index].box.width >= MIN_AGE_WIDTH]
        chosen = [index for index in wide if masks[index] is Mask.NOT_WORN]
        probabilities = self._age.run(rgb, [chip(faces[index]) for index in chosen])
        ages = (probabilities * AGES).sum(axis=1) if chosen else ()
        return dict(zip(chosen, map(float, ages), strict=True))


def is_turned_away(face: Face) -> bool:
    """Whether the head is turned so far that its nose lies beyond an eye, or nearly."""
    left_eye, right_eye, nose, _, _ = face.points
    across = (right_eye[0] - left_eye[0], right_eye[1] - left_eye[1])
    middle = ((left_eye[0] + right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2)
    distance = across[0] ** 2 + across[1] ** 2
    along = (nose[0] - middle[0]) * across[0] + (nose[1] - middle[1]) * across[1]
    return abs(along) > TURNED * distance


def chip(face: Face, mirrored: bool = False) -> Square:
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
    return Square(
        x + cosine * right - sine * below, y + sine * right + cosine * below, side, angle, mirrored
    )


def _around(box: Box) -> Square:
    """The square for the mask model's first look, upright as in its training."""
    return Square(*box.centre, max(box.width, box.height) * MASK_SQUARE)


class _Batches:
    """Runs one model over crops of a picture, a few at a time, in memory that it reserves once."""

    def __init__(
        self,
        session: Session,
        side: int,
        mean: tuple[float, float, float],
        scale: float,
        allocate: Allocate,
    ) -> None:
        self._session = session
        self._tensor = tensor_of((_BATCH, 3, side, side), allocate)
        self._used = 0
        self._mean = np.array(mean, np.float32)[:, None, None]
        self._factor = np.float32(1 / scale)

    def run(self, rgb: Picture, crops: Sequence[Square | Box]) -> Floats:
        """The model's output for each crop: shape (number of crops, classes)."""
        found: list[Floats] = []
        for start in range(0, len(crops), _BATCH):
            part = crops[start : start + _BATCH]
            self._used = max(self._used, len(part))
            tensor = self._tensor[: len(part)]
            for target, crop in zip(tensor, part, strict=True):
                if isinstance(crop, Square):
                    crop_square(rgb, crop, target)
                else:
                    crop_resize(rgb, crop, target)
            tensor -= self._mean
            tensor *= self._factor
            found.append(self._session.run(tensor)[0])
        return np.concatenate(found) if found else np.zeros((0, 2), np.float32)

    def erase(self) -> None:
        self._tensor[: self._used].fill(0)
        self._used = 0
