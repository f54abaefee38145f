"""A segment while it is written: its file, its hash, and its manifest in the end."""

from __future__ import annotations

__all__ = ["OpenSegment", "create_part", "discard_part"]

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from actors.recorder.chain import EMPTY, Begun, Chain, Segment, manifest, segment_name
from actors.recorder.files import as_trouble, require_room
from actors.recorder.index import PART, SegmentIndex, SegmentState, StorageTrouble
from runtime.files import sync_folder


def create_part(folder: Path, name: str) -> int:
    """The empty file of a segment, locked, and there after a power cut. Raises OSError."""
    path = folder / (name + PART)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sync_folder(folder)
    except OSError:
        discard_part(folder, name, descriptor)
        raise
    return descriptor


def discard_part(folder: Path, name: str, descriptor: int) -> None:
    """Remove it again, as far as the disk lets it."""
    with suppress(OSError):
        (folder / (name + PART)).unlink(missing_ok=True)
    with suppress(OSError):
        os.close(descriptor)


class OpenSegment:
    """A segment while it is written. Its methods block; all but ``cut`` raise StorageTrouble.

    The file is locked for as long as it is open, which tells it from one that was left behind.
    """

    def __init__(
        self, folder: Path, descriptor: int, begun: Begun, index: SegmentIndex, chain: Chain
    ) -> None:
        self.name = segment_name(begun)
        self.size = 0
        """Bytes of ciphertext that are completely in the file."""
        self._folder = folder
        self._begun = begun
        self._index = index
        self._chain = chain
        self._digest = hashlib.sha256()
        self._part = folder / (self.name + PART)
        self._descriptor = descriptor
        """Of its file, as ``create_part`` made it."""

    def write(self, data: bytes) -> None:
        """Append ciphertext: all of it, or StorageTrouble."""
        require_room(self._folder, len(data))
        with as_trouble("a segment can't be written"):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(data)
        self._digest.update(data)

    def sync(self) -> None:
        """What was written outlasts a power cut when this returns."""
        with as_trouble("a segment can't be written"):
            os.fdatasync(self._descriptor)

    def finish(self, ended_at: int) -> bool:
        """Make it last, sign its manifest and give it its final name; ``ended_at`` in µs since
        1970.

        False where the index could not be told: the segment itself is safe then, and the index
        is set right at the recorder's next start.
        """
        with as_trouble("a segment can't be finished"):
            os.fsync(self._descriptor)
            self._chain.append(Segment, **self._manifest(ended_at, SegmentState.COMPLETE.value))
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
            state = SegmentState.CUT.value if readable else EMPTY
            self._chain.owe(Segment, **self._manifest(ended_at, state))
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

    def _manifest(self, ended_at: int, state: str) -> dict[str, object]:
        return manifest(self._begun, ended_at, self.size, self._digest.hexdigest(), state)

    def _rename(self) -> bool:
        try:
            self._part.rename(self._folder / self.name)
        except FileNotFoundError:
            return False
        sync_folder(self._folder)
        return True
