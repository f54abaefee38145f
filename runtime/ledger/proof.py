"""Proofs in files of their own, that need nothing else but the pole's public key.

That one entry stands in a signed log, as C2SP's tlog-proof writes it; and that a log only grew, as
C2SP's tlog-witness has it sent to a witness.
"""

from __future__ import annotations

__all__ = ["ConsistencyProof", "InclusionProof"]

from dataclasses import dataclass

from runtime.errors import NoteRefused
from runtime.ledger.checkpoint import Checkpoint, read_checkpoint
from runtime.ledger.merkle import is_consistent, is_included, leaf_hash
from runtime.ledger.note import Note, VerifierKey, base64_of, bytes_of

_HEADER = "c2sp.org/tlog-proof@v1"
_OLD = "old "
_MOST_HASHES = 64
_LONGEST = 256 * 1024


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """An entry, its place, its audit path and the checkpoint that it leads to."""

    line: bytes
    """The entry itself. It is carried as the proof's extra data, and proved by the path."""
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    """A signed note."""

    def to_text(self) -> str:
        """The file's text."""
        hashes = "".join(f"{base64_of(one)}\n" for one in self.path)
        return (
            f"{_HEADER}\nextra {base64_of(self.line)}\nindex {self.index}\n{hashes}\n"
            f"{self.checkpoint.decode()}"
        )

    @classmethod
    def parse(cls, data: bytes) -> InclusionProof:
        """Read a proof. Raises NoteRefused where it is none; what it proves is not looked at."""
        try:
            if len(data) > _LONGEST:
                raise ValueError
            head, blank, note = data.decode("utf-8").partition("\n\n")
            header, extra, index, *hashes = head.split("\n")
            number = index.removeprefix("index ")
            if not blank or header != _HEADER or len(hashes) > _MOST_HASHES:
                raise ValueError
            if not extra.startswith("extra ") or index != f"index {int(number)}":
                raise ValueError
            path = tuple(bytes_of(one) for one in hashes)
            return cls(bytes_of(extra.removeprefix("extra ")), int(number), path, note.encode())
        except ValueError:
            raise NoteRefused(
                "this is no proof of an entry. Accepted: what `smartpole ledger prove` prints "
                "(C2SP tlog-proof, with the entry as its extra data)."
            ) from None

    @staticmethod
    def is_proof(data: bytes) -> bool:
        """Whether a file says that it is a proof."""
        return data.startswith(_HEADER.encode())

    def verify(self, key: VerifierKey) -> tuple[Checkpoint, Note]:
        """The checkpoint that the entry is proved to be under. Raises NoteRefused."""
        there, note = read_checkpoint(self.checkpoint, key)
        if not is_included(
            leaf_hash(self.line), index=self.index, size=there.size, root=there.root, path=self.path
        ):
            raise NoteRefused(
                f"the proof does not hold: this is not entry {self.index} of the log "
                f"{there.origin} with {there.size} entries."
            )
        return there, note


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That a log of ``old_size`` entries is the beginning of the one that the checkpoint signs."""

    old_size: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    """A signed note."""

    def to_text(self) -> str:
        """The file's text."""
        hashes = "".join(f"{base64_of(one)}\n" for one in self.path)
        return f"{_OLD}{self.old_size}\n{hashes}\n{self.checkpoint.decode()}"

    @classmethod
    def parse(cls, data: bytes) -> ConsistencyProof:
        """Read a proof. Raises NoteRefused where it is none; what it proves is not looked at."""
        try:
            if len(data) > _LONGEST:
                raise ValueError
            head, blank, note = data.decode("utf-8").partition("\n\n")
            old, *hashes = head.split("\n")
            size = int(old.removeprefix(_OLD))
            if not blank or old != f"{_OLD}{size}" or len(hashes) > _MOST_HASHES:
                raise ValueError
            return cls(size, tuple(bytes_of(one) for one in hashes), note.encode())
        except ValueError:
            raise NoteRefused(
                "this is no proof that a log only grew. Accepted: what `smartpole ledger prove "
                "--since` prints (C2SP tlog-witness)."
            ) from None

    @staticmethod
    def is_proof(data: bytes) -> bool:
        """Whether a file says that it is such a proof."""
        return data.startswith(_OLD.encode())

    def verify(self, old: Checkpoint, key: VerifierKey) -> tuple[Checkpoint, Note]:
        """The checkpoint that goes on from the old one. Raises NoteRefused."""
        there, note = read_checkpoint(self.checkpoint, key)
        if old.size != self.old_size or not is_consistent(
            old_size=old.size,
            old_root=old.root,
            new_size=there.size,
            new_root=there.root,
            path=self.path,
        ):
            raise NoteRefused(
                f"the proof does not hold: the log {there.origin} with {there.size} entries does "
                f"not go on from that one with {old.size}."
            )
        return there, note
