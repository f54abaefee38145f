"""The release gate: what of a slice may be stored and shown (guideline 6.2(2)).

Input is a raw slice, in memory. What comes out is all that is ever stored, shown or sent.

**Few people.** The most people of a group in one picture is a proven lower bound of how many
different people of it were there. A group is told of only if that reaches ``k``, so that at least k
people share everything that is said of them (k-anonymity: L. Sweeney, *k-anonymity: a model for
protecting privacy*, IJUFKS 10(5), 2002). Nobody and few are never told apart, so that a group with
nobody in it is withheld as well: that all who were there are alike is not told either (distinct
ℓ-diversity with ℓ = 2: A. Machanavajjhala et al., *ℓ-diversity*, ACM TKDD 1(1), 2007).

**Coarsening.** Everybody is parted in the fixed order of ``groups.ORDER``, and only where every
part reaches k. A part that can't be parted further is told of as a whole. Read from the finest
detail backwards: mask is dropped, then age bands are merged, then age is dropped, then gender; what
is left is the number of all people, or "fewer than k". This is local recoding along fixed
hierarchies (A. Hundepool et al., *Statistical Disclosure Control*, Wiley, 2012, ch. 3).

**Complementary suppression.** The groups told of are disjoint and hold everybody, so a withheld
cell is always inside a group with others of at least k people, and nothing is left to subtract
(cell suppression: ibid., ch. 4). Neighbouring slices neither overlap nor share a picture.

**Against who knows these rules.** That a finer division was *not* taken could tell something: the
minimality attack (R. Wong et al., *Minimality attack in privacy preserving data publishing*, VLDB
2007; simulatable auditing: K. Kenthapadi, N. Mishra, K. Nissim, PODS 2005). Here all that is told
is computed from group totals, picture by picture; moving people about inside a group changes none
of it as long as the finer divisions are refused just the same, and with everybody of a group moved
into one cell, or fewer than k into one and the others into another, they are. So for each cell of
named attributes that is not told of, every number from 0 to k − 1 fits everything that is; and each
combination of attributes remains possible for each single person. Of the cells of *unknown*
attributes at least k different numbers fit. ``tests/unit/statistics/test_attacker.py`` tries to
prove the contrary with every slice of a small world, ``test_linear_attacker.py`` with an integer
linear program for slices of any size; both with all releases.

**Peaks of groups.** Two groups may have their peaks in different pictures, but not so many that,
when most of one group were there, there was room for less than k others at each level: beside a
gender k of another, beside its age k of that gender as well, and so on. Else, of everybody's peak
and the group's, it would follow who was there then. Such a group counts as one that does not reach
k. What counts is everybody's peak, and not that of the group in between, which is not told.

**Somebody who is always there**, as a stall's keeper is in every picture, may be of any combination
of attributes all of the time: none can be ruled out, so that none is certain. It suffices that
every picture shows somebody of each group told of; people are moved about inside the groups, as
above. Where that is not so, it must at least remain possible, by all that is told, for each group:
``_could_always_be_there`` builds the pictures. Else no group is told of. That leaves room beside a
peak is not enough: that 13 people were there, 8 of them women, 7 men and 10 on average of two
pictures tells that one picture shows 7 men and nobody else. As the decision follows from what is
told, and the pictures that are built lead to the same, it tells nothing by itself.

**Mean and peak.** The mean, times the number of pictures, minus the peak, is what all other
pictures show together: it is told only if these show k on average as well. Then one person is at
most 1/k of it, too, as the dominance rule asks (ibid., ch. 4.2). Means by group are told for all
groups or none, because one that is missing would follow from the others; and only where every
picture shows somebody of each group. Numbers are told as they are: rounding protects nothing here,
and is for reading only.

**Pictures and coverage** depend on the machine and not on people, except that a machine that has
too much to do may look less often where many are. So pictures are told as "at least 1, 2, 5, 10,
20 …", and coverage in tenths.

What it does not do: protect against someone who knows exactly who came and went between two slices
and compares their numbers. That takes noise: see ``noise``.
"""

from __future__ import annotations

__all__ = [
    "SMALLEST_K",
    "Released",
    "ReleasedDevices",
    "ReleasedGroup",
    "ReleasedPeople",
    "at_least",
    "release_devices",
    "release_people",
]

from dataclasses import dataclass

from actors.statistics.groups import EVERYBODY, Group, divide
from actors.statistics.slices import PeopleSlice, Presence
from actors.wifi.messages import DeviceCount

SMALLEST_K = 3
"""No setting goes below it, and no stored number either."""


@dataclass(frozen=True, slots=True)
class ReleasedGroup:
    """How many people of one group were present. The groups of a slice hold everybody once."""

    group: Group
    peak: int
    """The most of them in one picture. Of different groups, it may be different pictures."""
    mean_tenths: int | None
    """In the average picture, in tenths. None: withheld, as it is for all groups then."""


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
    """At least so many were looked at: 1, 2, 5, 10, 20 …"""
    coverage_tenths: int
    """How much of the time was observed. Below 10, somebody may have been there unseen."""
    peak: int | None
    """The most people in one picture. None: fewer than k, or nobody."""
    mean_tenths: int | None
    """Mean number of people in a picture, in tenths. None: withheld."""
    groups: tuple[ReleasedGroup, ...] = ()
    """None where only the number of all people may be told; else two or more."""
    age_bands: tuple[int, ...] = ()
    """Where groups tell ages: years at which the second age band and those after it begin."""
    noise_thousandths: int | None = None
    """The ε of the noise in it (see ``noise``), in thousandths. None: the numbers are exact."""


@dataclass(frozen=True, slots=True)
class ReleasedDevices:
    """A slice of Wi-Fi devices as the public may see it. One person may carry several."""

    place: str
    start: int
    end: int
    k: int
    devices: int | None
    """None: fewer than k."""


Released = ReleasedPeople | ReleasedDevices


def release_people(raw: PeopleSlice, k: int) -> ReleasedPeople:
    """What may be told of a slice of people."""
    everybody = raw.of(EVERYBODY)
    if everybody.peak < k:
        return _released(raw, k, None, None, ())
    pictures, room = raw.pictures, everybody.peak
    parts = divide(EVERYBODY, lambda group: k <= raw.of(group).peak <= room - k * group.depth)
    # Undivided, the one group is everybody, of whom the slice itself tells.
    groups = [(group, raw.of(group)) for group in parts] if len(parts) > 1 else []
    are_always_there = all(present.pictures == pictures for _, present in groups)
    has_mean = _has_safe_mean(everybody, pictures, k)
    if not are_always_there:
        peaks = [present.peak for _, present in groups]
        if not _could_always_be_there(peaks, everybody, pictures, k, has_mean=has_mean):
            groups = []
    with_means = are_always_there and all(
        _has_safe_mean(present, pictures, k) for _, present in groups
    )
    return _released(
        raw,
        k,
        everybody.peak,
        mean_tenths(everybody, pictures) if has_mean else None,
        tuple(
            ReleasedGroup(
                group, present.peak, mean_tenths(present, pictures) if with_means else None
            )
            for group, present in groups
        ),
    )


def release_devices(raw: DeviceCount, k: int) -> ReleasedDevices:
    """What may be told of a slice of devices."""
    devices = raw.devices if raw.devices >= k else None
    return ReleasedDevices(place=raw.place, start=raw.start, end=raw.end, k=k, devices=devices)


def at_least(number: int) -> int:
    """The greatest of 1, 2, 5, 10, 20, 50, 100 … that is not above a number of 1 or more."""
    power = int("1" + "0" * (len(str(number)) - 1))
    return next(digit * power for digit in (5, 2, 1) if digit * power <= number)


def mean_tenths(present: Presence, pictures: int) -> int:
    """People in the average picture, in tenths, rounded half up."""
    return (20 * present.in_all + pictures) // (2 * pictures)


def _has_safe_mean(present: Presence, pictures: int, k: int) -> bool:
    return present.in_all - present.peak >= k * (pictures - 1)


def _could_always_be_there(
    peaks: list[int], everybody: Presence, pictures: int, k: int, *, has_mean: bool
) -> bool:
    """Whether, of each group, somebody may have been in every picture, by all that is told.

    The fullest picture has room for the largest group's peak, with somebody of any other group
    beside it. Each other group has its peak in a picture of its own, with one more person, and each
    picture that is left shows one person. What they show together is known if the mean is told, and
    is below k on average if it isn't. At last, one of them must be able to do without some group:
    else it would be known that means by group are withheld for another reason.
    """
    beside = everybody.in_all - everybody.peak
    least = sum(peaks) - max(peaks) + pictures - 1
    if len(peaks) > pictures:
        return False
    if not has_mean:
        return least < k * (pictures - 1)
    return least <= beside <= everybody.peak * (pictures - 2) + k


def _released(
    raw: PeopleSlice,
    k: int,
    peak: int | None,
    mean: int | None,
    groups: tuple[ReleasedGroup, ...],
) -> ReleasedPeople:
    return ReleasedPeople(
        place=raw.place,
        start=raw.start,
        end=raw.end,
        k=k,
        pictures=at_least(raw.pictures),
        coverage_tenths=raw.coverage_tenths,
        peak=peak,
        mean_tenths=mean,
        groups=groups,
        age_bands=raw.age_bands if any(one.group.tells_age for one in groups) else (),
    )
