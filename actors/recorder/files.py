"""The folder of recordings: what lies there, and how its troubles are told."""

from __future__ import annotations

__all__ = [
    "CLOCK",
    "Room",
    "as_trouble",
    "digest_of",
    "require_room",
    "room_in",
    "size_of",
    "stored_names",
]

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from actors.recorder.index import StorageTrouble, start_of

CLOCK = "clock.json"
"""The journal of ``runtime.clock``, by which it is known when something was recorded."""
_AT_ONCE = 1024 * 1024


@contextmanager
def as_trouble(what: str) -> Iterator[None]:
    """An operating system's error becomes StorageTrouble, without a path in its text."""
    try:
        yield
    except OSError as error:
        raise StorageTrouble(f"{what}: {error.strerror or type(error).__name__}") from None


def stored_names(folder: Path, ending: str = "") -> set[str]:
    """Names (without the ending) of the segments that lie in the folder. Raises OSError."""
    with os.scandir(folder) as entries:
        names = {
            entry.name.removesuffix(ending) for entry in entries if entry.name.endswith(ending)
        }
    return {name for name in names if start_of(name) is not None}


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def digest_of(path: Path, *, size: int | None = None) -> str:
    """SHA-256 of a file, or of its first ``size`` bytes, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    left = size if size is not None else -1
    with path.open("rb") as file:
        while left and (data := file.read(_AT_ONCE if left < 0 else min(left, _AT_ONCE))):
            digest.update(data)
            left -= len(data) if left > 0 else 0
    return digest.hexdigest()


class Room(NamedTuple):
    """How full a disk is, in bytes."""

    free: int
    """What the pole may still write; a file system may keep more for its administrator."""
    total: int


_LAST_BYTES = 16 * 1024 * 1024
_LAST_SHARE = 16


def room_in(folder: Path) -> Room:
    """Of the disk that the folder is on. Raises StorageTrouble."""
    with as_trouble("how full the disk is can't be said"):
        status = os.statvfs(folder)
    return Room(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def require_room(folder: Path, size: int = 0) -> None:
    """Raise StorageTrouble where so many bytes of pictures would take too much of the disk.

    The last bytes are for what must still be written on a full disk: what is deleted, released and
    reported. Without them, recordings that are held could never be released.
    """
    room = room_in(folder)
    if room.free - size < min(_LAST_BYTES, room.total // _LAST_SHARE):
        raise StorageTrouble("No space left on device for pictures")
