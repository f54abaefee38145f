"""Alarms of the clock: what is wrong with the wall clock, and what is done about it."""

from __future__ import annotations

__all__ = ["Alarm", "Fault"]

import enum
from typing import NamedTuple


class Fault(enum.Enum):
    """What can be wrong with a wall clock."""

    AHEAD = "jumped ahead"
    BACK = "jumped back"
    IMPLAUSIBLE = "implausible"
    """Before this software was released, or absurdly far ahead."""
    UNSYNCHRONISED = "not synchronised"
    """For a day nobody has confirmed that it is right."""
    FORGOTTEN = "forgotten"
    """The journal of earlier times is lost or damaged."""


class Alarm(NamedTuple):
    """To be shown, logged and recorded. It happens once, when the fault does."""

    fault: Fault
    jump: int
    """Seconds that the wall clock went ahead (back, if negative) of what was expected of it."""
    text: str
    """What happened and which rule applies, for people."""
