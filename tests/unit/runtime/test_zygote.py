"""The process that starts domains: what it starts, what it tells, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime.blueprint import Isolation
from runtime.domain import Domain
from runtime.errors import DomainDied
from runtime.host import DomainOrder
from runtime.pole import Pole
from runtime.residence import Zygote
from runtime.zygote import Birth, Death, Fork, Ready, ZygoteOrder
from tests.unit.runtime import apart_actors
from tests.unit.runtime.apart import blueprint_of, configuration

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[3]


class Started:
    """A zygote, at the end of a socket that only speaks when it is told to."""

    def __init__(self, process: trio.Process, end: socket.socket) -> None:
        self.process = process
        self.end = end
        self.controls: list[socket.socket] = []
        """Our ends of the control links: while they are open, no domain ends for their sake."""

    async def hear(self) -> Birth | Death | Ready:
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(self.end)
            return msgspec.json.decode(self.end.recv(100_000), type=Birth | Death | Ready)

    async def fork(self, domain: str) -> int:
        ours, theirs = socket.socketpair()
        self.controls.append(ours)
        request = msgspec.json.encode(Fork(domain=domain, channels=()))
        with theirs:
            theirs.setblocking(False)
            socket.send_fds(self.end, [request], [theirs.fileno()])
        born = await self.hear()
        assert isinstance(born, Birth)
        assert born.domain == domain
        return born.process

    async def ended(self) -> tuple[int, bytes]:
        """Its exit status, and what it wrote."""
        assert self.process.stderr is not None
        with trio.fail_after(10):
            said = b"".join([chunk async for chunk in self.process.stderr])
            return await self.process.wait(), said


@asynccontextmanager
async def started(folder: Path, **changes: Any) -> AsyncIterator[Started]:
    blueprint = blueprint_of(folder, configuration(folder))
    order = ZygoteOrder(
        configuration=blueprint.source,
        digest=blueprint.digest,
        types={
            name: f"{kind.__module__}:{kind.__qualname__}"
            for name, kind in apart_actors.TYPES.items()
        },
        search_path=tuple(entry or os.getcwd() for entry in sys.path),
        log_level="critical",
        best_effort=False,
        confined=True,
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "runtime.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        zygote = Started(process, ours)
        try:
            ours.send(msgspec.json.encode(msgspec.structs.replace(order, **changes)))
            yield zygote
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for control in zygote.controls:
                control.close()


async def test_it_tells_of_births_and_of_deaths_and_how_they_came(tmp_path: Path) -> None:
    async with started(tmp_path) as zygote:
        assert await zygote.hear() == Ready()
        first, second = await zygote.fork("crowd"), await zygote.fork("public")
        assert first != second
        os.kill(second, signal.SIGKILL)
        assert await zygote.hear() == Death(process=second, status=-signal.SIGKILL)
        zygote.controls[0].close()  # as when a pole is gone: the domain ends in order
        assert await zygote.hear() == Death(process=first, status=0)
        # A domain is started as often as is asked for.
        third = await zygote.fork("crowd")
        assert third not in (first, second)


@pytest.mark.parametrize("unread", [False, True])
async def test_when_the_pole_is_gone_it_ends_and_all_its_children(
    tmp_path: Path, unread: bool
) -> None:
    """Also where the pole went before it had read all that it was told."""
    async with started(tmp_path) as zygote:
        await zygote.hear()
        children = [await zygote.fork(name) for name in ("crowd", "public", "security")]
        if unread:
            os.kill(children[0], signal.SIGKILL)
            await trio.lowlevel.wait_readable(zygote.end)
        # The control links stay open: nothing but the zygote can end the children.
        ends = [os.pidfd_open(process) for process in children[unread:]]
        zygote.end.close()
        with trio.fail_after(10):
            for end in ends:
                await trio.lowlevel.wait_readable(end)
                os.close(end)
        assert await zygote.ended() == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_all_is_the_pole_s_business(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C goes to the terminal's whole group, and a service manager may ask every process to
    end: domains stop in order, when the pole says so."""
    async with started(tmp_path) as zygote:
        await zygote.hear()
        child = await zygote.fork("crowd")
        for process in (zygote.process.pid, child):
            os.kill(process, number)
        assert await zygote.fork("public") != child
        os.kill(child, signal.SIGKILL)
        # Of this signal it died, and not of the one before.
        assert await zygote.hear() == Death(process=child, status=-signal.SIGKILL)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"digest": "0" * 64}, "pole.toml has changed since this pole read it"),
        ({"types": {"camera": "no.such.module:Camera"}}, "No module named 'no'"),
        ({"types": {"camera": "runtime.actor:NoSuchActor"}}, "NoSuchActor"),
        ({"types": {}}, "cannot be used"),
    ],
)
async def test_what_it_can_t_load_it_says_and_ends(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    async with started(tmp_path, **changes) as zygote:
        told = await zygote.hear()
        assert isinstance(told, Ready)
        assert says in told.failure
        assert (await zygote.ended())[0] == 0


async def test_a_start_that_is_cancelled_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    """The process is born all the same, and must be taken for no other."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control, _unused = socket.socketpair()
    with near, far, control, _unused:
        near.setblocking(False)
        zygote = Zygote(near)
        order = DomainOrder(
            blueprint=blueprint_of(tmp_path, configuration(tmp_path)),
            domain=Domain.CROWD,
            control=control,
            ends={},
            best_effort=False,
        )
        begun: list[int] = []

        async def begin(scope: trio.CancelScope) -> None:
            with scope:
                begun.append((await zygote.fork(order)).process)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(zygote.listen)
            for process in (4_000_001, 4_000_002):
                scope = trio.CancelScope()
                nursery.start_soon(begin, scope)
                await trio.lowlevel.wait_readable(far)
                assert msgspec.json.decode(far.recv(1000), type=Fork).domain == "crowd"
                if process == 4_000_001:
                    scope.cancel()
                    await wait_all_tasks_blocked()
                far.send(msgspec.json.encode(Birth(domain="crowd", process=process)))
                await wait_all_tasks_blocked()
            for process in (4_000_001, 4_000_002):
                far.send(msgspec.json.encode(Death(process=process, status=0)))
            far.close()
    assert begun[-1] == 4_000_002


async def test_a_pole_ends_with_its_zygote(tmp_path: Path) -> None:
    """It could start no domain any more, and would go on with less and less."""
    pole = Pole(blueprint_of(tmp_path, configuration(tmp_path)), isolation=Isolation.PROCESS)
    with pytest.RaisesGroup(pytest.RaisesExc(DomainDied, match="that starts domains has died")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            with trio.fail_after(30):
                await pole.ready.wait()
                (zygote,) = _children(os.getpid())
                ends = [os.pidfd_open(one.process) for one in pole.status().domains]
                os.kill(zygote, signal.SIGKILL)
                await trio.sleep(30)  # it ends before
    assert _children(os.getpid()) == set()
    with trio.fail_after(10):
        for end in ends:
            await trio.lowlevel.wait_readable(end)  # it has ended
            os.close(end)


def _children(process: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found
