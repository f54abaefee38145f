"""Public keys of poles, as somebody kept them when a pole was set up."""

from __future__ import annotations

__all__ = ["ACCEPTED", "read_keys"]

from collections.abc import Iterable
from pathlib import Path

from actors.recorder.signing import KeyRefused, VerifyKey
from runtime.errors import NoteRefused
from runtime.ledger.note import VerifierKey

_RECORDINGS = "recordings+"
_PRIVATE = "PRIVATE+KEY+"
ACCEPTED = (
    "Accepted: a text or a file with NAME+ID+KEY in each line: the pole.pub that lies with the "
    "recordings, and what `smartpole ledger key` prints"
)


def read_keys(given: Iterable[str]) -> tuple[list[VerifyKey], list[VerifierKey]]:
    """Keys of recordings and keys of ledgers, from texts and files, which may hold several.

    Raises KeyRefused, which quotes nothing of them.
    """
    recordings: list[VerifyKey] = []
    ledgers: list[VerifierKey] = []
    for line in (line for text in given for line in _lines(text)):
        if line.startswith(_PRIVATE):
            raise KeyRefused(
                f"a private key was given; the public one lies beside it, in *.pub. {ACCEPTED}."
            )
        try:
            if line.startswith(_RECORDINGS):
                recordings.append(VerifyKey.from_text(line))
            else:
                ledgers.append(VerifierKey.from_text(line))
        except (KeyRefused, NoteRefused):
            raise KeyRefused(f"a key that was given is none. {ACCEPTED}.") from None
    return recordings, ledgers


def _lines(text: str) -> list[str]:
    path = Path(text)
    try:
        if len(text) < 256 and path.is_file():
            text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise KeyRefused(f"{path} can't be read: {error.strerror}") from None
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
