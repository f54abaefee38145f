"""How poles whose domains are apart come to an end, and what is left of them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime.blueprint import Isolation
from runtime.control import ask_status
from runtime.domain import Domain
from runtime.errors import DomainStuck, RestartBudgetExceeded, SmartpoleError
from runtime.house import Apart
from runtime.pole import Pole
from runtime.specification import Backoff, ChildSpec, RestartIntensity
from runtime.status import PoleStatus
from tests.poles import eventually
from tests.unit.runtime.apart import (
    ISOLATIONS,
    OTHERS,
    Watched,
    apart,
    blueprint_of,
    configuration,
)

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[3]


def children(process: int) -> set[int]:
    """Processes that it has started, directly."""
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found


def processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("domain-")}


def descriptors(process: int) -> int | None:
    """How many it has open; None where that may not be known."""
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except PermissionError:
        return None


def _change_specs(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Have domains be supervised otherwise than any configuration could ask for."""
    as_it_is = Apart.child_spec

    def changed(house: Apart, domain: Domain) -> ChildSpec:
        return dataclasses.replace(as_it_is(house, domain), **changes)

    monkeypatch.setattr(Apart, "child_spec", changed)


# -- in order -------------------------------------------------------------------------------


@ISOLATIONS
async def test_what_was_sent_is_received_before_a_pole_stops(
    tmp_path: Path, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation) as watched:
        await watched.until_at_work()
    sent = watched.reading("camera", "sent")
    # The camera is cancelled while it sends; that picture may have been accepted and not counted.
    assert watched.reading("recorder", "received") - sent in (0, 1)
    assert watched.reading("recorder", "missing") == 0
    assert watched.reading("board", "last") == watched.reading("recorder", "last")
    assert {actor.state for actor in watched.pole.status().actors} == {"stopped"}
    assert watched.pole.crashes() == ()


@ISOLATIONS
async def test_a_pole_that_is_cancelled_ends_its_domains_at_once(
    tmp_path: Path, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation) as watched:
        await watched.until_at_work()
        began = trio.current_time()
        watched.scope.cancel()
    # One domain that would have to be killed has three seconds' grace first.
    assert trio.current_time() - began < 2.5
    assert watched.pole.crashes() == ()
    assert threads() == set()
    assert children(os.getpid()) == set()


@ISOLATIONS
@pytest.mark.parametrize("when", ["at once", "with the first domain", "with the last domain"])
async def test_a_pole_that_is_told_to_stop_while_it_starts_stops(
    tmp_path: Path, when: str, isolation: Isolation
) -> None:
    pole = Pole(blueprint_of(tmp_path, configuration(tmp_path)), isolation=isolation)

    def has_begun() -> bool:
        told = pole.status().domains
        begun = [one.state != "not started" for one in told]
        return bool(begun) and (any if when == "with the first domain" else all)(begun)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            if when != "at once":
                await eventually(has_begun)
            pole.stop()
    assert pole.crashes() == ()
    assert threads() == set()
    assert children(os.getpid()) == set()


@ISOLATIONS
async def test_a_domain_that_takes_its_time_to_stop_is_waited_for(
    tmp_path: Path, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than it was given, and then told to stop at once: it does, and is no stuck one."""
    _change_specs(monkeypatch, stop_timeout=0.1)
    async with apart(tmp_path, isolation, "take time to stop") as watched:
        await watched.until_at_work()
        began = trio.current_time()
    assert 1 <= trio.current_time() - began < 2.9, "it needs a second, and is killed after three"
    assert watched.pole.crashes() == ()
    assert threads() == set()


# -- by force -------------------------------------------------------------------------------


async def test_a_stuck_process_is_killed_and_started_again(tmp_path: Path) -> None:
    limit = '[domains.crowd]\nstuck_after = "2s"'
    async with apart(tmp_path, Isolation.PROCESS, "stuck", more=limit) as watched:
        before = watched.domain(Domain.CROWD).process
        await watched.until_alive_again(Domain.CROWD, 2)
        await watched.until_more("board")
        assert before not in processes()
        watched.assert_unaffected(*OTHERS)
        assert watched.reading("recorder", "missing") == 0
        (crash,) = watched.pole.crashes()
    assert (crash.child, crash.error) == ("domain-crowd", "DomainStuck")
    assert "domain 'crowd' gave no sign of life for 2." in crash.message


async def test_a_stuck_thread_ends_the_pole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.keeper._GRACE", 0.2)
    limit = '[domains.crowd]\nstuck_after = "2s"'
    with pytest.RaisesGroup(pytest.RaisesExc(DomainStuck, match="domain 'crowd' would not end")):
        async with apart(tmp_path, Isolation.THREAD, "stuck", more=limit) as watched:
            await trio.sleep(30)  # it ends before
    assert [one.error for one in watched.crashes("domain-crowd")] == ["DomainStuck"]
    # The others have ended, in order; the one that can't be reached goes on until it is let go.
    await eventually(lambda: threads() == set())


async def test_the_end_of_the_pole_is_the_end_of_all_its_processes(tmp_path: Path) -> None:
    path = tmp_path / "pole.toml"
    blueprint_of(tmp_path, configuration(tmp_path, "stuck"))
    pole = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.unit.runtime.apart", str(path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    status: list[PoleStatus] = []
    try:
        with trio.fail_after(30):
            while not status or any(one.state != "running" for one in status[-1].domains):
                try:
                    status.append(await ask_status(tmp_path / "state"))
                except SmartpoleError:
                    await trio.sleep(0.05)
        domains = {one.process for one in status[-1].domains}
        (zygote,) = children(pole.pid)
        assert children(zygote) == domains
        ends = [os.pidfd_open(process) for process in (zygote, *domains)]
        pole.kill()
        with trio.fail_after(10):
            for end in ends:
                await trio.lowlevel.wait_readable(end)  # it has ended
                os.close(end)
            assert pole.stderr is not None
            said = b"".join([chunk async for chunk in pole.stderr])
        assert b"Traceback" not in said
    finally:
        pole.kill()
        with trio.CancelScope(shield=True):
            await pole.wait()


# -- again and again ------------------------------------------------------------------------


async def test_one_that_dies_again_and_again_rests_and_the_others_go_on(tmp_path: Path) -> None:
    async with apart(tmp_path, Isolation.THREAD, "leave", always=True) as watched:
        await watched.until(
            lambda: watched.domain(Domain.CROWD).state == "resting after too many crashes"
        )
        await watched.until_more("recorder")
        watched.assert_unaffected(*OTHERS)
        assert watched.reading("recorder", "missing") == 0
        crashes = watched.crashes("domain-crowd")
    assert {one.error for one in crashes} == {"DomainDied"}
    assert len(crashes) == 6


@ISOLATIONS
async def test_an_actor_that_escalates_has_its_domain_started_again_and_at_last_ends_the_pole(
    tmp_path: Path, isolation: Isolation
) -> None:
    escalates = 'supervision = { restarts = 0, when_exhausted = "escalate" }'
    with pytest.RaisesGroup(
        pytest.RaisesExc(RestartBudgetExceeded, match="domain-crowd was given up more than 3 times")
    ):
        async with apart(tmp_path, isolation, "crash", always=True, counter=escalates) as watched:
            await trio.sleep(30)  # it ends before
    crashes = [one.error for one in watched.crashes("domain-crowd")]
    assert crashes == ["RestartBudgetExceeded"] * 4
    assert watched.domain(Domain.CROWD).incarnation == 4
    for name in OTHERS:
        assert (watched.actor(name).state, watched.actor(name).crashes) == ("stopped", 0)


@ISOLATIONS
async def test_nothing_is_left_behind_by_twenty_lives(
    tmp_path: Path, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither descriptors nor threads nor processes, in the pole and in what starts domains."""
    _change_specs(
        monkeypatch,
        intensity=RestartIntensity(1000, 600),
        backoff=Backoff(first=0.001, factor=1, longest=0.001),
    )

    def left(watched: Watched) -> dict[str, object]:
        ours = os.getpid()
        starters = {ours, *children(ours)}
        return {
            "descriptors": [descriptors(one) for one in sorted(starters)],
            "processes": [len(children(one)) for one in sorted(starters)],
            "threads": threading.active_count(),
            "of the kernel": len(os.listdir(f"/proc/{ours}/task")),
        }

    async with apart(tmp_path, isolation) as watched:
        await watched.until_at_work()
        await watched.until_more("counter", "counted")
        before = left(watched)
        for life in range(2, 22):
            watched.pole.end_domain(Domain.CROWD, SmartpoleError("once more"))
            await watched.until_alive_again(Domain.CROWD, life)
        await watched.until_more("board")
        await watched.until_more("counter", "counted")
        await watched.until(lambda: left(watched) == before, within=5)
        watched.assert_unaffected(*OTHERS)
        assert watched.reading("recorder", "missing") == 0
        assert len(watched.crashes("domain-crowd")) == 20
