"""Where a domain lives: in a thread of the pole's process, or in a process of its own."""

from __future__ import annotations

__all__ = ["ProcessResidence", "Residence", "ThreadResidence", "Zygote", "running_zygote"]

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import msgspec
import trio

from runtime.blueprint import Blueprint
from runtime.domain import Domain
from runtime.errors import DomainDied, SmartpoleError
from runtime.host import DomainOrder, live
from runtime.sandbox import unconfined
from runtime.zygote import Birth, Death, Fork, Ready, ZygoteOrder

_LONGEST = 128 * 1024
_LOADING_PATIENCE = 60.0
_FAREWELL = 2.0
_ALMOST_OVER = 0.001
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""For the zygote: a fork takes over only the thread that calls it."""


class Residence(Protocol):
    """One life of a domain, as the pole sees it from outside."""

    process: int
    thread: int | None
    """The kernel's id of its thread; None where it is a process."""

    def unconfined_threads(self) -> tuple[int, ...]:
        """Its threads that no filter holds, by the kernel's own account."""

    def hung_up(self) -> None:
        """Its end of the control link is closed, which is the last thing that it does."""

    async def ended(self) -> None:
        """Return when it is over. Raises DomainDied where it ended otherwise than in order."""

    def kill(self) -> bool:
        """End it at once, whatever it does. False where that can't be done."""


class ThreadResidence:
    """A thread with a loop of its own. Nothing can end it from outside but the end of the pole."""

    def __init__(self, order: DomainOrder) -> None:
        self._order = order
        self._failure: BaseException | None = None
        self._over = trio.Event()
        # A daemon, because one that is stuck must not keep the process from ending.
        self._worker = threading.Thread(
            target=self._run, name=f"domain-{order.domain.value}", daemon=True
        )
        self._worker.start()
        self.process = os.getpid()
        self.thread: int | None = self._worker.native_id

    def unconfined_threads(self) -> tuple[int, ...]:
        assert self.thread is not None
        return unconfined(self.process, [self.thread])

    def hung_up(self) -> None:
        self._over.set()

    async def ended(self) -> None:
        # A confined thread can't wake this loop otherwise than by the control link.
        await self._over.wait()
        while self._worker.is_alive():  # noqa: ASYNC110 - nothing announces a thread's very end
            await trio.sleep(_ALMOST_OVER)
        while self._order.left_open:
            os.close(self._order.left_open.pop())
        if self._failure is not None:
            raise DomainDied(
                f"domain {self._order.domain.value!r} ended by an error that none of its actors "
                "caused."
            ) from self._failure

    def kill(self) -> bool:
        return False

    def _run(self) -> None:
        try:
            trio.run(live, self._order)
        except BaseException as error:
            self._failure = error
        finally:
            # An error here says that the pole did not wait, and has closed its end.
            with suppress(OSError):
                self._order.control.shutdown(socket.SHUT_RDWR)


class ProcessResidence:
    """A child process, forked by the zygote."""

    def __init__(self, domain: Domain, process: int) -> None:
        self._domain = domain
        self.process = process
        self.thread: int | None = None
        self._over = trio.Event()
        self._status = 0

    def unconfined_threads(self) -> tuple[int, ...]:
        return unconfined(self.process)

    def hung_up(self) -> None:
        """The kernel says when a process is over."""

    def bury(self, status: int) -> None:
        """The zygote says that it has ended."""
        self._status = status
        self._over.set()

    async def ended(self) -> None:
        await self._over.wait()
        if self._status < 0:
            name = signal.Signals(-self._status).name
            raise DomainDied(f"the process of domain {self._domain.value!r} was ended by {name}.")
        if self._status:
            raise DomainDied(
                f"the process of domain {self._domain.value!r} ended with status {self._status}, "
                "by an error that none of its actors caused."
            )

    def kill(self) -> bool:
        if not self._over.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
        return True


class Zygote:
    """The pole's handle on the process that starts domains; see ``runtime.zygote``."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._births: dict[str, trio.MemorySendChannel[ProcessResidence]] = {}
        self._living: dict[int, ProcessResidence] = {}

    async def fork(self, order: DomainOrder) -> ProcessResidence:
        """Start a domain's process. Raises DomainDied where the zygote itself has died."""
        name = order.domain.value
        announce, births = trio.open_memory_channel[ProcessResidence](1)
        self._births[name] = announce
        request = msgspec.json.encode(Fork(domain=name, channels=tuple(order.ends)))
        descriptors = [order.control.fileno(), *(end.fileno() for end in order.ends.values())]
        try:
            socket.send_fds(self._end, [request], descriptors)
            # Waited for in any case: a process that nobody took over would be the next one's.
            async with births:
                with trio.CancelScope(shield=True):
                    residence = await births.receive()
            return residence
        except (OSError, trio.EndOfChannel):
            raise DomainDied("the process that starts domains has died.") from None

    async def listen(self) -> None:
        """Hear of births and deaths, until the zygote is gone."""
        heard = msgspec.json.Decoder(Birth | Death)
        while said := await _receive(self._end):
            match heard.decode(said):
                case Birth(domain=name, process=process):
                    residence = ProcessResidence(Domain(name), process)
                    self._living[process] = residence
                    self._births.pop(name).send_nowait(residence)
                case Death(process=process, status=status):
                    self._living.pop(process).bury(status)
        for announce in self._births.values():
            announce.close()
        for residence in self._living.values():
            residence.kill()
            residence.bury(-signal.SIGKILL)


@asynccontextmanager
async def running_zygote(
    blueprint: Blueprint,
    *,
    log_level: str,
    best_effort: bool,
    confined: bool,
    died: Callable[[SmartpoleError], None],
) -> AsyncIterator[Zygote]:
    """Start the zygote, and end it and all that it started with the block.

    ``died`` is called where it ends before: then no domain can be started any more. Raises
    SmartpoleError where it can't load what the pole needs.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    search_path = tuple(entry or os.getcwd() for entry in sys.path)
    order = ZygoteOrder(
        configuration=blueprint.source,
        digest=blueprint.digest,
        types=None
        if blueprint.types_are_installed
        else {
            plan.type_name: f"{plan.actor_type.__module__}:{plan.actor_type.__qualname__}"
            for plan in blueprint.actors.values()
        },
        search_path=search_path,
        log_level=log_level,
        best_effort=best_effort,
        confined=confined,
    )
    with ours:
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "runtime.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(search_path)},
            )
        try:
            ours.setblocking(False)
            ours.send(msgspec.json.encode(order))
            await _until_ready(ours)
            zygote = Zygote(ours)
            # Whatever is cancelled, domains end in order, and only the zygote knows when they have.
            listening = trio.CancelScope(shield=True)

            async def listen() -> None:
                with listening:
                    await zygote.listen()
                    died(
                        DomainDied(
                            "the process that starts domains has died, and with it all domains. "
                            "The pole ends, for the service manager to start it again."
                        )
                    )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                try:
                    yield zygote
                finally:
                    listening.cancel()
        finally:
            ours.close()
            with trio.CancelScope(shield=True):
                with trio.move_on_after(_FAREWELL):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _receive(end: socket.socket) -> bytes:
    """The zygote's next message; nothing where it is gone."""
    while True:
        await trio.lowlevel.wait_readable(end)
        try:
            return end.recv(_LONGEST)
        except BlockingIOError:
            continue


async def _until_ready(end: socket.socket) -> None:
    with trio.move_on_after(_LOADING_PATIENCE):
        said = await _receive(end)
        if not said:
            raise SmartpoleError(
                "the process that starts domains ended before it was ready; what it wrote "
                "stands on standard error."
            )
        ready = msgspec.json.decode(said, type=Ready)
        if ready.failure:
            raise SmartpoleError(ready.failure)
        return
    raise SmartpoleError(
        f"the process that starts domains was not ready within {_LOADING_PATIENCE:g} s."
    )
