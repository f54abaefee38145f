"""What the processor's own meter says that work has cost, where a machine has one."""

from __future__ import annotations

__all__ = ["EnergyMeter"]

from pathlib import Path

_ZONES = Path("/sys/class/powercap")
"""Linux's power capping framework: RAPL on Intel's and AMD's processors."""


class EnergyMeter:
    """Joules of all processor packages. ``lacking`` says why there are none to read."""

    def __init__(self, zones: Path = _ZONES) -> None:
        self._counters: list[tuple[Path, int]] = []
        self.lacking = ""
        try:
            for zone in sorted(zones.glob("*:[0-9]*")):
                # Packages only: what lies within them (cores, memory) would count twice.
                if zone.name.count(":") == 1:
                    most = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
                    (zone / "energy_uj").read_text(encoding="ascii")
                    self._counters.append((zone / "energy_uj", most))
        except OSError as error:
            self.lacking = (
                f"energy: this user may not read the processor's meter ({error.strerror})"
            )
            self._counters = []
        else:
            if not self._counters:
                self.lacking = "energy: this machine has no meter that Linux could read"
        self._before = self._read()

    def restart(self) -> None:
        """Count from here."""
        self._before = self._read()

    def joules(self) -> float | None:
        """Since the last ``restart``; None where there is no meter."""
        if not self._counters:
            return None
        total = 0
        for before, now, (_, most) in zip(self._before, self._read(), self._counters, strict=True):
            total += now - before if now >= before else now + most - before
        return total / 1e6

    def _read(self) -> list[int]:
        return [int(path.read_text(encoding="ascii")) for path, _ in self._counters]
