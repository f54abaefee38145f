"""Processes: starting one, and reaching into one that is there."""

from __future__ import annotations

__all__: list[str] = []

import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys

from actors.escape.attempt import Scene, attempt
from actors.escape.system import call, system_call

_ATTACH, _DETACH, _POKE = 16, 17, 4
_WALL = 0x40000000


def _command(scene: Scene) -> str:
    return f"echo {scene.text} > {scene.path}"


@attempt("processes")
def subprocess_shell(scene: Scene) -> None:
    """subprocess.run() of a shell."""
    subprocess.run(["/bin/sh", "-c", _command(scene)], check=True, timeout=3)


@attempt("processes")
def subprocess_pipe(scene: Scene) -> None:
    """A process that copies its standard input into a file."""
    subprocess.run(
        ["/bin/dd", f"of={scene.path}", "status=none"], input=scene.loot, check=True, timeout=3
    )


@attempt("processes")
def os_system(scene: Scene) -> None:
    """os.system()."""
    if status := os.system(_command(scene)):
        raise OSError(f"status {status}")


@attempt("processes")
def fork_a_child(scene: Scene) -> None:
    """os.fork(), and the child writes."""
    child = os.fork()
    if not child:
        try:
            scene.write()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@attempt("processes")
def fork_a_terminal(scene: Scene) -> None:
    """os.forkpty()."""
    child, descriptor = os.forkpty()
    if not child:
        try:
            scene.write()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(descriptor)


@attempt("processes")
def fork_by_system_call(scene: Scene) -> None:
    """clone() without a thread's flags, past the C library."""
    child = system_call("clone", int(signal.SIGCHLD), 0, 0, 0, 0)
    if not child:
        try:
            scene.write()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@attempt("processes")
def posix_spawn(scene: Scene) -> None:
    """os.posix_spawn()."""
    child = os.posix_spawn("/bin/sh", ["sh", "-c", _command(scene)], os.environ)
    os.waitpid(child, 0)


@attempt("processes")
def spawned_python(scene: Scene) -> None:
    """multiprocessing with a freshly started Python."""
    process = multiprocessing.get_context("fork").Process(target=scene.write)
    process.start()
    process.join(3)


@attempt("processes")
def popen_reading_from_the_c_library(scene: Scene) -> None:
    """popen() of the C library."""
    library = ctypes.CDLL(None, use_errno=True)
    library.popen.restype = ctypes.c_void_p
    stream = library.popen(_command(scene).encode(), b"r")
    if not stream:
        raise OSError(ctypes.get_errno(), "popen")
    library.pclose(ctypes.c_void_p(stream))


@attempt("processes", ends=True)
def become_another_program(scene: Scene) -> None:
    """execv(): this very process becomes a shell."""
    os.execv("/bin/sh", ["sh", "-c", _command(scene)])


@attempt("processes", effect="victim_memory")
def write_into_another_process(scene: Scene) -> None:
    """process_vm_writev() into another program of the same user."""

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    data = ctypes.create_string_buffer(scene.loot, len(scene.loot))
    here = Vector(ctypes.addressof(data), len(scene.loot))
    there = Vector(scene.settings.victim_address, len(scene.loot))
    system_call(
        "process_vm_writev",
        scene.settings.victim,
        ctypes.byref(here),
        1,
        ctypes.byref(there),
        1,
        0,
    )


@attempt("processes", effect="victim_memory")
def trace_another_process(scene: Scene) -> None:
    """ptrace() attaches to another program and pokes the loot into its memory."""
    victim, address = scene.settings.victim, scene.settings.victim_address
    pid, nothing = ctypes.c_int(victim), ctypes.c_void_p()
    call("ptrace", ctypes.c_long(_ATTACH), pid, nothing, nothing)
    try:
        os.waitpid(victim, _WALL)
        padded = scene.loot.ljust(-(-len(scene.loot) // 8) * 8, b"\0")
        for index in range(0, len(padded), 8):
            word = ctypes.c_long(int.from_bytes(padded[index : index + 8], sys.byteorder))
            where = ctypes.c_void_p(address + index)
            call("ptrace", ctypes.c_long(_POKE), pid, where, word)
    finally:
        call("ptrace", ctypes.c_long(_DETACH), pid, nothing, nothing)


@attempt("processes")
def take_a_descriptor_of_another_process(scene: Scene) -> None:
    """pidfd_getfd(): the file that another program has open."""
    process = os.pidfd_open(scene.settings.victim)
    stolen = system_call("pidfd_getfd", process, 1, 0)  # its standard output, read by the judge
    os.write(stolen, scene.text.encode() + b"\n")


@attempt("processes", effect="victim_signal")
def signal_another_process(scene: Scene) -> None:
    """kill(): a signal that another program notes."""
    os.kill(scene.settings.victim, signal.SIGUSR1)


@attempt("processes", effect="victim_values")
def signals_with_a_value(scene: Scene) -> None:
    """sigqueue(): 16 bits with each signal."""
    for index in range(0, 6, 2):
        value = ctypes.c_void_p(int.from_bytes(scene.loot[index : index + 2], "big"))
        call("sigqueue", scene.settings.victim, int(signal.SIGRTMIN) + 1, value)


@attempt("processes", effect="victim_limit")
def limits_of_another_process(scene: Scene) -> None:
    """prlimit(): 48 bits in a limit of another program."""
    number = int.from_bytes(scene.loot[:6], "big") | 1 << 48
    limits = (ctypes.c_ulong * 2)(number, number)
    which = int(resource.RLIMIT_FSIZE)
    system_call("prlimit64", scene.settings.victim, which, ctypes.byref(limits), 0)


@attempt("processes", effect="victim_nice")
def priority_of_another_process(scene: Scene) -> None:
    """setpriority(): a few bits in another program's priority."""
    os.setpriority(os.PRIO_PROCESS, scene.settings.victim, 1 + scene.loot[0] % 19)
