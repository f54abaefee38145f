"""The log itself: an append-only file of lines, the Merkle tree over it, and its checkpoint.

**Durable.** ``append`` returns when the lines and the checkpoint over them are on the disk. A power
cut at any moment leaves what was appended before, and perhaps a beginning of the last batch; a line
that is not whole is cut off when the log is next used.

**Several writers.** The pole and its actors each have a handle; they take turns by a lock on the
file, and each reads first what the others have appended.

**Damage is no torn tail.** What the checkpoint covers must be there as it was signed; where it is
not, nothing is cut and nothing appended: ``LedgerDamaged``.
"""

from __future__ import annotations

__all__ = ["LedgerLog", "create_log"]

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from runtime.errors import LedgerDamaged, LedgerRefused, LedgerTrouble, NoteRefused
from runtime.files import replace_file, sync_folder
from runtime.ledger.checkpoint import Checkpoint, read_checkpoint
from runtime.ledger.entry import POLE, decode_record, encode_record
from runtime.ledger.files import (
    CHECKPOINT,
    ENTRIES,
    FRONTIER,
    PUBLIC_KEY,
    SIGNING_KEY,
    read_lines,
    signing_key,
)
from runtime.ledger.kinds import TailCut
from runtime.ledger.merkle import EMPTY_ROOT, Frontier
from runtime.ledger.note import Note, SigningKey

_PATIENCE = 5.0
"""Seconds to wait for another writer, who needs milliseconds."""
_BETWEEN = 0.002
_KEEP_EVERY = 1000
"""Entries between two times that the frontier is kept: so many more are read at the next start."""


class _Resume(msgspec.Struct, frozen=True):
    """The frontier as it lies in its file. It may be old or torn, and is believed only where it is
    whole and what follows leads from it to the signed root."""

    size: int
    offset: int
    peaks: tuple[str, ...]
    check: str = ""
    """Of the rest. A wrong offset would make a torn tail of good entries."""

    def checked(self) -> str:
        """What ``check`` should be."""
        rest = msgspec.json.encode((self.size, self.offset, self.peaks))
        return sha256(rest).hexdigest()


def create_log(folder: Path, origin: str) -> None:
    """Make an empty ledger in this folder, with a new key, where there is none yet.

    ``origin`` names the log and its key. What a power cut left of an earlier attempt is completed.
    Raises LedgerTrouble, and LedgerDamaged where there is one without its checkpoint or key.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(folder / ENTRIES, flags, 0o600)
        try:
            with _turn(descriptor):
                if (folder / CHECKPOINT).exists():
                    return
                if os.fstat(descriptor).st_size:
                    raise _no_checkpoint(folder)
                if not (folder / SIGNING_KEY).exists():
                    made = SigningKey.generate(origin)
                    replace_file(folder / SIGNING_KEY, made.secret_text().encode())
                key = signing_key(folder)
                replace_file(folder / PUBLIC_KEY, f"{key.verifier}\n".encode(), mode=0o644)
                empty = Checkpoint(key.verifier.name, 0, EMPTY_ROOT)
                replace_file(folder / CHECKPOINT, bytes(Note(empty.text).signed(key)), mode=0o644)
                sync_folder(folder)
                sync_folder(folder.parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _trouble(folder, error) from None


class LedgerLog:
    """A handle to append by. Its methods block, and may be called from any thread.

    Opening one reads the whole log and holds it against the checkpoint, which takes some seconds
    a million entries. With ``resume`` it begins at the frontier that was kept last, and reads the
    whole only where that does not lead to the signed root.
    """

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self.folder = folder
        self._key = signing_key(folder)
        self._lock = threading.Lock()
        self._resume = resume
        self._loaded = False
        self._frontier = Frontier()
        self._offset = 0
        self._frontier_kept = 0
        self._cut = self._cut_said = 0
        self._last_line = b""
        try:
            self._descriptor = os.open(folder / ENTRIES, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _rolled_back(folder, "its entries are missing") from None
        except OSError as error:
            raise _trouble(folder, error) from None
        try:
            with self._in_turn():
                pass
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many entries there were when this handle last looked."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """Their root."""
        return self._frontier.root()

    @property
    def last_line(self) -> bytes:
        """The last entry that this handle read or appended; empty where there was none."""
        return self._last_line

    @property
    def cut(self) -> int:
        """Bytes of torn tails that this handle has cut off."""
        return self._cut

    def checkpoint(self) -> bytes:
        """The signed note over all entries."""
        with self._in_turn():
            return self._note()

    def root_at(self, size: int) -> bytes:
        """The root of the first ``size`` entries. Reads the file up to there."""
        frontier = Frontier()
        for line in read_lines(self.folder / ENTRIES):
            if frontier.size == size:
                break
            frontier.push(sha256(b"\0" + line[:-1]).digest())
        return frontier.root()

    def append(self, lines: Sequence[bytes]) -> range:
        """Append entries, all or none, and sign the log; returns their places.

        Raises LedgerTrouble where that failed (nothing is appended then; it may be tried again),
        and LedgerDamaged where the log is not what was signed.
        """
        if any(b"\n" in line or not line for line in lines):
            raise LedgerRefused("an entry of the ledger is one line.")
        with self._in_turn():
            before = self._said_cut()
            first = self._frontier.size + len(before)
            if lines:
                self._write([*before, *lines])
                self._cut_said = self._cut
            return range(first, first + len(lines))

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._descriptor >= 0:
                if self._loaded and self._frontier.size > self._frontier_kept:
                    self._keep_frontier()
                os.close(self._descriptor)
                self._descriptor = -1

    # -- one turn ---------------------------------------------------------------------------

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        with self._lock:
            if self._descriptor < 0:
                raise LedgerTrouble(f"the ledger in {self.folder} was closed.")
            try:
                with _turn(self._descriptor):
                    self._catch_up()
                    yield
            except OSError as error:
                # Nobody knows what the disk has now: the next turn reads it all again.
                self._loaded = self._resume = False
                raise _trouble(self.folder, error) from None

    def _said_cut(self) -> list[bytes]:
        """What is to be said of a torn tail before anything else."""
        removed = self._cut - self._cut_said
        if not removed:
            return []
        said = TailCut(removed=min(removed, 2**31 - 1))
        return [encode_record(said, at=datetime.now(UTC), by=POLE)]

    def _write(self, lines: Sequence[bytes]) -> None:
        frontier, size = self._frontier.copy(), self._offset
        for line in lines:
            frontier.push(sha256(b"\0" + line).digest())
        data = b"\n".join((*lines, b""))
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
            self._sign(frontier)
        except OSError:
            # What is not reported as appended should not be there. If this fails as well, it is
            # found as a tail that no checkpoint covers.
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise
        self._frontier, self._offset = frontier, size + len(data)
        self._last_line = lines[-1]
        if frontier.size >= self._frontier_kept + _KEEP_EVERY:
            self._keep_frontier()

    def _sign(self, frontier: Frontier) -> None:
        there = Checkpoint(self._key.verifier.name, frontier.size, frontier.root())
        note = Note(there.text).signed(self._key)
        replace_file(self.folder / CHECKPOINT, bytes(note), mode=0o644)

    def _keep_frontier(self) -> None:
        """Only so that the next handle need not read everything: it may fail, or be torn."""
        known = _Resume(
            self._frontier.size, self._offset, tuple(peak.hex() for peak in self._frontier.peaks)
        )
        data = msgspec.json.encode(msgspec.structs.replace(known, check=known.checked()))
        with suppress(OSError):
            replace_file(self.folder / FRONTIER, data, lasting=False)
            self._frontier_kept = self._frontier.size

    # -- reading what is there --------------------------------------------------------------

    def _catch_up(self) -> None:
        """Read what others have appended, or everything; cut a torn tail off."""
        if not self._loaded:
            self._load()
        held, named = os.fstat(self._descriptor), os.stat(self.folder / ENTRIES)
        if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
            raise _rolled_back(self.folder, "another file took the place of its entries")
        end = held.st_size
        if end == self._offset:
            return
        if end < self._offset:
            raise _rolled_back(
                self.folder, f"it had {self._offset} bytes of entries and has {end} now"
            )
        signed = self._signed()
        if signed.size < self._frontier.size:
            raise _rolled_back(
                self.folder,
                f"its checkpoint covered {self._frontier.size} entries and covers "
                f"{signed.size} now",
            )
        self._read_on(signed)

    def _load(self) -> None:
        signed = self._signed()
        if not (self._resume and self._resumed(signed)):
            self._frontier, self._offset, self._last_line = Frontier(), 0, b""
            self._read_on(signed)
        self._loaded = True

    def _read_on(self, signed: Checkpoint) -> None:
        """Read from ``_offset`` to the end. What is signed must be there as it is signed; of what
        follows, whole entries are kept and signed, and the rest is cut off."""
        frontier, offset, last = self._frontier.copy(), self._offset, self._last_line
        for line in read_lines(self.folder / ENTRIES, offset):
            if frontier.size == signed.size:
                self._require_root(frontier, signed)
            is_signed = frontier.size < signed.size
            if not line.endswith(b"\n") or not (is_signed or _is_record(line[:-1])):
                break
            frontier.push(sha256(b"\0" + line[:-1]).digest())
            offset += len(line)
            last = line[:-1]
        if frontier.size < signed.size:
            raise _rolled_back(
                self.folder,
                f"its checkpoint covers {signed.size} entries and {frontier.size} are there",
            )
        if frontier.size == signed.size:
            self._require_root(frontier, signed)
        if (torn := os.fstat(self._descriptor).st_size - offset) > 0:
            os.ftruncate(self._descriptor, offset)
            os.fdatasync(self._descriptor)
            self._cut += torn
        if frontier.size > signed.size:
            os.fdatasync(self._descriptor)
            self._sign(frontier)
        self._frontier, self._offset, self._last_line = frontier, offset, last

    def _require_root(self, frontier: Frontier, signed: Checkpoint) -> None:
        if frontier.root() != signed.root:
            raise LedgerDamaged(
                f"the ledger in {self.folder} is not what the pole signed: of its first "
                f"{signed.size} entries, at least one was changed, removed, added or moved. "
                "Nothing is appended to it. Keep the folder as it is for the auditor, and move it "
                "away to have the pole begin a new ledger (docs/auditors.md)."
            )

    def _note(self) -> bytes:
        try:
            return (self.folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            raise _no_checkpoint(self.folder) from None

    def _signed(self) -> Checkpoint:
        try:
            return read_checkpoint(self._note(), self._key.verifier)[0]
        except NoteRefused as error:
            raise LedgerDamaged(
                f"the checkpoint in {self.folder} can't be believed: {error}"
            ) from None

    def _resumed(self, signed: Checkpoint) -> bool:
        """Try to begin at the kept frontier. False where it does not lead to what is signed."""
        try:
            known = msgspec.json.decode((self.folder / FRONTIER).read_bytes(), type=_Resume)
            frontier = Frontier(known.size, [bytes.fromhex(peak) for peak in known.peaks])
        except (OSError, ValueError, msgspec.MsgspecError):
            return False
        if known.check != known.checked() or known.size > signed.size:
            return False
        self._frontier, self._offset, self._last_line = frontier, known.offset, b""
        try:
            self._read_on(signed)
        except LedgerDamaged:
            return False
        self._frontier_kept = known.size
        return True


@contextmanager
def _turn(descriptor: int, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Be the only writer. Raises LedgerTrouble where another one does not come to an end."""
    until = clock() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if clock() >= until:
                raise LedgerTrouble(
                    f"another writer has held the ledger for over {_PATIENCE:g} s."
                ) from None
            time.sleep(_BETWEEN)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_record(line: bytes) -> bool:
    try:
        decode_record(line)
    except LedgerRefused:
        return False
    return True


def _trouble(folder: Path, error: OSError) -> LedgerTrouble:
    why = error.strerror or type(error).__name__
    return LedgerTrouble(f"the ledger in {folder} can't be used now: {why}.")


def _no_checkpoint(folder: Path) -> LedgerDamaged:
    return LedgerDamaged(
        f"{folder / CHECKPOINT} is missing, though there are entries: nothing says what they "
        "should be. Keep the folder as it is for the auditor, and move it away to have the pole "
        "begin a new ledger."
    )


def _rolled_back(folder: Path, what: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"the ledger in {folder} was rolled back: {what}. Entries that the pole has signed are "
        "gone. Put the newest copy back, or keep the folder as it is for the auditor and move it "
        "away to have the pole begin a new ledger."
    )
