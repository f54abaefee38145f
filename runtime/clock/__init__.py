"""What time it is, whatever the wall clock shows: judged from several sources, kept on the disk."""

from runtime.clock.alarm import Alarm, Fault
from runtime.clock.clock import RELEASED, Clock
from runtime.clock.kernel import Look, boot_id, boottime, look
from runtime.clock.timeline import Basis, Timeline

__all__ = [
    "RELEASED",
    "Alarm",
    "Basis",
    "Clock",
    "Fault",
    "Look",
    "Timeline",
    "boot_id",
    "boottime",
    "look",
]
