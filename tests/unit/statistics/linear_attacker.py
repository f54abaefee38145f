"""An attacker for slices of any size: everything known, written down as inequalities.

The unknowns are the people of each picture, by attributes. What is known is all that was released,
and by which rules; it is asked whether a number is possible. Beyond what is released, the attacker
is told exactly how many pictures there were.

The unknowns of several slices stand in one program. Nothing links them but what somebody knows
otherwise.
"""

from __future__ import annotations

__all__ = [
    "CELLS",
    "Attack",
    "Attributes",
    "Pictures",
    "UnknownSlice",
    "knows_release",
    "spoken_of",
]

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.groups import EVERYBODY, ORDER, Group, Split
from actors.statistics.release import ReleasedPeople
from tests.unit.statistics.integer_program import IntegerProgram, Sum, times, total, value
from tests.unit.statistics.pictures import Cell

Attributes = tuple[Gender, AgeBand, Mask]
Pictures = list[tuple[Cell, ...]]

CELLS: tuple[Attributes, ...] = tuple(product(Gender, AgeBand, Mask))


@dataclass(slots=True)
class UnknownSlice:
    """People whom nobody knows yet, in pictures of so many kinds.

    Of ``told_apart``, the groups of which something will be said, follows which attributes have to
    be told apart at all. Pictures have no order, so that ``everybody`` may be said to have their
    peak in the first one; whoever has a peak next, in it or in the second one; and so on.
    """

    program: IntegerProgram
    alike: Sequence[int]
    """Of how many pictures each kind is, all of them alike. Ones: any two pictures may differ."""
    most_people: int
    """In one picture."""
    told_apart: Sequence[Group]
    cells: Sequence[Attributes] = CELLS
    _alike: list[Attributes] = field(init=False)
    """One cell for each kind that has to be told apart."""
    _people: list[dict[Attributes, Sum]] = field(init=False)
    _limits: dict[Group, int] = field(init=False, default_factory=dict)
    _peaks: dict[Group, Sum] = field(init=False, default_factory=dict)
    _spoken_of: int = field(init=False, default=1)
    """In so many pictures, from the first on, are the peaks that were spoken of: everybody's in
    the first."""

    def __post_init__(self) -> None:
        alike: dict[tuple[bool, ...], Attributes] = {}
        for cell in self.cells:
            alike.setdefault(tuple(group.holds(*cell) for group in self.told_apart), cell)
        self._alike = list(alike.values())
        self._people = [
            {cell: self.program.variable(0, self.most_people) for cell in self._alike}
            for _ in self.alike
        ]
        self.never_above(EVERYBODY, self.most_people)

    @property
    def pictures(self) -> int:
        return sum(self.alike)

    def of(self, group: Group, kind: int) -> Sum:
        """How many of a group, one of ``told_apart``, a picture of this kind shows."""
        people = self._people[kind]
        return total(people[cell] for cell in self._alike if group.holds(*cell))

    def in_all(self, group: Group) -> Sum:
        return total(times(self.of(group, kind), many) for kind, many in enumerate(self.alike))

    # -- what may be known -------------------------------------------------------------------

    def peak(self, group: Group) -> Sum:
        """The most of a group in one picture."""
        if group not in self._peaks:
            peak = self._peaks[group] = self.program.variable(0, self.limit(group))
            for kind in range(len(self.alike)):
                self.program.require(self._below(peak, group, kind), least=0)
            if group == EVERYBODY:
                self.program.require(self._below(peak, group, 0), most=0)
            else:
                shown = self._some_of_the_first()
                for kind, yes in enumerate(shown):
                    self.program.require_if(yes, self._below(peak, group, kind), most=0)
                self.program.require_any(shown)
        return self._peaks[group]

    def never_above(self, group: Group, most: int) -> None:
        """No picture shows more than so many."""
        self._limits[group] = min(most, self._limits.get(group, most))
        for kind in range(len(self.alike)):
            self.program.require(self.of(group, kind), most=most)

    def never_above_if(self, yes: Sum, group: Group, most: int) -> None:
        for kind in range(len(self.alike)):
            self.program.require_if(yes, self.of(group, kind), most, self.limit(group))

    def once_at_least(self, group: Group, least: int) -> list[Sum]:
        """Yes-or-nos: if one is yes, so many were in the pictures that it stands for."""
        shown = self._some_of_the_first()
        for kind, yes in enumerate(shown):
            self.program.require_if(yes, times(self.of(group, kind), -1), -least)
        return shown

    def once_nobody(self, group: Group) -> list[Sum]:
        """Yes-or-nos: if one is yes, nobody was in the pictures that it stands for."""
        shown = self._some_of_the_first()
        for kind, yes in enumerate(shown):
            self.program.require_if(yes, self.of(group, kind), 0, self.limit(group))
        return shown

    def always_if(self, yes: Sum, group: Group) -> None:
        """Every picture shows somebody."""
        for kind in range(len(self.alike)):
            self.program.require_if(yes, times(self.of(group, kind), -1), -1)

    def seldom_if(self, yes: Sum, group: Group, in_all: int) -> None:
        """All pictures together show no more than so many."""
        at_most = self.limit(group) * self.pictures
        self.program.require_if(yes, self.in_all(group), in_all, at_most)

    def mean_tenths(self, group: Group, tenths: int) -> None:
        """Rounded half up: tenths ≤ 10 · in all / pictures + ½ < tenths + 1."""
        least = (2 * tenths - 1) * self.pictures
        most = least + 2 * self.pictures - 1
        self.program.require(times(self.in_all(group), 20), least, most)

    def limit(self, group: Group) -> int:
        """What is known never to be exceeded, of the group or of one that holds it."""
        return min(most for other, most in self._limits.items() if _is_in(group, other))

    def _below(self, peak: Sum, group: Group, kind: int) -> Sum:
        return total([peak, times(self.of(group, kind), -1)])

    def _some_of_the_first(self) -> list[Sum]:
        self._spoken_of += 1
        return [self.program.yes_or_no() for _ in range(min(self._spoken_of, len(self.alike)))]

    # -- what may be asked -------------------------------------------------------------------

    def peaks_possible(self, group: Group) -> tuple[int, int] | None:
        """The least and the most that a group's peak can be. None: nothing fits what is known."""
        peak = self.peak(group)
        least, most = self.program.least(peak), self.program.most(peak)
        return None if least is None or most is None else (least, most)

    def with_peak(self, group: Group, people: int) -> list[int] | None:
        """A solution in which the peak is this. None: that is impossible."""
        return self.program.solution([(self.peak(group), people, people)])

    def with_somebody(self, group: Group) -> list[int] | None:
        """A solution in which a picture shows somebody of a group. None: that is impossible."""
        return self.program.solution([(self.in_all(group), 1, math.inf)])

    def with_somebody_always(self, group: Group) -> list[int] | None:
        """A solution in which every picture shows somebody of a group. None: impossible."""
        kinds = range(len(self.alike))
        return self.program.solution([(self.of(group, kind), 1, math.inf) for kind in kinds])

    def read(self, solution: Sequence[int]) -> Pictures:
        """The pictures of a solution."""
        return [
            tuple(
                (*cell, number)
                for cell, people in shown.items()
                if (number := value(people, solution))
            )
            for shown, many in zip(self._people, self.alike, strict=True)
            for _ in range(many)
        ]


def _knows_numbers(unknown: UnknownSlice, released: ReleasedPeople) -> None:
    """All numbers of a release, and what k means in it."""
    if released.peak is None:
        unknown.never_above(EVERYBODY, released.k - 1)
        return
    told = {EVERYBODY: released.peak, **{one.group: one.peak for one in released.groups}}
    for group, peak in told.items():
        unknown.never_above(group, peak)
        unknown.program.require(unknown.peak(group), least=peak)
    if released.mean_tenths is not None:
        unknown.mean_tenths(EVERYBODY, released.mean_tenths)
    for one in released.groups:
        if one.mean_tenths is not None:
            unknown.mean_tenths(one.group, one.mean_tenths)


def knows_release(unknown: UnknownSlice, released: ReleasedPeople) -> None:
    """All numbers of a release, and by which rules the gate came to it: what made it refuse each
    finer division and withhold each mean."""
    _knows_numbers(unknown, released)
    if released.peak is not None:
        _knows_means(unknown, released, released.peak)
        _knows_divisions(unknown, released, released.peak)
        _knows_presence(unknown, released, released.peak)


@dataclass(slots=True)
class Attack:
    """What may have happened, by all releases.

    It is looked for first among slices most of whose pictures are alike and in which of each group
    told of there are few kinds of people: there it is found soon. Only if
    it isn't there, it is looked for among all slices.
    """

    releases: Sequence[ReleasedPeople]
    pictures: Sequence[int]
    """How many there were in each slice. That is more than is released."""
    asked: Sequence[Group]
    """What will be asked for."""
    most_people: int
    """In one picture."""
    _tries: list[list[UnknownSlice]] = field(init=False, default_factory=list)

    def pictures_with_peak(self, group: Group, people: int, which: int) -> list[Pictures] | None:
        """All slices, with this peak of a group in one of them. None: that is impossible."""
        return self._find(lambda unknown: unknown[which].with_peak(group, people))

    def pictures_with_somebody(self, group: Group, which: int) -> list[Pictures] | None:
        """All slices, with somebody of a group in one of them. None: that is impossible."""
        return self._find(lambda unknown: unknown[which].with_somebody(group))

    def pictures_with_somebody_always(self, group: Group, which: int) -> list[Pictures] | None:
        """The same, in every picture of that slice."""
        return self._find(lambda unknown: unknown[which].with_somebody_always(group))

    def low_peak(self, group: Group, which: int) -> int:
        """A peak as low as is found soon."""
        for unknown in map(self._try, range(2)):
            program, peak = unknown[which].program, unknown[which].peak(group)
            if (found := program.least(peak)) is not None:
                return found
        raise AssertionError("what happened is possible, and nothing is")

    def _find(self, ask: Callable[[list[UnknownSlice]], list[int] | None]) -> list[Pictures] | None:
        for unknown in map(self._try, range(2)):
            if (found := ask(unknown)) is not None:
                return [one.read(found) for one in unknown]
        return None

    def _try(self, one: int) -> list[UnknownSlice]:
        if one == len(self._tries):
            program, unknown = IntegerProgram(), []
            for released, pictures in zip(self.releases, self.pictures, strict=True):
                alike, cells = [1] * pictures, CELLS
                if not one:
                    alike = _mostly_alike(pictures, len(released.groups) + 3)
                    cells = _few_kinds(released, self.asked)
                told_apart = [*spoken_of(released), *self.asked]
                unknown.append(UnknownSlice(program, alike, self.most_people, told_apart, cells))
                knows_release(unknown[-1], released)
            self._tries.append(unknown)
        return self._tries[one]


def _mostly_alike(pictures: int, single: int) -> list[int]:
    """So many that need not be like any other; of the rest, half are alike, then half again."""
    kinds = [1] * min(single, pictures)
    while rest := pictures - sum(kinds):
        kinds.append((rest + 1) // 2)
    return kinds


def _few_kinds(released: ReleasedPeople, asked: Sequence[Group]) -> tuple[Attributes, ...]:
    """Of each group told of, one cell for each combination of what is asked. Of "male or unknown"
    and the like, one or the other may be too few, so that they are kept apart."""
    told = [one.group for one in released.groups] or [EVERYBODY]
    kinds: dict[tuple[object, ...], Attributes] = {}
    for cell in CELLS:
        (inside,) = (group for group in told if group.holds(*cell))
        gender, age, mask = cell
        apart = (
            len(inside.gender) < len(Gender) and gender is Gender.UNKNOWN,
            inside.tells_age and age is AgeBand.UNKNOWN,
            len(inside.mask) < len(Mask) and mask is Mask.UNKNOWN,
        )
        kinds.setdefault((inside, apart, *(group.holds(*cell) for group in asked)), cell)
    return tuple(kinds.values())


def spoken_of(released: ReleasedPeople) -> list[Group]:
    """All groups of which a release and the gate's rules say something."""
    told = [one.group for one in released.groups]
    tried = [part for parts, _ in _divisions(EVERYBODY, told) for part in parts]
    return list(dict.fromkeys([EVERYBODY, *told, *tried]))


def _divisions(
    group: Group, told: Sequence[Group], order: Sequence[Split] = ORDER
) -> Iterable[tuple[Sequence[Group], bool]]:
    """The divisions that the gate tried, in its order, each with whether it was taken."""
    if not told:
        told = [EVERYBODY]
    for split in order:
        for partition in split.partitions:
            parts = [group.within(split.dimension, values) for values in partition]
            inside = [[one for one in told if _is_in(one, part)] for part in parts]
            taken = sum(map(len, inside)) == sum(_is_in(one, group) for one in told)
            yield parts, taken
            if taken:
                for part, its in zip(parts, inside, strict=True):
                    yield from _divisions(part, its, split.further)
                return


def _is_in(group: Group, other: Group) -> bool:
    return all(
        set(ours) <= set(theirs)
        for ours, theirs in (
            (group.gender, other.gender),
            (group.age, other.age),
            (group.mask, other.mask),
        )
    )


def _knows_means(unknown: UnknownSlice, released: ReleasedPeople, peak: int) -> None:
    """A mean is told if all pictures but the fullest show k on average; of groups, all or none,
    and only if every picture shows somebody of each."""
    program, enough = unknown.program, released.k * (unknown.pictures - 1)
    if released.mean_tenths is None:
        program.require(unknown.in_all(EVERYBODY), most=peak + enough - 1)
    else:
        program.require(unknown.in_all(EVERYBODY), least=peak + enough)
    if not _has_means(released):
        reasons = []
        for one in released.groups:
            reasons.append(program.yes_or_no())
            unknown.seldom_if(reasons[-1], one.group, one.peak + enough - 1)
            reasons += unknown.once_nobody(one.group)
        program.require_any(reasons)
    else:
        for one in released.groups:
            program.require(unknown.in_all(one.group), least=one.peak + enough)


def _knows_divisions(unknown: UnknownSlice, released: ReleasedPeople, peak: int) -> None:
    """A division is taken if each part reaches k and leaves room for k others in whatever it is
    part of. Then all are given up where somebody of a part could not always have been there."""
    k, told = released.k, [one.group for one in released.groups]
    reasons: dict[Group, list[Sum]] = defaultdict(list)
    given_up: list[Sum] = []
    for parts, taken in _divisions(EVERYBODY, told):
        for part in parts:
            room = peak - k * part.depth
            if taken:  # and it reaches k: what is told of inside it does
                unknown.never_above(part, room)
            elif not reasons[part]:
                small = unknown.program.yes_or_no()
                unknown.never_above_if(small, part, k - 1)
                reasons[part] = [small]
                if unknown.limit(part) > room:
                    reasons[part] += unknown.once_at_least(part, room + 1)
        if not taken:
            if not told:
                given_up.append(_knows_given_up(unknown, released, peak, parts))
            why = [reason for part in parts for reason in reasons[part]]
            unknown.program.require_any([*why, *given_up])


def _knows_given_up(
    unknown: UnknownSlice, released: ReleasedPeople, peak: int, parts: Sequence[Group]
) -> Sum:
    """A yes-or-no: each of these parts would do, but of one of them, somebody could not always
    have been there. (Had a part been parted in turn, it would not be otherwise: of more and
    smaller groups, the peaks without the largest have no smaller sum.)"""
    program, k, pictures = unknown.program, released.k, unknown.pictures
    yes = program.yes_or_no()
    peaks = [unknown.peak(part) for part in parts]
    for part, one in zip(parts, peaks, strict=True):
        program.require_if(yes, times(one, -1), most=-k)
        unknown.never_above_if(yes, part, peak - k)
    absent = [one for part in parts for one in unknown.once_nobody(part)]
    program.require(total([*absent, times(yes, -1)]), least=0)
    if len(parts) > pictures:
        return yes
    # The peaks without the largest are the least of the sums without any one.
    sums = [total(peaks[:one] + peaks[one + 1 :]) for one in range(len(peaks))]
    if released.mean_tenths is None:
        for one in sums:
            program.require_if(yes, times(one, -1), most=(1 - k) * (pictures - 1))
        return yes
    too_few, too_many = program.yes_or_no(), program.yes_or_no()
    in_all = unknown.in_all(EVERYBODY)
    for one in sums:
        program.require_if(too_few, total([in_all, times(one, -1)]), most=peak + pictures - 2)
    program.require_if(too_many, times(in_all, -1), most=-peak - peak * (pictures - 2) - k - 1)
    program.require(total([too_few, too_many, times(yes, -1)]), least=0)
    return yes


def _knows_presence(unknown: UnknownSlice, released: ReleasedPeople, peak: int) -> None:
    """Every picture shows somebody of each group told of, or could do so by all that is told."""
    if not released.groups:
        return
    program, pictures = unknown.program, unknown.pictures
    always, could_be = program.yes_or_no(), program.yes_or_no()
    for one in released.groups:
        unknown.always_if(always, one.group)
    peaks = [one.peak for one in released.groups]
    least, in_all = sum(peaks) - max(peaks) + pictures - 1, unknown.in_all(EVERYBODY)
    if len(peaks) > pictures:
        program.require(could_be, most=0)
    elif released.mean_tenths is not None:
        program.require_if(could_be, times(in_all, -1), most=-peak - least)
        program.require_if(could_be, in_all, most=peak + peak * (pictures - 2) + released.k)
    elif least >= released.k * (pictures - 1):
        program.require(could_be, most=0)
    program.require_any([always] if _has_means(released) else [always, could_be])


def _has_means(released: ReleasedPeople) -> bool:
    """Of groups, for all or none."""
    return all(one.mean_tenths is not None for one in released.groups)
