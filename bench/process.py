"""What the kernel tells of this process."""

from __future__ import annotations

__all__ = ["resident_megabytes"]

import os
from pathlib import Path


def resident_megabytes() -> float:
    """Memory of this process that is not swapped out."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
