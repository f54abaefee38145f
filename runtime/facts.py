"""What a running pole tells of itself to those who describe it to the public."""

from __future__ import annotations

__all__ = ["BlueprintView", "Separation", "Wall", "facts_of", "separation_now"]

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.blueprint import Blueprint, Isolation
from runtime.capability import Authority, Capability, Facts
from runtime.sandbox import kernel_support
from runtime.sandbox.landlock import PORTS_SINCE


class Wall(enum.Enum):
    """The kernel's walls, each by what it holds a domain to."""

    CALLS = "seccomp"
    FILES = "landlock"
    """Files, and ports as well."""
    PORTS = "landlock-ports"
    """Only these, where the kernel's Landlock is too old for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How the domains of a running pole are kept apart."""

    isolation: Isolation | None
    """None where all run in one loop, which no configuration can ask for."""
    landlock_abi: int
    """The kernel's level of Landlock; 0 for none."""
    seccomp: bool
    missing: tuple[str, ...]
    """What does not stand, in words for who runs or checks the pole. Empty where all does."""

    @property
    def missing_walls(self) -> tuple[Wall, ...]:
        """The same, for who has words of their own for each."""
        walls = [] if self.seccomp else [Wall.CALLS]
        if not self.landlock_abi:
            walls.append(Wall.FILES)
        elif self.landlock_abi < PORTS_SINCE:
            walls.append(Wall.PORTS)
        return tuple(walls)


def separation_now(isolation: Isolation | None, *, confined: bool) -> Separation:
    """How domains are kept apart that run there, by what this kernel has. Ask it outside of the
    walls. ``confined``: whether walls were asked for at all."""
    if not confined:
        missing = ("no walls were asked for",)
        return Separation(isolation=isolation, landlock_abi=0, seccomp=False, missing=missing)
    kernel = kernel_support()
    return Separation(
        isolation=isolation,
        landlock_abi=kernel.landlock_abi,
        seccomp=kernel.seccomp,
        missing=kernel.missing,
    )


def facts_of(blueprint: Blueprint, separation: Separation) -> Mapping[str, object]:
    """What capabilities of the kind ``Facts`` may tell."""
    return {"blueprint": blueprint, "separation": separation}


class BlueprintView(Capability, kind=Facts("blueprint"), rights="read what runs on this pole"):
    """The blueprint of the running pole, and how its domains are kept apart."""

    def __init__(self, authority: Authority) -> None:
        blueprint, separation = authority.facts["blueprint"], authority.facts["separation"]
        assert isinstance(blueprint, Blueprint)
        assert isinstance(separation, Separation)
        self.blueprint: Blueprint = blueprint
        self.separation: Separation = separation
