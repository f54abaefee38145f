"""Writing age v1 files as a stream: encrypted for a manager whose private key the pole never sees.

The format is C2SP's age v1 (https://c2sp.org/age), so that the standard ``age`` program opens what
is written here. Two parts of it are used: the X25519 recipient stanza, and the payload in chunks of
64 KiB, each sealed by itself. A sealed chunk stays readable whatever happens to those after it.
"""

from __future__ import annotations

__all__ = ["CHUNK", "VERSION", "AgeWriter", "Recipient", "derive", "header_mac", "header_of"]

import hmac
import os
from base64 import b64encode
from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors.recorder.bech32 import decode

CHUNK = 64 * 1024
"""Bytes of plaintext in each sealed chunk but the last (age v1, "Payload")."""

VERSION = b"age-encryption.org/v1"
"""The first line of each file."""


class Sink(Protocol):
    """Where ciphertext goes. It takes all of it or raises."""

    def write(self, data: bytes, /) -> object: ...


class Recipient:
    """A public key, ``age1…``, that a file can be encrypted to (age v1, "The X25519 recipient").

    Raises ValueError with a reason that does not repeat the text.
    """

    __slots__ = ("_key", "_raw")

    def __init__(self, text: str) -> None:
        if text.upper().startswith("AGE-SECRET-KEY-"):
            raise ValueError(
                "this is a private key, which has no business on a pole: take it away from here, "
                "consider it exposed and make a new one"
            )
        prefix, raw = decode(text)
        if prefix != "age" or len(raw) != 32:
            raise ValueError("this is no X25519 public key of age")
        self._raw = raw
        self._key = X25519PublicKey.from_public_bytes(raw)
        self.wrap(bytes(16))  # refuses the few points for which anyone could unwrap

    def wrap(self, file_key: bytes) -> bytes:
        """The header's stanza by which the holder of the private key gets the file key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(self._key)
        except ValueError:
            raise ValueError("this public key is of low order and would protect nothing") from None
        key = derive(shared, salt=share + self._raw, info=VERSION + b"/X25519")
        # A key that is used once may have a constant nonce, as the specification has it.
        body = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
        return b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n"


class AgeWriter:
    """Encrypts a stream into a sink while it is being written.

        writer = AgeWriter(file, recipients)
        writer.write(b"...")
        writer.close()

    Chunks go to the sink as soon as they are full and followed by more; ``sealed`` says how many
    bytes of plaintext have gone there. What is not sealed yet is in memory only. If the sink
    raises, the writer must not be used again; what was sealed before stays readable.
    """

    def __init__(self, sink: Sink, recipients: Sequence[Recipient]) -> None:
        if not recipients:
            raise ValueError("a file must be encrypted to somebody: there is no recipient")
        self._sink = sink
        self._pending = bytearray()
        self._counter = 0
        self._closed = False
        self.sealed = 0
        file_key, nonce = os.urandom(16), os.urandom(16)
        self._aead = ChaCha20Poly1305(derive(file_key, salt=nonce, info=b"payload"))
        sink.write(header_of(file_key, recipients) + nonce)

    @property
    def unsealed(self) -> int:
        """Bytes of plaintext that are in memory only."""
        return len(self._pending)

    @property
    def written(self) -> int:
        """Bytes of plaintext that it has been given."""
        return self.sealed + len(self._pending)

    def write(self, data: bytes) -> None:
        """Encrypt so many bytes of plaintext, of any length."""
        self._require_open()
        self._pending += data
        # A full chunk waits for what follows: the last one is marked as such and may not be
        # empty, so which one is the last must be known before it is sealed.
        count = (len(self._pending) - 1) // CHUNK
        if count <= 0:
            return
        size = count * CHUNK
        with memoryview(self._pending) as view:
            sealed = [self._seal(view[at : at + CHUNK], last=False) for at in range(0, size, CHUNK)]
        self._sink.write(b"".join(sealed))
        del self._pending[:size]
        self.sealed += size

    def close(self) -> None:
        """Seal what is left and mark the end. The sink stays open."""
        self._require_open()
        self._closed = True
        self._sink.write(self._seal(self._pending, last=True))
        self.sealed += len(self._pending)
        self._pending.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("this age file is closed")

    def _seal(self, plaintext: memoryview | bytearray, *, last: bool) -> bytes:
        nonce = self._counter.to_bytes(11, "big") + bytes([last])
        self._counter += 1
        return self._aead.encrypt(nonce, plaintext, None)


def header_of(file_key: bytes, recipients: Sequence[Recipient]) -> bytes:
    """The header by which these recipients, and nobody else, get the file key."""
    stanzas = b"".join(recipient.wrap(file_key) for recipient in recipients)
    header = VERSION + b"\n" + stanzas + b"---"
    return header + b" " + _base64(header_mac(file_key, header)) + b"\n"


def header_mac(file_key: bytes, header: bytes) -> bytes:
    """What proves that a header, up to and with its three dashes, is the file's own."""
    return hmac.digest(derive(file_key, salt=b"", info=b"header"), header, "sha256")


def derive(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """32 bytes by HKDF-SHA-256, as age v1 takes its keys from one another."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def _base64(data: bytes) -> bytes:
    """RFC 4648 without padding. Stanza bodies here are 32 bytes, so no line needs to be broken."""
    return b64encode(data).rstrip(b"=")
