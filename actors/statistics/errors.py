"""What can go wrong with the statistics' file."""

from __future__ import annotations

__all__ = ["BudgetSpent", "SliceRefused", "StoreFailed", "reason_of"]

from runtime import SmartpoleError


class StoreFailed(SmartpoleError):
    """The statistics could not be written or read now; it may help to try again later."""


class SliceRefused(SmartpoleError):
    """A slice does not fit the schema. It never will."""


class BudgetSpent(SmartpoleError):
    """A slice would cost more of the day's privacy budget than is left. It is not released."""


def reason_of(error: BaseException) -> str:
    """SQLite's own words for its state; they hold no value of a row."""
    return str(error)
