"""What can go wrong between the air and the count. No message here ever quotes a frame."""

from __future__ import annotations

__all__ = ["NotACapture", "SensingLost", "UnreadableFrame"]

from runtime import SmartpoleError


class UnreadableFrame(SmartpoleError):
    """A frame was damaged on the air, cut off, or is none that the parser knows. It is skipped."""


class NotACapture(SmartpoleError):
    """A file is neither pcap nor pcapng, or too large to be replayed from memory."""


class SensingLost(SmartpoleError):
    """The monitor interface went away or down. Opening it again may help."""
