"""What retention may do with recordings: see which have expired, and delete."""

from __future__ import annotations

__all__ = ["Deletion", "Held", "Kept", "RecordingExpiry"]

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from actors.recorder.chain import Begun, Deleted, segment_name
from actors.recorder.files import CLOCK, Room, as_trouble, room_in, stored_names
from actors.recorder.folder import mend_index, open_folder
from actors.recorder.index import PART, Indexed, StorageTrouble, number_of, place_of, start_of
from actors.recorder.strays import Strays
from runtime import Authority, Capability, Storage
from runtime.clock import Alarm, Clock, Timeline
from runtime.files import sync_folder

_DELETED_AT_ONCE = 500
"""Segments that one record of the chain tells of, so that no line grows long."""
_LONGEST = 3600 * 1_000_000
"""Microseconds: a segment of which nobody noted the end is over by then. The longest is cut at the
first key picture after ten minutes."""
_INEXACT = 60 * 1_000_000
"""Microseconds by which a segment's times may be wrong although time is known: a clock that was set
back while the segment was recorded makes it look so much shorter."""


class Kept(NamedTuple):
    """A segment, and between which times all of it was captured for certain (µs since 1970)."""

    name: str
    camera: str
    """"" where nobody knows, as with the place."""
    place: str
    start: int
    end: int


Held: TypeAlias = Callable[[Kept], bool]
"""Says whether a segment must stay, although its time is over."""


class Deletion(NamedTuple):
    """What became of segments that were to be deleted."""

    deleted: list[str]
    failed: dict[str, str]
    """Why, by name."""


class RecordingExpiry(Capability, kind=Storage("security"), rights="list and delete; cannot read"):
    """Removes segments (guideline 7.1(3)). Its methods block and raise StorageTrouble.

    A segment is as old as the pole's own clock says (``runtime.clock``), whatever the wall clock
    showed when it was recorded and shows now. Where no timeline is given, it is as old as the wall
    clock said.
    """

    def __init__(self, authority: Authority) -> None:
        self._folder, self._index, self._chain = open_folder(authority)
        self._strays = Strays(self._folder, self._index, self._chain)
        is_good = bool(getattr(authority.settings, "battery_clock", False))
        self._clock = Clock(self._folder / CLOCK, battery_clock=is_good)
        self._timeline: Timeline | None = None

    @classmethod
    def prepare(cls, authority: Authority) -> None:
        """See ``mend_index``: retention may be there before the recorder. And have this boot in
        the clock's journal before anything is recorded in it."""
        folder = authority.require_folder()
        with suppress(OSError):
            Clock(folder / CLOCK).read()
        mend_index(folder)

    def time(self) -> Timeline:
        """What time it is, and when what is kept was recorded. To be asked at each sweep."""
        with as_trouble("the clock's journal can't be read"):
            self._clock.read()
            # Without an index, of which boots something is left will be known another time.
            with suppress(StorageTrouble):
                if self._timeline is None:
                    self._strays.take_in()
                boots = self._index.boots()
                boots.pop("", None)
                self._clock.account_for(boots)
            self._timeline = self._clock.read()
        return self._timeline

    def take_alarms(self) -> list[Alarm]:
        """What the clock found wrong since the last call."""
        return self._clock.take_alarms()

    def expired(
        self, before: int, timeline: Timeline | None = None, held: Held | None = None
    ) -> list[str]:
        """Segments whose first frame is older than ``before`` (µs since 1970), oldest first, but
        those that are held.

        Files count whether or not the index knows them, and rows whether or not there is a file.
        The first call looks at all files, each later one at some of them; otherwise the cost grows
        with what has expired, and not with what is kept.
        """
        try:
            self._strays.take_in()
            found = list(self._begun_before(before, timeline))
        except StorageTrouble:
            # What can't be looked up is no reason to keep anything longer: chain and names tell it.
            found = [one for one in self._by_name() if _moment(one, timeline) < before]
        found.sort(key=lambda one: (_moment(one, timeline), one.name))
        return [one.name for one in found if held is None or not held(_kept(one, timeline))]

    def _begun_before(self, before: int, timeline: Timeline | None) -> Iterator[Indexed]:
        for boot in self._index.boots():
            if timeline is not None and boot in timeline.offsets:
                limit = before - timeline.offsets[boot]
                yield from self._index.begun_before(boot, boottime=limit)
            elif timeline is not None and not boot:
                yield from self._index.begun_before("", claimed=timeline.claims_before(before))
            else:
                yield from self._index.begun_before(boot, claimed=before)

    def _by_name(self) -> list[Indexed]:
        """What the folder and the chain tell without the index."""
        with as_trouble("recordings can't be listed"):
            present = stored_names(self._folder) | stored_names(self._folder, PART)
            begun = self._chain.begun_as(present)
        return [_without_index(name, begun.get(name)) for name in present]

    def oldest(
        self, size: int, timeline: Timeline | None = None, held: Held | None = None
    ) -> list[str]:
        """Finished segments, oldest first, until they have so many bytes together, but those that
        are held."""
        names: list[str] = []
        boots = self._index.boots()
        for boot in sorted(boots, key=lambda one: _offset(one, boots[one], timeline)):
            after: Indexed | None = None
            while size > 0 and (batch := self._index.finished(boot, after, _DELETED_AT_ONCE)):
                for one in batch:
                    if size > 0 and (held is None or not held(_kept(one, timeline))):
                        names.append(one.name)
                        size -= one.size
                after = batch[-1]
        return names

    def tidy(self, before: int, now: int) -> int:
        """Remove copies and temporary files (see ``Remains``), and say how many; then see to it
        that the index's log holds nothing of what was deleted. Times in µs since 1970."""
        with as_trouble("copies and temporary files can't be removed"):
            removed = self._strays.remains.delete(before, now)
        if not self._index.empty_log():
            raise StorageTrouble(
                "the index's log can't be emptied of what was deleted: somebody is reading it"
            )
        return removed

    def room(self) -> Room:
        """How full the disk is."""
        return room_in(self._folder)

    def delete(self, names: Iterable[str]) -> Deletion:
        """Remove files, index rows and what the index's log holds of them.

        The chain is told first, so that a segment which is gone was deleted by retention or taken
        away. One that can't be removed keeps its row, so that it is found again.
        """
        result = Deletion([], {})
        wanted = list(names)
        for at in range(0, len(wanted), _DELETED_AT_ONCE):
            self._delete(wanted[at : at + _DELETED_AT_ONCE], result)
        if result.deleted:
            with as_trouble("the chain of manifests can't be shortened"):
                self._chain.prune(self._is_gone)
        return result

    def _delete(self, names: list[str], result: Deletion) -> None:
        with as_trouble("the chain of manifests can't be read"):
            self._chain.catch_up()
        pairs = tuple(
            (number, start // 1_000_000)
            for name in names
            if (start := start_of(name)) is not None
            and 0 < (number := number_of(name) or 0) <= self._chain.length
        )
        now = self._timeline.now if self._timeline is not None else time.time_ns() // 1000
        told = {"at": now, "segments": pairs}
        is_told = False
        with suppress(OSError):  # a full disk: there is room when they are gone
            if pairs:
                self._chain.append(Deleted, **told)
            is_told = True
        deleted: list[str] = []
        for name in names:
            try:
                if start_of(name) is not None:
                    (self._folder / name).unlink(missing_ok=True)
                    (self._folder / (name + PART)).unlink(missing_ok=True)
                deleted.append(name)
            except OSError as error:
                result.failed[name] = error.strerror or type(error).__name__
        result.deleted.extend(deleted)
        if not is_told:
            self._chain.owe(Deleted, **told)
        if deleted:
            with as_trouble("the folder for recordings can't be used"):
                sync_folder(self._folder)
            oldest = max(start_of(name) or 0 for name in deleted)
            self._index.forget(deleted, gaps_before=oldest)

    def _is_gone(self, begun: Begun) -> bool:
        name = segment_name(begun)
        return not any((self._folder / (name + ending)).exists() for ending in ("", PART))


def _moment(segment: Indexed, timeline: Timeline | None) -> int:
    """When it began (µs since 1970), or the latest that it may have."""
    if timeline is None:
        return segment.started_at
    return timeline.moment(segment.boot, segment.boottime, segment.started_at)


def _offset(boot: str, last: tuple[int, int], timeline: Timeline | None) -> int:
    """What tells the starts of the computer in their order. Without one: before all of them."""
    if timeline is not None and boot in timeline.offsets:
        return timeline.offsets[boot]
    return last[1] - last[0] if boot else -(2**62)


def _kept(segment: Indexed, timeline: Timeline | None) -> Kept:
    begun = segment.boot, segment.boottime, segment.started_at
    start, latest = timeline.span(*begun) if timeline is not None else begun[2:] * 2
    lasted = (segment.ended_at or 0) - segment.started_at
    if not 0 <= lasted <= _LONGEST:
        lasted = _LONGEST
    return Kept(
        segment.name,
        segment.camera,
        # A name has its place in it, or its camera where it has none.
        segment.place or ("" if segment.camera else place_of(segment.name)),
        start - _INEXACT,
        latest + lasted + _INEXACT,
    )


def _without_index(name: str, begun: Begun | None) -> Indexed:
    if begun is None:
        return Indexed(name, "", place_of(name), "", 0, start_of(name) or 0, None, 0)
    return Indexed(
        name, begun.camera, begun.place, begun.boot, begun.boottime, begun.start, None, 0
    )  # fmt: skip
