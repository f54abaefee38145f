"""The folder of recordings: what lies there, and how its troubles are told."""

from __future__ import annotations

__all__ = ["CLOCK", "as_trouble", "digest_of", "size_of", "stored_names"]

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
