"""The clock's journal: one small file, whole as it was or as it is, or known to be damaged."""

from __future__ import annotations

__all__ = ["Boot", "Journal", "Notes"]

import hashlib
from pathlib import Path

import msgspec

from runtime.clock.alarm import Alarm
from runtime.clock.timeline import Basis
from runtime.files import replace_file, sync_folder


class Boot(msgspec.Struct, kw_only=True):
    """One start of the computer. Offsets are times (µs since 1970) at which its boottime was 0."""

    id: str
    last: int
    """Boottime when it was seen last, and the lengths of boots after it that were forgotten."""
    offset: int
    """The best that is known; see ``basis``."""
    basis: Basis
    wall: int
    """Offset of the wall clock, as it was when it last was found right or complained of."""
    anchored: bool
    """Whether ``offset`` goes back to a time that was known, however long ago."""
    checked: int
    """Boottime when the clock was last found synchronised; when it was first seen, if never."""
    lapsed: bool = False
    """Whether it was complained that nobody synchronises it."""


class Notes(msgspec.Struct, kw_only=True):
    """What the journal holds."""

    began_in: str
    """The boot in which the journal was begun; it is never forgotten."""
    began: int
    """Boottime in it."""
    boots: list[Boot]
    """In their order; the last is the present one."""
    alarms: list[Alarm] = []
    """Which nobody has taken yet."""


_DECODER = msgspec.json.Decoder(Notes)


class Journal:
    """The file. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Notes | None:
        """What was written last; None where there is none yet. Raises ValueError where it is
        damaged, and OSError."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body, _, digest = data.rpartition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("its digest is not that of what it holds")
        notes = _DECODER.decode(body)
        if notes.began_in not in {boot.id for boot in notes.boots}:
            raise ValueError("it does not tell of the boot in which it was begun")
        return notes

    def write(self, notes: Notes) -> None:
        """Have this on the disk, or what was there before. Raises OSError."""
        body = msgspec.json.encode(notes)
        replace_file(self._path, body + b"\n" + hashlib.sha256(body).hexdigest().encode())
        sync_folder(self._path.parent)
