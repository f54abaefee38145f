"""The key by which a pole signs the manifests of what it recorded.

Keys are written in one line, in the form of C2SP's signed notes (https://c2sp.org/signed-note):
``NAME+ID+KEY`` for the public half, which may be shown to anybody.
"""

from __future__ import annotations

__all__ = ["KeyRefused", "PoleKey", "VerifyKey"]

import base64
import fcntl
import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runtime import SmartpoleError
from runtime.files import replace_file, sync_folder

PRIVATE_FILE = "pole.key"
PUBLIC_FILE = "pole.pub"

_NAME = "recordings"
_PREFIX = "PRIVATE+KEY+"
_ED25519 = b"\x01"
"""The type that C2SP assigned."""
_CONTEXT = b"smartpole recording manifest v1\n"
"""Signed before each record, so that no signature of this key can be taken for another thing's."""


class KeyRefused(SmartpoleError):
    """A text that is no key, or a private key that others may read."""


class VerifyKey:
    """The public half: it says whether the pole signed something."""

    def __init__(self, name: str, raw: bytes) -> None:
        self._name = name
        self._raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    @classmethod
    def from_text(cls, text: str) -> VerifyKey:
        """Read ``NAME+ID+KEY``. Raises KeyRefused, which quotes nothing of it."""
        if text.startswith(_PREFIX):
            raise KeyRefused("this is a private key; the public one lies beside it, in pole.pub")
        try:
            name, raw = _parse(text)
            return cls(name, raw)
        except ValueError:
            raise KeyRefused(
                f"this is no public key. Accepted: one line NAME+ID+KEY, as in {PUBLIC_FILE}"
            ) from None

    def signed(self, record: bytes, signature: bytes) -> bool:
        """Whether the pole signed these bytes."""
        try:
            self._key.verify(signature, _CONTEXT + record)
        except InvalidSignature:
            return False
        return True

    @property
    def number(self) -> int:
        """The four bytes that stand in hexadecimal in ``NAME+ID+KEY``, as a number."""
        return int.from_bytes(_identity(self._name, self._raw), "big")

    def __str__(self) -> str:
        return _text(self._name, self._raw, self._raw)


class PoleKey:
    """The private half. It shows nothing of itself but the public one."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifyKey(_NAME, private.public_key().public_bytes_raw())

    @classmethod
    def of_folder(cls, folder: Path) -> PoleKey:
        """The key that lies in a folder; made there, once, where there is none.

        Raises OSError, and KeyRefused where it is none or its mode lets others read it.
        """
        path = folder / PRIVATE_FILE
        _make_once(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096).decode("ascii", "replace")
        if mode & 0o077:
            raise KeyRefused(
                f"{path} has mode {mode:04o}: others than its owner could sign in the pole's "
                f"name. If nobody did, run: chmod 600 {path}"
            )
        try:
            _, raw = _parse(text.removeprefix(_PREFIX))
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError:
            raise KeyRefused(
                f"{path} holds no private key. Put it back from a copy; or move it and the files "
                "chain-*.log away for the auditor, and a new chain is begun"
            ) from None

    def sign(self, record: bytes) -> bytes:
        return self._private.sign(_CONTEXT + record)


def _make_once(path: Path) -> None:
    """Make a key where there is none. Under its name it is whole or not there, whenever the power
    fails, and two recorders that begin at once get the same one."""
    if path.exists():
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists():
            private = Ed25519PrivateKey.generate()
            public = private.public_key().public_bytes_raw()
            _replace(path.with_name(PUBLIC_FILE), _text(_NAME, public, public) + "\n")
            _replace(path, _PREFIX + _text(_NAME, private.private_bytes_raw(), public) + "\n")
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    replace_file(path, text.encode("ascii"))
    sync_folder(path.parent)


def _text(name: str, raw: bytes, public: bytes) -> str:
    identity = _identity(name, public).hex()
    return f"{name}+{identity}+{base64.b64encode(_ED25519 + raw).decode()}"


def _identity(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _parse(text: str) -> tuple[str, bytes]:
    """Name and 32 bytes. Raises ValueError."""
    name, _, encoded = text.strip().split("+", 2)
    material = base64.b64decode(encoded, validate=True)
    if material[:1] != _ED25519 or len(material) != 33:
        raise ValueError("not of this type")
    return name, material[1:]
