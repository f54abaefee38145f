"""A computer in simulated time: its wall clock, its battery clock, its boots, and what is true."""

from __future__ import annotations

__all__ = ["DAY", "HOUR", "MEMORY", "MINUTE", "SECOND", "START", "Battery", "Machine", "Recorded"]

import enum
from dataclasses import dataclass
from pathlib import Path

from runtime.clock import Look

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A folder where syncing costs nothing."""
START = 1_800_000_000 * SECOND
"""The true time when the simulation begins."""
_EPOCHS = {"1970": 0, "2000": 946_684_800 * SECOND, "2021": 1_609_459_200 * SECOND}


class Battery(enum.Enum):
    """What the computer's own clock did while the computer was off."""

    GOOD = "it ran on"
    FROZEN = "it goes on from where it was, as where there is none and a file stands for it"
    DEAD = "it begins in a year long past"
    SET = "somebody set it"


@dataclass(frozen=True)
class Recorded:
    """Something that was recorded."""

    boot: str
    boottime: int
    claimed: int
    """What the wall clock showed."""
    at: int
    """What was true."""


class Machine:
    """All times in microseconds. ``error`` is what the wall clock is ahead of the truth."""

    def __init__(self, *, error: int = 0) -> None:
        self.now = START
        self.error = error
        self.synchronised = False
        self.drift = 0
        """How many microseconds a second the clocks run too fast, while nothing corrects them."""
        self.boots = 0
        self._boottime = 5 * DAY
        self.began = {self.boot: START - self._boottime}
        """When each boot really began."""

    @property
    def boot(self) -> str:
        return f"{self.boots:032x}"

    @property
    def boottime(self) -> int:
        return self._boottime

    def look(self) -> Look:
        return Look(self.boot, self._boottime, self.now + self.error, self.synchronised)

    def record(self) -> Recorded:
        return Recorded(self.boot, self._boottime, self.now + self.error, self.now)

    def pass_time(self, time: int) -> None:
        """Awake or in suspend."""
        wrong = 0 if self.synchronised else time * self.drift // 1_000_000
        self.now += time
        self._boottime += time + wrong
        self.error += wrong

    def set_by(self, step: int) -> None:
        """Somebody sets the wall clock; the kernel then takes nothing for synchronised."""
        self.error += step
        self.synchronised = False

    def synchronise(self) -> None:
        self.error = 0
        self.synchronised = True

    def lose_synchronisation(self) -> None:
        self.synchronised = False

    def reboot(
        self, off: int, battery: Battery, *, year: str = "1970", step: int = 0, delay: int = SECOND
    ) -> None:
        """The power fails for so long. ``delay`` is how long starting takes."""
        wall = self.now + self.error
        self.now += off
        self.boots += 1
        self.began[self.boot] = self.now
        self.synchronised = False
        match battery:
            case Battery.GOOD:
                pass
            case Battery.FROZEN:
                self.error = wall - self.now
            case Battery.DEAD:
                self.error = _EPOCHS[year] - self.now
            case Battery.SET:
                self.error += step
        self._boottime = 0
        self.pass_time(delay)
