"""Playing a capture file as if it were heard now."""

from __future__ import annotations

__all__ = ["Replay", "read_capture_file"]

from pathlib import Path

import trio

from actors.wifi.errors import NotACapture
from actors.wifi.pcap import Capture, read_capture

_LARGEST_FILE = 64 * 1024 * 1024
_LONGEST_PAUSE = 60.0
"""A longer one is a damaged time, or two captures that were joined."""
_PAUSE_BEFORE_LOOP = 1.0
_CHECKPOINT = 32
_NANOSECONDS = 1e9


def read_capture_file(path: Path) -> Capture:
    """Read it whole. Raises NotACapture, and OSError where the file can't be read."""
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise NotACapture(f"it has more than {_LARGEST_FILE // 1024**2} MiB; cut it first")
    return read_capture(content)


class Replay:
    """A capture, each frame at its time after the first."""

    def __init__(self, capture: Capture, *, loop: bool) -> None:
        self.capture = capture
        self._loop = loop
        self._next = 0
        self._streak = 0
        self._due: float | None = None
        """When the frame before was due."""

    async def receive(self) -> memoryview | None:
        """The next frame, when its time has come; None at the end of the capture."""
        frames = self.capture.frames
        following = self._next
        if following >= len(frames):
            if not self._loop or not frames:
                return None
            following = 0
        if self._due is None:
            due = trio.current_time()
        elif following == 0:
            due = self._due + _PAUSE_BEFORE_LOOP
        else:
            passed = frames[following].nanoseconds - frames[following - 1].nanoseconds
            due = self._due + min(max(passed / _NANOSECONDS, 0.0), _LONGEST_PAUSE)
        self._streak += 1
        if due > trio.current_time():
            await trio.sleep_until(due)
            self._streak = 0
        elif self._streak >= _CHECKPOINT:
            await trio.lowlevel.checkpoint()
            self._streak = 0
        # Only now: a cancelled receive has taken nothing.
        self._next, self._due = following + 1, due
        return frames[following].data

    def close(self) -> None:
        """Nothing is open."""
