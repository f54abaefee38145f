"""What can stop a disclosure on the manager's computer."""

from __future__ import annotations

__all__ = ["CannotOpen", "DisclosureRefused"]

from runtime import SmartpoleError


class DisclosureRefused(SmartpoleError):
    """It may not be done, or not now; the text says why, and what would be accepted."""


class CannotOpen(SmartpoleError):
    """A segment that these private keys do not open, or that is no age file; or no private key."""

    def __init__(self, text: str, *, lacks_key: bool = False) -> None:
        super().__init__(text)
        self.lacks_key = lacks_key
        """Whether the file is as it should be, and only the key is another one."""
