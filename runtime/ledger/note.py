"""Signed notes as C2SP defines them (signed-note), and the keys that sign them.

A note is a text with signature lines below it. The pole signs its own checkpoints with Ed25519; a
witness cosigns them (tlog-cosignature), with the time at which it saw them. Keys are written in the
notes' own form, in one line: a verifier key may be shown to anybody.
"""

from __future__ import annotations

__all__ = [
    "Note",
    "NoteSignature",
    "SignatureType",
    "SigningKey",
    "VerifierKey",
    "base64_of",
    "bytes_of",
    "is_key_name",
]

import base64
import binascii
import enum
import hashlib
import struct
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runtime.errors import NoteRefused

_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"
_MOST_SIGNATURES = 64
_LONGEST = 64 * 1024
_ID_SIZE, _KEY_SIZE, _SIGNATURE_SIZE = 4, 32, 64
_TIMED = struct.Struct(f">Q{_SIGNATURE_SIZE}s")
_LATEST = 2**63 - 1


class SignatureType(enum.IntEnum):
    """What a key signs, by the byte that C2SP assigned."""

    ED25519 = 0x01
    """The note's text."""
    COSIGNATURE = 0x04
    """A checkpoint, and the time at which it was seen."""


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def bytes_of(text: str) -> bytes:
    """Bytes that are written in base64. Raises ValueError for any but the one way to write them."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64") from None
    if base64_of(data) != text:
        raise ValueError("not base64 as it is written")
    return data


def is_key_name(name: str) -> bool:
    """Whether a key, and so a log, may have this name."""
    return bool(name) and name.isprintable() and not any(c.isspace() or c == "+" for c in name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name that it signs by."""

    name: str
    type: SignatureType
    public: bytes
    """32 bytes, as RFC 8032 writes them."""

    @classmethod
    def from_text(cls, text: str) -> VerifierKey:
        """Read ``NAME+ID+KEY``. Raises NoteRefused."""
        try:
            name, written_id, encoded = text.strip().split("+", 2)
            material = bytes_of(encoded)
            key = cls(name, SignatureType(material[0]), material[1:])
            if not is_key_name(name) or len(key.public) != _KEY_SIZE:
                raise ValueError
            if key.id.hex() != written_id:
                raise ValueError
        except (ValueError, IndexError):
            raise NoteRefused(
                "this is no verifier key. Accepted: one line NAME+ID+KEY of an Ed25519 key, as "
                "`smartpole ledger key` prints it (C2SP signed-note, type 1 or 4)."
            ) from None
        return key

    @property
    def id(self) -> bytes:
        """Four bytes that stand before each of its signatures."""
        material = f"{self.name}\n".encode() + bytes([self.type]) + self.public
        return hashlib.sha256(material).digest()[:_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64_of(bytes([self.type]) + self.public)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line below a note."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64_of(self.key_id + self.signature)}\n"


class SigningKey:
    """A private key. It shows nothing of itself but its public half."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, type: SignatureType, private: Ed25519PrivateKey) -> None:
        if not is_key_name(name):
            raise NoteRefused(
                f"a key can't be named {name!r}. Accepted: a text without spaces and +, such as "
                "city.example/witness."
            )
        self._private = private
        self.verifier = VerifierKey(name, type, private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str, type: SignatureType = SignatureType.ED25519) -> SigningKey:
        return cls(name, type, Ed25519PrivateKey.generate())

    @classmethod
    def from_text(cls, text: str) -> SigningKey:
        """Read what ``secret_text`` wrote. Raises NoteRefused, which quotes nothing of it."""
        try:
            if not text.startswith(_PRIVATE):
                raise ValueError
            name, written_id, encoded = text.strip().removeprefix(_PRIVATE).split("+", 2)
            material = bytes_of(encoded)
            private = Ed25519PrivateKey.from_private_bytes(material[1:])
            key = cls(name, SignatureType(material[0]), private)
            if key.verifier.id.hex() != written_id:
                raise ValueError
        except (ValueError, IndexError, NoteRefused):
            raise NoteRefused("this is no private key of a signed note.") from None
        return key

    def secret_text(self) -> str:
        """The private key, in one line."""
        own = self.verifier
        material = bytes([own.type]) + self._private.private_bytes_raw()
        return f"{_PRIVATE}{own.name}+{own.id.hex()}+{base64_of(material)}\n"

    def sign(self, text: str, *, time: int = 0) -> NoteSignature:
        """Sign a note's text; ``time`` (seconds since 1970) is what a cosignature says besides."""
        own = self.verifier
        if own.type is SignatureType.COSIGNATURE:
            made = self._private.sign(_cosigned(text, time))
            return NoteSignature(own.name, own.id, _TIMED.pack(time, made))
        return NoteSignature(own.name, own.id, self._private.sign(text.encode()))


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures below it, none of which counts before it is verified."""

    text: str
    """With its last newline."""
    signatures: tuple[NoteSignature, ...] = field(default=())

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Read a note. Raises NoteRefused where it is none."""
        try:
            if len(data) > _LONGEST:
                raise ValueError
            whole = data.decode("utf-8")
            if any(character < " " and character != "\n" for character in whole):
                raise ValueError
            body, blank, lines = whole.rpartition("\n\n")
            if not body or not blank or not lines.endswith("\n"):
                raise ValueError
            signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
            if len(signatures) > _MOST_SIGNATURES:
                raise ValueError
        except ValueError:
            raise NoteRefused("this is no signed note (C2SP signed-note).") from None
        return cls(body + "\n", signatures)

    def signed(self, key: SigningKey, *, time: int = 0) -> Note:
        """The same with one signature more."""
        return replace(self, signatures=(*self.signatures, key.sign(self.text, time=time)))

    def verify(self, key: VerifierKey) -> int | None:
        """When the key signed it, in seconds since 1970 (0 for a signature that has no time); None
        where it did not. Raises NoteRefused where a signature of that key is false."""
        found = None
        for line in self.signatures:
            if (line.name, line.key_id) == (key.name, key.id):
                found = self._verify(key, line.signature)
        return found

    def _verify(self, key: VerifierKey, signature: bytes) -> int:
        time, message = 0, self.text.encode()
        try:
            if key.type is SignatureType.COSIGNATURE:
                time, signature = _TIMED.unpack(signature)
                message = _cosigned(self.text, time)
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except (InvalidSignature, struct.error, ValueError):
            raise NoteRefused(f"the signature of {key.name} on this note is false.") from None
        return time

    def __bytes__(self) -> bytes:
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()


def _signature(line: str) -> NoteSignature:
    dash, name, encoded = line[: len(_DASH)], *line[len(_DASH) :].split(" ")
    data = bytes_of(encoded)
    if dash != _DASH or not is_key_name(name) or len(data) <= _ID_SIZE:
        raise ValueError("not a signature line")
    return NoteSignature(name, data[:_ID_SIZE], data[_ID_SIZE:])


def _cosigned(text: str, time: int) -> bytes:
    """What a cosigner signs (C2SP tlog-cosignature, Ed25519 signed message)."""
    if not 0 <= time <= _LATEST:
        raise ValueError("a time that can't be signed")
    return f"cosignature/v1\ntime {time}\n{text}".encode()
