"""What a hostile actor tries in a domain that may open nothing. Each leaves a trace if it works."""

from __future__ import annotations

__all__ = ["ATTEMPTS", "try_all"]

import ctypes
import mmap
import os
import pathlib
import platform
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime.sandbox import Permissions
from tests.unit.runtime.sandbox.child import attempt, confined

_library = ctypes.CDLL(None, use_errno=True)
_PATTERN = b"a picture"


@dataclass
class Ground:
    """What lies about in the process when the thread is confined."""

    folder: Path
    held_file: IO[bytes]
    held_socket: socket.socket
    database: sqlite3.Connection
    port: int
    datagram_port: int
    link: socket.socket
    wakeup: socket.socket


ATTEMPTS: dict[str, Callable[[Ground], object]] = {}


def _named(work: Callable[[Ground], object]) -> Callable[[Ground], object]:
    ATTEMPTS[work.__name__] = work
    return work


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A raw system call. Raises OSError."""
    converted = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    result: int = _library.syscall(ctypes.c_long(number), *converted)
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


@_named
def open_to_write(ground: Ground) -> None:
    with open(ground.folder / "open", "wb") as file:
        file.write(_PATTERN)


@_named
def pathlib_write(ground: Ground) -> None:
    pathlib.Path(ground.folder / "pathlib").write_bytes(_PATTERN)


@_named
def open_to_read(ground: Ground) -> None:
    with open("/proc/self/cmdline", "rb") as file:
        file.read()


@_named
def make_folder(ground: Ground) -> None:
    os.mkdir(ground.folder / "folder")


@_named
def symbolic_link_named_like_data(ground: Ground) -> None:
    os.symlink(_PATTERN.hex(), ground.folder / "symlink")


@_named
def hard_link(ground: Ground) -> None:
    os.link(ground.folder / "held", ground.folder / "hard")


@_named
def named_pipe(ground: Ground) -> None:
    os.mkfifo(ground.folder / "pipe")


@_named
def rename_held(ground: Ground) -> None:
    os.rename(ground.folder / "held", ground.folder / _PATTERN.hex())


@_named
def mode_as_data(ground: Ground) -> None:
    os.chmod(ground.folder / "held", 0o751)


@_named
def times_as_data(ground: Ground) -> None:
    os.utime(ground.folder / "held", (12345, 12345))


@_named
def extended_attribute(ground: Ground) -> None:
    os.setxattr(ground.folder / "held", "user.picture", _PATTERN)


@_named
def temporary_file(ground: Ground) -> None:
    with tempfile.NamedTemporaryFile(dir=ground.folder, delete=False) as file:
        file.write(_PATTERN)


@_named
def held_file(ground: Ground) -> None:
    ground.held_file.write(_PATTERN)


@_named
def held_file_by_number(ground: Ground) -> None:
    os.write(ground.held_file.fileno(), _PATTERN)


@_named
def held_file_by_position(ground: Ground) -> None:
    os.pwritev(ground.held_file.fileno(), [_PATTERN], 0)


@_named
def held_file_cut(ground: Ground) -> None:
    os.ftruncate(ground.held_file.fileno(), 0)


@_named
def held_file_mapped(ground: Ground) -> None:
    with mmap.mmap(ground.held_file.fileno(), 4) as view:
        view[:] = b"xxxx"


@_named
def held_file_by_proc(ground: Ground) -> None:
    with open(f"/proc/self/fd/{ground.held_file.fileno()}", "wb") as file:
        file.write(_PATTERN)


@_named
def stolen_database(ground: Ground) -> None:
    ground.database.execute("insert into notes values (?)", (_PATTERN,))
    ground.database.commit()


@_named
def new_database(ground: Ground) -> None:
    with sqlite3.connect(ground.folder / "database") as database:
        database.execute("create table notes (note)")


@_named
def standard_error(ground: Ground) -> None:
    os.write(2, _PATTERN)


@_named
def connect(ground: Ground) -> None:
    socket.create_connection(("127.0.0.1", ground.port)).sendall(_PATTERN)


@_named
def datagram(ground: Ground) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(_PATTERN, ("127.0.0.1", ground.datagram_port))


@_named
def unix_socket(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0smartpole-picture")


@_named
def netlink(ground: Ground) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@_named
def pair_of_sockets(ground: Ground) -> None:
    socket.socketpair()


@_named
def held_socket(ground: Ground) -> None:
    ground.held_socket.sendall(_PATTERN)


@_named
def held_socket_to_address(ground: Ground) -> None:
    ground.held_socket.sendto(_PATTERN, ("127.0.0.1", ground.datagram_port))


@_named
def link_with_descriptor(ground: Ground) -> None:
    socket.send_fds(ground.link, [_PATTERN], [ground.held_file.fileno()])


@_named
def link_by_write(ground: Ground) -> None:
    os.write(ground.link.fileno(), _PATTERN)


@_named
def link_out_of_band(ground: Ground) -> None:
    ground.link.send(b"x", socket.MSG_OOB)


@_named
def wakeup_with_more_than_a_byte(ground: Ground) -> None:
    ground.wakeup.send(_PATTERN)


@_named
def pipe(ground: Ground) -> None:
    os.pipe()


@_named
def fork(ground: Ground) -> None:
    if os.fork() == 0:
        (ground.folder / "fork").touch()
        os._exit(0)


@_named
def process(ground: Ground) -> None:
    subprocess.run(["touch", ground.folder / "process"], check=True)


@_named
def spawn(ground: Ground) -> None:
    os.posix_spawn("/bin/touch", ["touch", str(ground.folder / "spawn")], {})


@_named
def replace_program(ground: Ground) -> None:
    os.execv("/bin/touch", ["touch", str(ground.folder / "exec")])


@_named
def signal_to_self(ground: Ground) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@_named
def signal_to_thread(ground: Ground) -> None:
    signal.raise_signal(signal.SIGTERM)


@_named
def memory_file(ground: Ground) -> None:
    os.memfd_create("picture")


@_named
def memory_shared(ground: Ground) -> None:
    mmap.mmap(-1, 4096).close()  # Python's is shared unless told otherwise


@_named
def memory_executable(ground: Ground) -> None:
    mmap.mmap(
        -1,
        4096,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
        prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
    ).close()


@_named
def other_folder(ground: Ground) -> None:
    os.chdir(ground.folder)


if platform.machine() == "x86_64":
    # Numbers that are not in the sandbox's own table, from the kernel's header.
    _RAW: dict[str, tuple[int, tuple[int | bytes | None, ...]]] = {
        "name_of_thread": (157, (15, b"picture", 0, 0, 0)),
        "another_filter": (317, (1, 0, None)),
        "fork": (57, ()),
        "vfork_like_clone": (56, (0x4111, None, None, None, None)),
        "own_namespace": (272, (0x1000_0000,)),
        "clone_namespace": (56, (0x3D0F00 | 0x1000_0000, None, None, None, None)),
        "ptrace_me": (101, (0, 0, 0, 0)),
        "process_memory": (311, (1, None, 0, None, 0, 0)),
        "io_uring": (425, (4, bytes(120))),
        "shared_segment": (29, (0, 4096, 0o1600)),
        "message_queue": (240, (b"picture", 0o102, 0o600, None)),
        "semaphore": (64, (0, 1, 0o1600)),
        "userfault": (323, (1,)),
        "bpf": (321, (0, None, 0)),
        "perf_event": (298, (None, 0, -1, -1, 0)),
        "keyring": (248, (b"user", b"picture", b"x", 1, -2)),
        "process_descriptor": (434, (os.getpid(), 0)),
        "steal_descriptor": (438, (0, 0, 0)),
        "duplicate": (32, (1,)),
        "duplicate_onto": (33, (1, 40)),
        "fcntl_duplicate": (72, (1, 0, 0)),
        "event": (290, (0, 0)),
        "timer_signal": (222, (0, None, None)),
        "alarm": (37, (1,)),
        "handler": (13, (10, None, None, 8)),
        "host_name": (170, (b"picture", 7)),
        "mount": (165, (None, b"/tmp", None, 0, None)),
        "name_to_handle": (303, (-100, b"/", None, None, 0)),
        "limits": (302, (0, 7, None, None)),
        "nice": (141, (0, 0, 5)),
        "mask": (95, (0o777,)),
        "own_ids": (117, (-1, -1, -1)),
        "x32_write": (0x4000_0000 | 1, (2, b"x", 1)),
        "x32_socket": (0x4000_0000 | 41, (2, 1, 0)),
        "unknown": (1023, ()),
    }
    for _name, (_number, _arguments) in _RAW.items():
        ATTEMPTS[f"raw_{_name}"] = lambda _, n=_number, a=_arguments: _call(n, *a)


def try_all(folder: str) -> dict[str, object]:
    """Each attempt's outcome, and what can be seen of them afterwards."""
    below = Path(folder)
    (below / "held").write_bytes(b"held")
    before = os.stat(below / "held")
    database = sqlite3.connect(below / "stolen", check_same_thread=False)
    database.execute("create table notes (note)")
    database.commit()
    server = socket.create_server(("127.0.0.1", 0))
    other = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    held = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    link, far = socket.socketpair()
    woken, wakeup = socket.socketpair()
    files = sorted(os.listdir(folder))
    outcomes: dict[str, str] = {}
    with open(below / "held", "r+b", buffering=0) as held_file:
        ground = Ground(
            below,
            held_file,
            held,
            database,
            other.getsockname()[1],
            datagrams.getsockname()[1],
            link,
            wakeup,
        )

        def work() -> str:
            for name, tried in ATTEMPTS.items():
                outcomes[name] = attempt(lambda tried=tried: tried(ground))
            closing = attempt(lambda: os.close(link.fileno()))
            link.sendall(b"still there")
            wakeup.send(b"w")
            return closing

        closing = confined(
            Permissions(links=(link.fileno(),), wakeups=(wakeup.fileno(), woken.fileno())), work
        )
    after = os.stat(below / "held")
    seen = {
        "outcomes": outcomes,
        "new files": sorted({*os.listdir(folder)} - {*files}),
        "held": (below / "held").read_text(),
        "metadata": [after.st_mode == before.st_mode, after.st_mtime == before.st_mtime],
        "attributes": os.listxattr(below / "held"),
        "notes": sqlite3.connect(below / "stolen").execute("select count(*) from notes").fetchone(),
        "connections": _nothing(other.accept, other),
        "datagrams": _nothing(lambda: datagrams.recv(100), datagrams),
        "held socket": _nothing(lambda: accepted.recv(100), accepted),
        "link": far.recv(100).decode(),
        "closing": closing,
        "wakeup": woken.recv(100).decode(),
        "children": attempt(lambda: os.waitpid(-1, os.WNOHANG)),
    }
    os._exit(_print(seen))


def _nothing(receive: Callable[[], object], of: socket.socket) -> bool:
    of.setblocking(False)
    try:
        receive()
    except BlockingIOError:
        return True
    return False


def _print(seen: dict[str, object]) -> int:
    """Say what was seen, past the ends of whatever was tampered with."""
    import json

    os.write(1, json.dumps(seen).encode())
    return 0
