"""Japan's time, in which managers think: their terms, what they ask for, and what they are told."""

from __future__ import annotations

__all__ = ["JAPAN", "spell_minute", "spell_time"]

from datetime import datetime, timedelta, timezone

JAPAN = timezone(timedelta(hours=9))


def spell_time(moment: datetime) -> str:
    """A time for people, to the second."""
    return f"{moment.astimezone(JAPAN):%Y-%m-%d %H:%M:%S} (Japan)"


def spell_minute(moment: datetime) -> str:
    """A time for people, to the minute."""
    return f"{moment.astimezone(JAPAN):%Y-%m-%d %H:%M} (Japan)"
