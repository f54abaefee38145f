"""Verifying a ledger from its files alone, without a pole: any copy of the folder will do.

Reading is all that happens here. Whoever verifies brings the pole's public key, kept since before;
the one that lies in the folder says nothing against somebody who replaced the whole folder.
"""

from __future__ import annotations

__all__ = ["Audit", "Cosigned", "KeptCheckpoint", "LedgerFolder"]

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from runtime.errors import LedgerDamaged, LedgerRefused, LedgerTrouble, NoteRefused
from runtime.ledger.checkpoint import Checkpoint, read_checkpoint
from runtime.ledger.entry import Entry, LedgerRecord, decode_record
from runtime.ledger.files import CHECKPOINT, ENTRIES, read_lines
from runtime.ledger.merkle import Frontier, consistency_proof, inclusion_proof
from runtime.ledger.note import Note, VerifierKey
from runtime.ledger.proof import ConsistencyProof, InclusionProof


@dataclass(frozen=True, slots=True)
class Cosigned:
    """That a witness saw a checkpoint."""

    witness: str
    at: int
    """Seconds since 1970, by the witness's clock."""
    size: int
    """Entries that it saw."""


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint that was kept elsewhere, and stands at the beginning of this log."""

    source: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What verifying found. It was all in order: what is not, is raised."""

    origin: str
    size: int
    """Entries that are signed."""
    root: bytes
    unsigned: int
    """Whole entries after these, which the pole had not signed yet when the copy was made."""
    torn: int
    """Bytes of a half-written entry at the end."""
    kinds: dict[str, int]
    """Entries of each kind, of both signed and unsigned ones."""
    unknown: tuple[str, ...]
    """Kinds that no installed package declares: they are verified like any other, and not read."""
    first: datetime | None
    last: datetime | None
    kept: tuple[KeptCheckpoint, ...] = ()
    cosigned: tuple[Cosigned, ...] = ()


class LedgerFolder:
    """A ledger's files, for reading. ``key`` is what its checkpoint must be signed by."""

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        self.folder = folder
        self.key = key
        # Before the entries: of a log in use, they are then never fewer than it covers.
        self.note = self._read_note()
        try:
            self.signed, self._signatures = read_checkpoint(self.note, key)
        except NoteRefused as error:
            raise LedgerDamaged(f"{folder / CHECKPOINT} can't be believed: {error}") from None

    def audit(
        self,
        kept: Sequence[tuple[str, bytes]] = (),
        witnesses: Sequence[VerifierKey] = (),
    ) -> Audit:
        """Verify everything: each entry's hash and shape, the root, the pole's signature.

        ``kept`` are checkpoints from elsewhere, by where they come from; each must be signed by
        the pole and be a beginning of this log. Each of ``witnesses`` must have cosigned one of
        them or the log's own. Raises LedgerDamaged, and NoteRefused for what is no checkpoint.
        """
        notes = [(f"{self.folder / CHECKPOINT}", self.note), *kept]
        known = [(source, *read_checkpoint(data, self.key)) for source, data in notes]
        wanted = sorted({there.size for _, there, _ in known})
        roots: dict[int, bytes] = {}
        kinds: Counter[str] = Counter()
        unknown: set[str] = set()
        times: list[datetime] = []
        frontier = Frontier()
        torn = 0
        for line in self._lines():
            if torn:  # what follows was never signed either
                torn += len(line)
                continue
            while wanted and wanted[0] == frontier.size:
                roots[wanted.pop(0)] = frontier.root()
            try:
                if not line.endswith(b"\n"):
                    raise LedgerRefused("it has no end")
                record, entry = decode_record(line[:-1])
            except LedgerRefused as refusal:
                if frontier.size < self.signed.size:
                    raise LedgerDamaged(
                        f"entry {frontier.size} of the ledger in {self.folder} can't be read "
                        f"({refusal}), and the pole has signed {self.signed.size} entries. It was "
                        "changed, or the file was cut or is damaged there."
                    ) from None
                torn += len(line)
                continue
            frontier.push(sha256(b"\0" + line[:-1]).digest())
            kinds[record.kind] += 1
            if entry is None:
                unknown.add(record.kind)
            times = [times[0] if times else record.at, record.at]
        while wanted and wanted[0] <= frontier.size:
            roots[wanted.pop(0)] = frontier.root()
        for source, there, _ in known:
            self._require(source, there, roots.get(there.size), frontier.size)
        return Audit(
            origin=self.signed.origin,
            size=self.signed.size,
            root=self.signed.root,
            unsigned=frontier.size - self.signed.size,
            torn=torn,
            kinds=dict(sorted(kinds.items())),
            unknown=tuple(sorted(unknown)),
            first=times[0] if times else None,
            last=times[-1] if times else None,
            kept=tuple(KeptCheckpoint(source, there.size) for source, there, _ in known[1:]),
            cosigned=tuple(
                _cosignature(witness, [(there, note) for _, there, note in known])
                for witness in witnesses
            ),
        )

    def _require(self, source: str, there: Checkpoint, root: bytes | None, size: int) -> None:
        if root is None:
            raise LedgerDamaged(
                f"the ledger in {self.folder} was rolled back: the checkpoint {source} covers "
                f"{there.size} entries, and {size} are there. Entries that the pole has signed "
                "are gone."
            )
        if root != there.root:
            own = there == self.signed
            raise LedgerDamaged(
                f"of the first {there.size} entries in {self.folder}, at least one was changed, "
                "removed, added or moved since the pole signed them"
                + ("." if own else f", by the checkpoint {source}: the log was forked.")
            )

    def entries(
        self, *, wanted: Callable[[LedgerRecord], bool] = lambda _: True
    ) -> Iterator[tuple[int, LedgerRecord, Entry | None]]:
        """The signed entries with their places. Raises LedgerDamaged where one can't be read."""
        for index, line in enumerate(self._signed_lines()):
            try:
                record, entry = decode_record(line)
            except LedgerRefused as refusal:
                raise LedgerDamaged(f"entry {index} can't be read: {refusal}.") from None
            if wanted(record):
                yield index, record, entry

    def prove(self, index: int) -> InclusionProof:
        """That the entry at this place is in the signed log. Raises LedgerDamaged, NoteRefused."""
        if not 0 <= index < self.signed.size:
            raise NoteRefused(
                f"there is no signed entry {index}: the log has {self.signed.size}, counted from 0."
            )
        leaves, line = [], b""
        for place, one in enumerate(self._signed_lines()):
            leaves.append(sha256(b"\0" + one).digest())
            if place == index:
                line = one
        proof = InclusionProof(line, index, tuple(inclusion_proof(leaves, index)), self.note)
        try:
            proof.verify(self.key)
        except NoteRefused:
            raise LedgerDamaged(
                f"nothing can be proved: the entries in {self.folder} are not those that the pole "
                "signed. See smartpole ledger verify."
            ) from None
        return proof

    def prove_growth(self, old: Checkpoint) -> ConsistencyProof:
        """That the log with this older checkpoint is the beginning of this one. Raises
        LedgerDamaged where it is not."""
        leaves = [sha256(b"\0" + line).digest() for line in self._signed_lines()]
        try:
            path = tuple(consistency_proof(leaves, old.size))
            proof = ConsistencyProof(old.size, path, self.note)
            proof.verify(old, self.key)
        except (IndexError, NoteRefused):
            raise LedgerDamaged(
                f"the log with {old.size} entries is no beginning of the one in {self.folder}: it "
                "was rolled back, forked or changed."
            ) from None
        return proof

    def _signed_lines(self) -> Iterator[bytes]:
        number = 0
        for line in self._lines():
            if number == self.signed.size:
                return
            if line.endswith(b"\n"):
                number += 1
                yield line[:-1]
        if number < self.signed.size:
            raise LedgerDamaged(
                f"the ledger in {self.folder} was rolled back: the pole has signed "
                f"{self.signed.size} entries, and {number} are there."
            )

    def _lines(self) -> Iterator[bytes]:
        path = self.folder / ENTRIES
        try:
            yield from read_lines(path)
        except FileNotFoundError:
            raise LedgerDamaged(f"{path} is missing.") from None
        except OSError as error:
            raise LedgerTrouble(f"{path} can't be read: {error.strerror}.") from None

    def _read_note(self) -> bytes:
        path = self.folder / CHECKPOINT
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise LedgerDamaged(
                f"{path} is missing: this is no ledger's folder, or it lost what the pole signed."
            ) from None
        except OSError as error:
            raise LedgerTrouble(f"{path} can't be read: {error.strerror}.") from None


def _cosignature(witness: VerifierKey, notes: Sequence[tuple[Checkpoint, Note]]) -> Cosigned:
    """The newest thing that a witness saw of the log."""
    for there, note in sorted(notes, key=lambda one: one[0].size, reverse=True):
        at = note.verify(witness)
        if at is not None:
            return Cosigned(witness.name, at, there.size)
    raise LedgerDamaged(
        f"no checkpoint here is cosigned by the witness {witness.name}. Name the cosigned one by "
        "--checkpoint."
    )
