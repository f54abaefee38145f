"""An actor's cell: what each incarnation is given, and what is put in order when it ends."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import (
    Actor,
    Authority,
    BlueprintView,
    Capability,
    Domain,
    Inlet,
    Message,
    Needs,
    Outlet,
    Reading,
    Sensitivity,
    Settings,
    Storage,
    Unrecoverable,
    inlet,
)
from runtime.blueprint import Blueprint
from runtime.cell import ActorCell
from runtime.facts import facts_of, separation_now
from tests.example_pole import POLE, example_blueprint

LOG: list[str] = []


class Note(Message, sensitivity=Sensitivity.OPERATIONAL):
    number: int


class Store(Capability, kind=Storage("public"), rights="write"):
    def __init__(self, authority: Authority) -> None:
        self.folder = authority.require_folder()
        self.settings = authority.settings
        self.facts = authority.facts
        LOG.append("open store")

    def close(self) -> None:
        LOG.append("close store")
        raise OSError("the disk is gone")


class Second(Capability, kind=Storage("public"), rights="write"):
    def __init__(self, authority: Authority) -> None:
        LOG.append("open second")

    def close(self) -> None:
        LOG.append("close second")
        raise OSError("this one as well")


class Broken(Capability, kind=Storage("public"), rights="write"):
    def __init__(self, authority: Authority) -> None:
        raise Unrecoverable("the file is no database")


class DeskSettings(Settings, frozen=True, kw_only=True):
    size: int = 1


class Desk(Actor, domain=Domain.PUBLIC):
    into: Inlet[Note] = inlet(capacity=8)
    careful: Inlet[Note] = inlet(capacity=8, acknowledge="manual")
    out: Outlet[Note]
    settings: DeskSettings
    seen: Reading

    async def start(self) -> None:
        self.seen.add()
        SCRIPT["start"](self)

    async def run(self) -> None:
        await SCRIPT["run"](self)

    async def stop(self) -> None:
        LOG.append("stop")
        SCRIPT["stop"](self)


class Holder(Desk, domain=Domain.PUBLIC):
    store: Needs[Store]
    second: Needs[Second]
    pole: Needs[BlueprintView]


class Unlucky(Holder, domain=Domain.PUBLIC):
    third: Needs[Broken]


class Sink(Actor, domain=Domain.PUBLIC):
    into: Inlet[Note]


SCRIPT: dict[str, Any] = {}
TYPES: dict[str, type[Actor]] = {
    "desk": Desk,
    "holder": Holder,
    "unlucky": Unlucky,
    "sink": Sink,
}


def nothing(_: Actor) -> None:
    pass


@pytest.fixture(autouse=True)
def fresh() -> None:
    async def run(_: Actor) -> None:
        pass

    LOG.clear()
    SCRIPT.update(start=nothing, run=run, stop=nothing)


def cell_of(folder: Path, kind: str = "desk") -> ActorCell:
    grants = {"desk": [], "holder": ["Store", "Second", "BlueprintView"]}.get(kind, ["Store"])
    text = POLE + (
        f'[actors.desk]\ntype = "{kind}"\nplace = "east-exit"\ngrants = {grants}\n'
        'settings = { size = 3 }\nsupervision = { stop_timeout = "5s" }\n'
    )
    blueprint = example_blueprint(folder, text, TYPES)
    facts = facts_of(blueprint, separation_now(None, confined=False))
    return ActorCell(blueprint.actors["desk"], state=folder / "state", facts=facts)


async def live(cell: ActorCell, incarnation: int = 1) -> None:
    await cell.build(incarnation).serve(lambda: LOG.append("started"))


async def test_an_incarnation_is_given_what_it_declares(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def run(desk: Any) -> None:
        seen.extend([desk.place, desk.settings.size, desk.into, desk.careful, desk.out, desk.seen])
        desk.log.info("hello")

    SCRIPT["run"] = run
    cell = cell_of(tmp_path)
    await live(cell)
    assert seen[:2] == ["east-exit", 3]
    assert [type(one) for one in seen[2:]] == [Inlet, Inlet, Outlet, Reading]
    assert LOG == ["started", "stop"]
    # A reading outlives the incarnation, its ends of channels do not.
    first = seen[2:]
    seen.clear()
    await live(cell, 2)
    assert seen[5] is first[3]
    assert cell.readings["seen"].value == 2
    assert seen[2] is not first[0]


@pytest.mark.real_time
async def test_capabilities_are_opened_for_one_life_and_closed_in_reverse(tmp_path: Path) -> None:
    held: list[Any] = []

    async def run(desk: Any) -> None:
        held.extend([desk.store, desk.second, desk.pole])

    SCRIPT["run"] = run
    # Each is closed, though closing fails, and that is a crash.
    with pytest.raises(OSError, match="the disk is gone"):
        await live(cell_of(tmp_path, "holder"))
    assert LOG == [
        "open store", "open second", "started", "stop", "close second", "close store",
    ]  # fmt: skip
    store, second, view = held
    assert (type(store), type(second)) == (Store, Second)
    assert store.folder == tmp_path / "state" / "public"
    assert store.settings.size == 3
    assert store.facts == {}, "only capabilities of the kind Facts are told of the pole"
    assert isinstance(view.blueprint, Blueprint)


@pytest.mark.real_time
async def test_one_that_cannot_be_opened_closes_the_others_and_starts_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="the disk is gone") as caught:
        await live(cell_of(tmp_path, "unlucky"))
    context: BaseException | None = caught.value
    while context is not None and not isinstance(context, Unrecoverable):
        context = context.__context__
    assert isinstance(context, Unrecoverable)
    assert LOG == ["open store", "open second", "close second", "close store"]


@pytest.mark.parametrize("where", ["start", "run"])
async def test_what_stop_raises_does_not_hide_the_crash(tmp_path: Path, where: str) -> None:
    def fail(_: Actor) -> None:
        raise Unrecoverable("no key")

    async def run(desk: Actor) -> None:
        fail(desk)

    def stop(_: Actor) -> None:
        raise AttributeError("as after a start that failed")

    SCRIPT.update({"start": fail} if where == "start" else {"run": run}, stop=stop)
    with pytest.raises(Unrecoverable, match="no key"):
        await live(cell_of(tmp_path))
    assert LOG[-1] == "stop"
    assert ("started" in LOG) is (where == "run")


async def test_what_stop_alone_raises_is_a_crash(tmp_path: Path) -> None:
    def stop(_: Actor) -> None:
        raise OverflowError

    SCRIPT["stop"] = stop
    with pytest.raises(OverflowError):
        await live(cell_of(tmp_path))


async def test_stop_runs_shielded_and_within_its_timeout(tmp_path: Path) -> None:
    class Slow(Desk, domain=Domain.PUBLIC):
        async def run(self) -> None:
            await trio.sleep_forever()

        async def stop(self) -> None:
            await trio.sleep(4)
            LOG.append("done")
            await trio.sleep_forever()

    text = POLE + '[actors.desk]\ntype = "slow"\nsupervision = { stop_timeout = "5s" }\n'
    blueprint = example_blueprint(tmp_path, text, {"slow": Slow})
    cell = ActorCell(blueprint.actors["desk"], state=tmp_path, facts={})
    with trio.move_on_after(10):
        await live(cell)
    assert LOG == ["started", "done"]
    assert trio.current_time() == 15


def fill(cell: ActorCell, port: str, *numbers: int) -> None:
    for number in numbers:
        cell.queues[port].put(Note(number=number))


def told(cell: ActorCell, port: str) -> tuple[int, int, int, int]:
    counts = cell.queues[port].statistics()
    return counts.waiting, counts.in_hand, counts.acknowledged, counts.poisoned


async def test_a_run_that_returns_has_done_what_it_took(tmp_path: Path) -> None:
    async def run(desk: Any) -> None:
        for port in (desk.into, desk.careful):
            await port.__anext__()
            await port.__anext__()

    SCRIPT["run"] = run
    cell = cell_of(tmp_path)
    fill(cell, "into", 1, 2, 3)
    fill(cell, "careful", 1, 2, 3)
    await live(cell)
    assert told(cell, "into") == (1, 0, 2, 0)
    # What must be acknowledged by hand, and was not, comes again, as often as it takes.
    for _ in range(5):
        assert told(cell, "careful") == (1, 2, 0, 0)
        fill(cell, "into", 4, 5)
        await live(cell)


@pytest.mark.parametrize(("ends", "poisoned"), [("crash", 1), ("interrupted", 0)])
async def test_only_a_crash_of_its_own_counts_against_a_message(
    tmp_path: Path, ends: str, poisoned: int
) -> None:
    async def run(desk: Any) -> None:
        await desk.into.__anext__()
        if ends == "crash":
            raise RuntimeError
        await trio.sleep_forever()

    SCRIPT["run"] = run
    cell = cell_of(tmp_path)
    fill(cell, "into", 1, 2, 3)
    for _ in range(3):
        with trio.move_on_after(1):
            with contextlib.suppress(RuntimeError):
                await live(cell)
    assert told(cell, "into")[3] == poisoned


async def test_finish_ends_who_has_inlets(tmp_path: Path) -> None:
    got: list[int] = []

    async def run(desk: Any) -> None:
        got.extend([note.number async for note in desk.into])

    SCRIPT["run"] = run
    cell = cell_of(tmp_path)
    fill(cell, "into", 1, 2, 3)
    incarnation = cell.build(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(incarnation.serve, lambda: None)
        await wait_all_tasks_blocked()
        assert incarnation.finish() is True
    assert got == [1, 2, 3]
