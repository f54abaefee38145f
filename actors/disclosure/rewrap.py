"""Giving a segment to another recipient without touching a picture.

An age file is a header, which wraps the file's key for its recipients, and a payload that is
encrypted with that key (C2SP age v1). A manager's private key unwraps the file key; a new header
wraps it for whoever gets the segment; the payload stays as it is, byte by byte. So the pole's
signed SHA-256 still speaks of what is handed over: it is that of the pole's header and this
payload. Nothing is decrypted but to see that it can be, 64 KiB at a time, and that is thrown away.

The recipient learns the key of this one segment, which opens nothing else.
"""

from __future__ import annotations

__all__ = ["Identity", "Rewrapped", "payload_of", "read_identities", "rewrap"]

import hmac
import itertools
import stat
from base64 import b64decode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from actors.disclosure.errors import CannotOpen
from actors.recorder.age import CHUNK, VERSION, Recipient, derive, header_mac, header_of
from actors.recorder.bech32 import decode

_TAG, _NONCE, _FILE_KEY = 16, 16, 16
_LONGEST_HEADER = 64 * 1024
_LARGEST_KEY_FILE = 64 * 1024
_X25519 = b"-> X25519 "
_END = b"---"


class Identity:
    """A private key of age, ``AGE-SECRET-KEY-1…``. It shows nothing of itself.

    Raises ValueError with a reason that does not repeat the text.
    """

    __slots__ = ("_private", "_public")

    def __init__(self, text: str) -> None:
        prefix, raw = decode(text)
        if prefix != "age-secret-key-" or len(raw) != 32:
            raise ValueError("this is no X25519 private key of age")
        self._private = X25519PrivateKey.from_private_bytes(raw)
        self._public = self._private.public_key().public_bytes_raw()

    def unwrap(self, share: bytes, body: bytes) -> bytes | None:
        """The file key out of a stanza; None where it is for somebody else."""
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            return None
        key = derive(shared, salt=share + self._public, info=VERSION + b"/X25519")
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
        except InvalidTag:
            return None


def read_identities(path: Path) -> list[Identity]:
    """The private keys in a file, or in the ``*.key`` files of a folder (keys of days).

    Raises CannotOpen, naming the file and never what stands there; a file that others may read is
    refused, because who has it can open recordings.
    """
    try:
        files = sorted(path.glob("*.key")) if path.is_dir() else [path]
        found = [identity for file in files for identity in _read(file)]
    except OSError as error:
        raise CannotOpen(
            f"the private key {error.filename} can't be read: {error.strerror}"
        ) from None
    if not found:
        raise CannotOpen(
            f"{path} holds no private key. Accepted: a file as `smartpole keys make` writes it "
            "(AGE-SECRET-KEY-1…), or the folder of `smartpole keys days`"
        )
    return found


def _read(file: Path) -> Iterable[Identity]:
    with file.open("rb") as opened:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = opened.read(_LARGEST_KEY_FILE).decode("utf-8", "replace")
    if mode & 0o077:
        raise CannotOpen(
            f"{file} has mode {mode:04o}: others than its owner can read this key, and so open "
            f"recordings (guideline 7.3(1)). If nobody did, run: chmod 600 {file}"
        )
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                yield Identity(line.strip())
            except ValueError as error:
                raise CannotOpen(f"{file}, line {number}: {error}") from None


class Rewrapped(NamedTuple):
    """What became of a segment. Sizes in bytes, digests are SHA-256 in hexadecimal."""

    header: bytes
    """The header that the pole wrote."""
    original_size: int
    original: str
    """Of the file as the pole wrote it: what its manifest names."""
    size: int
    digest: str
    """Of the file as it is handed over."""
    readable: int
    """Bytes of film that open."""
    is_whole: bool
    """Whether the film opens up to its end; False where it breaks off."""


def rewrap(
    source: BinaryIO, target: BinaryIO, identities: Sequence[Identity], recipient: Recipient
) -> Rewrapped:
    """Copy an age file, made for one of ``identities``, for ``recipient``. Takes little memory,
    however long the file. Raises CannotOpen before anything is written; OSError."""
    header = _read_header(source)
    file_key = _file_key(header, identities)
    before, after = sha256(header), sha256()
    size = before_size = 0

    def give(data: bytes) -> None:
        nonlocal size
        target.write(data)
        after.update(data)
        size += len(data)

    give(header_of(file_key, [recipient]))
    before_size = len(header)
    payload = _Payload(file_key)
    while data := source.read(CHUNK + _TAG):
        before.update(data)
        before_size += len(data)
        payload.look_at(data)
        give(data)
    payload.end()
    return Rewrapped(
        header=header,
        original_size=before_size,
        original=before.hexdigest(),
        size=size,
        digest=after.hexdigest(),
        readable=payload.readable,
        is_whole=payload.is_whole,
    )


def payload_of(file: BinaryIO) -> int:
    """Where an age file's payload begins. Raises CannotOpen."""
    return len(_read_header(file))


class _Payload:
    """Sees whether a payload opens, and keeps nothing of it."""

    def __init__(self, file_key: bytes) -> None:
        self._file_key = file_key
        self._aead: ChaCha20Poly1305 | None = None
        self._waiting = bytearray()
        self._counter = 0
        self._is_broken = False
        self.readable = 0
        self.is_whole = False

    def look_at(self, data: bytes) -> None:
        self._waiting += data
        if self._aead is None:
            if len(self._waiting) < _NONCE:
                return
            nonce = bytes(self._waiting[:_NONCE])
            self._aead = ChaCha20Poly1305(derive(self._file_key, salt=nonce, info=b"payload"))
            del self._waiting[:_NONCE]
        # A chunk that is followed by more is not the last one.
        while len(self._waiting) > CHUNK + _TAG:
            self._try(bytes(self._waiting[: CHUNK + _TAG]), last=False)
            del self._waiting[: CHUNK + _TAG]

    def end(self) -> None:
        rest = bytes(self._waiting)
        if self._try(rest, last=True):
            self.is_whole = True
        elif len(rest) == CHUNK + _TAG:  # it breaks off between two chunks
            self._try(rest, last=False)

    def _try(self, chunk: bytes, *, last: bool) -> bool:
        if self._aead is None or self._is_broken or len(chunk) < _TAG:
            return False
        nonce = self._counter.to_bytes(11, "big") + bytes([last])
        try:
            film = self._aead.decrypt(nonce, chunk, None)
        except InvalidTag:
            self._is_broken = not last
            return False
        self.readable += len(film)
        self._counter += 1
        return True


def _read_header(file: BinaryIO) -> bytes:
    """Up to and with the line of its MAC. Raises CannotOpen."""
    header = file.readline(_LONGEST_HEADER)
    if header != VERSION + b"\n":
        raise CannotOpen("it is no age file (age-encryption.org/v1)")
    while len(header) < _LONGEST_HEADER:
        line = file.readline(_LONGEST_HEADER - len(header))
        header += line
        if not line.endswith(b"\n"):
            break
        if line.startswith(_END):
            return header
    raise CannotOpen("its header breaks off, or is too long for one")


def _file_key(header: bytes, identities: Sequence[Identity]) -> bytes:
    lines = header.split(b"\n")[1:-1]
    keys = (
        identity.unwrap(_bytes(argument), _bytes(body))
        for line, body in itertools.pairwise(lines)
        if line.startswith(_X25519) and (argument := line.removeprefix(_X25519))
        for identity in identities
    )
    file_key = next((key for key in keys if key is not None and len(key) == _FILE_KEY), None)
    if file_key is None:
        raise CannotOpen(
            "none of the private keys given opens it. Where there are keys for days, its day's key "
            "was destroyed, or lies elsewhere",
            lacks_key=True,
        )
    signed, _, mac = header.rstrip(b"\n").rpartition(b" ")
    if not hmac.compare_digest(header_mac(file_key, signed), _bytes(mac)):
        raise CannotOpen("its header was changed")
    return file_key


def _bytes(text: bytes) -> bytes:
    """Base64 without padding, as age writes it; what is none becomes nothing that fits."""
    try:
        return b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
