"""A pipeline that crashes everywhere, and stops while its queues are full: all is counted."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
import trio

from runtime import (
    Actor,
    Domain,
    Inlet,
    Message,
    Outlet,
    Reading,
    Sensitivity,
    Unrecoverable,
    inlet,
)
from runtime.channel import ChannelStatistics
from runtime.errors import RestartBudgetExceeded
from runtime.house import Housing
from runtime.pole import Pole, PoleInUse
from runtime.status import ActorStatus, PoleStatus
from tests.example_pole import POLE, example_blueprint
from tests.unit.runtime import pole_process


class Item(Message, sensitivity=Sensitivity.AGGREGATE):
    number: Annotated[int, msgspec.Meta(ge=0, le=10**9)]


@dataclass
class World:
    """What the actors below share with the test, and nothing else does."""

    total: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    share: float = 0.0
    """How often an actor crashes, per message."""
    pause: float = 0.0
    """How long the sink takes for a message."""
    crashed_on: set[tuple[str, int]] = field(default_factory=set)
    crashes: Counter[str] = field(default_factory=Counter)
    received: list[int] = field(default_factory=list)
    everything: trio.Event = field(default_factory=trio.Event)

    def maybe_crash(self, who: str, number: int, when: str = "") -> None:
        # No actor twice on the same message: that would rightly set it aside.
        if (who, number) not in self.crashed_on and self.chance.random() < self.share:
            self.crashed_on.add((who, number))
            self.crashes[f"{who} {when}".strip()] += 1
            raise RuntimeError("injected")

    def receive(self, *numbers: int) -> None:
        self.received += numbers
        if numbers[-1] == self.total - 1:
            self.everything.set()


WORLD = World()


@pytest.fixture(autouse=True)
def world() -> World:
    global WORLD
    WORLD = World()
    return WORLD


class Source(Actor, domain=Domain.CROWD):
    """Its reading outlives it, so that it goes on where its last message was accepted."""

    out: Outlet[Item]
    sent: Reading

    async def run(self) -> None:
        while self.sent.value < WORLD.total:
            WORLD.maybe_crash("source", self.sent.value)
            await self.out.send(Item(number=self.sent.value))
            self.sent.add()
        await trio.sleep_forever()


class Middle(Actor, domain=Domain.PUBLIC):
    into: Inlet[Item]
    out: Outlet[Item]

    async def run(self) -> None:
        async for item in self.into:
            WORLD.maybe_crash("middle", item.number, "before")
            await self.out.send(item)
            WORLD.maybe_crash("middle", item.number, "after")


class Sink(Actor, domain=Domain.PUBLIC):
    into: Inlet[Item] = inlet(capacity=16)

    async def run(self) -> None:
        async for item in self.into:
            WORLD.maybe_crash("sink", item.number)
            await trio.sleep(WORLD.pause)
            WORLD.receive(item.number)


class BatchSink(Sink, domain=Domain.PUBLIC):
    async def run(self) -> None:
        async for batch in self.into.batches():
            for item in batch:
                WORLD.maybe_crash("sink", item.number)
            WORLD.receive(*(item.number for item in batch))


class Doomed(Actor, domain=Domain.SECURITY):
    async def start(self) -> None:
        raise Unrecoverable("no key at keys/manager.pub: make one with smartpole keys")

    async def stop(self) -> None:
        raise AttributeError("as many a stop does after a start that failed")


class Worker(Actor, domain=Domain.SECURITY):
    async def run(self) -> None:
        await trio.sleep_forever()


class Crasher(Actor, domain=Domain.SECURITY):
    async def run(self) -> None:
        raise RuntimeError("aa:bb:cc:dd:ee:ff")


TYPES: dict[str, type[Actor]] = {
    "source": Source,
    "middle": Middle,
    "sink": Sink,
    "batch-sink": BatchSink,
    "doomed": Doomed,
    "worker": Worker,
    "crasher": Crasher,
}
WORKER = '[actors.worker]\ntype = "worker"\n'
OFTEN = (
    'supervision = { restarts = 100000, period = "1d", first_delay = "1ms", longest_delay = "1ms", '
    'stop_timeout = "1h" }\n'
)
PIPELINE = (
    POLE
    + "".join(
        f'[actors.{name}]\ntype = "{kind}"\nplace = "east-exit"\n{OFTEN}'
        for name, kind in (("source", "source"), ("middle", "middle"), ("sink", "SINK"))
    )
    + '[[channels]]\nfrom = "source.out"\nto = "middle.into"\n'
    + '[[channels]]\nfrom = "middle.out"\nto = "sink.into"\n'
)


def pipeline(folder: Path, sink: str = "sink", more: str = "") -> Pole:
    return Pole(
        example_blueprint(folder, PIPELINE.replace("SINK", sink) + more, TYPES),
        housing=Housing.ONE_LOOP,
    )


def actors(pole: Pole) -> dict[str, ActorStatus]:
    return {actor.name: actor for actor in pole.status().actors}


def queue(pole: Pole, actor: str) -> ChannelStatistics:
    (only,) = actors(pole)[actor].inlets
    return only


@pytest.mark.parametrize("sink", ["sink", "batch-sink"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_ten_thousand_messages_survive_crashes_of_every_actor(
    tmp_path: Path, world: World, sink: str, seed: int
) -> None:
    world.total, world.chance, world.share = 10_000, random.Random(seed), 0.01
    pole = pipeline(tmp_path, sink)
    with trio.fail_after(100_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            await world.everything.wait()
            pole.stop()
    assert len(world.crashes) == 4
    assert min(world.crashes.values()) > 20, "the test must crash them all, and often"
    assert set(world.received) == set(range(world.total)), "nothing accepted is lost"
    for name in ("middle", "sink"):
        told = queue(pole, name)
        assert (told.poisoned, told.dropped, told.replaced) == (0, 0, 0)
        assert (told.waiting, told.in_hand) == (0, 0)
        assert told.acknowledged == told.accepted
        assert told.redelivered >= actors(pole)[name].crashes
    crashes = world.crashes
    assert actors(pole)["middle"].crashes == crashes["middle before"] + crashes["middle after"]
    assert actors(pole)["sink"].crashes == crashes["sink"]
    assert actors(pole)["source"].crashes == crashes["source"]
    # Twice came exactly what the middle had sent on before it crashed on it, next to each other.
    assert len(world.received) == world.total + crashes["middle after"]
    assert world.received == sorted(world.received)


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_stopping_runs_the_queues_empty(tmp_path: Path, world: World, how: str) -> None:
    world.total, world.pause = 10**9, 1.0
    pole = pipeline(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await pole.ready.wait()
        await trio.sleep(100.5)
        assert (queue(pole, "middle").waiting, queue(pole, "sink").waiting) == (64, 16)
        if how == "stopped":
            pole.stop()
        else:
            nursery.cancel_scope.cancel()
    sent = actors(pole)["source"].readings["sent"]
    assert sent > 100 + 64 + 16
    assert world.received == list(range(sent))
    assert {actor.state for actor in actors(pole).values()} == {"stopped"}
    assert pole.status().working


async def test_crashes_while_stopping_lose_nothing_either(tmp_path: Path, world: World) -> None:
    world.total, world.pause = 10**9, 1.0
    pole = pipeline(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await pole.ready.wait()
        await trio.sleep(100.5)
        world.share = 0.2
        pole.stop()
    assert world.crashes["sink"] > 5
    sent = actors(pole)["source"].readings["sent"]
    assert set(world.received) == set(range(sent))


async def test_one_that_cannot_start_leaves_the_rest_at_work(tmp_path: Path, world: World) -> None:
    world.total = 50
    pole = pipeline(tmp_path, more='[actors.doomed]\ntype = "doomed"\n' + WORKER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await pole.ready.wait()
        await world.everything.wait()
        await trio.sleep(1000)
        told = actors(pole)
        pole.stop()
    states = {name: actor.state for name, actor in told.items()}
    assert states.pop("doomed") == "down"
    assert set(states.values()) == {"running"}
    doomed = told["doomed"]
    assert (doomed.incarnation, doomed.crashes) == (1, 1)
    assert doomed.last_crash is not None
    # What its stop raised afterwards hides nothing.
    assert doomed.last_crash.error == "Unrecoverable"
    assert doomed.last_crash.message == "no key at keys/manager.pub: make one with smartpole keys"
    assert doomed.last_crash.phase == "starting"
    assert [record.child for record in pole.crashes()] == ["doomed"]
    assert not pole.status().working


async def test_one_that_crashes_again_and_again_rests(tmp_path: Path) -> None:
    text = POLE + '[actors.crasher]\ntype = "crasher"\n' + WORKER
    pole = Pole(example_blueprint(tmp_path, text, TYPES), housing=Housing.ONE_LOOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await trio.sleep(50)
        told = actors(pole)
        pole.stop()
    assert (told["worker"].state, told["worker"].incarnation) == ("running", 1)
    assert (told["crasher"].state, told["crasher"].crashes) == (
        "resting after too many crashes",
        11,
    )
    assert "aa:bb" not in repr(pole.status())
    # A foreign exception's words are not repeated, and the place names nothing of the machine.
    last = told["crasher"].last_crash
    assert last is not None
    assert (last.error, last.message) == ("RuntimeError", "")
    assert "test_pole_at_work.py" in last.where
    assert not last.where.startswith("/")


async def test_one_that_escalates_ends_the_pole(tmp_path: Path) -> None:
    text = POLE + '[actors.c]\ntype = "crasher"\nsupervision = { when_exhausted = "escalate" }\n'
    pole = Pole(example_blueprint(tmp_path, text, TYPES), housing=Housing.ONE_LOOP)
    with pytest.raises(RestartBudgetExceeded, match="domain-security"):
        await pole.run()


async def test_one_state_folder_has_one_pole(tmp_path: Path) -> None:
    first, second, third = (
        Pole(example_blueprint(tmp_path, POLE + WORKER, TYPES), housing=Housing.ONE_LOOP)
        for _ in range(3)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.ready.wait()
        with pytest.raises(PoleInUse, match="already"):
            await second.run()
        first.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(third.run)
        await third.ready.wait()
        third.stop()


async def test_a_state_folder_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    pole = Pole(example_blueprint(tmp_path, POLE + WORKER, TYPES), housing=Housing.ONE_LOOP)
    pole.blueprint.pole.state.write_text("a file")
    with pytest.raises(PoleInUse, match="can't be used"):
        await pole.run()


async def test_what_the_pole_makes_is_private(tmp_path: Path) -> None:
    pole = Pole(example_blueprint(tmp_path, POLE + WORKER, TYPES), housing=Housing.ONE_LOOP)
    run = tmp_path / "state" / "run"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await pole.ready.wait()
        modes = {path.name: path.stat().st_mode & 0o777 for path in (run, *run.iterdir())}
        pole.stop()
    assert modes == {"run": 0o700, "pole.lock": 0o600, "control.sock": 0o600}
    assert [path.name for path in run.iterdir()] == ["pole.lock"]


@pytest.mark.real_time
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_runs_full_queues_empty(tmp_path: Path, number: signal.Signals) -> None:
    configuration = tmp_path / "pole.toml"
    configuration.write_text(pole_process.CONFIGURATION, encoding="utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.runtime.pole_process", str(configuration)],
            env={**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "100000"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        try:
            told = [manager.recv(100)]
            while told.count(b"WATCHDOG=1") < 3 or b"READY=1" not in told:
                told.append(manager.recv(100))
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                told.append(manager.recv(100))
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors
    assert b"STOPPING=1" in told
    status = msgspec.json.decode(output, type=PoleStatus)
    by_name = {actor.name: actor for actor in status.actors}
    (inlet_of_sink,) = by_name["sink"].inlets
    received = by_name["sink"].readings["received"]
    assert by_name["source"].readings["sent"] == received == inlet_of_sink.acknowledged > 50
    assert (inlet_of_sink.waiting, inlet_of_sink.in_hand, inlet_of_sink.high_water) == (0, 0, 50)
    assert {actor.state for actor in status.actors} == {"stopped"}
