"""What the real kernel of this computer says, within and without walls."""

from __future__ import annotations

import ctypes
import errno
import re
import struct
import time

import pytest

from runtime.clock import boot_id, boottime, kernel, look


def test_the_boot_id_is_that_of_this_boot() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", boot_id())
    assert boot_id() == boot_id()


def test_boottime_runs_on_and_agrees_with_the_kernels_uptime() -> None:
    first, second = boottime(), boottime()
    assert first <= second
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    assert abs(boottime() / 1_000_000 - uptime) < 1


def test_one_look_agrees_with_the_clocks_that_python_reads() -> None:
    before = time.time_ns() // 1000
    seen = look()
    after = time.time_ns() // 1000
    assert before - 1 <= seen.wall <= after + 1
    assert seen.boot == boot_id()
    assert abs(seen.boottime - boottime()) < 1_000_000
    again = look()
    assert abs((again.wall - again.boottime) - (seen.wall - seen.boottime)) < 500_000


class Adjtimex:
    """The kernel's answer, as adjtimex(2) and <linux/timex.h> lay it out."""

    class Timex(ctypes.Structure):
        _fields_ = [
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("constant", ctypes.c_long),
            ("precision", ctypes.c_long),
            ("tolerance", ctypes.c_long),
            ("seconds", ctypes.c_long),
            ("fraction", ctypes.c_long),
            ("rest", ctypes.c_char * 120),
        ]

    def __init__(self, answer: int, status: int, fraction: int) -> None:
        self._answer = answer
        self._timex = self.Timex(status=status, seconds=1_800_000_000, fraction=fraction)

    def __call__(self, name: str, buffer: ctypes.Array[ctypes.c_char]) -> int:
        assert name == "adjtimex"
        assert len(buffer) == ctypes.sizeof(self.Timex) == 208
        assert struct.unpack_from("=I", buffer) == (0,)  # changes nothing
        ctypes.memmove(buffer, ctypes.byref(self._timex), len(buffer))
        return self._answer


@pytest.mark.parametrize(
    ("answer", "status", "synchronised"),
    [
        (0, 0x2001, True),  # STA_PLL
        (0, 0x0001, True),
        (1, 0x2011, True),  # a leap second today
        (5, 0x2041, False),
        (0, 0x0041, False),
        (5, 0x0040, False),
        (5, 0x2001, False),
    ],
)
def test_what_the_kernel_says_of_synchronisation(
    monkeypatch: pytest.MonkeyPatch, answer: int, status: int, synchronised: bool
) -> None:
    fraction = 123_456_789 if status & 0x2000 else 123_456
    monkeypatch.setattr(kernel, "call", Adjtimex(answer, status, fraction))
    seen = look()
    assert (seen.wall, seen.synchronised) == (1_800_000_000_123_456, synchronised)


def test_where_the_kernel_does_not_say_nothing_is_synchronised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EPERM, "adjtimex: EPERM")

    monkeypatch.setattr(kernel, "call", refuse)
    seen = look()
    assert not seen.synchronised
    assert abs(seen.wall - time.time_ns() // 1000) < 1_000_000
