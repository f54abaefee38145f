"""What a pole tells of itself: how its domains are kept apart, by what the kernel has."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import BlueprintView, Isolation, Separation, Wall
from runtime.capability import Authority
from runtime.facts import facts_of, separation_now
from runtime.sandbox import confinement, kernel_support
from tests.example_pole import example_blueprint


@pytest.mark.parametrize(
    ("landlock_abi", "seccomp", "walls"),
    [
        (7, True, ()),
        (4, True, ()),
        (3, True, (Wall.PORTS,)),
        (0, True, (Wall.FILES,)),
        (7, False, (Wall.CALLS,)),
        (1, False, (Wall.CALLS, Wall.PORTS)),
        (0, False, (Wall.CALLS, Wall.FILES)),
    ],
)
def test_every_wall_that_the_sandbox_misses_has_a_name(
    landlock_abi: int, seccomp: bool, walls: tuple[Wall, ...]
) -> None:
    missing = confinement._missing(landlock_abi, seccomp, ports=True)
    separation = Separation(
        isolation=Isolation.THREAD, landlock_abi=landlock_abi, seccomp=seccomp, missing=missing
    )
    assert separation.missing_walls == walls
    assert len(missing) == len(walls)


def test_it_is_what_the_kernel_says() -> None:
    kernel = kernel_support()
    separation = separation_now(Isolation.PROCESS, confined=True)
    assert separation.isolation is Isolation.PROCESS
    assert separation.landlock_abi == kernel.landlock_abi
    assert separation.seccomp == kernel.seccomp
    assert separation.missing == kernel.missing


def test_where_no_walls_were_asked_for_all_are_missing() -> None:
    separation = separation_now(None, confined=False)
    assert separation.missing == ("no walls were asked for",)
    assert separation.missing_walls == (Wall.CALLS, Wall.FILES)


def test_the_view_holds_blueprint_and_separation(tmp_path: Path) -> None:
    blueprint, separation = example_blueprint(tmp_path), separation_now(None, confined=False)
    facts = facts_of(blueprint, separation)
    authority = Authority._mint(actor="notice", folder=None, settings=None, facts=facts)
    view = BlueprintView._mint(authority)
    assert view.blueprint is blueprint
    assert view.separation is separation
