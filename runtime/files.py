"""What makes files last."""

from __future__ import annotations

__all__ = ["replace_file", "sync_folder"]

import os
from pathlib import Path

_NEW = ".new"


def sync_folder(folder: Path) -> None:
    """Make names last: a new file, a rename or a removal is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
    """Give a file new content: the old or the new one is there at any time, and nothing else.

    With ``lasting``, the content is on the disk before it takes the old one's place; that it has
    taken it lasts from ``sync_folder`` on.
    """
    new = path.with_name(path.name + _NEW)
    new.unlink(missing_ok=True)  # what an earlier attempt left, in whatever mode
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, path)
