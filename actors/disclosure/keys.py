"""The pole's two public keys, as somebody kept them when it was set up."""

from __future__ import annotations

__all__ = ["PoleKeys"]

from collections.abc import Iterable
from dataclasses import dataclass

from actors.disclosure.errors import DisclosureRefused
from actors.recorder.pole_keys import ACCEPTED, read_keys
from actors.recorder.signing import KeyRefused, VerifyKey
from runtime.ledger.note import VerifierKey


@dataclass(frozen=True, slots=True)
class PoleKeys:
    """By which a pole signs its recordings, and by which it signs its ledger."""

    recordings: VerifyKey
    ledger: VerifierKey

    @classmethod
    def read(cls, given: Iterable[str]) -> PoleKeys:
        """From texts and files, which may hold several. Raises DisclosureRefused."""
        try:
            recordings, ledgers = read_keys(given)
        except KeyRefused as refusal:
            raise DisclosureRefused(str(refusal)) from None
        if len(recordings) != 1 or len(ledgers) != 1:
            raise DisclosureRefused(
                f"{len(recordings)} keys of recordings and {len(ledgers)} of ledgers were given by "
                f"--key, and one of each is needed. {ACCEPTED}."
            )
        return cls(recordings[0], ledgers[0])
