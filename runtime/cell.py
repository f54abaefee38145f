"""Hosting actors: one cell per actor, which assembles an incarnation and sees it through."""

from __future__ import annotations

__all__ = ["ActorCell", "actor_at_work"]

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import structlog
import trio

from runtime.actor import Actor, Reading
from runtime.blueprint import ActorPlan
from runtime.capability import Authority, Capability, Commons
from runtime.channel import Inlet, Link, Outlet, Queue
from runtime.histogram import Histogram
from runtime.inlets import Inlets, queue_name
from runtime.workers import run_blocking

_STORAGE = "storage"

actor_at_work: ContextVar[str] = ContextVar("actor_at_work", default="")
"""Which actor a task or worker thread works for: for naming it in a report, never for deciding."""


class ActorCell:
    """Everything of one actor that outlives its incarnations: queues, readings, connections.

    ``state`` is the folder below which storage folders lie, ``facts`` what capabilities of the
    kind ``Facts`` may tell, ``commons`` what capabilities of the domain hold together.
    """

    def __init__(
        self,
        plan: ActorPlan,
        *,
        state: Path,
        facts: Mapping[str, object],
        commons: Commons | None = None,
    ) -> None:
        self.plan = plan
        self._commons = commons or Commons()
        self._state = state
        self._facts = facts
        self.queues: dict[str, Queue[Any]] = {
            name: Queue(
                f"{plan.name}.{name}",
                declared.message,
                capacity=declared.capacity,
                overflow=declared.overflow,
                manual_acknowledge=declared.manual_acknowledge,
            )
            for name, declared in plan.queues.items()
        }
        self.links: dict[str, list[Link[Any]]] = {
            name: [] for name in plan.actor_type.declaration.outlets
        }
        self.readings = {name: Reading() for name in plan.actor_type.declaration.readings}
        self.histograms = {name: Histogram() for name in plan.actor_type.declaration.histograms}
        self._prepared: dict[type[Capability], object] = {}
        self.crashed = False
        """Whether the last incarnation crashed, rather than being ended by its supervisor."""

    def build(self, incarnation: int) -> _Incarnation:
        """A new incarnation. It takes over what the last one had in hand."""
        return _Incarnation(self, incarnation)

    def has_work(self) -> bool:
        """Whether a queue holds messages, waiting or in hand."""
        return any(queue.holds_messages for queue in self.queues.values())

    def idle(self) -> tuple[str, ...]:
        """Vital readings that are still zero."""
        vital = self.plan.actor_type.declaration.readings
        return tuple(
            name for name, reading in self.readings.items() if vital[name] and not reading.value
        )

    def prepare(self) -> None:
        """Have each granted capability do what no confined domain may; see ``Capability.prepare``.

        Makes the storage folders too. A failure is kept, to be raised where the capability would be
        minted: one actor that lacks something is no reason to keep a whole domain down.
        """
        for capability in self.plan.needs.values():
            self._prepare(capability)

    def _prepare(self, capability: type[Capability]) -> None:
        try:
            authority = self._authority(capability)
            if capability.kind.kind == _STORAGE:
                authority.require_folder()
            self._prepared[capability] = capability.prepare(authority)
        except Exception as error:
            self._prepared[capability] = _Failure(error)

    def mint(self, capability: type[Capability]) -> Capability:
        """Make the handle that the blueprint grants. Blocks while the capability opens."""
        if capability not in self._prepared:
            self._prepare(capability)
        authority = self._authority(capability)
        if isinstance(authority.prepared, _Failure):
            raise authority.prepared.error.with_traceback(None)
        return capability._mint(authority)

    def _authority(self, capability: type[Capability]) -> Authority:
        kind = capability.kind
        return Authority._mint(
            actor=self.plan.name,
            folder=self._state / kind.scope if kind.kind == _STORAGE else None,
            settings=self.plan.settings,
            facts=self._facts if kind.kind == "facts" else {},
            prepared=self._prepared.get(capability),
            commons=self._commons,
        )


class _Failure:
    """What ``prepare`` raised."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Incarnation:
    """One life of an actor, as the supervisor sees it (``runtime.specification.Child``)."""

    def __init__(self, cell: ActorCell, number: int) -> None:
        self._cell = cell
        self._number = number

    async def serve(self, started: Callable[[], None]) -> None:
        cell, plan = self._cell, self._cell.plan
        actor_at_work.set(plan.name)
        for queue in cell.queues.values():
            queue.reopen(crashed=cell.crashed)
        cell.crashed = False
        held: dict[str, Capability] = {}
        try:
            # Closed in reverse order, each even where another's closing fails.
            with ExitStack() as handles:
                for name, capability in plan.needs.items():
                    held[name] = await run_blocking(cell.mint, capability)
                    handles.callback(held[name].close)
                await self._live(self._assemble(held), started)
        except Exception:
            cell.crashed = True
            raise

    async def _live(self, actor: Actor, started: Callable[[], None]) -> None:
        crash: Exception | None = None
        try:
            await actor.start()
            started()
            await actor.run()
            for queue in self._cell.queues.values():
                if not queue.manual_acknowledge:
                    queue.acknowledge()
        except Exception as error:
            crash = error
            raise
        finally:
            timeout = self._cell.plan.supervision.stop_timeout
            with trio.CancelScope(shield=True, deadline=trio.current_time() + timeout):
                try:
                    await actor.stop()
                except Exception as error:
                    if crash is None:
                        raise
                    # After a failed start, stop often fails as well: the first crash is what
                    # counts, above all where it is Unrecoverable.
                    actor.log.warning("stop failed after a crash", error=type(error).__name__)

    def finish(self) -> bool:
        """An actor that has inlets ends by itself once it has received everything."""
        for queue in self._cell.queues.values():
            queue.finish()
        return bool(self._cell.queues)

    def _assemble(self, held: Mapping[str, Capability]) -> Actor:
        cell, plan = self._cell, self._cell.plan
        declaration = plan.actor_type.declaration
        bindings: dict[str, object] = {
            "place": plan.place,
            "settings": plan.settings,
            "log": structlog.get_logger(plan.name).bind(
                actor=plan.name, domain=plan.domain.value, incarnation=self._number
            ),
            **{name: self._inlet(name) for name in plan.inlets},
            **{
                name: Outlet._mint(f"{plan.name}.{name}", declaration.outlets[name].message, links)
                if links or not declaration.outlets[name].optional
                else None
                for name, links in cell.links.items()
            },
            **cell.readings,
            **cell.histograms,
            **held,
        }
        return plan.actor_type(bindings)

    def _inlet(self, port: str) -> Inlet[Any] | Inlets[Any]:
        cell, plan = self._cell, self._cell.plan
        if not plan.inlets[port].each_sender:
            return Inlet._mint(cell.queues[port])
        return Inlets._mint(
            {
                sender: Inlet._mint(cell.queues[queue_name(port, sender.name)])
                for sender in plan.senders.get(port, ())
            }
        )
