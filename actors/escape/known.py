"""What is known to get out, by name and reason. ``docs/separation.md`` prints the same list, and a
test holds both together."""

from __future__ import annotations

__all__ = ["KNOWN_IN_THREAD_MODE", "STOPPED_WITHOUT_WALLS"]

KNOWN_IN_THREAD_MODE: dict[str, str] = {}
"""Attempts that succeed where all domains share one process, and why. In process mode there are
none."""

STOPPED_WITHOUT_WALLS: dict[str, str] = {
    "subclass_of_the_message": "an outlet takes its own type of message and no subclass, in any "
    "isolation: there is no way to send one",
}
"""Attempts that fail in the control group too, because something simpler than a wall is in their
way, which no isolation takes away."""
