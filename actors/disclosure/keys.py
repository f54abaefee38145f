"""The pole's two public keys, as somebody kept them when it was set up."""

from __future__ import annotations

__all__ = ["PoleKeys"]

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from actors.disclosure.errors import DisclosureRefused
from actors.recorder.signing import KeyRefused, VerifyKey
from runtime.errors import NoteRefused
from runtime.ledger.note import VerifierKey

_RECORDINGS = "recordings+"
_ACCEPTED = (
    "Accepted: a text or a file with NAME+ID+KEY in each line: the pole.pub that lies with the "
    "recordings, and what `smartpole ledger key` prints"
)


@dataclass(frozen=True, slots=True)
class PoleKeys:
    """By which a pole signs its recordings, and by which it signs its ledger."""

    recordings: VerifyKey
    ledger: VerifierKey

    @classmethod
    def read(cls, given: Iterable[str]) -> PoleKeys:
        """From texts and files, which may hold several. Raises DisclosureRefused."""
        recordings: list[VerifyKey] = []
        ledgers: list[VerifierKey] = []
        for line in (line for text in given for line in _lines(text)):
            try:
                if line.startswith(_RECORDINGS):
                    recordings.append(VerifyKey.from_text(line))
                else:
                    ledgers.append(VerifierKey.from_text(line))
            except (KeyRefused, NoteRefused):
                raise DisclosureRefused(f"a key that was given is none. {_ACCEPTED}.") from None
        if len(recordings) != 1 or len(ledgers) != 1:
            raise DisclosureRefused(
                f"{len(recordings)} keys of recordings and {len(ledgers)} of ledgers were given by "
                f"--key, and one of each is needed. {_ACCEPTED}."
            )
        return cls(recordings[0], ledgers[0])


def _lines(text: str) -> list[str]:
    path = Path(text)
    try:
        if len(text) < 256 and path.is_file():
            text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise DisclosureRefused(f"{path} can't be read: {error.strerror}") from None
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
