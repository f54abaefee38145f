"""The pole's folder of recordings, or a copy of it, as a disclosure reads it."""

from __future__ import annotations

__all__ = ["Recordings", "SignedLine", "range_of"]

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.custody.order import DisclosureRequest
from actors.disclosure.account import Account, Range, account_for
from actors.disclosure.errors import DisclosureRefused
from actors.recorder.chain import ChainRecord, chain_files, lines_of, parse_line
from actors.recorder.signing import VerifyKey


class SignedLine(NamedTuple):
    """A line of the chain that the pole signed, as it stands there, and what it says."""

    data: bytes
    record: ChainRecord


class Recordings:
    """Read-only, and without a key to read recordings. Methods block and raise OSError."""

    def __init__(self, folder: Path, key: VerifyKey) -> None:
        self.folder = folder
        self.key = key

    def account(self, wanted: Range) -> Account:
        """What there is of it, by a chain whose signatures are not looked at; see ``lines``."""
        return account_for(wanted, self._records())

    def lines(self, numbers: set[int]) -> list[SignedLine]:
        """The chain's records of these numbers. Raises DisclosureRefused where the pole did not
        sign one of them."""
        found: dict[int, SignedLine] = {}
        for path in chain_files(self.folder).values():
            with path.open("rb") as file:
                for raw in file:
                    data = raw.removesuffix(b"\n")
                    try:
                        line = parse_line(data)
                    except (ValueError, msgspec.DecodeError):
                        continue
                    number = line.record.number
                    if number in numbers:
                        if not self.key.signed(line.signed, line.signature):
                            raise DisclosureRefused(
                                f"record {number} of the chain of manifests is not as the pole "
                                "signed it, so nothing that rests on it is handed over. See: "
                                "smartpole recordings verify FOLDER --key pole.pub"
                            )
                        found.setdefault(number, SignedLine(data, line.record))
        return [line for _, line in sorted(found.items())]

    def _records(self) -> Iterator[ChainRecord]:
        for path in chain_files(self.folder).values():
            for line in lines_of(path):
                yield line.record


def range_of(request: DisclosureRequest) -> Range:
    """What a request asks for."""
    return Range(
        places=request.places,
        cameras=request.cameras,
        start=_microseconds(request.start),
        end=_microseconds(request.end),
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
