"""The locks hold what pyproject declares, by hash, for each Python and machine, and no host."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = ["pole", "develop", "privacy"]
PYTHONS = ["3.11", "3.12", "3.13"]
MACHINES = ["x86_64", "aarch64"]


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


def locked(name: str) -> dict[str, Requirement]:
    lines = lock_text(name).splitlines()
    pins = [line.rstrip(" \\") for line in lines if line[:1].isalnum()]
    return {requirement.name: requirement for requirement in map(Requirement, pins)}


def declared(*extras: str) -> list[Requirement]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    project = pyproject["project"]
    lines = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_no_host_and_no_local_path_is_named(name: str) -> None:
    options = [line for line in lock_text(name).splitlines() if line.startswith("-")]
    assert options == []
    assert "://" not in lock_text(name)
    assert "@ " not in lock_text(name)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_has_a_hash(name: str) -> None:
    entries = lock_text(name).replace(" \\\n", " ").splitlines()
    for entry in (line for line in entries if line[:1].isalnum()):
        assert "==" in entry
        assert "--hash=sha256:" in entry, f"{entry} has no hash: make lock"


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("pole", ["convert"]),
        ("develop", ["convert", "privacy", "bench", "develop"]),
        ("privacy", ["privacy"]),
    ],
)
def test_what_pyproject_declares_is_locked_within_its_bounds(name: str, extras: list[str]) -> None:
    pins = locked(name)
    for wanted in declared(*extras):
        assert wanted.name in pins, f"{wanted.name} is not in {name}.lock: make lock"
        (pin,) = pins[wanted.name].specifier
        assert wanted.specifier.contains(pin.version), f"{wanted} against {pin}: make lock"


@pytest.mark.parametrize("name", ["pole", "privacy"])
def test_one_environment_can_hold_all(name: str) -> None:
    develop = locked("develop")
    for package, pin in locked(name).items():
        assert develop[package].specifier == pin.specifier


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_one_onnxruntime_is_installed(name: str, python: str, machine: str) -> None:
    here = {
        "sys_platform": "linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    chosen = [
        pin.name
        for pin in locked(name).values()
        if pin.name.startswith("onnxruntime") and (pin.marker is None or pin.marker.evaluate(here))
    ]
    assert chosen == ["onnxruntime-gpu" if machine == "x86_64" else "onnxruntime"]
