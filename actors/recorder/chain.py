"""The chain of manifests: what was recorded, begun, missed and deleted, each record signed.

Records stand in files ``chain-NNNNNNNN.log``, one JSON object a line, numbered from 1. Each holds
the SHA-256 of the line before it and ends with the pole's Ed25519 signature over all that stands
before, so that none can be changed, taken out, put in or moved. There is nothing personal in them.

A file of the chain goes when the last segment that it tells of is gone; before that a record
``pruned`` says where the chain will begin. Files hold a fixed number of records, so that neither
appending nor pruning depends on how much is kept.
"""

from __future__ import annotations

__all__ = [
    "BEGINNING", "EMPTY", "Begun", "Chain", "ChainHead", "ChainRecord", "Deleted", "Gap", "Line",
    "Pruned", "Segment", "chain_files", "lines_of", "manifest", "parse_line", "segment_name",
]  # fmt: skip

import base64
import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from actors.recorder.index import name_of, number_of
from actors.recorder.signing import PoleKey
from runtime.files import sync_folder

BEGINNING = "0" * 64
"""Stands where the first record has no record before it."""

EMPTY = "empty"
"""State of a segment of which nothing could be kept."""

_PER_FILE = 4096
_FILE = re.compile(r"chain-(\d{8})\.log", re.ASCII)
_LOCK = "chain.lock"
_SEPARATOR = b',"signature":"'
_LONGEST = 256 * 1024


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: int
    previous: str
    """SHA-256 of the line before, in hexadecimal."""


class Begun(_Record, frozen=True, kw_only=True, tag_field="kind", tag="begun"):
    """A segment is going to be written. Its number is part of its file's name."""

    camera: str
    place: str
    start: int
    """Of the first frame, in microseconds since 1970."""
    codec: str
    width: int
    height: int
    head: str
    """SHA-256 of the file's age header. Only who holds the file's key could write on behind it,
    and that key is in the pole's memory alone: so a leftover can't be exchanged for another."""
    head_size: int
    boot: str = ""
    """In which start of the computer it was recorded (``runtime.clock``); nothing in records of
    earlier versions."""
    boottime: int = 0
    """Of the first frame, in microseconds since that start. ``start`` is as wrong as the wall clock
    was; this is not."""


class Segment(_Record, frozen=True, kw_only=True, tag_field="kind", tag="segment"):
    """The manifest of a segment that is closed."""

    begun: int
    """Number of the record that it began with."""
    camera: str
    place: str
    start: int
    end: int | None
    """Of the last frame. After a power cut: when the file was last written to."""
    codec: str
    size: int
    """Bytes of ciphertext."""
    sha256: str
    """Of the ciphertext."""
    state: str
    """``complete``; ``cut`` where it breaks off; ``empty`` where nothing came of it: no file."""


class Gap(_Record, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """A time of which a camera's pictures are missing."""

    camera: str
    place: str
    start: int
    end: int
    reason: str


class Deleted(_Record, frozen=True, kw_only=True, tag_field="kind", tag="deleted"):
    """Retention deleted these segments: their time was over, or the disk was full."""

    at: int
    """When, in microseconds since 1970."""
    segments: tuple[tuple[int, int], ...]
    """Of each: the number that it began with, and its start in seconds since 1970."""


class Pruned(_Record, frozen=True, kw_only=True, tag_field="kind", tag="pruned"):
    """Records up to ``until`` are not kept any more: all segments of theirs were deleted."""

    until: int
    head: str
    """SHA-256 of the last one's line."""


R = TypeVar("R", bound=_Record)
ChainRecord: TypeAlias = Begun | Segment | Gap | Deleted | Pruned
_DECODER = msgspec.json.Decoder(ChainRecord)


def segment_name(begun: Begun | Segment) -> str:
    """The name of the file that a record tells of."""
    number = begun.number if isinstance(begun, Begun) else begun.begun
    return name_of(begun.place or begun.camera, begun.start, number)


def manifest(
    begun: Begun, end: int | None, size: int, sha256: str, state: str
) -> dict[str, object]:
    """The fields of the record that closes a segment."""
    return {
        "begun": begun.number,
        "camera": begun.camera,
        "place": begun.place,
        "start": begun.start,
        "end": end,
        "codec": begun.codec,
        "size": size,
        "sha256": sha256,
        "state": state,
    }


class ChainHead(NamedTuple):
    """How far a chain goes: what the ledger is told, because a chain whose end was cut off looks
    whole by itself."""

    number: int
    """Of the last record."""
    digest: str
    """SHA-256 of its line: what the next one calls ``previous``. All before hangs on it."""
    key: int
    """Of the key that signed it: ``VerifyKey.number``."""


class Line(NamedTuple):
    """One line of a chain, taken apart."""

    record: ChainRecord
    signed: bytes
    """What the signature is about."""
    signature: bytes
    digest: str
    """What the next record calls ``previous``."""


def parse_line(line: bytes) -> Line:
    """Take a line (without its end) apart; the signature is not verified. Raises ValueError."""
    body, found, rest = line.rpartition(_SEPARATOR)
    if not found or not rest.endswith(b'"}'):
        raise ValueError("it has no signature")
    signed = body + b"}"
    signature = base64.b64decode(rest[:-2], validate=True)
    record = _DECODER.decode(signed)
    return Line(record, signed, signature, hashlib.sha256(line).hexdigest())


def chain_files(folder: Path) -> dict[int, Path]:
    """The chain's files in a folder, by their number, in order."""
    with os.scandir(folder) as entries:
        found = {
            int(match[1]): folder / entry.name
            for entry in entries
            if (match := _FILE.fullmatch(entry.name)) is not None
        }
    return dict(sorted(found.items()))


class Chain:
    """Appends records. Any number of these may share a folder, in any threads and processes.

    All methods block and raise OSError.
    """

    def __init__(self, folder: Path, key: PoleKey) -> None:
        self._folder = folder
        self._key = key
        self._mutex = threading.Lock()
        self._owed: list[tuple[type[_Record], Mapping[str, object]]] = []
        self._number = 0
        self._head = BEGINNING
        self._file = 0
        self._size = 0
        """Of the file that was written to last, as this object knows it."""
        self._pruning = threading.Lock()
        self._kept_by: Begun | None = None
        """A segment that is there, and keeps the oldest file."""
        files = chain_files(folder)
        self._first = min(files, default=0)
        if files:
            self._file = max(files)
            self._number = self._file * _PER_FILE
            if self._number and self._file - 1 in files:
                self._catch_up_with(files[self._file - 1])
            self._size = 0
        self.catch_up()

    @property
    def length(self) -> int:
        """Number of the last record, as far as this object knows."""
        return self._number

    def head(self) -> ChainHead | None:
        """The last record, of whoever appended it; None where there is none."""
        with self._locked():
            if self._head == BEGINNING:
                return None
            return ChainHead(self._number, self._head, self._key.public.number)

    def catch_up(self) -> None:
        """Take in what others have appended."""
        with self._locked():
            pass

    def append(
        self, kind: type[R], first: Callable[[R], None] | None = None, /, **fields: object
    ) -> R:
        """Add a record of this kind. It is on the disk when this returns.

        ``first`` is done before the record is written: what it tells of is there then, even if the
        power fails in between.
        """
        with self._locked():
            self._pay()
            return self._append(kind, fields, first)

    def owe(self, kind: type[_Record], **fields: object) -> None:
        """Add it, or as soon as the disk lets it, before the next one. Raises nothing."""
        self._owed.append((kind, fields))
        with suppress(OSError), self._locked():
            self._pay()

    def _pay(self) -> None:
        while self._owed:
            self._append(*self._owed[0])
            self._owed.pop(0)

    def _append(
        self,
        kind: type[R],
        fields: Mapping[str, object],
        first: Callable[[R], None] | None = None,
    ) -> R:
        record = kind(number=self._number + 1, previous=self._head, **fields)
        if first is not None:
            first(record)
        signed = msgspec.json.encode(record)
        signature = base64.b64encode(self._key.sign(signed))
        line = signed[:-1] + _SEPARATOR + signature + b'"}'
        self._write(line + b"\n")
        self._number, self._head = record.number, hashlib.sha256(line).hexdigest()
        return record

    def recent(self, files: int = 2) -> Iterator[ChainRecord]:
        """The records in the last so many files. What can't be read is passed over."""
        for number in range(max(0, self._file - files + 1), self._file + 1):
            yield from self._records(number)

    def around(self, number: int) -> Iterator[ChainRecord]:
        """The records of the file in which that one stands."""
        yield from self._records((number - 1) // _PER_FILE)

    def begun_as(self, names: Iterable[str]) -> dict[str, Begun]:
        """The records by which segments of these names were begun, of those that the chain has."""
        wanted = set(names)
        found: dict[str, Begun] = {}
        for file in {(number - 1) // _PER_FILE for name in wanted if (number := number_of(name))}:
            for record in self._records(file):
                if isinstance(record, Begun) and (name := segment_name(record)) in wanted:
                    found[name] = record
        return found

    def prune(self, is_gone: Callable[[Begun], bool]) -> int:
        """Remove the oldest files as long as nothing that they tell of is there any more.

        Says how many. The file that is written to stays. A file is read when the segment that kept
        it so far is gone, so that this costs as much as what goes, however much stays.
        """
        pruned = 0
        with self._pruning:
            while (path := self._oldest()) is not None:
                if self._kept_by is not None and not is_gone(self._kept_by):
                    break
                lines = list(lines_of(path))
                told = [line.record for line in lines if isinstance(line.record, Begun)]
                # From the youngest on, which is the likeliest to be there, and the last to go.
                self._kept_by = next((one for one in reversed(told) if not is_gone(one)), None)
                if self._kept_by is not None:
                    break
                if lines:
                    last = lines[-1]
                    self.append(Pruned, until=last.record.number, head=last.digest)
                path.unlink()
                pruned += 1
        return pruned

    def _oldest(self) -> Path | None:
        """The first file, unless it is the one that is written to."""
        while self._first < self._file:
            path = self._path(self._first)
            if path.exists():
                return path
            self._first += 1
        return None

    def _records(self, number: int) -> Iterator[ChainRecord]:
        path = self._path(number)
        if path.exists():
            for line in lines_of(path):
                yield line.record

    def _path(self, number: int) -> Path:
        return self._folder / f"chain-{number:08}.log"

    def _write(self, data: bytes) -> None:
        wanted = self._number // _PER_FILE
        if wanted > self._file:
            self._file, self._size = wanted, 0
        path = self._path(self._file)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        is_new = not path.exists()
        descriptor = os.open(path, flags, 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fdatasync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._size)  # no half a line for the next one to follow
                raise
        finally:
            os.close(descriptor)
        self._size += len(data)
        if is_new:
            sync_folder(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else appends meanwhile, and what others appended before is known."""
        with self._mutex:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._folder / _LOCK, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                while True:
                    self._catch_up_with(self._path(self._file))
                    if not self._path(self._file + 1).exists():
                        break
                    self._file, self._size = self._file + 1, 0
                yield
            finally:
                os.close(descriptor)

    def _catch_up_with(self, path: Path) -> None:
        """Read what has been appended since, and cut off a line that a power cut left by half."""
        try:
            with path.open("r+b") as file:
                if os.fstat(file.fileno()).st_size == self._size:
                    return
                file.seek(self._size)
                data = file.read()
                whole = data.rfind(b"\n") + 1
                if whole < len(data):
                    file.truncate(self._size + whole)
        except FileNotFoundError:
            return
        self._size += whole
        for line in reversed(data[:whole].split(b"\n")[:-1]):
            try:
                parsed = parse_line(line)
            except (ValueError, msgspec.DecodeError):
                continue  # damage: it stays where it is, for whoever verifies
            self._number, self._head = parsed.record.number, parsed.digest
            return


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a file that can be read."""
    with path.open("rb") as file:
        for line in file:
            if len(line) > _LONGEST or not line.endswith(b"\n"):
                continue
            try:
                yield parse_line(line[:-1])
            except (ValueError, msgspec.DecodeError):
                continue
