"""What the crowd system lets out: counts of one picture, and nothing else (guideline 6.1(3))."""

from __future__ import annotations

__all__ = ["DEFAULT_AGE_BANDS", "AgeBand", "AttributeCount", "Gender", "Mask", "PictureCount"]

import enum
from typing import Annotated

import msgspec

from runtime import Count, Message, PlaceName, Sensitivity, UnixSeconds


class Gender(enum.Enum):
    """Estimated, never known (guideline 2, 推定性別)."""

    FEMALE = "female"
    MALE = "male"
    UNKNOWN = "unknown"


class AgeBand(enum.Enum):
    """Estimated age in years (guideline 2, 推定年代): four bands, each older than the one before.

    Named by where they usually begin; ``PictureCount.age_bands`` says where they do.
    """

    UP_TO_19 = "0-19"
    FROM_20 = "20-39"
    FROM_40 = "40-59"
    FROM_60 = "60+"
    UNKNOWN = "unknown"


class Mask(enum.Enum):
    """Whether a mask is worn (guideline 2, マスク着用有無)."""

    WORN = "worn"
    NOT_WORN = "not worn"
    UNKNOWN = "unknown"


class AttributeCount(Message, sensitivity=Sensitivity.AGGREGATE):
    """How many people share this gender, age band and mask."""

    gender: Gender
    age: AgeBand
    mask: Mask
    people: Count


DEFAULT_AGE_BANDS = (20, 40, 60)
Years = Annotated[int, msgspec.Meta(ge=1, le=80)]


class PictureCount(Message, sensitivity=Sensitivity.AGGREGATE):
    """How many people one picture shows. ``cells`` add up to ``people``."""

    place: PlaceName
    taken_at: UnixSeconds
    people: Count
    cells: Annotated[tuple[AttributeCount, ...], msgspec.Meta(max_length=45)]
    age_bands: Annotated[tuple[Years, ...], msgspec.Meta(min_length=3, max_length=3)] = (
        DEFAULT_AGE_BANDS
    )
    """Years at which the second, third and fourth age band begin; the same in every picture of a
    camera, from its configuration."""
    interval: Annotated[int, msgspec.Meta(ge=1, le=60)] = 1
    """Seconds, rounded up, in which a camera is looked at once where nothing hinders it; from its
    configuration."""
