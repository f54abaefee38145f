"""Confining a thread: Landlock, seccomp, no capabilities, no other descriptors.

All of it holds for the calling thread and for those it starts later, for good, and for no others.
"""

from __future__ import annotations

__all__ = [
    "KernelSupport",
    "Walls",
    "confine_thread",
    "harden_process",
    "hide_command_line",
    "kernel_support",
    "shared_maps",
    "unconfined",
]

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import SandboxUnavailable
from runtime.sandbox import landlock
from runtime.sandbox.filter import load
from runtime.sandbox.loop import LoopDescriptors, loop_descriptors
from runtime.sandbox.machine import call, names_of_errors, this_machine
from runtime.sandbox.permissions import Permissions
from runtime.sandbox.policy import filter_for

# linux/prctl.h, linux/seccomp.h, linux/capability.h, linux/close_range.h
_SET_DUMPABLE, _SET_NO_NEW_PRIVS = 4, 38
_SECCOMP_ASK_ACTION, _SECCOMP_ERRNO = 2, 0x0005_0000
_CAPABILITIES_VERSION = 0x2008_0522
_DAC_OVERRIDE, _DAC_READ_SEARCH, _NET_BIND_SERVICE, _NET_RAW, _IPC_LOCK = 1, 2, 10, 13, 14
_CLOSE_RANGE_UNSHARE = 2
_SET_MM, _SET_MM_MAP = 35, 14
_LAST_DESCRIPTOR = 0xFFFF_FFFF

_NO_MACHINE = "no seccomp filter: system calls are known here for x86-64 and aarch64 only"
_NO_SECCOMP = (
    "no seccomp: a domain can start processes, send on any socket there is, and use memory shared "
    "with others"
)
_NO_LANDLOCK = (
    "no Landlock: a domain that may open files or connect is not held to its own folders and ports"
)
_NO_TABLE = (
    "no descriptor table of its own (close_range, Linux 5.9): a domain can reach what other "
    "threads of its process have open"
)
_NO_PORTS = (
    "no Landlock rules for TCP ports (Linux 6.7): a domain that may connect or listen can use any "
    "port"
)


@dataclass(frozen=True, slots=True)
class KernelSupport:
    """Which walls this kernel can build."""

    landlock_abi: int
    """The level of Landlock; 0 where there is none."""
    seccomp: bool
    missing: tuple[str, ...]
    """In plain words, each wall that can't be built and what that means. Empty where all can."""


@dataclass(frozen=True, slots=True)
class Walls:
    """Which walls stand round a thread that has been confined."""

    landlock_abi: int
    seccomp: bool
    missing: tuple[str, ...]


def kernel_support() -> KernelSupport:
    """Ask the kernel. Changes nothing."""
    level = landlock.supported_level()
    seccomp = this_machine() is not None and _has_seccomp()
    return KernelSupport(level, seccomp, _missing(level, seccomp, ports=True))


def confine_thread(permissions: Permissions, *, best_effort: bool = False) -> Walls:
    """Confine the calling thread, and those it starts later, to these permissions for good.

    Call it inside ``trio.run``, once everything is imported and opened: the loop's own descriptors
    stay usable. In a domain that may open nothing the thread gets a table of descriptors of its
    own that holds links, wake-up sockets and the loop's, so nothing else that the process has
    open can be reached from there. In every domain closing one of these is only pretended:
    whoever made them closes them, after the thread's end, from a thread that is not confined.

    With ``best_effort``, walls that this kernel lacks are left out and named in the result;
    without, SandboxUnavailable is raised where the domain needs one of them. It is also raised
    when a wall could not be built; the thread may then stand half confined and must end.
    """
    machine = this_machine()
    level = landlock.supported_level()
    seccomp = machine is not None and _has_seccomp()
    uses_ports = bool(permissions.connect or permissions.listen)
    missing = _missing(level, seccomp, ports=uses_ports)
    if missing and not best_effort:
        raise SandboxUnavailable(
            "this kernel can't confine the domain: " + "; ".join(missing) + ". Use a kernel with "
            'Landlock and seccomp, or write sandbox = "best-effort" in the configuration to run '
            "without these walls, which status, notice and audit report will then say."
        )
    loop = loop_descriptors()
    program = (
        filter_for(permissions, machine, loop=loop.all if loop else ()).program()
        if machine is not None and seccomp
        else None
    )
    try:
        call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if permissions.opens_nothing:
            try:
                _leave_descriptors(permissions, loop)
            except OSError as error:
                if not best_effort or error.errno != errno.ENOSYS:
                    raise
                missing = (*missing, _NO_TABLE)
        if level:
            landlock.restrict(permissions, level)
        _drop_capabilities(permissions)
        if program is not None:
            load(program)
    except OSError as error:
        raise SandboxUnavailable(
            f"the domain's walls could not be built ({names_of_errors(error.errno or 0)}); the "
            "thread is not to be used further"
        ) from error
    return Walls(level, program is not None, missing)


def unconfined(process: int, threads: Iterable[int] | None = None) -> tuple[int, ...]:
    """Those threads of a process round which the walls do not stand, by their native ids.

    Looks at ``threads``, or at all there are. Reads what the kernel says of them (a filter, and no
    new privileges), so it can be called from anywhere but inside the walls. A thread or process
    that is gone is not counted. Raises SandboxUnavailable where /proc does not show the process:
    then nobody can say whether the walls stand.
    """
    tasks = Path(f"/proc/{process}/task")
    try:
        there = {int(entry.name) for entry in tasks.iterdir()}
    except OSError as error:
        if not _is_there(process):
            return ()
        raise SandboxUnavailable(
            f"whether the walls stand can't be seen: /proc shows nothing of process {process} "
            f"({names_of_errors(error.errno or 0)}), as where it is mounted with hidepid, or not "
            "at all. Mount it so that the pole sees its own processes (without hidepid, or with "
            "its gid= option and the pole in that group; for a systemd service "
            "ProtectProc=default, ProcSubset=all)."
        ) from error
    chosen = there if threads is None else there.intersection(threads)
    return tuple(thread for thread in sorted(chosen) if not _stands_confined(tasks / str(thread)))


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stands_confined(task: Path) -> bool:
    try:
        lines = (task / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return fields.get("Seccomp") == "2" and fields.get("NoNewPrivs") == "1"


def harden_process() -> tuple[str, ...]:
    """Make this process leave no core dump and closed to debuggers; no child gains privileges.

    Call it early, in each process: exec undoes the second. Returns what could not be done, in
    words.
    """
    undone = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        undone.append("core dumps could not be switched off by their limit")
    for option, value, words in (
        (_SET_DUMPABLE, 0, "the process's memory could not be closed to debuggers"),
        (_SET_NO_NEW_PRIVS, 1, "children could still gain privileges"),
    ):
        try:
            call("prctl", option, value, 0, 0, 0)
        except OSError:
            undone.append(words)
    return tuple(undone)


def shared_maps() -> int:
    """How many writable maps of this process are shared with a file or another process."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(line.split(maxsplit=2)[1] == "rw-s" for line in lines)


def hide_command_line() -> bool:
    """Have the kernel show no command line of this process to anybody.

    It is memory that everybody may read by way of /proc, and rewriting it takes no system call.
    False where the kernel does not let it (it is built without checkpoint and restore).
    """
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    # proc(5) counts from 1, and two fields stand before these.
    code = [int(fields[number - 3]) for number in (26, 27, 45, 46, 47)]
    stack, arguments, environment = (int(fields[number - 3]) for number in (28, 48, 50))
    start_code, end_code, start_data, end_data, start_heap = code
    # linux/prctl.h, struct prctl_mm_map: the arguments end where they begin.
    layout = struct.pack(
        "<11QQIi",
        start_code,
        end_code,
        start_data,
        end_data,
        start_heap,
        _program_break(),
        stack,
        arguments,
        arguments,
        environment,
        environment,
        0,
        0,
        -1,
    )
    try:
        call("prctl", _SET_MM, _SET_MM_MAP, layout, len(layout), 0)
    except OSError:
        return False
    return True


def _program_break() -> int:
    """The end of the heap."""
    find = ctypes.CDLL(None).sbrk
    find.restype = ctypes.c_void_p
    return int(find(0))


def _has_seccomp() -> bool:
    try:
        call("seccomp", _SECCOMP_ASK_ACTION, 0, struct.pack("<I", _SECCOMP_ERRNO))
    except OSError:
        return False
    try:
        call("seccomp", 1, 0, None)
    except OSError as error:
        return error.errno == errno.EFAULT  # it looked for a filter, and found none
    return False


def _missing(level: int, seccomp: bool, *, ports: bool) -> tuple[str, ...]:
    words = []
    if not seccomp:
        words.append(_NO_SECCOMP if this_machine() is not None else _NO_MACHINE)
    if not level:
        words.append(_NO_LANDLOCK)
    elif ports and level < landlock.PORTS_SINCE:
        words.append(_NO_PORTS)
    return tuple(words)


def _leave_descriptors(permissions: Permissions, loop: LoopDescriptors | None) -> None:
    """Take a table of descriptors of one's own, and close in it all but what stays usable.

    Others' files stay open in theirs. A domain that opens descriptors shares the process's table
    instead: a number that means different files in two threads would have the garbage collector of
    one close the file of the other.
    """
    first = 0
    for descriptor in sorted(
        {*permissions.links, *permissions.wakeups, *(loop.all if loop else ())}
    ):
        if descriptor > first:
            call("close_range", first, descriptor - 1, _CLOSE_RANGE_UNSHARE)
        first = descriptor + 1
    call("close_range", first, _LAST_DESCRIPTOR, _CLOSE_RANGE_UNSHARE)


def _drop_capabilities(permissions: Permissions) -> None:
    """Give up what root could do beyond any user, but for what the domain is there for.

    Files of another owner stay within reach, where Landlock lets them; so does locking memory.
    """
    kept = {_IPC_LOCK}
    if permissions.opens_files:
        kept |= {_DAC_OVERRIDE, _DAC_READ_SEARCH}
    if permissions.listen:
        kept.add(_NET_BIND_SERVICE)
    if permissions.packets:
        kept.add(_NET_RAW)
    mask = sum(1 << capability for capability in kept)
    of_this_thread = struct.pack("<Ii", _CAPABILITIES_VERSION, 0)
    # Two halves of 32 capabilities, each as effective, permitted and inheritable.
    held = ctypes.create_string_buffer(24)
    call("capget", of_this_thread, held)
    permitted = struct.unpack("<6I", held.raw)[1]
    low = permitted & mask
    call("capset", of_this_thread, struct.pack("<6I", low, low, 0, 0, 0, 0))
