"""Tricks with a heap that is shared: something of ours is run, or written, by another domain.

Each needs only memory. What another thread is led to do is done under that thread's walls, so
these write wherever *it* may (``Scene.write_anywhere``).
"""

from __future__ import annotations

__all__: list[str] = []

import _thread
import atexit
import builtins
import ctypes
import faulthandler
import gc
import hashlib
import importlib.machinery
import logging
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

import structlog
import trio

from actors.crowd.messages import PictureCount
from actors.escape import bystanders
from actors.escape.attempt import NothingThere, Scene, Undo, attempt
from actors.escape.bystanders import Archive, Journal, ReportFile
from actors.escape.messages import AttemptReport, Outcome
from actors.escape.reach import thing
from actors.statistics.store import StatisticsStore
from runtime.channel import Queue

_keep: list[Any] = []
"""What must live as long as the process."""


def _once(scene: Scene, function: Any) -> Any:
    """The function, which also writes the first time that another thread calls it."""

    def instead(*arguments: Any, **options: Any) -> Any:
        _write_elsewhere(scene)
        return function(*arguments, **options)

    return instead


def _write_elsewhere(scene: Scene) -> None:
    # What this calls may be what is replaced.
    if threading.get_ident() in _busy:
        return
    _busy.add(threading.get_ident())
    try:
        if not scene.path.exists():
            scene.write_anywhere()
    finally:
        _busy.discard(threading.get_ident())


_busy: set[int] = set()


def _swap(owner: Any, name: str, new: Any) -> Undo:
    old = getattr(owner, name)
    setattr(owner, name, new)
    return lambda: setattr(owner, name, old)


@attempt("heap", linger=0.15)
def replaced_function(scene: Scene) -> Undo:
    """A module's function that another domain calls is replaced."""
    return _swap(bystanders, "seal", _once(scene, bystanders.seal))


@attempt("heap", linger=0.15)
def replaced_method(scene: Scene) -> Undo:
    """A method of a class that another domain uses is replaced."""
    return _swap(Journal, "note", _once(scene, Journal.note))


@attempt("heap", only="crowd")
async def replaced_method_of_the_statistics(scene: Scene) -> None:
    """What StatisticsStore.append calls is replaced: called when the pole stops at the latest.
    The actor took ``append`` itself when it started."""
    now = int(time.time())
    await scene.actor.counts.send(
        PictureCount(place=scene.actor.place, taken_at=now, people=0, cells=())
    )
    insert = _once(scene, StatisticsStore._insert_people)
    StatisticsStore._insert_people = insert  # type: ignore[method-assign]


@attempt("heap", linger=0.15)
def replaced_code(scene: Scene) -> Undo:
    """The code object of another domain's function is exchanged."""
    function = bystanders.seal
    old, helper = function.__code__, _once(scene, lambda beat: hashlib.sha256(b"").digest())
    function.__globals__["_escape_helper"] = helper
    function.__code__ = (lambda beat: _escape_helper(beat)).__code__  # type: ignore[name-defined]  # noqa: F821
    return lambda: setattr(function, "__code__", old)


@attempt("heap", alone=True, linger=0.15)
def replaced_builtin(scene: Scene) -> Undo:
    """A builtin that everybody calls is replaced."""
    return _swap(builtins, "getattr", _once(scene, getattr))


@attempt("heap", linger=0.15)
def replaced_function_of_the_library(scene: Scene) -> Undo:
    """A function of the standard library that everybody calls is replaced."""
    return _swap(gc, "collect", _once(scene, gc.collect))


@attempt("heap", linger=0.15)
def replaced_constant(scene: Scene) -> Undo:
    """The bytes that another domain writes at each beat, overwritten in place."""
    target = bystanders.HEARTBEAT
    address = id(target) + bytes.__basicsize__ - 1
    old = bytes(bytearray(target))
    ctypes.memmove(address, scene.loot, len(scene.loot))
    return lambda: ctypes.memmove(address, old, len(old))


@attempt("heap", linger=0.15)
def object_that_another_collects(scene: Scene) -> None:
    """An object with __del__, put where another domain clears a list."""
    archive = thing(Archive)
    archive.waiting.append(_Trap(scene))


class _Trap:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __del__(self) -> None:
        self._scene.write_anywhere()


@attempt("heap", linger=0.15)
def reference_that_another_drops(scene: Scene) -> None:
    """A weak reference's callback, on an object that another domain drops."""

    class Plain:
        pass

    target = Plain()
    _keep.append(weakref.ref(target, scene.write_anywhere))
    thing(Archive).waiting.append(target)


@attempt("heap", linger=0.2)
def cycle_left_to_the_collector(scene: Scene) -> None:
    """A circle of objects with __del__, which whoever runs the collector finds."""
    trap: Any = _Trap(scene)
    trap.itself = trap


@attempt("heap", linger=0.2)
def hook_of_the_collector(scene: Scene) -> Undo:
    """gc.callbacks: called by whichever thread collects."""

    def hook(*_: Any) -> None:
        _write_elsewhere(scene)

    gc.callbacks.append(hook)
    return lambda: gc.callbacks.remove(hook)


@attempt("heap")
def call_at_exit(scene: Scene) -> None:
    """atexit.register()."""
    atexit.register(scene.write_anywhere)


@attempt("heap")
def call_at_the_end_of_threads(scene: Scene) -> None:
    """threading._register_atexit()."""
    threading._register_atexit(scene.write_anywhere)  # type: ignore[attr-defined]


@attempt("heap", linger=0.2)
def pending_call(scene: Scene) -> None:
    """Py_AddPendingCall(): run by the main thread, soon."""

    class Writing:
        def __len__(self) -> int:
            scene.write_anywhere()
            return 0

    # A function that is there already: making one takes executable memory, which walls refuse.
    _keep.append(Writing())
    if ctypes.pythonapi.Py_AddPendingCall(
        ctypes.pythonapi.PyObject_Size, ctypes.py_object(_keep[-1])
    ):
        raise OSError("the queue of pending calls is full")


@attempt("heap", alone=True, linger=0.3)
def audit_hook(scene: Scene) -> None:
    """sys.addaudithook(): called in every thread, at everything that is audited."""
    calls: list[int] = []
    own = threading.get_ident()

    def hook(event: str, _: Any) -> None:
        # Its own thread first, so that there is an effect where there is but one.
        if len(calls) < 50 and (event == "open" or threading.get_ident() != own):
            calls.append(1)
            _write_elsewhere(scene)

    sys.addaudithook(hook)
    sys.audit("open")


@attempt("heap", alone=True, linger=0.3)
def tracing_of_other_threads(scene: Scene) -> None:
    """threading.settrace() and setprofile(), which threads that start later obey."""

    def trace(*_: Any) -> None:
        _write_elsewhere(scene)

    threading.setprofile(trace)
    # Its own thread too, so that there is an effect where there is but one.
    sys.setprofile(trace)
    os.getpid()
    sys.setprofile(None)


@attempt("heap", alone=True, linger=0.3)
def signal_handler(scene: Scene) -> None:
    """A handler for the signal by which the pole is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: scene.write_anywhere())


@attempt("heap", alone=True, linger=0.3)
def signal_handler_by_memory(scene: Scene) -> None:
    """The handler that is installed already, replaced where Python keeps it."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or not hasattr(handler, "__code__"):
        raise NothingThere
    handler.__globals__["_escape_write"] = scene.write_anywhere
    # With the same free variables as the original, which Python insists on.
    names = ", ".join(handler.__code__.co_freevars)
    namespace: dict[str, Any] = {}
    makes = (
        f"def make({names}):\n def handle(*_):\n  {names or '0'}\n  _escape_write()\n return handle"
    )
    exec(makes, namespace)
    handler.__code__ = namespace["make"](*handler.__code__.co_freevars).__code__


@attempt("heap", ends=True, linger=0.3)
def exception_in_another_thread(scene: Scene) -> None:
    """PyThreadState_SetAsyncExc(): an exception named by the loot, raised in the main thread."""
    kind = type(scene.text, (Exception,), {})
    ident = ctypes.c_ulong(threading.main_thread().ident or 0)
    if not ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(kind)):
        raise NothingThere


@attempt("heap", linger=0.15)
def queue_of_a_log_listener(scene: Scene) -> Undo:
    """A log handler more, which writes when another domain logs."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _write_elsewhere(scene)

    logger, handler = logging.getLogger("archive"), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def undo() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    return undo


@attempt("heap", alone=True)
def log_configured_anew(scene: Scene) -> None:
    """structlog gets a step more, which adds the loot to everybody's next line."""

    def add(_: Any, __: str, event: Any) -> Any:
        return {**event, "note": scene.text} if isinstance(event, dict) else event

    structlog.configure(processors=[add, structlog.processors.JSONRenderer()])


def _behind(stream: Any) -> Any:
    """The stream itself, without the runtime's guard before it."""
    return getattr(stream, "_stream", stream)


@attempt("heap", linger=0.2)
def buffer_of_standard_output(scene: Scene) -> None:
    """Bytes in sys.stdout's buffer, which another thread flushes, or the end."""
    _behind(sys.stdout).write(scene.text + "\n")


@attempt("heap", linger=0.2)
def buffer_of_standard_error(scene: Scene) -> None:
    """Text for sys.stderr, which stays in its buffer until another thread writes."""
    try:
        _behind(sys.stderr).write(scene.text)
        _behind(sys.stderr).write("\n")
    except OSError:
        pass


@attempt("heap", alone=True, linger=0.3)
def import_finder(scene: Scene) -> None:
    """A finder on sys.meta_path, asked by whoever imports next."""

    class Finder:
        @staticmethod
        def find_spec(*_: Any) -> importlib.machinery.ModuleSpec | None:
            _write_elsewhere(scene)
            return None

    sys.meta_path.insert(0, Finder)
    # The archive imports it at each beat; what is loaded already is asked of no finder.
    sys.modules.pop("marshal", None)


@attempt("heap", alone=True, linger=0.3)
def timer_of_the_fault_handler(scene: Scene) -> None:
    """faulthandler on another's descriptor, with a function named by the loot on the stack."""
    descriptor = thing(ReportFile)._descriptor
    namespace: dict[str, Any] = {"dump": faulthandler.dump_traceback}
    exec(f"def f{scene.text}(): dump({descriptor})", namespace)
    namespace[f"f{scene.text}"]()


@attempt("heap", alone=True, linger=0.5)
def fault_handler_later(scene: Scene) -> None:
    """faulthandler.dump_traceback_later(), whose thread writes what the stack is called."""
    namespace: dict[str, Any] = {"later": faulthandler.dump_traceback_later}
    source = (
        f"def f{scene.text}():\n import time\n later(0.05, exit=False, file=2)\n time.sleep(0.2)\n"
    )
    exec(source, namespace)
    namespace[f"f{scene.text}"]()


@attempt("heap", alone=True, linger=0.2)
async def replaced_receiving_end(scene: Scene) -> None:
    """Where another domain takes a message out of its queue, it gets one of ours."""
    take = Queue.take

    def instead(queue: Queue[Any]) -> Any:
        message = take(queue)
        return _forged_report(scene) if type(message) is AttemptReport else message

    Queue.take = instead  # type: ignore[method-assign,assignment]
    await scene.actor.reports.send(AttemptReport(number=0, outcome=Outcome.BEGUN, errno=0))
    await trio.sleep(0.1)
    Queue.take = take  # type: ignore[method-assign]


def _forged_report(scene: Scene) -> Any:
    return AttemptReport(number=scene.text, outcome=Outcome.BEGUN, errno=0)  # type: ignore[arg-type]


@attempt("heap", linger=0.1)
def shared_object_of_two_domains(scene: Scene) -> Undo:
    """An attribute of another domain's object, which it then writes."""
    file = thing(ReportFile)
    original = file.append

    def append(report: Any) -> None:
        original(_forged_report(scene))
        del file.append
        original(report)

    file.append = append  # type: ignore[method-assign]
    return lambda: None


@attempt("heap", alone=True, linger=0.3)
def hook_for_unraisable_errors(scene: Scene) -> None:
    """sys.unraisablehook and threading.excepthook, called where another thread fails."""
    sys.unraisablehook = scene.write_anywhere
    threading.excepthook = scene.write_anywhere

    class Failing:
        def __del__(self) -> None:
            raise ValueError

    thing(Archive).waiting.append(Failing())


@attempt("heap")
def main_thread_interrupted(scene: Scene) -> None:
    """_thread.interrupt_main(): a bit for the main thread, with a handler of its own."""
    old = signal.getsignal(signal.SIGUSR2)
    try:
        signal.signal(signal.SIGUSR2, lambda *_: scene.write_anywhere())
        _thread.interrupt_main(signal.SIGUSR2)
        for _ in range(100):
            os.getpid()
    finally:
        signal.signal(signal.SIGUSR2, old if old is not None else signal.SIG_DFL)
