"""Kernels that lack a wall are noticed, refused, or, where that is wanted, named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runtime.sandbox import kernel_support
from tests.unit.runtime.sandbox import kernels
from tests.unit.runtime.sandbox.child import in_child, users

pytestmark = pytest.mark.real_time

LACKING = {"Landlock": kernels.LANDLOCK, "seccomp": kernels.SECCOMP, "both": kernels.BOTH}


def _names(missing: list[str]) -> str:
    """Which walls these words are about, by what they begin with."""
    found = {words.removeprefix("no ").split(":")[0] for words in missing}
    return "both" if found == {"Landlock", "seccomp"} else "".join(found)


def test_this_kernel_has_every_wall() -> None:
    support = kernel_support()
    assert support.landlock_abi >= 1
    assert support.seccomp
    assert support.missing == () or support.landlock_abi < 4


@pytest.mark.parametrize("user", users())
@pytest.mark.parametrize("lacking", LACKING)
def test_refused_without_a_wall(user: int | None, lacking: str, folder: Path) -> None:
    results: Any = in_child(
        kernels.confine_without,
        user=user,
        missing=LACKING[lacking],
        folder=folder,
        best_effort=False,
    )
    landlock, seccomp, missing = results["support"]
    assert (landlock, seccomp) == {
        "Landlock": (False, True),
        "seccomp": (True, False),
        "both": (False, False),
    }[lacking]
    assert _names(missing) == lacking
    assert all(words in results["refused"] for words in missing)
    assert 'sandbox = "best-effort"' in results["refused"]
    assert results["write"] == "done"  # nothing has been built, so nothing is half built


@pytest.mark.parametrize("user", users())
@pytest.mark.parametrize("lacking", LACKING)
def test_best_effort_builds_what_there_is_and_says_what_not(
    user: int | None, lacking: str, folder: Path
) -> None:
    results: Any = in_child(
        kernels.confine_without,
        user=user,
        missing=LACKING[lacking],
        folder=folder,
        best_effort=True,
    )
    landlock, seccomp, missing = results["walls"]
    assert [landlock, seccomp] == results["support"][:2]
    assert _names(missing) == lacking
    assert results["write"] == ("done" if lacking == "both" else "PermissionError")
    assert results["process memory"] == ("PermissionError" if seccomp else "done")


@pytest.mark.parametrize("lacking", LACKING)
def test_a_pole_does_not_start_without_a_wall(lacking: str, folder: Path) -> None:
    results: Any = in_child(
        kernels.pole_without,
        missing=LACKING[lacking],
        folder=folder,
        isolation="process",
        sandbox="required",
    )
    assert results["refused"].startswith("this pole may not start: no ")
    for wall in ("Landlock", "seccomp") if lacking == "both" else (lacking,):
        assert f"no {wall}" in results["refused"]
    assert 'set sandbox = "best-effort" under [pole]' in results["refused"]
    assert not results["state"], "it has made nothing yet"


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("lacking", LACKING)
def test_a_pole_that_may_start_without_a_wall_says_which_is_missing(
    lacking: str, isolation: str, folder: Path
) -> None:
    results: Any = in_child(
        kernels.pole_without,
        missing=LACKING[lacking],
        folder=folder,
        isolation=isolation,
        sandbox="best-effort",
    )
    assert _names(results["logged"]) == lacking
    assert set(results["domains"]) == {"capture", "crowd", "security", "public"}
    for landlock, seccomp, missing in results["domains"].values():
        assert (landlock, seccomp) == (lacking == "seccomp", lacking == "Landlock")
        assert _names(missing) == lacking
    _, _, said = results["isolation"].partition("MISSING WALLS: ")
    assert _names(said.split("; ")) == lacking


def test_hardening_closes_a_process_to_dumps_and_debuggers() -> None:
    assert in_child(kernels.harden) == {
        "undone": [],
        "core": [0, 0],
        "dumpable": 0,
        "no new privileges": True,
        "child": ["NoNewPrivs:", "1"],
        "not confined by it": True,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting /proc needs root")
def test_a_proc_that_hides_processes_is_no_sign_that_walls_stand() -> None:
    plain = in_child(kernels.look_where_proc_hides, option="hidepid=0")
    assert plain == {"found": True, "gone": []}
    for option in ("hidepid=1", "hidepid=2"):
        hidden = in_child(kernels.look_where_proc_hides, option=option)
        assert "/proc shows nothing of process N" in hidden["refused"]
        assert "without hidepid" in hidden["refused"]
        assert hidden["gone"] == []
