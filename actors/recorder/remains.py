"""What may lie beside the recordings and holds something of them: copies and temporary files."""

from __future__ import annotations

__all__ = ["Remains"]

import os
import re
from pathlib import Path
from typing import NamedTuple

from actors.recorder.index import start_of

_OF_SEGMENT = re.compile(r"\.?(\d{8}T\d{6}Z-[A-Za-z0-9_-]{1,60}-[0-9a-f]{8})(?:\..*)?", re.ASCII)
_PICTURES = re.compile(
    r".*\.(?:age|mp4|m4s|mkv|webm|mov|avi|ts|h264|h265|mjpe?g|jpe?g|png|zip|tar|tgz|gz|xz|zst|7z)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_INDEX_COPY = re.compile(r"index.*\.db.*|.*\.(?:db|sqlite3?)", re.ASCII | re.DOTALL)
_TEMPORARY = re.compile(r".*(?:~|\.(?:new|tmp|temp|part|bak|old|swp))", re.ASCII | re.DOTALL)
_OF_THE_POLE = {"index.db", "index.db-wal", "index.db-shm", "index.db-journal"}
"""SQLite needs its journal after a power cut: deleting it would damage the index."""
_IDLE = 3_600_000_000
"""Microseconds without a change after which nobody is writing a temporary file any more."""


class _Remain(NamedTuple):
    moment: int
    """When it began, or was written to last (µs since 1970)."""
    is_temporary: bool
    is_told_by_name: bool


class Remains:
    """Remembers the files of the folder that are no segments and may hold something of one.

    * What bears a segment's name, with another ending (``.mp4``, ``.mp4.age.bak``), expires with
      that segment.
    * Another film, picture or archive, such as an export that was made here, expires as if it had
      begun when it was last written to.
    * Temporary files and copies of the index, which tell of segments that are gone, expire an hour
      after they were last written to.

    Other files are let alone, and so is everything in folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, _Remain] = {}

    def see(self, entry: os.DirEntry[str]) -> None:
        """An entry of the folder that is no segment."""
        if (remain := _judge(entry.name, self._folder)) is not None:
            self._found[entry.name] = remain

    def delete(self, before: int, now: int) -> int:
        """Remove those that are older than ``before``, and temporary ones that nobody writes at
        ``now`` (both µs since 1970). Says how many; raises OSError."""
        deleted = 0
        for name, remain in list(self._found.items()):
            if not _is_due(remain, before, now):
                continue
            if not remain.is_told_by_name:  # it may have been written to since
                again = _judge(name, self._folder)
                if again is not None and not _is_due(again, before, now):
                    self._found[name] = again
                    continue
            try:
                (self._folder / name).unlink()
                deleted += 1
            except FileNotFoundError:
                pass
            del self._found[name]
        return deleted


def _is_due(remain: _Remain, before: int, now: int) -> bool:
    if remain.is_temporary:
        return abs(now - remain.moment) > _IDLE
    return remain.moment < before


def _judge(name: str, folder: Path) -> _Remain | None:
    of_segment = _OF_SEGMENT.fullmatch(name)
    if of_segment is not None and (start := start_of(of_segment[1] + ".mp4.age")) is not None:
        return _Remain(start, is_temporary=False, is_told_by_name=True)
    is_temporary = any(one.fullmatch(name) for one in (_INDEX_COPY, _TEMPORARY))
    if name in _OF_THE_POLE or not (is_temporary or _PICTURES.fullmatch(name)):
        return None
    try:
        status = (folder / name).lstat()
    except FileNotFoundError:
        return None
    return _Remain(status.st_mtime_ns // 1000, is_temporary, is_told_by_name=False)
