"""The kernel's other doors: io_uring, System V, keyrings, machine code, calls by number."""

from __future__ import annotations

__all__: list[str] = []

import ctypes
import mmap
import os
import platform
import struct

from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.system import LIBC, call, system_call

_AT_FDCWD = -100


@attempt("kernel")
def openat_by_number(scene: Scene) -> None:
    """openat() and write() by syscall()."""
    flags = os.O_WRONLY | os.O_CREAT
    descriptor = system_call("openat", _AT_FDCWD, os.fsencode(scene.path), flags, 0o600)
    system_call("write", descriptor, scene.loot, len(scene.loot))
    os.close(descriptor)


@attempt("kernel")
def mkdirat_by_number(scene: Scene) -> None:
    """mkdirat() by syscall(), with the loot for a name."""
    system_call("mkdirat", _AT_FDCWD, os.fsencode(scene.named()), 0o700)


@attempt("kernel")
def direct_c_functions(scene: Scene) -> None:
    """open() and write() of the C library, by ctypes."""
    path, flags = os.fsencode(scene.path), os.O_WRONLY | os.O_CREAT
    descriptor = call("open", path, flags, 0o600)
    call("write", descriptor, scene.loot, len(scene.loot))
    os.close(descriptor)


@attempt("kernel", needs="io_uring")
def io_uring_opens_a_file(scene: Scene) -> None:
    """io_uring: the kernel's own thread makes a folder named by the loot."""
    parameters = ctypes.create_string_buffer(120)
    ring = system_call("io_uring_setup", 4, parameters)
    # struct io_uring_params: seven words, three reserved, then the rings' offsets.
    tail, mask, array = (struct.unpack_from("=I", parameters, at)[0] for at in (44, 48, 64))
    submissions = mmap.mmap(ring, 4096, offset=0)
    entries = mmap.mmap(ring, 4096, offset=0x10000000)
    name = ctypes.create_string_buffer(os.fsencode(scene.named()))
    entry = struct.pack("=BBHiQQI", 37, 0, 0, _AT_FDCWD, 0, ctypes.addressof(name), 0o700)
    entries[: len(entry)] = entry
    position = struct.unpack_from("=I", submissions, tail)[0]
    index = position & struct.unpack_from("=I", submissions, mask)[0]
    struct.pack_into("=I", submissions, array + 4 * index, 0)
    struct.pack_into("=I", submissions, tail, position + 1)
    system_call("io_uring_enter", ring, 1, 1, 1, None, 0)
    os.close(ring)


@attempt("kernel", effect="message_queue")
def system_v_message_queue(scene: Scene) -> None:
    """msgget() and msgsnd()."""
    queue = system_call("msgget", _key(scene), 0o1600)
    message = struct.pack("@l", 1) + scene.loot
    system_call("msgsnd", queue, message, len(scene.loot), 0o4000)


@attempt("kernel", effect="shared_memory")
def system_v_shared_memory(scene: Scene) -> None:
    """shmget() and shmat()."""
    segment = call("shmget", _key(scene), ctypes.c_size_t(4096), 0o1600)
    LIBC.shmat.restype = ctypes.c_void_p
    address = LIBC.shmat(segment, None, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    ctypes.memmove(address, scene.loot, len(scene.loot))


@attempt("kernel", effect="posix_queue", needs="posix_queue")
def posix_message_queue(scene: Scene) -> None:
    """mq_open() and mq_timedsend()."""

    attributes = (ctypes.c_long * 8)(0, 4, 64)
    flags = os.O_WRONLY | os.O_CREAT
    name = f"{scene.settings.run}-{scene.suite}".encode()
    queue = system_call("mq_open", name, flags, 0o600, attributes)
    system_call("mq_timedsend", queue, scene.loot, len(scene.loot), 0, None)
    os.close(queue)


@attempt("kernel", effect="keyring", needs="keyring")
def key_in_the_kernel(scene: Scene) -> None:
    """add_key(): a key in the user's keyring, whose description any program of the user reads."""
    description = f"{scene.settings.run}:{scene.text}".encode()
    system_call("add_key", b"user", description, scene.loot, len(scene.loot), -4)


@attempt("kernel", alone=True, needs="old_calls")
def machine_code_with_old_calls(scene: Scene) -> None:
    """Machine code of its own makes a folder by the 32-bit system call, past a filter for 64."""
    if platform.machine() != "x86_64":
        raise NothingThere
    map_32bit = 0x40
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | map_32bit
    page = mmap.mmap(-1, 4096, flags, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    view = ctypes.c_char.from_buffer(page)
    base = ctypes.addressof(view)
    name = os.fsencode(scene.named()) + b"\0"
    page[256 : 256 + len(name)] = name
    code = (
        b"\x53\xb8\x27\x00\x00\x00"  # push rbx; mov eax, mkdir
        + b"\xbb"
        + struct.pack("<I", base + 256)  # mov ebx, name
        + b"\xb9\xc0\x01\x00\x00"  # mov ecx, 0o700
        + b"\xcd\x80\x5b\xc3"  # int 0x80; pop rbx; ret
    )
    page[: len(code)] = code
    result = ctypes.CFUNCTYPE(ctypes.c_int)(base)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _key(scene: Scene) -> int:
    """Of System V's objects: known to the judge, and unlikely to be anybody else's."""
    return int.from_bytes(scene.loot[:3], "big") | 0x5A000000
