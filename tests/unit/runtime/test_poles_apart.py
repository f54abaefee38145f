"""Whole poles, domains apart: one that dies or breaks the rules, and the others beside it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from runtime.blueprint import Isolation
from runtime.domain import Domain
from tests.unit.runtime.apart import ISOLATIONS, OTHERS, apart
from tests.unit.runtime.apart_actors import CHANNEL, SECRET

pytestmark = pytest.mark.real_time


async def test_a_process_that_is_killed_is_started_again_and_no_other_notices(
    tmp_path: Path,
) -> None:
    async with apart(tmp_path, Isolation.PROCESS) as watched:
        await watched.until_at_work()
        before = watched.domain(Domain.CROWD).process
        assert before != os.getpid()
        os.kill(before, signal.SIGKILL)
        await watched.until_alive_again(Domain.CROWD, 2)
        for name in OTHERS[1:]:
            await watched.until_more(name)
        assert watched.domain(Domain.CROWD).process != before
        watched.assert_unaffected(*OTHERS)
        assert watched.reading("recorder", "missing") == 0
        (crash,) = watched.pole.crashes()
    assert (crash.child, crash.error) == ("domain-crowd", "DomainDied")
    assert crash.message == "the process of domain 'crowd' was ended by SIGKILL."


@ISOLATIONS
async def test_a_domain_that_leaves_is_started_again(tmp_path: Path, isolation: Isolation) -> None:
    async with apart(tmp_path, isolation, "leave") as watched:
        await watched.until_alive_again(Domain.CROWD, 2)
        await watched.until_at_work()
        await watched.until_more("board")
        watched.assert_unaffected(*OTHERS)
        (crash,) = watched.pole.crashes()
    assert (crash.child, crash.error) == ("domain-crowd", "DomainDied")
    assert "by an error that none of its actors caused" in crash.message


BROKEN_RULES = {
    "rubbish": "does not fit its declared type",
    "a wrong field": "does not fit its declared type",
    "another type": "does not fit its declared type",
    "too long": "it announced a message of 65537 bytes, and 65536 pass",
    "without credit": "it sent more messages than it was granted",
}


@ISOLATIONS
@pytest.mark.parametrize("trick", BROKEN_RULES)
async def test_a_domain_that_breaks_the_border_s_rules_is_cut_off_and_started_again(
    tmp_path: Path, trick: str, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation, trick) as watched:
        await watched.until_alive_again(Domain.CROWD, 2)
        await watched.until_at_work()
        await watched.until_more("board")
        watched.assert_unaffected(*OTHERS)
        assert watched.reading("recorder", "missing") == 0
        (crash,) = watched.pole.crashes()
    assert (crash.child, crash.error) == ("domain-crowd", "BorderViolated")
    assert f"domain 'crowd' was ended, because it broke the rules of the channel {CHANNEL}" in (
        crash.message
    )
    assert BROKEN_RULES[trick] in crash.message
    assert SECRET not in crash.message


@ISOLATIONS
async def test_a_receiver_that_grants_too_much_is_the_one_that_is_ended(
    tmp_path: Path, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation, "grant too much") as watched:
        await watched.until(lambda: watched.crashes("domain-public"))
        await watched.until_more("recorder")
        watched.assert_unaffected("camera", "recorder", "counter")
        crash = watched.crashes("domain-public")[0]
    assert crash.error == "BorderViolated"
    assert f"the channel {CHANNEL}: it granted more messages than were under way" in crash.message


@ISOLATIONS
async def test_a_domain_that_talks_rubbish_to_the_pole_is_ended_and_started_again(
    tmp_path: Path, isolation: Isolation
) -> None:
    async with apart(tmp_path, isolation, "rubbish to the pole") as watched:
        await watched.until_alive_again(Domain.CROWD, 2)
        await watched.until_at_work()
        watched.assert_unaffected(*OTHERS)
        (crash,) = watched.pole.crashes()
    assert (crash.child, crash.error) == ("domain-crowd", "BorderViolated")
    assert crash.message.startswith("domain 'crowd' was ended: the control link said what")
