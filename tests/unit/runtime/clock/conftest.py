"""Journals are written a thousand times in a test: in memory, where syncing costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.unit.runtime.clock.machine import MEMORY
from tests.unit.runtime.clock.pole import Pole


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def pole(tmp_path: Path) -> Pole:
    return Pole(tmp_path)
