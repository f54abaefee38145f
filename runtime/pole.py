"""The whole pole, from start to stop: a supervisor of domains, each a supervisor of actors."""

from __future__ import annotations

__all__ = ["Pole", "PoleInUse"]

import fcntl
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import trio

from runtime.blueprint import Blueprint, Isolation, Sandbox
from runtime.control import ControlServer
from runtime.domain import Domain
from runtime.errors import SandboxUnavailable, SmartpoleError
from runtime.house import Apart, House, Housing, OneLoop, domain_child
from runtime.ledger.entry import PoleEntry
from runtime.ledger.kinds import DomainCrashed
from runtime.ledger.writer import LedgerWriter, keeps_ledger
from runtime.notify import ServiceManager
from runtime.sandbox import kernel_support
from runtime.specification import ChildSpec, SupervisorSpec
from runtime.status import FolderStatus, PoleStatus
from runtime.supervisor import CrashRecord, Supervisor

_log = structlog.get_logger("pole")


class PoleInUse(SmartpoleError):
    """Another process runs a pole on the same state folder."""


class Pole:
    """Runs a checked blueprint. Findings are the caller's business: see ``runtime.check``.

    ``ready`` is set when every actor has been started once. No configuration can ask for another
    ``housing`` than each domain apart under the kernel's walls. With ``only``, other domains stay
    away, and what is sent to them goes nowhere: for measuring a part of a pole.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        housing: Housing = Housing.APART,
        isolation: Isolation | None = None,
        log_level: str = "info",
        only: Collection[Domain] = tuple(Domain),
    ) -> None:
        self.blueprint = blueprint
        self.ready = trio.Event()
        self._housing = housing
        self._stopping = trio.Event()
        self._told_stopping = False
        self._began_wall = time.time()
        self._services = ServiceManager()
        self._everything = trio.CancelScope()
        self._failure: SmartpoleError | None = None
        housed = dict.fromkeys(plan.domain for plan in blueprint.start_order())
        domains = tuple(domain for domain in housed if domain in only)
        self._house: House
        where = None if housing is Housing.ONE_LOOP else isolation or blueprint.pole.isolation
        self._ledger = LedgerWriter(blueprint, where) if keeps_ledger(blueprint, domains) else None
        if where is None:
            self._house = OneLoop(blueprint, domains, self._note)
        else:
            self._house = Apart(
                blueprint,
                domains,
                isolation=where,
                confined=housing is Housing.APART,
                log_level=log_level,
                pole_must_end=self._end,
                note=self._note,
            )
        self._domain_children = {domain_child(domain): domain for domain in domains}
        self._root = Supervisor(
            SupervisorSpec(
                "pole",
                (
                    ChildSpec("control-socket", self._build_control),
                    *(self._house.child_spec(domain) for domain in domains),
                ),
            ),
            on_crash=self._note_crash,
        )

    # -- running ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, work until ``stop``, SIGTERM or SIGINT, and stop in order.

        Raises PoleInUse where another pole has the state folder, LedgerDamaged where the ledger is
        not what this pole has signed, and RestartBudgetExceeded where an actor that escalates
        crashed too often.
        """
        self._require_walls()
        state = self.blueprint.pole.state
        with _exclusive(state):
            _log.info(
                "starting",
                pole=self.blueprint.pole.name,
                blueprint=self.blueprint.digest,
                guideline=self.blueprint.pole.guideline,
            )
            if self._ledger is not None:
                await self._ledger.open()
            in_order = False
            try:
                await self._run()
                in_order = self._failure is None
            finally:
                if self._ledger is not None:
                    await self._ledger.close(in_order=in_order)
            if self._failure is not None:
                raise self._failure
            _log.info("stopped", pole=self.blueprint.pole.name)

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            if self._ledger is not None:
                nursery.start_soon(self._ledger.run)
            nursery.start_soon(self._stop_on_signal)
            nursery.start_soon(self._services.keep_watch)
            nursery.start_soon(self._announce)
            nursery.start_soon(self._announce_stop)
            try:
                await self._serve()
            except SmartpoleError as error:
                # Raised by ``run``, where no nursery wraps it into a group.
                self._failure = self._failure or error
            nursery.cancel_scope.cancel()

    def _require_walls(self) -> None:
        """Refuse to start without the kernel's walls, or say which are missing."""
        missing = kernel_support().missing
        if self._housing is not Housing.APART or not missing:
            return
        if self.blueprint.pole.sandbox is Sandbox.REQUIRED:
            raise SandboxUnavailable(
                f"this pole may not start: {'; '.join(missing)}. Separation is held by the kernel "
                "(guideline 5.1(1), 6.3(1)). Use a kernel that has it (Linux 6.7 or later with "
                "Landlock, x86-64 or aarch64), or set sandbox = "
                '"best-effort" under [pole]: the pole then says in status and notice what is '
                "missing."
            )
        for wall in missing:
            _log.warning("a wall is missing", wall=wall)

    def _end(self, failure: SmartpoleError) -> None:
        """Come to an end, because of something that no restart of a part can mend."""
        if self._failure is None:
            self._failure = failure
            _log.error("the pole ends", reason=str(failure))
        self._everything.cancel()

    def stop(self) -> None:
        """Stop gracefully: senders before receivers, so that the queues run empty."""
        self._stopping.set()
        self._root.finish()

    def end_domain(self, domain: Domain, why: SmartpoleError) -> None:
        """End this life of a domain, as a crash: it is started again. For tests and measurement,
        of a pole whose domains are apart."""
        assert isinstance(self._house, Apart)
        self._house.end_domain(domain, why)

    async def _serve(self) -> None:
        try:
            failure: SmartpoleError | None = None
            async with self._house.open():
                try:
                    with self._everything:
                        await self._root.serve(self.ready.set)
                except SmartpoleError as error:
                    failure = error  # raised below, where no nursery wraps it into a group
            if failure is not None:
                raise failure
        finally:
            # Also where it ends by itself, or so soon that nobody has told yet.
            await self._tell_stopping()

    async def _announce_stop(self) -> None:
        await self._stopping.wait()
        await self._tell_stopping()

    async def _tell_stopping(self) -> None:
        if not self._told_stopping:
            self._told_stopping = True
            with trio.CancelScope(shield=True):
                await self._services.tell("STOPPING=1")

    async def _announce(self) -> None:
        await self.ready.wait()
        _log.info("ready", pole=self.blueprint.pole.name)
        await self._services.tell("READY=1")

    async def _stop_on_signal(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                _log.info("stopping", signal=signal.Signals(number).name)
                self.stop()

    # -- what it says of itself in its ledger ------------------------------------------------

    def _note(self, entry: PoleEntry) -> None:
        if self._ledger is not None:
            self._ledger.note(entry)

    def _note_crash(self, crash: CrashRecord) -> None:
        domain = self._domain_children.get(crash.child)
        if domain is not None:
            incarnation = max(0, min(crash.incarnation, 2**31 - 1))
            self._note(DomainCrashed(domain=domain, incarnation=incarnation))

    def _build_control(self, _: int) -> ControlServer:
        return ControlServer(self.blueprint.pole.state, self.status)

    # -- telling ----------------------------------------------------------------------------

    def status(self) -> PoleStatus:
        """How everything is, now."""
        pole = self.blueprint.pole
        root = {child.name: child for child in self._root.statistics()}
        return PoleStatus(
            name=pole.name,
            process=os.getpid(),
            unix_time=time.time(),
            uptime=time.time() - self._began_wall,
            isolation=self._house.describe(),
            blueprint=self.blueprint.digest,
            ledger=self._ledger.status() if self._ledger is not None else None,
            domains=tuple(self._house.domains(root)),
            actors=tuple(self._house.actors()),
            folders=tuple(self._folders()),
            without_storage=tuple(
                plan.name
                for plan in self.blueprint.actors.values()
                if not any(need.kind.kind == "storage" for need in plan.needs.values())
            ),
        )

    def crashes(self) -> tuple[CrashRecord, ...]:
        """The latest crashes of domains and of their actors, oldest first."""
        records = [*self._root.crashes, *self._house.crashes()]
        return tuple(sorted(records, key=lambda record: record.unix_time))

    def _folders(self) -> Iterator[FolderStatus]:
        holders: dict[str, list[str]] = {}
        for plan in self.blueprint.actors.values():
            for need in plan.needs.values():
                if need.kind.kind == "storage":
                    holders.setdefault(need.kind.scope, []).append(
                        f"{plan.name}: {need.__name__} ({need.rights})"
                    )
        for scope, who in sorted(holders.items()):
            files, size = _measure(self.blueprint.pole.state / scope)
            yield FolderStatus(scope=scope, holders=tuple(who), files=files, size=size)


def _measure(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files in a folder. Files may vanish while it looks."""
    files = size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        size += entry.stat(follow_symlinks=False).st_size
                        files += 1
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        pass
    return files, size


@contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """Hold the state folder for this process alone."""
    run = state / "run"
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(run / "pole.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PoleInUse(
            f"the state folder {state} can't be used ({error.strerror}). It must be a folder "
            "that this user may write to."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PoleInUse(
                f"a pole runs on {state} already. Stop it first, or give this one another state "
                "folder under [pole]."
            ) from None
        yield
    finally:
        os.close(descriptor)
