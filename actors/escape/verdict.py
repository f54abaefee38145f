"""What became of an attempt."""

from __future__ import annotations

__all__ = ["Column", "Person", "Verdict"]

import enum

import msgspec


class Column(enum.Enum):
    """How the domains are kept apart."""

    NO_WALLS = "loop"
    """The control group: one loop, no sandbox, no codec at the border."""
    THREAD = "thread"
    PROCESS = "process"


class Person(enum.Enum):
    """As whom the pole runs."""

    ROOT = "root"
    ORDINARY = "ordinary"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt."""

    attempt: str
    category: str
    suite: str
    isolation: Column
    person: Person
    result: str
    """``escaped``, ``stopped``, ``allowed`` (measured, within the bound), ``absent`` (this kernel
    has nothing of the kind) or ``not run``."""
    wall: str = ""
    """By what it was stopped."""
    found: str = ""
    """Where its loot was found."""
