"""Effects that are not the loot itself: numbers in metadata, objects in the kernel."""

from __future__ import annotations

__all__ = ["EFFECTS", "PROBES"]

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.escape.aftermath import Aftermath, forms_of
from actors.escape.attempt import line_of
from actors.escape.system import LIBC, call, system_call

Effect = Callable[[Aftermath, str, bytes], bool]
"""Called with what is left, the attempt's name and its loot."""


def _times(left: Aftermath, name: str, loot: bytes) -> bool:
    paths = left.canvas(name, 2)
    wanted = [int.from_bytes(loot[3 * n : 3 * n + 3], "big") for n in range(2)]
    return [int(path.stat().st_mtime) for path in paths] == wanted


def _modes(left: Aftermath, name: str, loot: bytes) -> bool:
    return [path.stat().st_mode & 0o777 for path in left.canvas(name, 6)] == list(loot[:6])


def _sizes(left: Aftermath, name: str, loot: bytes) -> bool:
    wanted = [int.from_bytes(loot[2 * n : 2 * n + 2], "big") for n in range(3)]
    return [path.stat().st_size for path in left.canvas(name, 3)] == wanted


def _missing(left: Aftermath, name: str, loot: bytes) -> bool:
    number = int.from_bytes(loot[:6], "big")
    gone = [not path.exists() for path in left.canvas(name, 48)]
    return gone == [bool(number >> n & 1) for n in range(48)]


def _victim_memory(left: Aftermath, name: str, loot: bytes) -> bool:
    return any(loot in bytes.fromhex(one) for one in left.victim.get("memory", ()))


def _victim_signal(left: Aftermath, name: str, loot: bytes) -> bool:
    return any(number == signal.SIGUSR1 for number, _ in left.victim.get("signals", ()))


def _victim_values(left: Aftermath, name: str, loot: bytes) -> bool:
    values = [value for number, value in left.victim.get("signals", ()) if number != signal.SIGUSR1]
    return values == [int.from_bytes(loot[n : n + 2], "big") for n in range(0, 6, 2)]


def _victim_limit(left: Aftermath, name: str, loot: bytes) -> bool:
    return str(int.from_bytes(loot[:6], "big") | 1 << 48) in left.victim.get("limits", "")


def _victim_nice(left: Aftermath, name: str, loot: bytes) -> bool:
    return bool(left.victim.get("nice") == 1 + loot[0] % 19)


def _keyring(left: Aftermath, name: str, loot: bytes) -> bool:
    return any(loot.hex() in line for line in left.victim.get("keys", ()))


def _port(left: Aftermath, name: str, loot: bytes) -> bool:
    return 20_000 + int.from_bytes(loot[:2], "big") % 12_000 in left.ports


def _memfd(left: Aftermath, name: str, loot: bytes) -> bool:
    return any(loot in data for where, data in left.hay.items() if where.startswith("memory file"))


def _thread_name(left: Aftermath, name: str, loot: bytes) -> bool:
    return loot.hex()[:15] in left.names


def _memory_badness(left: Aftermath, name: str, loot: bytes) -> bool:
    return 100 + loot[0] in left.badness


def _priority(left: Aftermath, name: str, loot: bytes) -> bool:
    return 1 + loot[0] % 19 in left.priorities


def _control(left: Aftermath, name: str, loot: bytes) -> bool:
    return any(form in left.control for form in forms_of(loot))


def _number(left: Aftermath, name: str, loot: bytes) -> bool:
    digits = str(int.from_bytes(loot, "big")).encode()
    return any(digits in data for data in left.hay.values())


def _line(left: Aftermath, name: str, loot: bytes) -> bool:
    digits = b":%d " % line_of(loot)
    return any(digits in data for data in left.hay.values())


def _exit_status(left: Aftermath, name: str, loot: bytes) -> bool:
    return left.status == 64 + loot[0] % 64


def _message_queue(left: Aftermath, name: str, loot: bytes) -> bool:
    try:
        queue = system_call("msgget", _key(loot), 0)
    except OSError:
        return False
    buffer = ctypes.create_string_buffer(8 + 4096)
    size = LIBC.msgrcv(queue, buffer, ctypes.c_size_t(4096), ctypes.c_long(0), 0o4000)
    LIBC.msgctl(queue, 0, None)
    return size > 0 and buffer.raw[8 : 8 + size] == loot


def _shared_memory(left: Aftermath, name: str, loot: bytes) -> bool:
    try:
        segment = call("shmget", _key(loot), ctypes.c_size_t(0), 0)
    except OSError:
        return False
    LIBC.shmat.restype = ctypes.c_void_p
    LIBC.shmdt.argtypes = (ctypes.c_void_p,)
    address = LIBC.shmat(segment, None, 0o10000)
    found = address != ctypes.c_void_p(-1).value and ctypes.string_at(address, len(loot)) == loot
    LIBC.shmdt(address)
    LIBC.shmctl(segment, 0, None)
    return found


def _posix_queue(left: Aftermath, name: str, loot: bytes) -> bool:
    queue_name = f"{left.run}-{left.suite}".encode()
    try:
        queue = system_call("mq_open", queue_name, os.O_RDONLY | os.O_NONBLOCK, 0, None)
    except OSError:
        return False
    buffer = ctypes.create_string_buffer(64)
    try:
        size = system_call("mq_timedreceive", queue, buffer, 64, None, None)
    except OSError:
        size = 0
    os.close(queue)
    system_call("mq_unlink", queue_name)
    return buffer.raw[:size] == loot


def _key(loot: bytes) -> int:
    return int.from_bytes(loot[:3], "big") | 0x5A000000


EFFECTS: dict[str, Effect] = {
    "control": _control,
    "exit_status": _exit_status,
    "keyring": _keyring,
    "line": _line,
    "memfd": _memfd,
    "memory_badness": _memory_badness,
    "message_queue": _message_queue,
    "missing": _missing,
    "modes": _modes,
    "number": _number,
    "port": _port,
    "posix_queue": _posix_queue,
    "priority": _priority,
    "shared_memory": _shared_memory,
    "sizes": _sizes,
    "thread_name": _thread_name,
    "times": _times,
    "victim_limit": _victim_limit,
    "victim_memory": _victim_memory,
    "victim_nice": _victim_nice,
    "victim_signal": _victim_signal,
    "victim_values": _victim_values,
}


def _has_io_uring() -> bool:
    try:
        os.close(system_call("io_uring_setup", 4, ctypes.create_string_buffer(120)))
    except OSError:
        return False
    return True


def _has_posix_queues() -> bool:
    name = b"smartpole-escape-probe-%d" % os.getpid()
    try:
        os.close(system_call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, None))
    except OSError:
        return False
    with suppress(OSError):
        system_call("mq_unlink", name)
    return True


def _has_keyring() -> bool:
    return Path("/proc/keys").exists()


_OLD_CALL = """
import ctypes, mmap, sys
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
page = mmap.mmap(-1, 4096, flags, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page[:8] = bytes.fromhex("b814000000cd80c3")  # mov eax, getpid; int 0x80; ret
base = ctypes.addressof(ctypes.c_char.from_buffer(page))
sys.exit(ctypes.CFUNCTYPE(ctypes.c_int)(base)() <= 0)
"""


def _has_old_calls() -> bool:
    """Whether the kernel runs 32-bit programs, whose calls machine code can make."""
    if os.uname().machine != "x86_64":
        return False
    return subprocess.run([sys.executable, "-c", _OLD_CALL], check=False).returncode == 0


PROBES: dict[str, Callable[[], bool]] = {
    "io_uring": _has_io_uring,
    "keyring": _has_keyring,
    "old_calls": _has_old_calls,
    "posix_queue": _has_posix_queues,
}
"""Whether this kernel has what an attempt needs: without it, there is nothing to stop."""
