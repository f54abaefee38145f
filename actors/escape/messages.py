"""What the suite's own actors tell each other: numbers, by the border's rules."""

from __future__ import annotations

__all__ = ["ArchiveFact", "AttemptReport", "CaptureReport", "Errno", "Outcome"]

import enum
from typing import Annotated

import msgspec

from runtime import Count, Message, Sensitivity

Errno = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Outcome(enum.Enum):
    """How an attempt ended, as far as it knows itself. Whether anything got out, the judge sees."""

    BEGUN = "begun"
    WENT_THROUGH = "went through"
    NOTHING_THERE = "nothing there"
    """What it meant to steal is not in its reach."""
    REFUSED = "refused"
    """By one of the runtime's own errors."""
    SYSTEM_ERROR = "system error"
    """By the kernel; the number of the error is told."""
    OTHER_ERROR = "other error"
    TIMED_OUT = "timed out"
    FINISHED = "finished"
    """No attempt's outcome: the suite has come to its end."""


class AttemptReport(Message, sensitivity=Sensitivity.AGGREGATE):
    """The hostile crowd or wifi actor's honest word about one attempt."""

    number: Count
    outcome: Outcome
    errno: Errno


class CaptureReport(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    """The same from the capture domain, which may send nothing but pictures, and those only to
    crowd and security."""

    number: Count
    outcome: Outcome
    errno: Errno


class ArchiveFact(Message, sensitivity=Sensitivity.OPERATIONAL):
    """The same, as the security domain hands it on."""

    number: Count
    outcome: Outcome
    errno: Errno
