"""How long a message takes from one domain to another, one message at a time."""

from __future__ import annotations

__all__ = ["measure_hops"]

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Annotated

import msgspec
import trio

from bench.configuration import IDENTITY
from bench.harness import BenchmarkFailed
from runtime import (
    Actor,
    Authority,
    Capability,
    Domain,
    Inlet,
    Message,
    Needs,
    Outlet,
    Reading,
    Sensitivity,
    Storage,
    load_blueprint,
)
from runtime.blueprint import Isolation
from runtime.house import Housing
from runtime.pole import Pole

_PAUSE = 0.001
"""Seconds between two messages: each finds both loops asleep, as a rare message does."""
_PATIENCE = 60.0
_CONFIGURATION = """
[actors.near]
type = "near"

[actors.far]
type = "far"
grants = ["HopFile"]

[[channels]]
from = "near.ticks"
to = "far.ticks"
"""


class Tick(Message, sensitivity=Sensitivity.OPERATIONAL):
    """When it was sent, on the machine's monotonic clock."""

    nanoseconds: Annotated[int, msgspec.Meta(ge=0)]


class HopFile(Capability, kind=Storage("run"), rights="write down how long hops took"):
    """A file for the durations: what a process measured does not leave it otherwise."""

    def __init__(self, authority: Authority) -> None:
        self._path = authority.require_folder() / "hops.json"

    def write(self, durations: list[float]) -> None:
        self._path.write_bytes(msgspec.json.encode(durations))


class Near(Actor, domain=Domain.PUBLIC):
    """Sends, and waits a little."""

    ticks: Outlet[Tick]

    async def run(self) -> None:
        while True:
            await self.ticks.send(Tick(nanoseconds=perf_counter_ns()))
            await trio.sleep(_PAUSE)


class Far(Actor, domain=Domain.CONTROL):
    """Receives, and notes how long it took."""

    ticks: Inlet[Tick]
    file: Needs[HopFile]
    received: Reading

    async def start(self) -> None:
        self._hops: list[float] = []

    async def run(self) -> None:
        async for tick in self.ticks:
            self._hops.append((perf_counter_ns() - tick.nanoseconds) / 1000)
            self.received.add()

    async def stop(self) -> None:
        await self.blocking(self.file.write, self._hops)


def measure_hops(housing: Housing, isolation: Isolation, messages: int) -> list[float]:
    """Microseconds of so many hops at least. Raises BenchmarkFailed where the pole gives fewer."""
    with TemporaryDirectory(prefix="smartpole-") as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(IDENTITY + _CONFIGURATION, encoding="utf-8")
        pole = Pole(
            load_blueprint(path, actor_types={"near": Near, "far": Far}),
            housing=housing,
            isolation=isolation,
            log_level="critical",
        )
        trio.run(_until_received, pole, messages)
        file = Path(folder) / "state" / "run" / "hops.json"
        if not file.exists():
            crashes = "; ".join(f"{one.child}: {one.error} {one.message}" for one in pole.crashes())
            raise BenchmarkFailed(f"the pole measured no hop. Crashes: {crashes or 'none'}")
        hops = msgspec.json.decode(file.read_bytes(), type=list[float])
    return hops[len(hops) // 10 :]


async def _until_received(pole: Pole, messages: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.move_on_after(_PATIENCE):
            while not any(  # noqa: ASYNC110 - a pole announces nothing to outsiders
                actor.readings.get("received", 0) >= messages for actor in pole.status().actors
            ):
                await trio.sleep(0.1)
        pole.stop()
