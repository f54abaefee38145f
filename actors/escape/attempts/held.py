"""What was opened before the walls stood, while the hostile module was imported."""

from __future__ import annotations

__all__ = ["hold"]

import json
import mmap
import os
import queue
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.escape.attempt import NothingThere, Scene, attempt

_held: dict[str, Any] = {}
_LIFE = 60.0
"""Seconds after which a helper ends by itself, whatever happens."""


def hold(request: str) -> None:
    """Prepare what one attempt needs. ``request`` is JSON: its name and the judge's addresses."""
    if not request:
        return
    asked = json.loads(request)
    prepare = _PREPARATIONS.get(asked["attempt"])
    if prepare is not None:
        _held[asked["attempt"]] = prepare(asked)


def _take(scene: Scene) -> Any:
    if scene.name not in _held:
        raise NothingThere
    return _held[scene.name]


def _file(asked: dict[str, Any]) -> int:
    return os.open(asked["path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _buffered(asked: dict[str, Any]) -> Any:
    return open(asked["path"], "ab", buffering=1 << 16)


def _tcp(asked: dict[str, Any]) -> socket.socket:
    return socket.create_connection(("127.0.0.1", asked["tcp"]))


def _udp(asked: dict[str, Any]) -> socket.socket:
    one = socket.socket(type=socket.SOCK_DGRAM)
    one.connect(("127.0.0.1", asked["udp"]))
    return one


def _unix(asked: dict[str, Any]) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(asked["unix"])
    return one


def _map(asked: dict[str, Any]) -> mmap.mmap:
    with open(asked["path"], "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        return mmap.mmap(file.fileno(), mmap.PAGESIZE)


def _database(asked: dict[str, Any]) -> sqlite3.Connection:
    database = sqlite3.connect(asked["path"], check_same_thread=False)
    database.execute("CREATE TABLE IF NOT EXISTS loot (bytes BLOB)")
    database.commit()
    return database


def _thread(asked: dict[str, Any]) -> queue.SimpleQueue[Callable[[], object]]:
    work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            work.get()()

    threading.Thread(target=serve, daemon=True, name="held").start()
    return work


def _watched_memory(asked: dict[str, Any]) -> mmap.mmap:
    """Memory shared with a process that was forked off, which writes what it finds there."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    parent = os.getpid()
    if not os.fork():
        try:
            ends = time.monotonic() + _LIFE
            while time.monotonic() < ends and os.getppid() == parent:
                if shared[0]:
                    Path(asked["path"]).write_bytes(shared[1 : 1 + shared[0]])
                    break
                time.sleep(0.01)
        finally:
            os._exit(0)
    return shared


def _pipe_to_a_process(asked: dict[str, Any]) -> int:
    reading, writing = os.pipe()
    if not os.fork():
        try:
            os.close(writing)
            Path(asked["path"]).write_bytes(os.read(reading, 4096))
        finally:
            os._exit(0)
    os.close(reading)
    return writing


_PREPARATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "file_held": _file,
    "buffered_file_held": _buffered,
    "tcp_connection_held": _tcp,
    "udp_socket_held": _udp,
    "udp_socket_held_sendmsg": _udp,
    "unix_socket_held": _unix,
    "map_of_a_file_held": _map,
    "database_held": _database,
    "thread_held": _thread,
    "memory_shared_with_a_process": _watched_memory,
    "pipe_to_a_process_held": _pipe_to_a_process,
}


@attempt("held", on_import=True)
def file_held(scene: Scene) -> None:
    """A file opened on import: write()."""
    os.write(_take(scene), scene.loot)


@attempt("held", on_import=True)
def buffered_file_held(scene: Scene) -> None:
    """A buffered file opened on import: filled, and left for whoever flushes it at the end."""
    file = _take(scene)
    file.write(scene.loot)


@attempt("held", on_import=True)
def tcp_connection_held(scene: Scene) -> None:
    """A TCP connection made on import: send()."""
    _take(scene).sendall(scene.loot)


@attempt("held", on_import=True)
def udp_socket_held(scene: Scene) -> None:
    """A UDP socket connected on import: send()."""
    _take(scene).send(scene.loot)


@attempt("held", on_import=True)
def udp_socket_held_sendmsg(scene: Scene) -> None:
    """A UDP socket connected on import: sendmsg(), one byte at a time."""
    for byte in range(len(scene.loot)):
        _take(scene).sendmsg([scene.loot[byte : byte + 1]])


@attempt("held", on_import=True)
def unix_socket_held(scene: Scene) -> None:
    """A Unix socket connected on import: write()."""
    os.write(_take(scene).fileno(), scene.loot)


@attempt("held", on_import=True)
def map_of_a_file_held(scene: Scene) -> None:
    """A file mapped on import, shared and writable: stored into, without any system call."""
    _take(scene)[: len(scene.loot)] = scene.loot


@attempt("held", on_import=True)
def database_held(scene: Scene) -> None:
    """A SQLite connection opened on import."""
    database = _take(scene)
    database.execute("INSERT INTO loot VALUES (?)", [scene.loot])
    database.commit()


@attempt("held", on_import=True, linger=0.2)
def thread_held(scene: Scene) -> None:
    """A thread started on import, which no wall was put around."""
    _take(scene).put(scene.write_anywhere)


@attempt("held", on_import=True, linger=0.2)
def memory_shared_with_a_process(scene: Scene) -> None:
    """A process forked off on import, and memory shared with it: no system call at all."""
    shared = _take(scene)
    shared[1 : 1 + len(scene.loot)] = scene.loot
    shared[0] = len(scene.loot)


@attempt("held", on_import=True, linger=0.2)
def pipe_to_a_process_held(scene: Scene) -> None:
    """A process forked off on import, and a pipe to it: write()."""
    os.write(_take(scene), scene.loot)
