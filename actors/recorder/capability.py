"""What the recorder may do with recordings, and what retention may do: two handles, one folder."""

from __future__ import annotations

__all__ = [
    "Deletion",
    "Held",
    "Indexed",
    "OpenSegment",
    "RecordingExpiry",
    "RecordingStore",
    "Room",
    "StorageTrouble",
    "started_at",
]

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from actors.recorder.chain import (
    EMPTY,
    Begun,
    Chain,
    Deleted,
    Gap,
    Segment,
    manifest,
    segment_name,
)  # fmt: skip
from actors.recorder.files import (
    CLOCK,
    Room,
    as_trouble,
    digest_of,
    require_room,
    room_in,
    size_of,
    stored_names,
)  # fmt: skip
from actors.recorder.index import (
    PART,
    IndexDamaged,
    Indexed,
    SegmentIndex,
    SegmentState,
    StorageTrouble,
    number_of,
    place_of,
    start_of,
)
from actors.recorder.open_segment import OpenSegment
from actors.recorder.reindex import INDEX, rebuild
from actors.recorder.signing import KeyRefused, PoleKey
from actors.recorder.strays import Strays
from runtime import Authority, Capability, Reach, Storage, Unrecoverable
from runtime.clock import Clock, boot_id
from runtime.files import sync_folder

_DELETED_AT_ONCE = 500
"""Segments that one record of the chain tells of, so that no line grows long."""


class _StoreSettings(Protocol):
    @property
    def recipients(self) -> Path: ...


class RecordingStore(
    Capability,
    kind=Storage("security"),
    rights="append encrypted segments; cannot list, read or delete",
):
    """Takes new segments in (guideline 7.1(1): nothing else may store pictures)."""

    @classmethod
    def reach(cls, settings: _StoreSettings) -> Reach:
        """Beside its folder, the managers' public keys, which the recorder encrypts to."""
        return Reach(read=(settings.recipients,))

    @classmethod
    def prepare(cls, authority: Authority) -> None:
        """See ``_mend_index``: before the walls, because it takes long."""
        boot_id()
        _mend_index(authority.require_folder())

    def __init__(self, authority: Authority) -> None:
        self._folder, self._index, self._chain = _open(authority)
        self._holder = authority.actor

    @property
    def chain_length(self) -> int:
        """How many records the chain of manifests has."""
        return self._chain.length

    def open_segment(
        self,
        *,
        place: str,
        started_at: int,
        codec: str,
        width: int,
        height: int,
        camera: str = "",
        head: bytes = b"",
        boottime: int | None = None,
    ) -> OpenSegment:
        """Begin a segment whose first frame was captured at ``started_at`` (µs since 1970).

        ``boottime`` says the same in µs since the computer started; without it, the segment is
        only as old as the wall clock says.
        ``head`` is the beginning of its ciphertext, by which a leftover is known again. The
        segment is in chain and index before it is on the disk, so that none is missed.
        Blocks; raises StorageTrouble.
        """
        require_room(self._folder)
        facts = {"place": place, "codec": codec, "width": width, "height": height}
        with as_trouble("a segment can't be begun"):
            begun = self._chain.append(
                Begun,
                camera=camera or self._holder,
                start=started_at,
                head=sha256(head).hexdigest(),
                head_size=len(head),
                boot=boot_id() if boottime is not None else "",
                boottime=boottime or 0,
                **facts,
            )
        name = segment_name(begun)
        try:
            self._index.opened(name, camera=begun.camera, started_at=started_at, **facts)
            segment = OpenSegment(self._folder, name, begun, self._index, self._chain)
        except StorageTrouble:
            self._chain.owe(Segment, **manifest(begun, None, 0, sha256().hexdigest(), EMPTY))
            with suppress(StorageTrouble):
                self._index.forget([name])
            raise
        if head:
            try:
                segment.write(head)
            except StorageTrouble:
                segment.cut(started_at, readable=False)
                raise
        return segment

    def last_end(self, camera: str) -> int | None:
        """When the last segment of that camera ended (µs since 1970), as far as the chain's newest
        records tell. Blocks; raises StorageTrouble."""
        with as_trouble("the chain of manifests can't be read"):
            ends = [
                record.end
                for record in self._chain.recent()
                if isinstance(record, Segment) and record.camera == camera and record.end
            ]
        return max(ends, default=None)

    def note_gap(
        self, *, camera: str, place: str, started_at: int, ended_at: int, reason: str
    ) -> None:
        """Record that a camera's pictures are missing from then to then (µs since 1970).

        Blocks; raises StorageTrouble.
        """
        with as_trouble("a gap can't be recorded"):
            self._chain.append(
                Gap, camera=camera, place=place, start=started_at, end=ended_at, reason=reason
            )
        self._index.missed(
            camera=camera, place=place, started_at=started_at, ended_at=ended_at, reason=reason
        )

    def adopt_leftovers(self) -> int:
        """Close what a crashed pole left open, and say how many segments that were.

        They play up to where they break off, and get the manifest that they lack. Segments that
        another recorder is writing now are left alone. Blocks; raises StorageTrouble.
        """
        adopted = 0
        with as_trouble("leftover segments can't be closed"):
            for name in sorted(stored_names(self._folder, PART)):
                adopted += self._adopt(name)
            present = stored_names(self._folder)
            # What was written last: renamed, but neither chain nor index were told.
            known = list(self._chain.recent())
            closed = {record.begun for record in known if isinstance(record, Segment)}
            for record in known:
                if isinstance(record, Begun) and record.number not in closed:
                    name = segment_name(record)
                    if name in present:
                        self._sign_leftover(record, self._folder / name)
        for name in self._index.names(state=SegmentState.OPEN):
            if name in present:
                self._close_in_index(name)
        return adopted

    def _adopt(self, name: str) -> bool:
        part = self._folder / (name + PART)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another recorder has just finished it
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun = self._begun(name)
            if begun is not None and self._manifest_of(begun) is None:
                self._sign_leftover(begun, part)
            part.rename(self._folder / name)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        sync_folder(self._folder)
        if name not in self._index.started():
            facts: dict[str, object] = {"place": "", "started_at": start_of(name)}
            if begun is not None:
                facts = {
                    "camera": begun.camera, "place": begun.place, "started_at": begun.start,
                    "codec": begun.codec, "width": begun.width, "height": begun.height,
                }  # fmt: skip
            self._index.opened(name, **facts)
        self._close_in_index(name)
        return True

    def _sign_leftover(self, begun: Begun, path: Path) -> None:
        """Give it a manifest; not if it is another file than the one that was begun."""
        if digest_of(path, size=begun.head_size) != begun.head:
            return
        status = path.stat()
        # Nobody knows when its last frame was captured; when it was last written to is near it.
        end = max(begun.start, status.st_mtime_ns // 1000)
        self._chain.append(
            Segment,
            **manifest(begun, end, status.st_size, digest_of(path), SegmentState.CUT.value),
        )

    def _close_in_index(self, name: str) -> None:
        begun = self._begun(name)
        closed = self._manifest_of(begun) if begun is not None else None
        state, ended_at = SegmentState.CUT, closed.end if closed is not None else None
        if closed is not None and closed.state == SegmentState.COMPLETE.value:
            state = SegmentState.COMPLETE
        size = size_of(self._folder / name)
        self._index.closed(name, ended_at=ended_at, size=size, state=state)

    def _begun(self, name: str) -> Begun | None:
        """The record by which a segment of that name was begun, if the chain has it."""
        number = number_of(name)
        for record in self._chain.around(number) if number else ():
            if isinstance(record, Begun) and record.number == number:
                return record if segment_name(record) == name else None
        return None

    def _manifest_of(self, begun: Begun) -> Segment | None:
        for record in self._chain.recent():
            if isinstance(record, Segment) and record.begun == begun.number:
                return record
        return None


Held: TypeAlias = Callable[[Indexed], bool]
"""Says whether a segment must stay, although its time is over."""


class Deletion(NamedTuple):
    """What became of segments that were to be deleted."""

    deleted: list[str]
    failed: dict[str, str]
    """Why, by name."""


class RecordingExpiry(Capability, kind=Storage("security"), rights="list and delete; cannot read"):
    """Removes segments (guideline 7.1(3)). Its methods block and raise StorageTrouble."""

    def __init__(self, authority: Authority) -> None:
        self._folder, self._index, self._chain = _open(authority)
        self._strays = Strays(self._folder, self._index, self._chain)

    @classmethod
    def prepare(cls, authority: Authority) -> None:
        """See ``_mend_index``: retention may be there before the recorder. And have this boot in
        the clock's journal before anything is recorded in it."""
        folder = authority.require_folder()
        with suppress(OSError):
            Clock(folder / CLOCK).read()
        _mend_index(folder)

    def expired(self, before: int, held: Held | None = None) -> list[str]:
        """Segments whose first frame is older than ``before`` (µs since 1970), oldest first, but
        those that are held.

        Files count whether or not the index knows them, and rows whether or not there is a file.
        The first call looks at all files, each later one at some of them; otherwise the cost grows
        with what has expired, and not with what is kept.
        """
        try:
            self._strays.take_in()
            segments = self._index.begun_before(before)
        except StorageTrouble:
            # What can't be looked up is no reason to keep anything longer: the names tell as much.
            segments = [one for one in self._by_name() if one.started_at < before]
        return [one.name for one in segments if held is None or not held(one)]

    def _by_name(self) -> list[Indexed]:
        """What the folder tells without the index, oldest first."""
        with as_trouble("recordings can't be listed"):
            present = stored_names(self._folder) | stored_names(self._folder, PART)
            begun = self._chain.begun_as(present)
        segments = [
            Indexed(name, begun[name].camera, begun[name].place, begun[name].start, None, 0)
            if name in begun
            else Indexed(name, "", place_of(name), start_of(name) or 0, None, 0)
            for name in present
        ]
        return sorted(segments, key=lambda one: (one.started_at, one.name))

    def oldest(self, size: int, held: Held | None = None) -> list[str]:
        """Finished segments, oldest first, until they have so many bytes together, but those that
        are held."""
        names: list[str] = []
        after = (-(2**62), "")
        while size > 0 and (batch := self._index.finished(after, _DELETED_AT_ONCE)):
            for one in batch:
                if size > 0 and (held is None or not held(one)):
                    names.append(one.name)
                    size -= one.size
            after = batch[-1].started_at, batch[-1].name
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
        told = {"at": time.time_ns() // 1000, "segments": pairs}
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


def started_at(name: str) -> int | None:
    """When a segment's first frame was captured (µs since 1970), by its name; None where that is no
    segment's name."""
    return start_of(name)


def _open(authority: Authority) -> tuple[Path, SegmentIndex, Chain]:
    try:
        with as_trouble("the folder for recordings can't be used"):
            folder = authority.require_folder()
            index = SegmentIndex(folder / INDEX)
            return folder, index, Chain(folder, PoleKey.of_folder(folder))
    except KeyRefused as refusal:
        raise Unrecoverable(
            f"{refusal}. Without it no manifest can be signed, and nothing may be recorded that "
            "could be exchanged unseen"
        ) from None


def _mend_index(folder: Path) -> None:
    """Make the index again where it is lost or damaged: it holds nothing that the segments and
    the chain do not tell, and recording must not wait for somebody to come."""
    path = folder / INDEX
    is_lost = not path.exists() and bool(stored_names(folder))
    if path.exists():
        try:
            SegmentIndex(path).started()
        except IndexDamaged:
            is_lost = True
    if is_lost:
        rebuild(folder)
