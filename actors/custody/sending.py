"""Bringing a signed order to its pole, and hearing what became of it."""

from __future__ import annotations

__all__ = ["PoleBox", "key_from", "order_in", "orders_in_ledger", "pole_key_in", "write_order"]

import stat
import time
from pathlib import Path

from actors.custody.actor import Custodian
from actors.custody.box import BOX, BoxContents, OrderBoxFolder, Outcome
from actors.custody.order import LONGEST_ORDER, OrderUnreadable, SignedOrder, read_order
from actors.ledger.receipts import Disclosed, HoldChanged, numbers_of
from actors.recorder.signing import KeyRefused, VerifyKey
from runtime import SmartpoleError, load_blueprint
from runtime.errors import LedgerDamaged, LedgerRefused, LedgerTrouble, NoteRefused
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import public_key
from runtime.ledger.note import SigningKey
from runtime.ledger.writer import ledger_folder

_SECURITY = "security"
_PUBLIC = "pole.pub"
_LOOK = 0.2
_LONGEST_KEY = 4096


class PoleBox:
    """The order box of the pole that a configuration describes, for who brings orders there.

    Raises ConfigurationError, and SmartpoleError where nobody would decide.
    """

    def __init__(self, configuration: Path) -> None:
        blueprint = load_blueprint(configuration)
        if not any(issubclass(one.actor_type, Custodian) for one in blueprint.actors.values()):
            raise SmartpoleError(
                f"{configuration} has no custodian, so that nobody would decide about an order. "
                "Accepted: a configuration with an actor of the type custodian, which names a "
                "manager and a deputy (guideline 7.3(2)); conf/pole.toml shows one."
            )
        self._state = blueprint.pole.state
        self._security = self._state / _SECURITY
        self._box = OrderBoxFolder(self._security / BOX)

    @property
    def pole(self) -> str:
        """The public key by which orders name this pole."""
        path = self._security / _PUBLIC
        if not path.exists():
            raise SmartpoleError(
                f"there is no {path}: this pole has never run, and there is nothing to hold or to "
                "disclose. Start it once: smartpole run."
            )
        return pole_key_in(path)

    def read(self) -> BoxContents:
        """All orders and what became of them. Raises BoxTrouble."""
        return self._box.read()

    def send(self, signed: SignedOrder, patience: float) -> Outcome | None:
        """Lay an order in the box, and wait for so many seconds for what the custodian decides.

        None where it has not decided yet: the order waits there. Raises BoxTrouble.
        """
        name = self._box.put(signed)
        until = time.monotonic() + patience
        while (outcome := self._box.outcome(name)) is None and time.monotonic() < until:
            time.sleep(_LOOK)
        return outcome

    def in_ledger(self) -> dict[tuple[int, ...], int]:
        """See ``orders_in_ledger``."""
        return orders_in_ledger(self._state)

    def entry_of(self, signed: SignedOrder, patience: float) -> int | None:
        """The ledger's entry about an order, once it is there."""
        until = time.monotonic() + patience
        wanted = numbers_of(signed.id)
        while (index := self.in_ledger().get(wanted)) is None and time.monotonic() < until:
            time.sleep(_LOOK)
        return index


def orders_in_ledger(state: Path) -> dict[tuple[int, ...], int]:
    """Which entry of the ledger tells of an order, by the order's id as numbers; the first, where
    there are several. Not verified: `smartpole ledger verify` does that."""
    folder = ledger_folder(state)
    found: dict[tuple[int, ...], int] = {}
    try:
        ledger = LedgerFolder(folder, public_key(folder))
        for index, _, entry in ledger.entries(
            wanted=lambda record: record.kind in ("hold", "disclosure")
        ):
            if isinstance(entry, HoldChanged | Disclosed):
                found.setdefault(entry.order, index)
    except (LedgerDamaged, LedgerRefused, LedgerTrouble, NoteRefused):
        pass  # whoever wants to know verifies it
    return found


def pole_key_in(path: Path) -> str:
    """The public key that a pole's ``pole.pub``, or a copy of it, holds. Raises SmartpoleError."""
    try:
        return str(VerifyKey.from_text(_read(path)))
    except KeyRefused as refusal:
        raise SmartpoleError(f"{path}: {refusal}.") from None


def key_from(path: Path) -> SigningKey:
    """A person's private key. Raises SmartpoleError, which quotes nothing of it."""
    text = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SmartpoleError(
            f"{path} has mode {mode:04o}: others than its owner could sign in their name. If "
            f"nobody did, run: chmod 600 {path}"
        )
    try:
        return SigningKey.from_text(text)
    except NoteRefused:
        raise SmartpoleError(
            f"{path} holds no private key to sign with. Make one: smartpole keys signer."
        ) from None


def order_in(path: Path) -> SignedOrder:
    """The signed order in a file, unverified. Raises SmartpoleError."""
    try:
        with path.open("rb") as file:
            return read_order(file.read(LONGEST_ORDER + 1))
    except OSError as error:
        raise SmartpoleError(f"{path} can't be read: {error.strerror}.") from None
    except OrderUnreadable as error:
        raise SmartpoleError(f"{path}: {error}.") from None


def write_order(signed: SignedOrder, path: Path) -> None:
    """Write a signed order into a new file. Raises SmartpoleError."""
    try:
        with path.open("xb") as file:
            file.write(signed.data)
    except FileExistsError:
        raise SmartpoleError(f"{path} is there already, and is not overwritten.") from None
    except OSError as error:
        raise SmartpoleError(f"{path} can't be written: {error.strerror}.") from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_KEY).decode("ascii", "replace")
    except OSError as error:
        raise SmartpoleError(f"{path} can't be read: {error.strerror}.") from None
