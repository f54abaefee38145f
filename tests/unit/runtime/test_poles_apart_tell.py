"""What the pole is told by domains that are apart, what it repeats, and who may begin at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from runtime.blueprint import Isolation
from runtime.domain import Domain
from runtime.errors import SmartpoleError
from runtime.pole import Pole
from tests.poles import eventually
from tests.unit.runtime.apart import (
    ISOLATIONS,
    OTHERS,
    apart,
    blueprint_of,
    configuration,
)
from tests.unit.runtime.apart_actors import SECRET

pytestmark = pytest.mark.real_time


@ISOLATIONS
async def test_of_a_guarded_domain_s_log_only_the_program_s_words_are_written(
    tmp_path: Path, isolation: Isolation
) -> None:
    with capture_logs() as lines:
        async with apart(tmp_path, isolation, "talk", log_level="info") as watched:
            await eventually(lambda: sum("domain" in one and "actor" in one for one in lines) >= 2)
            await watched.until_more("board")
    said = [one for one in lines if one.get("actor") == "counter"]
    assert len(said) == 2
    assert said[0]["event"] == "the picture shows …"
    assert (said[0]["log_level"], said[0]["domain"]) == ("warning", "crowd")
    assert said[1]["event"] == "a device passed"
    assert said[1]["number"] == 10**6, "long enough for what is counted, and for no address"
    assert SECRET not in repr(lines)
    assert "xd8" not in repr(lines)
    assert not re.search(r"(\w\w:){3}", repr(said)), "three numbers at most"


@ISOLATIONS
async def test_of_a_crash_in_a_guarded_domain_only_its_kind_and_place_are_told(
    tmp_path: Path, isolation: Isolation
) -> None:
    with capture_logs() as lines:
        async with apart(tmp_path, isolation, "crash") as watched:
            await watched.until(lambda: watched.crashes("counter"))
            await watched.until(lambda: watched.actor("counter").incarnation == 2)
            await watched.until_more("board")
            (crash,) = watched.pole.crashes()
            status = watched.pole.status()
    assert (crash.child, crash.error, crash.message) == ("counter", "ValueError", "")
    assert crash.where.endswith("_crash")
    assert watched.actor("counter").last_crash == crash
    assert watched.domain(Domain.CROWD).incarnation == 1, "an actor's crash ends no domain"
    assert SECRET not in repr(lines) + repr(status) + repr(watched.pole.crashes())


@ISOLATIONS
async def test_attempts_are_counted_and_named(tmp_path: Path, isolation: Isolation) -> None:
    with capture_logs() as lines:
        async with apart(tmp_path, isolation, "open files") as watched:
            await watched.until(lambda: watched.domain(Domain.CROWD).attempts >= 7)
            attempts = {one.name: one.attempts for one in watched.pole.status().domains}
            watched.assert_unaffected(*OTHERS, "bystander")
    assert attempts == {"capture": 0, "crowd": 7, "security": 0, "public": 0}
    (said,) = (one for one in lines if one["event"] == "attempt seen")
    assert (said["domain"], said["actor"], said["event_name"]) == ("crowd", "counter", "open")
    assert said["times"] == 7


@ISOLATIONS
async def test_where_a_capability_can_t_prepare_only_its_actor_is_down(
    tmp_path: Path, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation, "fail to prepare") as watched:
        await watched.until_more("recorder")
        await watched.until_more("bystander", "breaths")
        watched.assert_unaffected("camera", "recorder", "bystander")
        counter = watched.actor("counter")
    assert (counter.state, counter.incarnation, counter.crashes) == ("down", 1, 1)
    assert counter.last_crash is not None
    assert counter.last_crash.error == "Unrecoverable"
    # The words are the program's own, and nothing personal had come in yet.
    assert counter.last_crash.message == "there is no model: fetch one"


@ISOLATIONS
async def test_a_configuration_that_changed_since_it_was_checked_is_not_run(
    tmp_path: Path, isolation: Isolation
) -> None:
    """Where domains are processes, they read it themselves; threads have what was checked."""
    blueprint = blueprint_of(tmp_path, configuration(tmp_path))
    blueprint_of(tmp_path, configuration(tmp_path, pole='sandbox = "best-effort"'))
    pole = Pole(blueprint, isolation=isolation)
    if isolation is Isolation.PROCESS:
        with pytest.raises(SmartpoleError, match=r"pole\.toml has changed since this pole read it"):
            await pole.run()
        assert {one.state for one in pole.status().domains} <= {"not started", "stopped"}
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await pole.ready.wait()
        assert pole.status().blueprint == blueprint.digest
        assert not any(one.missing for one in pole.status().domains)
        pole.stop()


@ISOLATIONS
async def test_where_each_lives_is_told_as_it_is(tmp_path: Path, isolation: Isolation) -> None:
    async with apart(tmp_path, isolation) as watched:
        await watched.until_at_work()
        told = watched.pole.status().domains
        tasks = {one.name: os.listdir(f"/proc/{one.process}/task") for one in told}
    processes = {one.process for one in told}
    if isolation is Isolation.THREAD:
        assert processes == {os.getpid()}
        assert len({one.thread for one in told}) == len(told)
        assert all(str(one.thread) in tasks[one.name] for one in told)
    else:
        assert os.getpid() not in processes
        assert len(processes) == len(told)
        assert {one.thread for one in told} == {None}
    for one in told:
        assert (one.state, one.incarnation, one.restarts) == ("running", 1, 0)
        assert one.seccomp
        assert one.landlock_abi > 0
        assert one.missing == ()
    assert "MISSING" not in watched.pole.status().isolation


@pytest.mark.skipif(os.geteuid() != 0, reason="a hardened process shows its descriptors to root")
async def test_a_domain_s_process_holds_its_own_ends_and_nobody_else_s(tmp_path: Path) -> None:
    def sockets(process: int) -> set[str]:
        folder = f"/proc/{process}/fd"
        links = {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
        # Nor what the one that started it watches the others by.
        assert not any("pidfd" in one for one in links)
        return {one for one in links if one.startswith("socket:")}

    async with apart(tmp_path, Isolation.PROCESS) as watched:
        await watched.until_at_work()
        # Also where another has been started later, beside those that live.
        os.kill(watched.domain(Domain.SECURITY).process, 9)
        await watched.until_alive_again(Domain.SECURITY, 2)
        held = {one.name: sockets(one.process) for one in watched.pole.status().domains}
    # Each its control link, its ends of channels, and two pairs by which its loop wakes itself.
    assert {name: len(ends) for name, ends in held.items()} == {
        "capture": 1 + 2 + 4,
        "crowd": 1 + 2 + 4,
        "security": 1 + 1 + 4,
        "public": 1 + 1 + 4,
    }
    assert len(set().union(*held.values())) == sum(map(len, held.values()))
