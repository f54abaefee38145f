"""What the recorder may do with recordings, and what retention may do: two handles, one folder."""

from __future__ import annotations

__all__ = [
    "Deletion",
    "OpenSegment",
    "RecordingExpiry",
    "RecordingStore",
    "StorageTrouble",
    "started_at",
]

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from actors.recorder.index import (
    PART,
    SegmentIndex,
    SegmentState,
    StorageTrouble,
    name_of,
    start_of,
)
from runtime import Authority, Capability, Reach, Storage

_INDEX = "index.db"


class OpenSegment:
    """A segment while it is written. Its methods block; all but ``cut`` raise StorageTrouble.

    The file is locked for as long as it is open, which tells it from one that was left behind.
    """

    def __init__(self, folder: Path, name: str, index: SegmentIndex) -> None:
        self.name = name
        self.size = 0
        """Bytes of ciphertext that are completely in the file."""
        self._folder = folder
        self._index = index
        self._part = folder / (name + PART)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with _as_trouble("a segment can't be begun"):
            self._descriptor = os.open(self._part, flags, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._descriptor)
                raise

    def write(self, data: bytes) -> None:
        """Append ciphertext: all of it, or StorageTrouble."""
        with _as_trouble("a segment can't be written"):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(data)

    def finish(self, ended_at: int) -> bool:
        """Make it last and give it its final name; ``ended_at`` in µs since 1970.

        False where the index could not be told: the segment itself is safe then, and the index
        is set right at the recorder's next start.
        """
        with _as_trouble("a segment can't be finished"):
            os.fsync(self._descriptor)
            there = self._rename()
        os.close(self._descriptor)
        try:
            if there:
                self._index.closed(
                    self.name, ended_at=ended_at, size=self.size, state=SegmentState.COMPLETE
                )
            else:  # it expired while it was open
                self._index.forget([self.name])
        except StorageTrouble:
            return False
        return True

    def cut(self, ended_at: int, *, readable: bool) -> None:
        """Leave it as it is after a failure, without what was written by half.

        ``readable`` says whether anything in it can be read; otherwise it is removed.
        """
        with suppress(OSError, StorageTrouble):
            # The disk may be what failed: each step is worth trying, none is worth failing for.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            if readable:
                self._rename()
                self._index.closed(
                    self.name, ended_at=ended_at, size=self.size, state=SegmentState.CUT
                )
            else:
                self._part.unlink(missing_ok=True)
                self._index.forget([self.name])
        with suppress(OSError):
            os.close(self._descriptor)

    def _rename(self) -> bool:
        try:
            self._part.rename(self._folder / self.name)
        except FileNotFoundError:
            return False
        _sync_folder(self._folder)
        return True


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

    def __init__(self, authority: Authority) -> None:
        with _as_trouble("the folder for recordings can't be used"):
            self._folder = authority.require_folder()
        self._index = SegmentIndex(self._folder / _INDEX)
        self._holder = authority.actor

    def open_segment(
        self, *, place: str, started_at: int, codec: str, width: int, height: int
    ) -> OpenSegment:
        """Begin a segment whose first frame was captured at ``started_at`` (µs since 1970).

        It is in the index before it is on the disk, so that retention misses none.
        Blocks; raises StorageTrouble.
        """
        name = name_of(place or self._holder, started_at)
        self._index.opened(
            name, place=place, started_at=started_at, codec=codec, width=width, height=height
        )
        try:
            return OpenSegment(self._folder, name, self._index)
        except StorageTrouble:
            with suppress(StorageTrouble):
                self._index.forget([name])
            raise

    def adopt_leftovers(self) -> int:
        """Close what a crashed pole left open, and say how many segments that were.

        They play up to where they break off. Segments that another recorder is writing now are
        left alone. Blocks; raises StorageTrouble.
        """
        adopted = 0
        with _as_trouble("leftover segments can't be closed"):
            known = self._index.started()
            for name in sorted(_stored_names(self._folder, PART)):
                adopted += self._adopt(name, known=name in known)
            present = _stored_names(self._folder)
        for name in self._index.names(state=SegmentState.OPEN):
            if name in present:  # renamed, but the index was not told
                size = _size(self._folder / name)
                self._index.closed(name, ended_at=None, size=size, state=SegmentState.CUT)
        return adopted

    def _adopt(self, name: str, *, known: bool) -> bool:
        part = self._folder / (name + PART)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another recorder has just finished it
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.rename(self._folder / name)
            size = os.fstat(descriptor).st_size
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        _sync_folder(self._folder)
        if not known:
            self._index.opened(name, place="", started_at=start_of(name))
        self._index.closed(name, ended_at=None, size=size, state=SegmentState.CUT)
        return True


class Deletion(NamedTuple):
    """What became of segments that were to be deleted."""

    deleted: list[str]
    failed: dict[str, str]
    """Why, by name."""


class RecordingExpiry(Capability, kind=Storage("security"), rights="list and delete; cannot read"):
    """Removes segments (guideline 7.1(3)). Its methods block and raise StorageTrouble."""

    def __init__(self, authority: Authority) -> None:
        with _as_trouble("the folder for recordings can't be used"):
            self._folder = authority.require_folder()
        self._index = SegmentIndex(self._folder / _INDEX)

    def expired(self, before: int) -> list[str]:
        """Segments whose first frame is older than ``before`` (µs since 1970), oldest first.

        Files count whether or not the index knows them, and rows whether or not there is a file.
        """
        with _as_trouble("recordings can't be listed"):
            present = _stored_names(self._folder) | _stored_names(self._folder, PART)
        started = {name: moment for name in present if (moment := start_of(name)) is not None}
        started.update(self._index.started())
        return sorted(
            (name for name, moment in started.items() if moment < before),
            key=lambda name: (started[name], name),
        )

    def delete(self, names: Iterable[str]) -> Deletion:
        """Remove files, index rows and what the index's log holds of them.

        One that can't be removed keeps its row, so that it is found again.
        """
        result = Deletion([], {})
        for name in names:
            try:
                if start_of(name) is not None:
                    (self._folder / name).unlink(missing_ok=True)
                    (self._folder / (name + PART)).unlink(missing_ok=True)
                result.deleted.append(name)
            except OSError as error:
                result.failed[name] = error.strerror or type(error).__name__
        if result.deleted:
            with _as_trouble("the folder for recordings can't be used"):
                _sync_folder(self._folder)
            self._index.forget(result.deleted)
        return result


def started_at(name: str) -> int | None:
    """When a segment's first frame was captured (µs since 1970), by its name; None where that is no
    segment's name."""
    return start_of(name)


@contextmanager
def _as_trouble(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageTrouble(f"{what}: {error.strerror or type(error).__name__}") from None


def _stored_names(folder: Path, ending: str = "") -> set[str]:
    """Names (without the ending) of the segments that lie in the folder."""
    with os.scandir(folder) as entries:
        names = {
            entry.name.removesuffix(ending) for entry in entries if entry.name.endswith(ending)
        }
    return {name for name in names if start_of(name) is not None}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    """Make names last: a rename or removal is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
