"""A simulated computer and the clock that judges it."""

from __future__ import annotations

__all__ = ["Pole", "synchronised"]

from pathlib import Path

from runtime.clock import Clock, Fault, Timeline
from tests.unit.runtime.clock.machine import MINUTE, Battery, Machine, Recorded


class Pole:
    """A machine and the clock that judges it."""

    def __init__(self, folder: Path, *, battery_clock: bool = False, error: int = 0) -> None:
        self.path = folder / "clock.json"
        self.machine = Machine(error=error)
        self._battery_clock = battery_clock
        self.restart()

    def restart(self) -> None:
        """The actor that reads the clock, not the computer."""
        self.clock = Clock(
            self.path, battery_clock=self._battery_clock, look=lambda: self.machine.look()
        )

    def read(self) -> Timeline:
        return self.clock.read()

    def faults(self) -> list[Fault]:
        return [alarm.fault for alarm in self.clock.take_alarms()]

    def run(self, time: int, *, each: int = MINUTE) -> Timeline:
        """Read the clock once a minute, as retention does."""
        end = self.machine.now + time
        while self.machine.now < end:
            self.machine.pass_time(min(each, end - self.machine.now))
            timeline = self.read()
        return timeline

    def reboot(self, off: int, battery: Battery, **given: object) -> Timeline:
        self.machine.reboot(off, battery, **given)  # type: ignore[arg-type]
        self.restart()
        return self.read()

    def age(self, one: Recorded) -> int:
        timeline = self.read()
        return timeline.now - timeline.moment(one.boot, one.boottime, one.claimed)


def synchronised(pole: Pole) -> Timeline:
    pole.machine.synchronise()
    return pole.read()
