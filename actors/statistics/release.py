"""What may be stored and shown of a slice: numbers of k or more (guideline 6.2(2)).

The rule, for a smallest number ``k``:

- A number below k is withheld (None, "fewer than k"); none and few are not told apart.
- The mean is released only if the peak is, and if the other pictures' mean reaches k as well:
  mean and peak together give it away.
- A dimension (gender, age, mask) is released only if each of its values that occurs reaches k.
  Otherwise all of it is withheld, so that no withheld number follows from the others.

What it does not do: hide that all of a large enough group share a value, or what two slices with
almost the same people differ in.
"""

from __future__ import annotations

__all__ = [
    "DIMENSIONS",
    "SMALLEST_K",
    "Released",
    "ReleasedAttribute",
    "ReleasedDevices",
    "ReleasedPeople",
    "release_devices",
    "release_people",
]

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.slices import PeopleSlice
from actors.wifi.messages import DeviceCount

E = TypeVar("E", bound=enum.Enum)

SMALLEST_K = 3
"""No setting goes below it, and no stored number either."""

DIMENSIONS: Mapping[str, type[enum.Enum]] = {"gender": Gender, "age": AgeBand, "mask": Mask}


@dataclass(frozen=True, slots=True)
class ReleasedAttribute:
    """How many of the peak's people share one value of one dimension."""

    dimension: str
    """A key of ``DIMENSIONS``."""
    value: str
    people: int


@dataclass(frozen=True, slots=True)
class ReleasedPeople:
    """A slice of people as the public may see it."""

    place: str
    start: int
    """Seconds since 1970, inclusive."""
    end: int
    """Exclusive."""
    k: int
    """What "fewer than k" means here."""
    pictures: int
    mean_tenths: int | None
    """Mean number of people in a picture, in tenths; None: withheld."""
    peak: int | None
    """The most people in one picture; None: fewer than k."""
    attributes: tuple[ReleasedAttribute, ...]
    """Of the picture with the peak. A dimension that isn't here at all is withheld."""


@dataclass(frozen=True, slots=True)
class ReleasedDevices:
    """A slice of Wi-Fi devices as the public may see it."""

    place: str
    start: int
    end: int
    k: int
    devices: int | None
    """None: fewer than k."""


Released = ReleasedPeople | ReleasedDevices


def release_people(raw: PeopleSlice, k: int) -> ReleasedPeople:
    """Apply the rule to a slice of people."""
    peak = raw.peak if raw.peak >= k else None
    others = raw.people_in_all - raw.peak
    mean = None
    if peak is not None and others >= k * (raw.pictures - 1):
        mean = (20 * raw.people_in_all + raw.pictures) // (2 * raw.pictures)
    return ReleasedPeople(
        place=raw.place,
        start=raw.start,
        end=raw.end,
        k=k,
        pictures=raw.pictures,
        mean_tenths=mean,
        peak=peak,
        attributes=(
            *_release_dimension("gender", raw.gender, raw.peak, k),
            *_release_dimension("age", raw.age, raw.peak, k),
            *_release_dimension("mask", raw.mask, raw.peak, k),
        ),
    )


def release_devices(raw: DeviceCount, k: int) -> ReleasedDevices:
    """Apply the rule to a slice of devices."""
    devices = raw.devices if raw.devices >= k else None
    return ReleasedDevices(place=raw.place, start=raw.start, end=raw.end, k=k, devices=devices)


def _release_dimension(
    name: str, people: Mapping[E, int], peak: int, k: int
) -> tuple[ReleasedAttribute, ...]:
    occurring = {value: number for value, number in people.items() if number}
    if sum(occurring.values()) != peak or any(number < k for number in occurring.values()):
        return ()
    return tuple(
        ReleasedAttribute(name, str(value.value), number)
        for value, number in sorted(occurring.items(), key=lambda item: str(item[0].value))
    )
