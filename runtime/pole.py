"""The whole pole, from start to stop: a supervisor of domains, each a supervisor of actors."""

from __future__ import annotations

__all__ = ["ISOLATION", "Pole", "PoleInUse"]

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import trio

from runtime.blueprint import ActorPlan, Blueprint
from runtime.border import BorderCodec
from runtime.channel import Link
from runtime.control import ControlServer
from runtime.domain import Domain
from runtime.errors import SmartpoleError
from runtime.host import ActorCell
from runtime.notify import ServiceManager
from runtime.specification import (
    Backoff,
    ChildSpec,
    Exhausted,
    RestartIntensity,
    Strategy,
    SupervisorSpec,
)
from runtime.status import ActorStatus, FolderStatus, PoleStatus
from runtime.supervisor import ChildStatus, CrashRecord, Supervisor

_log = structlog.get_logger("pole")

ISOLATION = (
    "one process, one loop: what crosses between domains is encoded, checked against its declared "
    "type and decoded again; no kernel sandbox yet"
)


class PoleInUse(SmartpoleError):
    """Another process runs a pole on the same state folder."""


class Pole:
    """Runs a checked blueprint. Findings are the caller's business: see ``runtime.check``.

    ``ready`` is set when every actor has been started once.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.ready = trio.Event()
        self._stopping = trio.Event()
        self._told_stopping = False
        self._began_wall = time.time()
        self._services = ServiceManager()
        facts = {"blueprint": blueprint}
        self._cells = {
            name: ActorCell(plan, state=blueprint.pole.state, facts=facts)
            for name, plan in blueprint.actors.items()
        }
        for channel in blueprint.channels:
            queue = self._cells[channel.receiver].queues[channel.inlet]
            codec = (
                BorderCodec(channel.message, places=blueprint.places)
                if blueprint.crosses(channel)
                else None
            )
            self._cells[channel.sender].links[channel.outlet].append(Link(queue, codec))
        self._plans = _by_domain(blueprint)
        self._domains: dict[Domain, Supervisor] = {
            domain: self._domain_supervisor(domain) for domain in self._plans
        }
        self._root = Supervisor(
            SupervisorSpec(
                "pole",
                (
                    ChildSpec("control-socket", self._build_control),
                    *(self._domain_spec(domain) for domain in self._domains),
                ),
            )
        )

    # -- running ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, work until ``stop``, SIGTERM or SIGINT, and stop in order.

        Raises PoleInUse where another pole has the state folder, and RestartBudgetExceeded where
        an actor that escalates crashed too often.
        """
        state = self.blueprint.pole.state
        with _exclusive(state):
            _log.info(
                "starting",
                pole=self.blueprint.pole.name,
                blueprint=self.blueprint.digest,
                guideline=self.blueprint.pole.guideline,
            )
            failure: SmartpoleError | None = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_on_signal)
                nursery.start_soon(self._services.keep_watch)
                nursery.start_soon(self._announce)
                nursery.start_soon(self._announce_stop)
                try:
                    await self._serve()
                except SmartpoleError as error:
                    failure = error  # raised below, where no nursery wraps it into a group
                nursery.cancel_scope.cancel()
            if failure is not None:
                raise failure
            _log.info("stopped", pole=self.blueprint.pole.name)

    def stop(self) -> None:
        """Stop gracefully: senders before receivers, so that the queues run empty."""
        self._stopping.set()
        self._root.finish()

    async def _serve(self) -> None:
        try:
            await self._root.serve(self.ready.set)
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

    def _build_control(self, _: int) -> ControlServer:
        return ControlServer(self.blueprint.pole.state, self.status)

    def _domain_spec(self, domain: Domain) -> ChildSpec:
        plans = self._plans[domain]

        def build(incarnation: int) -> Supervisor:
            if incarnation > 1:
                self._domains[domain] = self._domain_supervisor(domain)
            return self._domains[domain]

        return ChildSpec(
            f"domain-{domain.value}",
            build,
            # A domain fails only when one of its actors escalates. It is started anew a few
            # times; then the pole ends, for the service manager to start it again.
            intensity=RestartIntensity(3, 600),
            backoff=Backoff(first=1),
            # A supervisor of actors takes as long as they take, one after another.
            start_timeout=sum(plan.supervision.start_timeout for plan in plans) + 1,
            stop_timeout=sum(2 * plan.supervision.stop_timeout for plan in plans) + 1,
            when_exhausted=Exhausted.ESCALATE,
        )

    def _domain_supervisor(self, domain: Domain) -> Supervisor:
        children = tuple(
            plan.supervision.child(
                plan.name, self._cells[plan.name].build, self._cells[plan.name].has_work
            )
            for plan in self._plans[domain]
        )
        strategy = self.blueprint.strategies.get(domain, Strategy.ONE_FOR_ONE)
        return Supervisor(SupervisorSpec(domain.value, children, strategy))

    # -- telling ----------------------------------------------------------------------------

    def status(self) -> PoleStatus:
        """How everything is, now."""
        pole = self.blueprint.pole
        children = {
            child.name: child
            for supervisor in self._domains.values()
            for child in supervisor.statistics()
        }
        return PoleStatus(
            name=pole.name,
            process=os.getpid(),
            unix_time=time.time(),
            uptime=time.time() - self._began_wall,
            isolation=ISOLATION,
            blueprint=self.blueprint.digest,
            actors=tuple(
                self._actor_status(plan, children[plan.name])
                for plans in self._plans.values()
                for plan in plans
            ),
            folders=tuple(self._folders()),
            without_storage=tuple(
                plan.name
                for plan in self.blueprint.actors.values()
                if not any(need.kind.kind == "storage" for need in plan.needs.values())
            ),
        )

    def crashes(self) -> tuple[CrashRecord, ...]:
        """The latest crashes of every domain, oldest first."""
        records = [record for domain in self._domains.values() for record in domain.crashes]
        return tuple(sorted(records, key=lambda record: record.unix_time))

    def _actor_status(self, plan: ActorPlan, child: ChildStatus) -> ActorStatus:
        cell = self._cells[plan.name]
        return ActorStatus(
            name=plan.name,
            type_name=plan.type_name,
            domain=plan.domain.value,
            headline=plan.settings.headline(),
            state=child.state,
            incarnation=child.incarnation,
            restarts=child.restarts,
            crashes=child.crashes,
            last_crash=child.last_crash,
            inlets=tuple(queue.statistics() for queue in cell.queues.values()),
            readings={name: reading.value for name, reading in cell.readings.items()},
            histograms={name: one.statistics() for name, one in cell.histograms.items()},
            idle=cell.idle(),
        )

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


def _by_domain(blueprint: Blueprint) -> dict[Domain, list[ActorPlan]]:
    """Actors and domains in starting order."""
    domains: dict[Domain, list[ActorPlan]] = {}
    for plan in blueprint.start_order():
        domains.setdefault(plan.domain, []).append(plan)
    return domains


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
