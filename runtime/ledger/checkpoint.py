"""Checkpoints: what the pole signs of its ledger, as C2SP's tlog-checkpoint writes it."""

from __future__ import annotations

__all__ = ["Checkpoint", "read_checkpoint"]

from dataclasses import dataclass

from runtime.errors import NoteRefused
from runtime.ledger.note import Note, VerifierKey, base64_of, bytes_of

_ROOT_SIZE = 32
_LONGEST_SIZE = 19
"""Digits: no log has 2**64 entries."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many entries a log has, and their Merkle root."""

    origin: str
    """Which log."""
    size: int
    root: bytes
    """32 bytes."""

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64_of(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Read a note's text. Raises NoteRefused; extension lines are refused as well, because
        nobody could audit what they say."""
        try:
            origin, size, root = text.removesuffix("\n").split("\n")
            if not (size.isascii() and size.isdigit()) or len(size) > _LONGEST_SIZE:
                raise ValueError
            found = cls(origin, int(size), bytes_of(root))
            if not origin or len(found.root) != _ROOT_SIZE or found.text != text:
                raise ValueError
        except ValueError:
            raise NoteRefused(
                "this note is no checkpoint. Accepted: three lines with the log's name, its size "
                "and its root (C2SP tlog-checkpoint)."
            ) from None
        return found


def read_checkpoint(data: bytes, key: VerifierKey) -> tuple[Checkpoint, Note]:
    """A checkpoint that this key signed, and the note that it stands in. Raises NoteRefused."""
    note = Note.parse(data)
    if note.verify(key) is None:
        raise NoteRefused(
            f"the checkpoint is not signed by {key.name} (key {key.id.hex()}). It is another "
            "log's, or the key is another's."
        )
    found = Checkpoint.from_text(note.text)
    if found.origin != key.name:
        raise NoteRefused(f"the checkpoint is of the log {found.origin}, not of {key.name}.")
    return found, note
