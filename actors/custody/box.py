"""The order box: the folder in which orders wait for the custodian, and keep what became of them.

``security/orders/`` below the pole's state folder holds two files for each order, named by the
SHA-256 of the order's bytes: ``….order``, as its signer made it, and beside it ``….outcome``, once
the custodian has decided. Whoever brings an order writes the first, the custodian alone the second,
and nobody changes or removes either: what is held is computed from these files and stands nowhere
else. Each appears whole or not at all, whenever the power fails.
"""

from __future__ import annotations

__all__ = [
    "BOX",
    "Accepted",
    "BoxContents",
    "BoxTrouble",
    "Decided",
    "OrderBoxFolder",
    "Outcome",
    "Waiting",
]

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from actors.custody.order import (
    LONGEST_ORDER,
    OrderUnreadable,
    SignedOrder,
    kind_of_text,
    read_order,
)
from actors.ledger.receipts import Refusal
from runtime import SmartpoleError
from runtime.files import sync_folder

BOX = "orders"
"""The box's name in the folder of recordings."""
_ORDER, _OUTCOME, _NEW = ".order", ".outcome", ".new"
_NAME = re.compile(r"([0-9a-f]{64})\.(order|outcome)", re.ASCII)
_LONGEST_OUTCOME = 16 * 1024


class BoxTrouble(SmartpoleError):
    """The order box can't be read or written now, or is damaged."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the custodian decided about an order."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    """Decisions are numbered in their order."""
    at: datetime
    kind: str | None
    """Of the order; None where not even that could be read."""
    why: Refusal | None
    """Why it was refused; None where it was accepted."""
    said: str
    """The same for people, without what stands in the order."""
    reported: bool = False
    """Whether the ledger surely has it: until then it is told again at each start."""

    @property
    def accepted(self) -> bool:
        return self.why is None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order that nobody has decided about."""

    name: str
    signed: SignedOrder | None
    """None where it can't be read."""
    kind: str | None
    trouble: str = ""
    """Why it can't be read."""


@dataclass(frozen=True, slots=True)
class Decided:
    """An order and what became of it."""

    name: str
    signed: SignedOrder | None
    """None where it can't be read; then it was refused."""
    outcome: Outcome


class Accepted(NamedTuple):
    """An order that was accepted."""

    signed: SignedOrder
    at: datetime
    """When, in UTC."""


@dataclass(frozen=True, slots=True)
class BoxContents:
    """All that lies in a box at one moment."""

    decided: tuple[Decided, ...] = ()
    """In the order of the decisions."""
    waiting: tuple[Waiting, ...] = ()
    """In the order in which they were made, as their signers say."""

    @property
    def accepted(self) -> Iterator[Accepted]:
        """What was accepted, in the order of the decisions."""
        for one in self.decided:
            if one.signed is not None and one.outcome.accepted:
                yield Accepted(one.signed, one.outcome.at)

    @property
    def last(self) -> int:
        """Number of the last decision."""
        return self.decided[-1].outcome.number if self.decided else 0


class OrderBoxFolder:
    """A box, read again only as far as it changed. All methods block and raise BoxTrouble."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._orders: dict[str, Waiting] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._listed: tuple[set[str], set[str]] = (set(), set())
        self._contents: BoxContents | None = BoxContents()
        """None where what lies there makes no sense."""

    def read(self) -> BoxContents:
        """What lies there. The same object as before, if nothing has changed.

        Raises BoxTrouble, too, where an accepted order is gone or damaged: then nobody knows what
        is held.
        """
        orders, outcomes = self._names()
        has_changed = self._contents is None or (orders, outcomes) != self._listed
        for name in orders - self._orders.keys():
            self._orders[name] = self._read_order(name)
        for name in self._orders.keys() - orders:
            del self._orders[name]
        for name in self._outcomes.keys() - outcomes:
            del self._outcomes[name]
        for name in outcomes - self._outcomes.keys():
            if (outcome := self._read_outcome(name)) is not None:
                self._outcomes[name] = outcome
                has_changed = True
        self._listed = orders, outcomes
        if has_changed or self._contents is None:
            self._contents = None
            self._contents = self._put_together()
        return self._contents

    def put(self, signed: SignedOrder) -> str:
        """Lay an order in the box, for good; returns its name. Doing so again changes nothing."""
        data = signed.data
        name = hashlib.sha256(data).hexdigest()
        with _as_trouble("the order can't be put into the pole's order box"):
            if not (self._folder / (name + _ORDER)).exists():
                self._write(name + _ORDER, data)
        return name

    def outcome(self, name: str) -> Outcome | None:
        """What was decided about the order of that name; None where nothing was yet."""
        return self._read_outcome(name)

    def decide(self, name: str, outcome: Outcome) -> None:
        """Write down what was decided, or that the ledger has it."""
        with _as_trouble("a decision can't be written"):
            encoded = msgspec.json.format(msgspec.json.encode(outcome), indent=2)
            self._write(name + _OUTCOME, encoded + b"\n")
        if name in self._outcomes:
            self._outcomes[name] = outcome
            self._contents = None

    def _names(self) -> tuple[set[str], set[str]]:
        found: dict[str, set[str]] = {"order": set(), "outcome": set()}
        with (
            _as_trouble("the order box can't be read"),
            suppress(FileNotFoundError),
            os.scandir(self._folder) as entries,
        ):
            for entry in entries:
                if (match := _NAME.fullmatch(entry.name)) is not None:
                    found[match[2]].add(match[1])
        return found["order"], found["outcome"]

    def _read_order(self, name: str) -> Waiting:
        with _as_trouble("an order can't be read"):
            data = _read(self._folder / (name + _ORDER), LONGEST_ORDER)
        kind = kind_of_text(data)
        try:
            if hashlib.sha256(data).hexdigest() != name:
                raise OrderUnreadable("its bytes are not those by which it is named")
            return Waiting(name, read_order(data), kind)
        except OrderUnreadable as error:
            return Waiting(name, None, kind, str(error))

    def _read_outcome(self, name: str) -> Outcome | None:
        """None where there is none, or a damaged one: it is decided again."""
        with _as_trouble("a decision can't be read"), suppress(FileNotFoundError):
            data = _read(self._folder / (name + _OUTCOME), _LONGEST_OUTCOME)
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                return msgspec.json.decode(data, type=Outcome)
        return None

    def _put_together(self) -> BoxContents:
        decided: list[Decided] = []
        for name, outcome in self._outcomes.items():
            order = self._orders.get(name)
            signed = order.signed if order is not None else None
            if signed is None and outcome.accepted:
                raise BoxTrouble(
                    f"the accepted order {name[:12]} is gone from the order box, or damaged. Put "
                    f"the file {name}{_ORDER} back from a copy; until then nobody can say what is "
                    "held, and nothing is deleted"
                )
            decided.append(Decided(name, signed, outcome))
        waiting = [one for name, one in self._orders.items() if name not in self._outcomes]
        return BoxContents(
            tuple(sorted(decided, key=lambda one: (one.outcome.number, one.name))),
            tuple(sorted(waiting, key=_by_time)),
        )

    def _write(self, name: str, data: bytes) -> None:
        """Write a file that appears whole, and belongs to whom the folder belongs to."""
        owner = _make_folder(self._folder)
        new = self._folder / f"{secrets.token_hex(8)}{_NEW}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if owner is not None:
                    os.fchown(descriptor, *owner)
                os.fsync(descriptor)
            new.rename(self._folder / name)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)


def _make_folder(folder: Path) -> tuple[int, int] | None:
    """Make the box where there is none. Says whose a file in it must be, where that is not who
    writes: an administrator brings an order, and the pole has to be able to read it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    above = missing[-1].parent if missing else folder
    status = above.stat()
    is_other = os.geteuid() == 0 and status.st_uid != 0
    owner = (status.st_uid, status.st_gid) if is_other else None
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if owner is not None:
                os.chown(path, *owner)
            sync_folder(path.parent)
    return owner


def _by_time(waiting: Waiting) -> tuple[float, str]:
    made = waiting.signed.order.made.timestamp() if waiting.signed is not None else 0.0
    return made, waiting.name


def _read(path: Path, longest: int) -> bytes:
    with path.open("rb") as file:
        return file.read(longest + 1)


@contextmanager
def _as_trouble(what: str) -> Iterator[None]:
    """An operating system's error becomes BoxTrouble, without a path in its text."""
    try:
        yield
    except OSError as error:
        raise BoxTrouble(f"{what}: {error.strerror or type(error).__name__}") from None
