"""Files in the folder that the index does not know: found bit by bit, and put into it."""

from __future__ import annotations

__all__ = ["Strays"]

import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from actors.recorder.chain import Begun, Chain
from actors.recorder.files import as_trouble, size_of
from actors.recorder.index import PART, SegmentIndex, SegmentState, place_of, start_of
from actors.recorder.remains import Remains

_AT_ONCE = 4096
"""Entries of the folder in one look: some ten milliseconds, however many lie there."""


class Strays:
    """Looks for segments that have no row, so that these expire like any other.

    The recorder writes the row before the file, so none comes about by itself: somebody put files
    back, or a disk lost rows. The first look takes in the whole folder, each later one goes on
    where the last one ended. Any thread may call.
    """

    def __init__(self, folder: Path, index: SegmentIndex, chain: Chain) -> None:
        self._folder = folder
        self._index = index
        self._chain = chain
        self._mutex = threading.Lock()
        self._entries: os._ScandirIterator[str] | None = None
        """Where the last look ended; an open folder."""
        self._is_first = True
        self.remains = Remains(folder)
        """What else it came across."""

    def __del__(self) -> None:
        if self._entries is not None:
            self._entries.close()

    def take_in(self) -> int:
        """Look further, and say how many were put into the index. Raises StorageTrouble."""
        added = 0
        with self._mutex:
            is_first, self._is_first = self._is_first, False
            for names in self._look():
                added += self._add(self._index.unknown(names)) if names else 0
                if not is_first:
                    break
        return added

    def _look(self) -> Iterator[list[str]]:
        """Names of segments among the entries that are due, until the end of the folder."""
        while True:
            with as_trouble("recordings can't be listed"):
                entries, self._entries = self._entries or os.scandir(self._folder), None
                batch = list(islice(entries, _AT_ONCE))
            if len(batch) == _AT_ONCE:
                self._entries = entries
            names: set[str] = set()
            for entry in batch:
                if place_of(name := entry.name.removesuffix(PART)):
                    names.add(name)
                elif entry.is_file(follow_symlinks=False):
                    self.remains.see(entry)
            yield list(names)
            if self._entries is None:
                return

    def _add(self, strays: set[str]) -> int:
        if not strays:
            return 0
        with as_trouble("the chain of manifests can't be read"):
            begun = self._chain.begun_as(strays)
            rows = [
                self._row(name, start, begun.get(name))
                for name in sorted(strays)
                if (start := start_of(name)) is not None
            ]
        return self._index.take_in(rows, self._is_there)

    def _is_there(self, name: str) -> bool:
        return any((self._folder / (name + ending)).exists() for ending in ("", PART))

    def _row(self, name: str, start: int, begun: Begun | None) -> dict[str, Any]:
        path = self._folder / name
        is_open = not path.exists()
        return {
            "name": name,
            "camera": begun.camera if begun is not None else "",
            "place": begun.place if begun is not None else place_of(name),
            "started_at": begun.start if begun is not None else start,
            "boot": begun.boot if begun is not None else "",
            "boottime": begun.boottime if begun is not None else 0,
            "ended_at": None,
            "codec": begun.codec if begun is not None else None,
            "width": begun.width if begun is not None else None,
            "height": begun.height if begun is not None else None,
            "bytes": 0 if is_open else size_of(path),
            "state": (SegmentState.OPEN if is_open else SegmentState.CUT).value,
        }
