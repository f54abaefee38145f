"""Estimates age, gender and mask for the faces of one picture, in batches.

An estimate is a statistic's raw material and nothing more: it is uncertain for any one person, says
so (`UNKNOWN`, `None`) where the face is too small or the model too unsure, and never says who.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec
import numpy as np

from models.face import Face
from models.geometry import Box, Floats, Picture, crop_resize
from models.picture import Allocate, check_picture, on_the_heap, tensor_of
from models.session import Session

__all__ = ["AttributeEstimator", "FaceAttributes", "Gender", "Mask"]

MIN_AGE_WIDTH = 48.0
"""Pixels of face width. Below it the age model drifts towards its training set's mean."""
MIN_GENDER_WIDTH = 24.0
"""Pixels; the gender model looks at 32 x 32, of which the face fills about two thirds."""
MIN_MASK_WIDTH = 20.0
"""Pixels; smaller faces show no edge where a mask would begin."""
GENDER_CONFIDENCE = 0.7
"""Probability of the likelier gender below which it is unknown."""
MASK_WORN = 0.5
"""Probability of a mask above which it is worn. No bare face of 93 measured reached 0.2."""
MASK_NOT_WORN = 0.3
"""Probability of a mask below which none is worn; between the two it is unknown."""
MASK_MARGIN = 0.1
"""Share of the face box added on each side for the mask model, as it was trained."""

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
        """The attributes of each face of a picture (uint8, H x W x 3), in the order of `faces`."""
        check_picture(rgb)
        masks = self._masks(rgb, faces)
        genders = self._genders(rgb, faces)
        ages = self._ages(rgb, faces, masks)
        return [
            FaceAttributes(ages.get(index), genders[index], masks[index])
            for index in range(len(faces))
        ]

    def erase(self) -> None:
        """Overwrite the last faces in this estimator's memory."""
        for batches in (self._age, self._gender, self._mask):
            batches.erase()

    def _masks(self, rgb: Picture, faces: Sequence[Face]) -> list[Mask]:
        chosen = _wide_enough(faces, MIN_MASK_WIDTH)
        crops = [faces[index].box.widened(MASK_MARGIN) for index in chosen]
        found = [Mask.UNKNOWN] * len(faces)
        for index, (worn, _) in zip(chosen, self._mask.run(rgb, crops), strict=True):
            if worn > MASK_WORN:
                found[index] = Mask.WORN
            elif worn < MASK_NOT_WORN:
                found[index] = Mask.NOT_WORN
        return found

    def _genders(self, rgb: Picture, faces: Sequence[Face]) -> list[Gender]:
        chosen = _wide_enough(faces, MIN_GENDER_WIDTH)
        crops = [chip(faces[index]) for index in chosen]
        found = [Gender.UNKNOWN] * len(faces)
        for index, (female, male) in zip(chosen, self._gender.run(rgb, crops), strict=True):
            if max(female, male) >= GENDER_CONFIDENCE:
                found[index] = Gender.FEMALE if female > male else Gender.MALE
        return found

    def _ages(self, rgb: Picture, faces: Sequence[Face], masks: Sequence[Mask]) -> dict[int, float]:
        # A mask shifts the estimate by about ten years: then, and in doubt, better no age.
        wide = _wide_enough(faces, MIN_AGE_WIDTH)
        chosen = [index for index in wide if masks[index] is Mask.NOT_WORN]
        crops = [chip(faces[index]) for index in chosen]
        probabilities = self._age.run(rgb, crops)
        ages = (probabilities * AGES).sum(axis=1) if chosen else ()
        return dict(zip(chosen, map(float, ages), strict=True))


def chip(face: Face) -> Box:
    """The square to cut out for the age and gender models, placed by eyes and mouth.

    Where the head is turned, the eyes stand close together, and where it is lowered, the mouth is
    near; the wider of the two readings is right more often.
    """
    left_eye, right_eye, _, left_mouth, right_mouth = face.points
    x, y = (left_eye[0] + right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2
    mouth_x, mouth_y = (left_mouth[0] + right_mouth[0]) / 2, (left_mouth[1] + right_mouth[1]) / 2
    across = float(np.hypot(right_eye[0] - left_eye[0], right_eye[1] - left_eye[1]))
    down = float(np.hypot(mouth_x - x, mouth_y - y))
    side = max(across / _EYE_DISTANCE, down / _EYES_TO_MOUTH)
    left, top = x - _EYES_X * side, y - _EYES_Y * side
    return Box(left, top, left + side, top + side)


def _wide_enough(faces: Sequence[Face], width: float) -> list[int]:
    return [index for index, face in enumerate(faces) if face.box.width >= width]


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

    def run(self, rgb: Picture, crops: Sequence[Box]) -> Floats:
        """The model's output for each crop: shape (number of crops, classes)."""
        found: list[Floats] = []
        for start in range(0, len(crops), _BATCH):
            part = crops[start : start + _BATCH]
            self._used = max(self._used, len(part))
            tensor = self._tensor[: len(part)]
            for target, crop in zip(tensor, part, strict=True):
                crop_resize(rgb, crop, target)
            tensor -= self._mean
            tensor *= self._factor
            found.append(self._session.run(tensor)[0])
        return np.concatenate(found) if found else np.zeros((0, 2), np.float32)

    def erase(self) -> None:
        self._tensor[: self._used].fill(0)
        self._used = 0
