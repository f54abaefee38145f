"""Handles that belong to others: found in the heap, in frames, by number."""

from __future__ import annotations

__all__: list[str] = []

import errno
import gc
import os
import socket
import sqlite3
import sys
import types
from typing import Any

import msgspec
import structlog
import trio

from actors.escape import bystanders
from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.bystanders import Archive, Journal, ReportFile
from actors.escape.reach import thing
from actors.escape.system import call
from actors.recorder.capability import RecordingStore
from actors.statistics.store import StatisticsStore
from runtime.pole import Pole

_MOST_DESCRIPTORS = 256


@attempt("handles")
def recordings_by_collector(scene: Scene) -> None:
    """The recorder's store, found by the garbage collector: a segment of the loot."""
    _record(thing(RecordingStore), scene)


def _record(store: RecordingStore, scene: Scene) -> None:
    began = int.from_bytes(scene.loot[:5], "big")
    segment = store.open_segment(place="loot", started_at=began, codec="h264", width=16, height=16)
    segment.write(scene.loot)
    segment.finish(began + 1)


@attempt("handles")
def recordings_by_referrers(scene: Scene) -> None:
    """The recorder's store, by who refers to its class."""
    for one in gc.get_referrers(RecordingStore):
        if type(one) is RecordingStore:
            return _record(one, scene)
    raise NothingThere


@attempt("handles")
def recordings_by_tasks(scene: Scene) -> None:
    """The recorder's store, from the tree of tasks: a local variable of a coroutine's frame."""
    root = trio.lowlevel.current_root_task()
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        waiting.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
        coroutine: Any = task.coro
        while isinstance(coroutine, types.CoroutineType) and coroutine.cr_frame is not None:
            for value in coroutine.cr_frame.f_locals.values():
                if isinstance(value, Archive):
                    return _record(value.recordings, scene)
            coroutine = coroutine.cr_await
    raise NothingThere


@attempt("handles")
def recordings_by_frames(scene: Scene) -> None:
    """The pole, from the frames of other threads and of those who called: its cells and all."""
    frames: list[Any] = [*sys._current_frames().values(), sys._getframe()]
    for innermost in frames:
        frame = innermost
        while frame is not None:
            for value in frame.f_locals.values():
                if isinstance(value, Pole):
                    return _record(thing(RecordingStore), scene)
            frame = frame.f_back
    raise NothingThere


@attempt("handles")
def recordings_by_closures(scene: Scene) -> None:
    """The recorder's store, from the closures and bound methods of callables."""
    for one in gc.get_objects():
        if isinstance(one, types.MethodType) and isinstance(one.__self__, RecordingStore):
            return _record(one.__self__, scene)
        if isinstance(one, types.FunctionType):
            for cell in one.__closure__ or ():
                try:
                    held = cell.cell_contents
                except ValueError:
                    continue
                if isinstance(held, (Archive, RecordingStore)):
                    return _record(
                        held if isinstance(held, RecordingStore) else held.recordings, scene
                    )
    return _record(thing(RecordingStore), scene)


@attempt("handles")
def a_new_store_of_ones_own(scene: Scene) -> None:
    """A RecordingStore made past its constructor, with an authority made likewise."""
    authority = types.SimpleNamespace(
        actor="hostile", require_folder=lambda: scene.settings.state / "security"
    )
    _record(type.__call__(RecordingStore, authority), scene)


@attempt("handles", alone=True, limit=12)
def statistics_database(scene: Scene) -> None:
    """The statistics' SQLite connection: a table more."""
    database = thing(StatisticsStore)._database.conn
    _fill(database, scene)


@attempt("handles", alone=True, limit=12)
def any_database(scene: Scene) -> None:
    """Every SQLite connection in the heap."""
    found = [one for one in gc.get_objects() if isinstance(one, sqlite3.Connection)]
    if not found:
        raise NothingThere
    failure: Exception | None = None
    for database in found:
        try:
            return _fill(database, scene)
        except sqlite3.Error as error:
            failure = error
    assert failure is not None
    raise failure


def _fill(database: sqlite3.Connection, scene: Scene) -> None:
    database.execute(f"CREATE TABLE IF NOT EXISTS {scene.name} (bytes BLOB)")
    database.execute(f"INSERT INTO {scene.name} VALUES (?)", [scene.loot])
    database.commit()


@attempt("handles")
def descriptor_of_another_domain(scene: Scene) -> None:
    """The descriptor of the witness's file."""
    os.write(thing(ReportFile)._descriptor, scene.text.encode() + b"\n")


@attempt("handles", linger=0.2)
def buffer_of_another_domain(scene: Scene) -> None:
    """The archive's buffered file: filled, and written by the archive itself."""
    thing(Journal)._file.write(scene.loot)


@attempt("handles")
def map_of_another_domain(scene: Scene) -> None:
    """The archive's writable map of a file."""
    mapped = thing(Journal)._map
    if mapped is None:
        raise NothingThere
    mapped[512 : 512 + len(scene.loot)] = scene.loot


@attempt("handles", alone=True)
def every_descriptor_written(scene: Scene) -> None:
    """write() on every number that may be an open descriptor."""
    _on_every_descriptor(lambda number: os.write(number, scene.text.encode() + b"\n"))


@attempt("handles", alone=True)
def every_socket_sent_to(scene: Scene) -> None:
    """send() on every number that may be a socket, the border's among them."""

    def send(number: int) -> None:
        socket.socket(fileno=os.dup(number)).send(scene.text.encode(), socket.MSG_DONTWAIT)

    _on_every_descriptor(send, also=lambda n: _raw_send(n, scene.text.encode()))


def _raw_send(number: int, data: bytes) -> None:
    # Past Python's own socket, which takes dup() first.
    call("send", number, data, len(data), socket.MSG_DONTWAIT)


def _on_every_descriptor(use: Any, also: Any = None) -> None:
    errors = []
    for number in range(_MOST_DESCRIPTORS):
        for one in (use, also):
            try:
                if one is not None:
                    one(number)
            except OSError as error:
                errors.append(error)
    # Numbers that are no descriptor say nothing about a wall.
    told = [one for one in errors if one.errno not in (errno.EBADF, errno.ENOTSOCK)]
    if told:
        raise told[0]


@attempt("handles")
def module_of_another_domain(scene: Scene) -> None:
    """Every object that a module of another domain keeps in its globals."""
    module = sys.modules[bystanders.__name__]
    kept = [one for one in vars(module).values() if isinstance(one, (Archive, Journal))]
    for one in kept or [thing(Archive)]:
        _record(one.recordings, scene)  # type: ignore[union-attr]


@attempt("handles", linger=0.1)
def logger_of_another_domain(scene: Scene) -> None:
    """The logger that another actor holds."""
    thing(Archive).log.error("hello", note=scene.text)


@attempt("handles", linger=0.1)
def logger_of_the_runtime(scene: Scene) -> None:
    """A logger by the runtime's own name."""
    structlog.get_logger("pole").error(scene.text)


@attempt("handles", effect="control", alone=True)
def name_of_the_pole(scene: Scene) -> None:
    """The pole's own object: its name, as `smartpole status` tells it."""
    msgspec.structs.force_setattr(thing(Pole).blueprint.pole, "name", scene.text)
