"""What the custodian may do with orders, and what retention may know of them."""

from __future__ import annotations

__all__ = ["BoxTrouble", "Holds", "HoldsView", "OrderBox"]

from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.custody.box import BOX, BoxContents, BoxTrouble, OrderBoxFolder, Outcome
from actors.custody.holds import Holds, holds_in
from actors.recorder.signing import KeyRefused, PoleKey
from runtime import Authority, Capability, Storage, Unrecoverable
from runtime.clock import Clock, boot_id

_CLOCK = "clock.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OrderBox(
    Capability,
    kind=Storage("security"),
    rights="read orders, write what was decided; cannot read or delete recordings",
):
    """The order box, for who decides. Its methods block and raise BoxTrouble."""

    def __init__(self, authority: Authority) -> None:
        folder = authority.require_folder()
        (folder / BOX).mkdir(mode=0o700, exist_ok=True)
        self._box = OrderBoxFolder(folder / BOX)
        # A journal of its own: two who use one at once would lose each other's notes.
        is_good = bool(getattr(authority.settings, "battery_clock", False))
        self._clock = Clock(folder / BOX / _CLOCK, battery_clock=is_good)
        self.pole = _public_key(folder)
        """The public key that signs this pole's recordings, by which orders name the pole."""

    @classmethod
    def prepare(cls, authority: Authority) -> None:
        """The clock asks for the boot id before the walls stand: it can't be read later."""
        boot_id()

    def time(self) -> datetime:
        """What time it is by the pole's own clock, which no jump of the wall clock moves: a dead
        battery must not end anybody's term. In whole seconds."""
        try:
            return _EPOCH + timedelta(seconds=self._clock.read().now // 1_000_000)
        except OSError as error:
            raise BoxTrouble(
                f"the clock's journal can't be read: {error.strerror or type(error).__name__}"
            ) from None

    def read(self) -> BoxContents:
        """See ``OrderBoxFolder.read``."""
        return self._box.read()

    def decide(self, name: str, outcome: Outcome) -> None:
        """Write down what was decided about the order of that name."""
        self._box.decide(name, outcome)


class HoldsView(
    Capability,
    kind=Storage("security"),
    rights="know which recordings are held; cannot read, write or delete",
):
    """The register of holds, for who deletes (guideline 7.1(4))."""

    def __init__(self, authority: Authority) -> None:
        self._box = OrderBoxFolder(authority.require_folder() / BOX)
        self._seen: BoxContents | None = None
        self._holds = Holds()

    def current(self) -> Holds:
        """The holds in force now, those that nobody has decided about yet among them.

        The same object as before where nothing has changed; then it costs the listing of a folder.
        Blocks. Raises BoxTrouble where nobody can say what is held; then nothing may be deleted.
        """
        contents = self._box.read()
        if contents is not self._seen:
            self._holds = holds_in(contents)
            self._seen = contents
        return self._holds


def _public_key(folder: Path) -> str:
    try:
        return str(PoleKey.of_folder(folder).public)
    except KeyRefused as refusal:
        raise Unrecoverable(f"{refusal}. Without it no order can be meant for this pole") from None
    except OSError as error:
        raise BoxTrouble(
            f"the pole's key can't be read: {error.strerror or type(error).__name__}"
        ) from None
