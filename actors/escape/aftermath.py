"""What is left when a pole with hostile actors has ended: every place where loot could lie."""

from __future__ import annotations

__all__ = ["Aftermath", "forms_of"]

import base64
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MOST_BYTES = 64 << 20
"""A larger file is searched no further than this."""


@dataclass
class Aftermath:
    """Everything that was seen. ``hay`` holds bytes by where they were found."""

    run: str
    drop: Path
    suite: str
    hay: dict[str, bytes] = field(default_factory=dict)
    victim: dict[str, Any] = field(default_factory=dict)
    """What the other program tells of itself, and what the kernel showed of it."""
    names: set[str] = field(default_factory=set)
    """Of the pole's threads, as the kernel shows them to everybody."""
    badness: set[int] = field(default_factory=set)
    priorities: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    """On which the machine listened meanwhile."""
    reports: list[tuple[float, int, str, int]] = field(default_factory=list)
    """When, number, outcome, errno: as the witness wrote them down."""
    readings: list[tuple[float, int]] = field(default_factory=list)
    """When, and what the hostile actor's reading was in ``smartpole status`` then."""
    bounds: dict[str, float] = field(default_factory=dict)
    """What may come out by this pole's blueprint, in bits a second; see ``measures.bounds_of``."""
    whole: bool = False
    """Whether every actor was seen at work, before or while the attempts were made."""
    down: tuple[str, ...] = ()
    """Actors that were not at work when the judge last asked."""
    control: bytes = b""
    status: int | None = None
    """The pole's exit status."""

    def find(self, loot: bytes) -> str:
        """Where the loot was found, or ""."""
        for form in forms_of(loot):
            for where, bytes_there in self.hay.items():
                if form in bytes_there:
                    return where
        return ""

    def collect(self, folder: Path, *, since: float = 0.0, owner: int | None = None) -> None:
        """Search a folder: contents, names, targets and extended attributes.

        ``since`` and ``owner`` leave out what is older or somebody else's.
        """
        for path in _walk(folder):
            try:
                about = path.lstat()
            except OSError:
                continue
            if about.st_mtime < since or (owner is not None and about.st_uid != owner):
                continue
            self.hay[f"a name: {path}"] = os.fsencode(path.name)
            with suppress(OSError):
                if stat.S_ISLNK(about.st_mode):
                    self.hay[f"a link: {path}"] = os.fsencode(os.readlink(path))
                elif stat.S_ISREG(about.st_mode):
                    with path.open("rb") as file:
                        self.hay[f"a file: {path}"] = file.read(_MOST_BYTES)
                for name in os.listxattr(path, follow_symlinks=False):
                    value = os.getxattr(path, name, follow_symlinks=False)
                    self.hay[f"an attribute: {path}"] = name.encode() + b"=" + value

    def look_at_process(self, process: int) -> None:
        """What everybody, or another program of the user, sees of a running process."""
        base = Path(f"/proc/{process}")
        with suppress(OSError):
            self.hay[f"command line of {process}"] = (base / "cmdline").read_bytes()
        with suppress(OSError, ValueError):
            self.badness.add(int((base / "oom_score_adj").read_text()))
        with suppress(OSError):
            for thread in (base / "task").iterdir():
                with suppress(OSError, ValueError):
                    self.names.add((thread / "comm").read_text(errors="replace").rstrip("\n"))
                    self.priorities.add(
                        int((thread / "stat").read_text().rpartition(")")[2].split()[16])
                    )
        with suppress(OSError):
            for descriptor in (base / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor).startswith("/memfd:"):
                        self.hay[f"memory file of {process}"] = descriptor.read_bytes()

    def look_at_ports(self) -> None:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with suppress(OSError):
                for line in Path(table).read_text().splitlines()[1:]:
                    columns = line.split()
                    if columns[3] == "0A":
                        self.ports.add(int(columns[1].rpartition(":")[2], 16))

    def canvas(self, name: str, count: int) -> list[Path]:
        return [self.drop / f"{self.suite}-{name}.canvas-{n}" for n in range(count)]


def forms_of(loot: bytes) -> tuple[bytes, ...]:
    """How loot may be written: as it is, in digits, in base 64, as Python shows it."""
    text = loot.hex()
    return (
        loot,
        text.encode(),
        text.upper().encode(),
        text[:40].encode(),
        ":".join(f"{byte:02x}" for byte in loot).encode(),
        "-".join(f"{byte:02x}" for byte in loot).encode()[:40],
        base64.b64encode(loot).rstrip(b"="),
        base64.urlsafe_b64encode(loot).rstrip(b"="),
        repr(loot)[2:-1].encode(),
        text.encode("utf-16-le"),
    )


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(root, name)
