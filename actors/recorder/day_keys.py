"""A key for each day, on the manager's computer: made ahead, destroyed one by one.

In a folder there is ``2026-12-01.key`` for each day, with mode 0600, and ``days.pub`` with the
public halves, which goes to the pole. A day whose private key is gone can't be read by anybody,
wherever a copy of its recordings may lie (crypto-shredding).
"""

from __future__ import annotations

__all__ = ["DAYS_FILE", "destroy", "make_days"]

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyrage import x25519

DAYS_FILE = "days.pub"
_PRIVATE = re.compile(r"(\d{4}-\d{2}-\d{2})\.key", re.ASCII)
_PUBLIC_LINE = re.compile(r"^# public key: (age1[0-9a-z]+)$", re.MULTILINE)


def make_days(folder: Path, first: date, days: int) -> list[date]:
    """Make the keys that are not there yet, and write ``days.pub``; says which days are new.

    Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = []
    for day in (first + timedelta(days=ahead) for ahead in range(days)):
        path = folder / f"{day}.key"
        if path.exists():
            continue
        identity = x25519.Identity.generate()
        created = f"# created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by smartpole keys days\n"
        text = f"{created}# public key: {identity.to_public()}\n{identity}\n"
        _write(path, text, 0o600)
        new.append(day)
    _publish(folder)
    return new


def destroy(folder: Path, chosen: Callable[[date], bool]) -> list[date]:
    """Overwrite and remove the private keys of the chosen days; says which. Raises OSError."""
    gone = []
    for day, path in _private_keys(folder):
        if chosen(day):
            with path.open("r+b") as file:
                file.write(os.urandom(os.fstat(file.fileno()).st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            gone.append(day)
    if gone:
        _publish(folder)
    return gone


def _private_keys(folder: Path) -> Iterator[tuple[date, Path]]:
    for path in sorted(folder.iterdir()):
        if (match := _PRIVATE.fullmatch(path.name)) is not None:
            with suppress(ValueError):
                yield date.fromisoformat(match[1]), path


def _publish(folder: Path) -> None:
    lines = ["# The pole's setting `recipients`: one key for each day (Japan time)"]
    for day, path in _private_keys(folder):
        if (found := _PUBLIC_LINE.search(path.read_text("utf-8"))) is not None:
            lines.append(f"{day} {found[1]}")
    new = folder / f"{DAYS_FILE}.new"
    new.unlink(missing_ok=True)
    _write(new, "\n".join(lines) + "\n", 0o644)
    new.replace(folder / DAYS_FILE)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that must not exist yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
