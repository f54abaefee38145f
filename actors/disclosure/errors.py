"""What can stop a disclosure on the manager's computer."""

from __future__ import annotations

__all__ = ["CannotOpen", "DisclosureRefused"]

from runtime import SmartpoleError


class DisclosureRefused(SmartpoleError):
    """It may not be done, or not now; the text says why, and what would be accepted."""


class CannotOpen(SmartpoleError):
    """A segment that these private keys do not open, or that is no age file."""
