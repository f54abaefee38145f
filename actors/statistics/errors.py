"""What can go wrong with the statistics' file."""

from __future__ import annotations

__all__ = ["SliceRefused", "StoreFailed", "reason_of"]

from runtime import SmartpoleError


class StoreFailed(SmartpoleError):
    """The statistics could not be written or read now; it may help to try again later."""


class SliceRefused(SmartpoleError):
    """A slice does not fit the schema. It never will."""


def reason_of(error: BaseException) -> str:
    """SQLite's own words for its state; they hold no value of a row."""
    return str(error)
