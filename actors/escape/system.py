"""System calls that Python has no function for, by their numbers."""

from __future__ import annotations

__all__ = ["LIBC", "call", "checked", "end_with_parent", "system_call"]

import ctypes
import os
import platform
import signal

LIBC = ctypes.CDLL(None, use_errno=True)

# Not the same on both machines; from 424 on they are.
_X86 = {"mkdirat": 258, "openat": 257, "write": 1, "clone": 56, "add_key": 248, "prlimit64": 302}
_X86 |= {"mq_open": 240, "mq_timedsend": 242, "process_vm_writev": 311, "msgget": 68, "msgsnd": 69}
_X86 |= {"mq_timedreceive": 243, "mq_unlink": 241}
_ARM = {"mkdirat": 34, "openat": 56, "write": 64, "clone": 220, "add_key": 217, "prlimit64": 261}
_ARM |= {
    "mq_open": 180,
    "mq_timedsend": 182,
    "process_vm_writev": 271,
    "msgget": 186,
    "msgsnd": 189,
}
_BOTH = {"io_uring_setup": 425, "io_uring_enter": 426, "pidfd_open": 434, "pidfd_getfd": 438}
_NUMBERS = (_ARM if platform.machine() == "aarch64" else _X86) | _BOTH


def checked(result: int, what: str) -> int:
    """The result of a C function that answers -1 and sets errno. Raises OSError."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library. Raises OSError."""
    return checked(getattr(LIBC, name)(*arguments), name)


def system_call(name: str, *arguments: object) -> int:
    """Make a system call. Whole numbers become longs. Raises OSError."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(LIBC.syscall(ctypes.c_long(_NUMBERS[name]), *given), name)


def end_with_parent() -> None:
    """Let the kernel end this process when the thread that started it ends, however it does."""
    set_parent_death_signal = 1
    call("prctl", set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)
