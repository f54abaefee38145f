"""System calls by number, because the C library has no function for most of those needed here."""

from __future__ import annotations

__all__ = ["Machine", "call", "names_of_errors", "this_machine"]

import ctypes
import errno
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_library = ctypes.CDLL(None, use_errno=True)
_library.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class Machine:
    """One architecture as the kernel sees it: its audit number, and its system calls by name."""

    name: str
    audit_number: int
    numbers: Mapping[str, int]
    has_second_table: bool
    """Whether the same audit number also stands for another table of calls (x32 on x86-64)."""


# name: x86-64, aarch64. From the kernel's asm/unistd_64.h and asm-generic/unistd.h. aarch64 lacks
# the older half; nothing there can call what has no number.
_NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    "accept4": (288, 242),
    "access": (21, None),
    "adjtimex": (159, 171),
    "bind": (49, 200),
    "brk": (12, 214),
    "capget": (125, 90),
    "capset": (126, 91),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "close_range": (436, 436),
    "connect": (42, 203),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fadvise64": (221, 223),
    "fallocate": (285, 47),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "flock": (73, 32),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "listen": (50, 201),
    "lseek": (8, 62),
    "lstat": (6, None),
    "madvise": (28, 233),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mlock": (149, 228),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "msync": (26, 227),
    "munlock": (150, 229),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "poll": (7, None),
    "ppoll": (271, 73),
    "prctl": (157, 167),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "restart_syscall": (219, 128),
    "rmdir": (84, None),
    "rseq": (334, 293),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "seccomp": (317, 277),
    "select": (23, None),
    "sendmmsg": (307, 269),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "setsockopt": (54, 208),
    "shutdown": (48, 210),
    "socket": (41, 198),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "sync_file_range": (277, 84),
    "uname": (63, 160),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "write": (1, 64),
    "writev": (20, 66),
}

# Audit numbers: the ELF machine, 64 bits (0x8000_0000) and little-endian (0x4000_0000).
_X86_64 = Machine(
    "x86-64",
    0xC000_003E,
    {name: pair[0] for name, pair in _NUMBERS.items() if pair[0] is not None},
    has_second_table=True,
)
_AARCH64 = Machine(
    "aarch64",
    0xC000_00B7,
    {name: pair[1] for name, pair in _NUMBERS.items() if pair[1] is not None},
    has_second_table=False,
)


def this_machine() -> Machine | None:
    """The machine this interpreter runs on; None where no walls are known for it."""
    if sys.platform != "linux" or sys.byteorder != "little" or sys.maxsize < 2**32:
        return None
    return {"x86_64": _X86_64, "aarch64": _AARCH64}.get(platform.machine())


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call. Raises OSError where the kernel refuses it, or knows none of that name.

    ``name`` is one of those listed here. A ``bytes`` argument must not be written to.
    """
    machine = this_machine()
    if machine is None or name not in machine.numbers:
        raise OSError(errno.ENOSYS, f"no number is known for {name}")
    converted = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    result: int = _library.syscall(ctypes.c_long(machine.numbers[name]), *converted)
    if result == -1:  # only then does errno mean anything
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {names_of_errors(number)}")
    return result


def names_of_errors(number: int) -> str:
    """The name of an error number (EPERM), which means the same in every language."""
    return errno.errorcode.get(number, str(number))
