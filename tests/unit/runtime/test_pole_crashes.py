"""The whole pole: nothing lost in crashes, an orderly stop, and answers on the control socket."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from runtime import Actor, Count, Domain, Inlet, Message, Outlet, Sensitivity, load_blueprint
from runtime.control import ask_status, control_path
from runtime.errors import PoleUnreachable, RestartBudgetExceeded, Unrecoverable
from runtime.house import Housing
from runtime.pole import Pole, PoleInUse
from tests.example_pole import POLE

# Nothing here uses a thread: the chain runs in virtual time, so that restarts cost none.
TOTAL = 10_000


class Number(Message, sensitivity=Sensitivity.OPERATIONAL):
    n: Count


class Source(Actor, domain=Domain.SECURITY):
    out: Outlet[Number]

    async def run(self) -> None:
        for n in range(TOTAL):
            await self.out.send(Number(n=n % 10_000))
        sent.set()
        await trio.sleep_forever()


class Relay(Actor, domain=Domain.PUBLIC):
    into: Inlet[Number]
    out: Outlet[Number]

    async def run(self) -> None:
        async for number in self.into:
            stumble("relay")
            await self.out.send(number)


class Collector(Actor, domain=Domain.CONTROL):
    into: Inlet[Number]

    async def run(self) -> None:
        async for batch in self.into.batches():
            stumble("collector")
            collected.extend(number.n for number in batch)


class Stuck(Actor, domain=Domain.PUBLIC):
    async def start(self) -> None:
        raise Unrecoverable("the sign has no lamp. Screw one in.")


class Hopeless(Actor, domain=Domain.PUBLIC):
    async def run(self) -> None:
        raise ValueError("something that nobody should read in a log")


TYPES: dict[str, type[Actor]] = {
    "source": Source,
    "relay": Relay,
    "collector": Collector,
    "stuck": Stuck,
    "hopeless": Hopeless,
}
QUICK = (
    'supervision = { restarts = 100000, period = "14d", '
    'first_delay = "1ms", longest_delay = "1ms" }'
)
CHAIN = (
    POLE
    + "".join(
        f'[actors.{name}]\ntype = "{name}"\n{QUICK}\n' for name in ("source", "relay", "collector")
    )
    + (
        '[[channels]]\nfrom = "source.out"\nto = "relay.into"\n'
        '[[channels]]\nfrom = "relay.out"\nto = "collector.into"\n'
    )
)

collected: list[int] = []
sent = trio.Event()
chance = random.Random(0)
odds = 0.0


def stumble(who: str) -> None:
    """Crash now and then, but never twice in a row: that would poison the message."""
    if who in stumbled:
        stumbled.remove(who)
    elif chance.random() < odds:
        stumbled.add(who)
        raise RuntimeError


stumbled: set[str] = set()


@pytest.fixture(autouse=True)
def fresh() -> None:
    global sent, odds
    collected.clear()
    stumbled.clear()
    sent, odds = trio.Event(), 0.0


def pole_of(folder: Path, text: str) -> Pole:
    path = folder / "pole.toml"
    path.write_text(text, encoding="utf-8")
    return Pole(load_blueprint(path, TYPES), housing=Housing.ONE_LOOP)


@pytest.mark.parametrize("seed", range(3))
async def test_crashes_in_the_middle_lose_nothing_that_was_accepted(
    tmp_path: Path, seed: int
) -> None:
    global odds
    odds = 0.02
    chance.seed(seed)
    pole = pole_of(tmp_path, CHAIN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await sent.wait()
        odds = 0.0
        pole.stop()
    status = {actor.name: actor for actor in pole.status().actors}
    assert status["relay"].crashes > 50
    assert status["collector"].crashes > 0
    assert collected == list(range(TOTAL))
    for name in ("relay", "collector"):
        (queue,) = status[name].inlets
        assert queue.accepted == queue.acknowledged
        assert (queue.waiting, queue.in_hand, queue.dropped, queue.poisoned) == (0, 0, 0, 0)
        assert queue.redelivered >= status[name].crashes


async def test_stopping_empties_the_queues(tmp_path: Path) -> None:
    pole = pole_of(tmp_path, CHAIN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await sent.wait()
        pole.stop()
    assert collected == list(range(TOTAL))
    assert {actor.state for actor in pole.status().actors} == {"stopped"}


async def test_what_cannot_be_mended_stays_down_and_says_why(tmp_path: Path) -> None:
    pole = pole_of(tmp_path, CHAIN + '[actors.sign]\ntype = "stuck"\n')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await sent.wait()
        (sign,) = [actor for actor in pole.status().actors if actor.name == "sign"]
        pole.stop()
    assert (sign.state, sign.incarnation) == ("down", 1)
    assert sign.last_crash is not None
    assert sign.last_crash.message == "the sign has no lamp. Screw one in."
    assert len(collected) == TOTAL
    assert not pole.status().working


async def test_a_foreign_exceptions_words_are_not_repeated(tmp_path: Path) -> None:
    pole = pole_of(tmp_path, POLE + '[actors.h]\ntype = "hopeless"\n')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await trio.sleep(3)
        pole.stop()
    (actor,) = pole.status().actors
    assert actor.last_crash is not None
    assert (actor.last_crash.error, actor.last_crash.message) == ("ValueError", "")
    assert "test_pole_crashes.py" in actor.last_crash.where
    assert not actor.last_crash.where.startswith("/")


async def test_an_actor_that_escalates_ends_the_pole(tmp_path: Path) -> None:
    text = POLE + '[actors.h]\ntype = "hopeless"\nsupervision = { when_exhausted = "escalate" }\n'
    pole = pole_of(tmp_path, text)
    with pytest.raises(RestartBudgetExceeded, match="domain-public"):
        await pole.run()


# -- the state folder -----------------------------------------------------------------------


async def test_one_state_folder_has_one_pole(tmp_path: Path) -> None:
    first, second = (pole_of(tmp_path, CHAIN) for _ in range(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.ready.wait()
        with pytest.raises(PoleInUse, match="already"):
            await second.run()
        first.stop()
    await_again = pole_of(tmp_path, CHAIN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(await_again.run)
        await await_again.ready.wait()
        await_again.stop()


async def test_a_state_folder_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    pole = pole_of(tmp_path, CHAIN)
    state = pole.blueprint.pole.state
    state.write_text("a file")
    with pytest.raises(PoleInUse, match="can't be used"):
        await pole.run()


# -- as a process ---------------------------------------------------------------------------

PROGRAM = """
import sys, trio
from pathlib import Path
from tests.unit.runtime import test_pole_crashes as test_pole
from runtime.log import configure_logging

configure_logging()

async def main():
    test_pole.sent = trio.Event()
    pole = test_pole.pole_of(Path(sys.argv[1]), test_pole.CHAIN)
    await pole.run()
    print("collected", len(test_pole.collected))

trio.run(main)
"""


@pytest.mark.real_time
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with trio.fail_after(30):
        # READY is when the control socket answers.
        while True:
            try:
                status = await ask_status(tmp_path / "state", 5)
            except PoleUnreachable:
                await trio.sleep(0.05)
                continue
            if status.actors[0].state == "running":
                break
        process.send_signal(number)
        printed = b"".join([chunk async for chunk in process.stdout])
        assert await process.wait() == 0
    # How far it came depends on when it was stopped; that it ended in order does not.
    assert printed.startswith(b"collected ")
    assert not control_path(tmp_path / "state").exists()
