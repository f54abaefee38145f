"""Looks for bytes in another process's memory."""

from __future__ import annotations

__all__ = ["find_in_process"]

import mmap
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

_PRESENT = 3 << 62
"""In a page's entry of /proc/PID/pagemap: in memory, or in swap."""


def find_in_process(process: int, patterns: Mapping[str, list[bytes]]) -> Counter[str]:
    """How many of each kind's patterns lie in the process's writable memory, and where."""
    found: Counter[str] = Counter()
    seen = set()
    for name, content in _memory(process):
        for kind, several in patterns.items():
            for pattern in several:
                if (kind, pattern) not in seen and pattern in content:
                    seen.add((kind, pattern))
                    found[f"{kind} in {name}"] += 1
    return found


def _memory(process: int) -> Iterator[tuple[str, bytes]]:
    """Each run of resident pages. What was never touched holds nothing, and may be huge."""
    folder = Path(f"/proc/{process}")
    with (folder / "pagemap").open("rb") as pagemap, (folder / "mem").open("rb", 0) as memory:
        for line in (folder / "maps").read_text().splitlines():
            span, rights, *_, name = (*line.split(maxsplit=5), "")[:6]
            if "w" not in rights or name.startswith("[v"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            pagemap.seek(start // mmap.PAGESIZE * 8)
            entries = np.frombuffer(pagemap.read((end - start) // mmap.PAGESIZE * 8), np.uint64)
            resident = np.concatenate([[False], (entries & np.uint64(_PRESENT)) != 0, [False]])
            edges = np.flatnonzero(resident[1:] != resident[:-1])
            for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                at = start + first * mmap.PAGESIZE
                length = (last - first) * mmap.PAGESIZE
                yield name or "anonymous memory", os.pread(memory.fileno(), length, at)
