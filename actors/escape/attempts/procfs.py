"""/proc, and what the kernel shows of a process to others."""

from __future__ import annotations

__all__: list[str] = []

import ctypes
import os
import sys
import threading

from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.system import LIBC, call

_SET_NAME = 15


@attempt("proc", effect="victim_memory")
def memory_of_another_process(scene: Scene) -> None:
    """/proc/PID/mem of another program."""
    descriptor = os.open(f"/proc/{scene.settings.victim}/mem", os.O_WRONLY)
    try:
        os.pwrite(descriptor, scene.loot, scene.settings.victim_address)
    finally:
        os.close(descriptor)


@attempt("proc")
def output_opened_again(scene: Scene) -> None:
    """/proc/self/fd/2, opened once more."""
    descriptor = os.open("/proc/self/fd/2", os.O_WRONLY)
    try:
        os.write(descriptor, scene.text.encode() + b"\n")
    finally:
        os.close(descriptor)


@attempt("proc")
def root_folder_of_another_process(scene: Scene) -> None:
    """A path through /proc/PID/root."""
    with open(f"/proc/{scene.settings.victim}/root{scene.path}", "wb") as file:
        file.write(scene.loot)


@attempt("proc", effect="thread_name", alone=True)
def name_of_a_thread_by_file(scene: Scene) -> None:
    """/proc/self/task/…/comm: a thread's name, which everybody sees."""
    path = f"/proc/self/task/{threading.get_native_id()}/comm"
    with open(path, "wb", buffering=0) as file:
        file.write(scene.text[:15].encode())


@attempt("proc", effect="thread_name", alone=True)
def name_of_a_thread_by_call(scene: Scene) -> None:
    """prctl(PR_SET_NAME)."""
    call("prctl", _SET_NAME, scene.text[:15].encode(), 0, 0, 0)


@attempt("proc", effect="thread_name", alone=True)
def name_of_a_thread_by_library(scene: Scene) -> None:
    """pthread_setname_np() on the process's first thread, or its own where it can't."""
    LIBC.pthread_self.restype = ctypes.c_void_p
    LIBC.pthread_setname_np.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    for ident in (threading.main_thread().ident, LIBC.pthread_self()):
        if error := LIBC.pthread_setname_np(ident, scene.text[:15].encode()):
            raise OSError(error, os.strerror(error))


@attempt("proc", effect="memory_badness", alone=True)
def badness_for_the_kernel(scene: Scene) -> None:
    """/proc/self/oom_score_adj, a number that everybody reads."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(100 + scene.loot[0]))


@attempt("proc", alone=True)
def command_line_rewritten(scene: Scene) -> None:
    """The process's arguments, overwritten in its own memory, without any system call: the kernel
    shows them to everybody."""
    address = ctypes.c_void_p.in_dll(LIBC, "program_invocation_name").value
    length = sum(len(os.fsencode(one)) + 1 for one in sys.orig_argv)
    part = scene.text[: min(length, 96)].encode()
    if address is None or len(part) < min(len(scene.text), 40):
        raise NothingThere
    ctypes.memmove(address, part, len(part))


@attempt("proc", effect="priority", alone=True)
def own_priority(scene: Scene) -> None:
    """nice(): a number that everybody reads."""
    os.setpriority(os.PRIO_PROCESS, 0, 1 + scene.loot[0] % 19)
