"""What is said of the memory that pictures lie in."""

from __future__ import annotations

import numpy as np
import pytest

from actors.crowd import memory as module
from actors.crowd.memory import PictureMemory
from runtime.memory import LockedMemory, Protection


def test_only_memory_that_is_still_used_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unlocked(LockedMemory):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.protection = Protection(False, True, True, "it may be swapped out")

    monkeypatch.setattr(module, "LockedMemory", Unlocked)
    memory = PictureMemory()
    small = np.frombuffer(memory.allocate(1000), np.uint8)
    large = np.frombuffer(memory.allocate(5000), np.uint8)
    assert memory.unlocked == 6000
    part = small[:10]
    del small
    assert memory.unlocked == 6000
    del part
    assert memory.unlocked == 5000
    assert memory.lacking == "it may be swapped out"
    del large
    assert (memory.unlocked, memory.lacking) == (0, "")
