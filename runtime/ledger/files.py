"""The files of a ledger, and how each is read and written.

entries.jsonl   one entry a line, only ever appended to
checkpoint      the signed size and root of all that is safely in it
frontier.json   what appending needs of the tree; can always be made again
pole.key        the private key, mode 0600
pole.pub        the public key, for everybody
"""

from __future__ import annotations

__all__ = [
    "CHECKPOINT",
    "ENTRIES",
    "FRONTIER",
    "PUBLIC_KEY",
    "SIGNING_KEY",
    "public_key",
    "read_lines",
    "signing_key",
]

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import LedgerDamaged, LedgerTrouble
from runtime.ledger.entry import LONGEST_LINE
from runtime.ledger.note import SigningKey, VerifierKey

ENTRIES = "entries.jsonl"
CHECKPOINT = "checkpoint"
FRONTIER = "frontier.json"
SIGNING_KEY = "pole.key"
PUBLIC_KEY = "pole.pub"

_BUFFER = 1024 * 1024


def read_lines(path: Path, offset: int = 0) -> Iterator[bytes]:
    """The lines of a ledger from there on, with their ends. What is too long for an entry, as a
    disk's rubbish may be, comes in pieces without an end."""
    with open(path, "rb", buffering=_BUFFER) as file:
        file.seek(offset)
        while line := file.readline(LONGEST_LINE + 1):
            yield line


def signing_key(folder: Path) -> SigningKey:
    """The pole's private key. Raises LedgerDamaged where it is missing, or others may read it."""
    path = folder / SIGNING_KEY
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096).decode("utf-8", "replace")
    except FileNotFoundError:
        raise LedgerDamaged(
            f"{path} is missing, and without it nothing can be signed. Put it back from a copy, or "
            "move the whole folder away for the auditor: a new ledger is begun then."
        ) from None
    except OSError as error:
        raise LedgerTrouble(f"{path} can't be read: {error.strerror}.") from None
    if mode & 0o077:
        raise LedgerDamaged(
            f"{path} has mode {mode:04o}: others than its owner could sign in the pole's name. "
            f"If nobody did, run: chmod 600 {path}"
        )
    return SigningKey.from_text(text)


def public_key(folder: Path) -> VerifierKey:
    """The public key that lies in a ledger's folder. Raises LedgerDamaged where there is none."""
    path = folder / PUBLIC_KEY
    try:
        return VerifierKey.from_text(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        raise LedgerDamaged(f"{path} is missing: name the pole's public key by --key.") from None
    except OSError as error:
        raise LedgerTrouble(f"{path} can't be read: {error.strerror}.") from None
