"""What the kernel says of the time: one look at all that it knows."""

from __future__ import annotations

__all__ = ["Look", "boot_id", "boottime", "look"]

import ctypes
import struct
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from runtime.sandbox.machine import call

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# linux/timex.h: status bits, and what the call answers where the clock is not synchronised.
_STA_UNSYNC, _STA_NANO = 0x0040, 0x2000
_TIME_ERROR = 5
_SIZE = 208
"""Of ``struct timex`` on 64-bit machines."""
_STATUS_AT, _TIME_AT = 40, 72


class Look(NamedTuple):
    """What was seen at one moment."""

    boot: str
    """Which start of the computer this is: a number made by chance (random(4), ``boot_id``)."""
    boottime: int
    """Microseconds since that start, through suspend, set by nobody (CLOCK_BOOTTIME)."""
    wall: int
    """What the wall clock shows, in microseconds since 1970 (UTC)."""
    synchronised: bool
    """Whether the kernel was told by NTP or its like that the wall clock is right (adjtimex(2)).
    Setting the clock by hand takes it back, and so do nine hours without an answer."""


@cache
def boot_id() -> str:
    """Which start of the computer this is, 32 hexadecimal digits. A domain must have asked before
    its walls stand: the file can't be read later."""
    return _BOOT_ID.read_text("utf-8").strip().replace("-", "")


def boottime() -> int:
    """Microseconds since the computer started, those in suspend included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def look() -> Look:
    """Ask the kernel now. Where it refuses to say (some containers), nothing is synchronised."""
    before = boottime()
    try:
        wall, synchronised = _adjtimex()
    except OSError:
        wall, synchronised = time.time_ns() // 1000, False
    return Look(boot_id(), (before + boottime()) // 2, wall, synchronised)


def _adjtimex() -> tuple[int, bool]:
    """The wall clock (µs) and whether it is synchronised, read at one moment. Changes nothing: no
    mode is set. Raises OSError."""
    buffer = (ctypes.c_char * _SIZE)()  # create_string_buffer is an event for the audit hook
    answer = call("adjtimex", buffer)
    (status,) = struct.unpack_from("=i", buffer, _STATUS_AT)
    seconds, fraction = struct.unpack_from("=qq", buffer, _TIME_AT)
    microseconds = fraction // 1000 if status & _STA_NANO else fraction
    return (
        seconds * 1_000_000 + microseconds,
        answer != _TIME_ERROR and not status & _STA_UNSYNC,
    )
