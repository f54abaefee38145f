"""The pole's own hand in its ledger: what it says of itself, from its start to its stop."""

from __future__ import annotations

__all__ = ["LedgerWriter", "keeps_ledger", "kept_checkpoint_path", "ledger_folder"]

from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import structlog
import trio

from runtime.blueprint import Blueprint, Isolation
from runtime.capability import Storage
from runtime.domain import Domain
from runtime.errors import LedgerDamaged, LedgerRefused, LedgerTrouble, NoteRefused
from runtime.files import replace_file, sync_folder
from runtime.graph import to_text
from runtime.ledger.checkpoint import read_checkpoint
from runtime.ledger.entry import POLE, PoleEntry, decode_record, encode_record
from runtime.ledger.files import public_key
from runtime.ledger.kinds import (
    CapabilityGranted,
    LastEnd,
    PoleStarted,
    PoleStopped,
    blueprint_words,
)
from runtime.ledger.log import LedgerLog, create_log
from runtime.status import LedgerStatus
from runtime.workers import run_blocking

_log = structlog.get_logger("ledger")

_KIND = Storage("ledger")
_KEPT = "ledger.checkpoint"
_MOST_WAITING = 10_000
_RETRY = 5.0
_PACKAGE = "smartpole"


def keeps_ledger(blueprint: Blueprint, domains: Collection[Domain] = tuple(Domain)) -> bool:
    """Whether a pole of these domains keeps a ledger: where an actor is granted one."""
    return any(
        need.kind == _KIND
        for plan in blueprint.actors.values()
        if plan.domain in domains
        for need in plan.needs.values()
    )


def ledger_folder(state: Path) -> Path:
    """Where the ledger of a pole with this state folder lies."""
    return state / _KIND.scope


def kept_checkpoint_path(state: Path) -> Path:
    """Where the pole keeps the last checkpoint that it saw, apart from the ledger's own folder."""
    return state / "run" / _KEPT


class LedgerWriter:
    """Writes what the pole notes, in order and in batches; a full disk only delays it.

    ``open``, then ``run`` in a task while ``note`` is called, then ``close``.
    """

    def __init__(self, blueprint: Blueprint, isolation: Isolation | None) -> None:
        self._blueprint = blueprint
        self._isolation = isolation
        self._words = blueprint_words(blueprint) | {version(_PACKAGE)}
        self._state = blueprint.pole.state
        self._log: LedgerLog | None = None
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._trouble = ""
        self._news = trio.Event()

    async def open(self) -> None:
        """Verify the whole ledger, or make it, and note that the pole starts.

        Raises LedgerDamaged where it is not what was signed, or not what the pole kept a checkpoint
        of; and LedgerTrouble where it can't be read or written. The pole does not start then.
        """
        log = await run_blocking(self._open)
        try:
            await self._append_waiting(log)
        except BaseException:
            log.close()
            raise
        self._log = log

    def note(self, entry: PoleEntry) -> None:
        """Have an entry written soon. It never waits and never raises: the pole goes on."""
        try:
            line = encode_record(entry, at=datetime.now(UTC), by=POLE, words=self._words)
        except LedgerRefused as refusal:
            self._dropped += 1
            _log.error("the pole's own entry was refused", reason=str(refusal))
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)
        self._news.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while not await self._write():  # noqa: ASYNC110 - a disk has no event for room
                await trio.sleep(_RETRY)

    async def close(self, *, in_order: bool) -> None:
        """Note that the pole stops, and write what waits, as far as that can be done now."""
        if self._log is None:
            return
        self.note(PoleStopped(in_order=in_order, dropped=min(self._dropped, 2**31 - 1)))
        with trio.CancelScope(shield=True):
            await self._write()
            self._log.close()

    def status(self) -> LedgerStatus:
        return LedgerStatus(
            size=self._log.size if self._log is not None else 0,
            waiting=len(self._waiting),
            dropped=self._dropped,
            trouble=self._trouble,
        )

    async def _write(self) -> bool:
        log = self._log
        assert log is not None
        try:
            await self._append_waiting(log)
        except (LedgerDamaged, LedgerTrouble) as error:
            if not self._trouble:
                _log.error("the ledger can't be written; entries wait", reason=str(error))
            self._trouble = str(error)
            return False
        if self._trouble:
            _log.info("the ledger is written again")
            self._trouble = ""
        return True

    async def _append_waiting(self, log: LedgerLog) -> None:
        if lines := list(self._waiting):
            await run_blocking(self._append, log, lines)
            for _ in lines:
                self._waiting.popleft()

    # -- in a worker thread -----------------------------------------------------------------

    def _open(self) -> LedgerLog:
        folder = ledger_folder(self._state)
        kept = self._read_kept()
        if kept is None:
            create_log(folder, _origin_of(self._blueprint.pole.name))
        try:
            log = LedgerLog(folder)
        except LedgerDamaged as damage:
            if kept is None:
                raise
            path = kept_checkpoint_path(self._state)
            raise LedgerDamaged(
                f"{damage} (What this pole has last seen of it is kept in {path}. It has to be "
                "moved away as well for a new ledger.)"
            ) from None
        try:
            self._require_kept(log, kept)
            self._note_start(log)
        except BaseException:
            log.close()
            raise
        return log

    def _append(self, log: LedgerLog, lines: list[bytes]) -> None:
        log.append(lines)
        path = kept_checkpoint_path(self._state)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, log.checkpoint())
            sync_folder(path.parent)
        except OSError as error:
            _log.warning("the ledger's checkpoint is not kept", reason=error.strerror)

    def _read_kept(self) -> bytes | None:
        try:
            return kept_checkpoint_path(self._state).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerTrouble(
                f"{kept_checkpoint_path(self._state)} can't be read: {error.strerror}."
            ) from None

    def _require_kept(self, log: LedgerLog, kept: bytes | None) -> None:
        """The log must go on from what this pole has last seen of it."""
        if kept is None:
            return
        path = kept_checkpoint_path(self._state)
        remedy = (
            "Put the newest copy of the ledger back, or keep both for the auditor, and move the "
            f"folder {log.folder} and {path} away to have the pole begin a new ledger."
        )
        try:
            there, _ = read_checkpoint(kept, public_key(log.folder))
        except NoteRefused as refusal:
            raise LedgerDamaged(
                f"the ledger in {log.folder} is not the one that this pole kept {path} of: "
                f"{refusal} {remedy}"
            ) from None
        if there.size > log.size:
            raise LedgerDamaged(
                f"the ledger in {log.folder} was rolled back: it has {log.size} entries, and the "
                f"pole has signed {there.size}, by {path}. {remedy}"
            )
        if there.root != (log.root if there.size == log.size else log.root_at(there.size)):
            raise LedgerDamaged(
                f"the ledger in {log.folder} was forked: its first {there.size} entries are not "
                f"those that the pole has signed, by {path}. {remedy}"
            )

    def _note_start(self, log: LedgerLog) -> None:
        blueprint = self._blueprint
        self.note(
            PoleStarted(
                configuration=blueprint.digest,
                blueprint=sha256(f"{to_text(blueprint)}\n".encode()).hexdigest(),
                software=version(_PACKAGE),
                isolation=self._isolation,
                sandbox=blueprint.pole.sandbox,
                last_end=_last_end(log),
            )
        )
        for plan in blueprint.actors.values():
            for need in plan.needs.values():
                self.note(
                    CapabilityGranted(
                        actor=plan.name,
                        domain=plan.domain,
                        capability=need.__name__,
                        kind=str(need.kind),
                    )
                )


def _origin_of(pole: str) -> str:
    """A log's name, made of the pole's: without spaces and +, which a key's name can't have."""
    plain = "".join(c if c.isprintable() and not c.isspace() and c != "+" else "-" for c in pole)
    return f"smartpole/{plain}"


def _last_end(log: LedgerLog) -> LastEnd:
    if not log.size:
        return LastEnd.NONE
    _, entry = decode_record(log.last_line)
    return LastEnd.STOPPED if isinstance(entry, PoleStopped) else LastEnd.CUT
