"""What makes files last."""

from __future__ import annotations

__all__ = ["sync_folder"]

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make names last: a new file, a rename or a removal is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
