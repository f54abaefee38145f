"""Attempts, effects, exceptions and the page that tells of them belong together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import actors.escape.attempts
from actors.escape.aftermath import Aftermath, forms_of
from actors.escape.attempt import REGISTRY, loot_of
from actors.escape.effects import EFFECTS, PROBES
from actors.escape.judge import attempts_of
from actors.escape.known import KNOWN_IN_THREAD_MODE, STOPPED_WITHOUT_WALLS
from actors.escape.measures import MEASURES
from actors.escape.pole import ACTOR_TYPES
from actors.escape.tinymodel import identity_model

PAGE = Path(__file__).parents[2] / "docs" / "separation.md"
CATEGORIES = {
    "crashes",
    "files",
    "handles",
    "heap",
    "held",
    "kernel",
    "loop",
    "messages",
    "network",
    "outputs",
    "proc",
    "processes",
    "suites",
    "threads",
}

assert actors.escape.attempts.__all__


def test_there_are_enough_of_each_kind() -> None:
    assert {one.category for one in REGISTRY.values()} == CATEGORIES
    assert len(attempts_of("crowd")) >= 70
    assert len(attempts_of("wifi")) >= 70
    assert len(attempts_of("capture")) >= 70


def test_each_is_described_in_a_line() -> None:
    for one in REGISTRY.values():
        assert one.summary.endswith("."), one.name
        assert len({one.number for one in REGISTRY.values()}) == len(REGISTRY)


def test_each_effect_and_each_probe_exists_and_is_used() -> None:
    assert {one.effect for one in REGISTRY.values()} - {""} == set(EFFECTS)
    assert {one.needs for one in REGISTRY.values()} - {""} == set(PROBES)
    assert {one.measured for one in REGISTRY.values()} - {""} == set(MEASURES)


def test_exceptions_name_attempts_that_exist() -> None:
    assert set(KNOWN_IN_THREAD_MODE) <= set(REGISTRY)
    assert set(STOPPED_WITHOUT_WALLS) <= set(REGISTRY)


def test_the_page_lists_what_the_code_knows() -> None:
    text = PAGE.read_text("utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    assert listed == KNOWN_IN_THREAD_MODE | STOPPED_WITHOUT_WALLS


def test_loot_is_of_each_attempt_alone() -> None:
    made = {
        loot_of("seed", name, suite) for name in REGISTRY for suite in ("crowd", "wifi", "capture")
    }
    assert len(made) == 3 * len(REGISTRY)
    assert loot_of("seed", "x", "crowd") != loot_of("another", "x", "crowd")
    assert len(loot_of("seed", "x", "wifi")) == 6
    assert loot_of("seed", "x", "wifi")[0] & 3 == 2, "a locally administered unicast address"


@pytest.mark.parametrize("suite", ["crowd", "wifi"])
def test_loot_is_found_however_it_is_written(suite: str, tmp_path: Path) -> None:
    loot = loot_of("seed", "x", suite)
    for number, form in enumerate(forms_of(loot)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "file").write_bytes(b"before" + form + b"after")
        left = Aftermath("run", tmp_path, suite)
        left.collect(folder)
        assert left.find(loot), form
        assert not left.find(loot_of("seed", "y", suite))


def test_loot_is_found_in_names_links_and_attributes(tmp_path: Path) -> None:
    names, links, attributes = (loot_of("seed", one, "crowd") for one in "abc")
    (tmp_path / names.hex()).mkdir()
    (tmp_path / "link").symlink_to(links.hex())
    left = Aftermath("run", tmp_path, "crowd")
    left.collect(tmp_path)
    assert left.find(names).startswith("a name")
    assert left.find(links).startswith("a link")
    assert not left.find(attributes)


def test_actors_can_be_found_again_by_another_process() -> None:
    for kind in ACTOR_TYPES.values():
        module = __import__(kind.__module__, fromlist=["*"])
        assert getattr(module, kind.__qualname__) is kind


def test_the_smallest_model_holds_its_constant() -> None:
    assert b"0123456789" in identity_model(b"0123456789")
