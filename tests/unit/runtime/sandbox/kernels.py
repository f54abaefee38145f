"""Kernels that lack a wall: a first filter answers as such a kernel would."""

from __future__ import annotations

__all__ = [
    "BOTH",
    "LANDLOCK",
    "SECCOMP",
    "confine_without",
    "harden",
    "look_where_proc_hides",
    "pole_without",
]

import ctypes
import errno
import os
import resource
import signal
import struct
import subprocess
import threading
from pathlib import Path

import trio
from structlog.testing import capture_logs

from runtime.blueprint import Isolation
from runtime.errors import SandboxUnavailable
from runtime.pole import Pole
from runtime.sandbox import (
    Permissions,
    confine_thread,
    harden_process,
    kernel_support,
    unconfined,
)
from runtime.sandbox.filter import load
from runtime.sandbox.machine import call, this_machine
from tests.unit.runtime.apart import Watched, blueprint_of, configuration
from tests.unit.runtime.sandbox.child import attempt

_MACHINE = this_machine()
_NUMBERS = _MACHINE.numbers if _MACHINE is not None else {}
LANDLOCK = dict.fromkeys(
    ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"), errno.ENOSYS
)
SECCOMP = {"seccomp": errno.EINVAL}
BOTH = LANDLOCK | SECCOMP


def _pretend(answers: dict[str, int]) -> None:
    """Answer these calls with these errors from now on, and let all others pass."""
    lines = [struct.pack("<HBBI", 0x20, 0, 0, 0)]
    for name, number in answers.items():
        lines.append(struct.pack("<HBBI", 0x15, 0, 1, _NUMBERS[name]))
        lines.append(struct.pack("<HBBI", 0x06, 0, 0, 0x0005_0000 | number))
    lines.append(struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF_0000))
    call("prctl", 38, 1, 0, 0, 0)
    load(b"".join(lines))


def confine_without(
    missing: dict[str, int], folder: str, best_effort: bool, use_port: bool = False
) -> dict[str, object]:
    """What confining says and does on a kernel without this; then what is still possible."""
    results: dict[str, object] = {}

    def write() -> None:
        Path(folder, "file").write_text("x")

    def run() -> None:
        _pretend(missing)
        support = kernel_support()
        results["support"] = [support.landlock_abi > 0, support.seccomp, support.missing]
        permissions = Permissions(connect=(443,)) if use_port else Permissions()
        try:
            walls = confine_thread(permissions, best_effort=best_effort)
        except SandboxUnavailable as error:
            results["refused"] = str(error)
        else:
            results["walls"] = [walls.landlock_abi > 0, walls.seccomp, walls.missing]
        results["write"] = attempt(write)
        results["process memory"] = attempt(lambda: os.close(os.memfd_create("a")))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results


def pole_without(
    missing: dict[str, int], folder: str, isolation: str, sandbox: str
) -> dict[str, object]:
    """What becomes of a whole pole on a kernel without this."""
    pole = Pole(
        blueprint_of(Path(folder), configuration(Path(folder), pole=f'sandbox = "{sandbox}"')),
        isolation=Isolation(isolation),
    )
    watched = Watched(pole, trio.CancelScope())

    async def run() -> dict[str, object]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            await pole.ready.wait()
            await watched.until_at_work()
            told = pole.status()
            pole.stop()
        return {
            "isolation": told.isolation,
            "domains": {
                one.name: [one.landlock_abi > 0, one.seccomp, one.missing] for one in told.domains
            },
        }

    _pretend(missing)
    with capture_logs() as lines:
        try:
            results = trio.run(run)
        except* SandboxUnavailable as refusals:
            results = {"refused": str(refusals.exceptions[0])}
    results["logged"] = [line["wall"] for line in lines if line["event"] == "a wall is missing"]
    results["state"] = (Path(folder) / "state").exists()
    return results


def harden() -> dict[str, object]:
    """What is different in a process afterwards, also for one that it starts."""
    undone = harden_process()
    status = Path("/proc/self/status").read_text()
    sleeper = subprocess.run(["grep", "NoNewPrivs", "/proc/self/status"], capture_output=True)
    return {
        "undone": undone,
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": call("prctl", 3, 0, 0, 0, 0),
        "no new privileges": "NoNewPrivs:\t1" in status,
        "child": sleeper.stdout.decode().split(),
        "not confined by it": bool(unconfined(os.getpid())),
    }


_UNPRIVILEGED = 65534
_NEW_MOUNTS, _RECURSIVE, _PRIVATE = 0x2_0000, 0x4000, 0x4_0000


def look_where_proc_hides(option: str) -> dict[str, object]:
    """What is said of a hardened child of an ordinary user's, where /proc is mounted like this.

    Needs root. The mount is this process's own.
    """
    library = ctypes.CDLL(None, use_errno=True)
    done = [
        library.unshare(_NEW_MOUNTS),
        library.mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None),
        library.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), option.encode()),
    ]
    assert done == [0, 0, 0], os.strerror(ctypes.get_errno())
    os.setgroups([])
    os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        harden_process()
        os.write(writing, b"hardened")
        signal.pause()
    os.read(reading, 8)
    try:
        results: dict[str, object] = {"found": unconfined(child) == (child,)}
    except SandboxUnavailable as error:
        results = {"refused": str(error).replace(str(child), "N")}
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    results["gone"] = unconfined(child)
    return results
