"""Running a pole of few actors in a test: the real ones, with sinks and sources at their ends."""

from __future__ import annotations

__all__ = [
    "CrowdSink",
    "Gathering",
    "PacketSource",
    "PublicSink",
    "SecuritySink",
    "actor_status",
    "eventually",
    "gathering_in",
    "running_pole",
    "sending",
]

import types
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import trio

from actors.camera.messages import EncodedPacket
from actors.crowd.messages import PictureCount
from runtime import Actor, Domain, Inlet, Outlet, Reading, check, inlet
from runtime.blueprint import load_blueprint
from runtime.house import Housing
from runtime.pole import Pole
from runtime.status import ActorStatus

M = TypeVar("M")

_IDENTITY = """
[pole]
name = "test-pole"
operator = { ja = "試験", en = "Test" }
contact = { ja = "privacy@pole.example", en = "privacy@pole.example" }
guideline = "1.0"
state = "state"

[places]
crossing = { ja = "交差点", en = "Crossing" }
"""


class Gathering(Generic[M]):
    """What a sink has received. ``before`` is called with each message first, and may raise."""

    def __init__(self, before: Callable[[M], None] | None = None) -> None:
        self.messages: list[M] = []
        self._before = before
        self._arrivals = trio.lowlevel.ParkingLot()

    def add(self, message: M) -> None:
        if self._before is not None:
            self._before(message)
        self.messages.append(message)
        self._arrivals.unpark_all()

    async def until(self, condition: Callable[[list[M]], object], within: float = 10) -> list[M]:
        """Wait until the messages meet the condition; return them."""
        with trio.fail_after(within):
            while not condition(self.messages):
                await self._arrivals.park()
        return self.messages


class CrowdSink(Actor, domain=Domain.CROWD):
    """Stands where the crowd actor would."""

    gathering: ClassVar[Gathering[EncodedPacket]]
    packets: Inlet[EncodedPacket] = inlet(capacity=128)
    received: Reading

    async def run(self) -> None:
        async for packet in self.packets:
            self.gathering.add(packet)
            self.received.add()


class SecuritySink(Actor, domain=Domain.SECURITY):
    """Stands where the recorder would."""

    gathering: ClassVar[Gathering[EncodedPacket]]
    packets: Inlet[EncodedPacket] = inlet(capacity=256)
    received: Reading

    async def run(self) -> None:
        async for packet in self.packets:
            self.gathering.add(packet)
            self.received.add()


class PublicSink(Actor, domain=Domain.PUBLIC):
    """Stands where the statistics would."""

    gathering: ClassVar[Gathering[PictureCount]]
    counts: Inlet[PictureCount]

    async def run(self) -> None:
        async for count in self.counts:
            self.gathering.add(count)


class PacketSource(Actor, domain=Domain.CAPTURE):
    """Stands where the camera would: sends what it is given, then waits for the end."""

    supply: ClassVar[Iterable[EncodedPacket]]
    packets: Outlet[EncodedPacket]

    async def run(self) -> None:
        for packet in self.supply:
            await self.packets.send(packet)
        await trio.sleep_forever()


def gathering_in(sink: type[Actor], gathering: Gathering[Any]) -> type[Actor]:
    """A sink type of its own that puts what it receives there."""
    return types.new_class(
        sink.__name__, (sink,), {}, lambda names: names.update(gathering=gathering)
    )


def sending(supply: Iterable[EncodedPacket]) -> type[Actor]:
    """A source type of its own that sends these packets, through all its incarnations."""
    return types.new_class(
        "PacketSource", (PacketSource,), {}, lambda names: names.update(supply=iter(supply))
    )


@asynccontextmanager
async def running_pole(
    folder: Path,
    configuration: str,
    actor_types: Mapping[str, type[Actor]],
    *,
    findings: Sequence[str] = (),
) -> AsyncIterator[Pole]:
    """Run a pole of these actors while the block lasts, and stop it in order afterwards."""
    path = folder / "pole.toml"
    path.write_text(_IDENTITY + configuration, encoding="utf-8")
    blueprint = load_blueprint(path, actor_types=dict(actor_types))
    assert [finding.rule for finding in check(blueprint)] == list(findings)
    pole = Pole(blueprint, housing=Housing.ONE_LOOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        yield pole
        pole.stop()


def actor_status(pole: Pole, name: str) -> ActorStatus:
    (status,) = (actor for actor in pole.status().actors if actor.name == name)
    return status


async def eventually(condition: Callable[[], object], within: float = 10) -> None:
    """Wait until something holds that announces itself to nobody."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.01)
