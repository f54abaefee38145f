"""The notice as a pole hosts it, for tests that need it running."""

from __future__ import annotations

__all__ = ["SEPARATION", "a_cell", "a_free_port", "running"]

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from actors.notice import Notice
from runtime import Isolation, Separation
from runtime.cell import ActorCell
from runtime.facts import facts_of
from tests.example_pole import CONFIGURATION, example_blueprint

SEPARATION = Separation(isolation=Isolation.THREAD, landlock_abi=7, seccomp=True, missing=())


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def a_cell(folder: Path, port: int) -> ActorCell:
    notice = f"""
[actors.notice]
type = "notice"
grants = ["NoticePort", "BlueprintView", "StatisticsView"]
settings = {{ port = {port} }}
"""
    blueprint = example_blueprint(folder, CONFIGURATION + notice, {"notice": Notice})
    plan = blueprint.actors["notice"]
    return ActorCell(plan, state=folder, facts=facts_of(blueprint, SEPARATION))


@asynccontextmanager
async def running(cell: ActorCell) -> AsyncIterator[trio.CancelScope]:
    """The actor, until the block ends or its scope is cancelled."""
    started = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cell.build(1).serve, started.set)
        await started.wait()
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()
