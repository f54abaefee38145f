"""Naming attempts: which forbidden thing an actor's thread tries to do, as Python sees it.

It is not the wall. It sees neither C extensions nor what is held already, stops nothing and never
raises; the kernel does that. It is there so that a refused attempt has an author in the log.

    watch_thread(lambda event: log.warning("attempt", event=event))
    try:
        trio.run(...)
    finally:
        unwatch_thread()
"""

from __future__ import annotations

__all__ = ["Report", "unwatch_thread", "watch_thread"]

import sys
import threading
from collections.abc import Callable, Iterable
from threading import get_ident

_ATTEMPTS = (
    "open",
    "fcntl.",
    "glob.",
    "mmap.",
    "os.",
    "pathlib.",
    "shutil.",
    "sqlite3.",
    "tempfile.",
    # the network
    "ftplib.",
    "http.",
    "imaplib.",
    "nntplib.",
    "poplib.",
    "smtplib.",
    "socket.",
    "syslog.",
    "telnetlib.",
    "urllib.",
    "webbrowser.",
    # processes, and other threads
    "pty.",
    "resource.",
    "signal.",
    "subprocess.",
    # other people's objects, and the machine beneath
    "code.__new__",
    "ctypes.",
    "gc.",
    "sys._current_exceptions",
    "sys._current_frames",
    "sys.addaudithook",
    "sys.setprofile",
    "sys.settrace",
)
"""Names of audit events, or beginnings of them, that an actor without files and sockets has no
business raising. Not import, compile and exec, which libraries raise at any time and which reach
nothing outside; what an import opens is an attempt of its own."""

Report = Callable[[str], object]


class _Watch:
    """Over one thread."""

    __slots__ = ("_allowed", "_is_reporting", "_report", "_verdicts")

    def __init__(self, report: Report, allowed: tuple[str, ...]) -> None:
        self._report = report
        self._allowed = allowed
        self._verdicts: dict[str, bool] = {}
        self._is_reporting = False

    def see(self, event: str) -> None:
        verdict = self._verdicts.get(event)
        if verdict is None:
            verdict = event.startswith(_ATTEMPTS) and not event.startswith(self._allowed)
            self._verdicts[event] = verdict
        # What reporting itself brings about is nobody's attempt.
        if not verdict or self._is_reporting:
            return
        self._is_reporting = True
        try:
            self._report(event)
        except Exception:
            pass  # an exception would end the operation here, before the wall has been tried
        finally:
            self._is_reporting = False


_watches: dict[int, _Watch] = {}
_installing = threading.Lock()
_is_installed = False


def watch_thread(report: Report, *, allowed: Iterable[str] = ()) -> None:
    """Report attempts of the calling thread by the event's name, and never its arguments.

    ``report`` is called in the thread itself, at every attempt. ``allowed``: names of events, or
    beginnings of them, that the thread's domain is there for ("open", "sqlite3.", "socket.").
    """
    _install()
    _watches[get_ident()] = _Watch(report, tuple(allowed))


def unwatch_thread() -> None:
    """Report no more of the calling thread. Call it before it ends: its id is given out again."""
    _watches.pop(get_ident(), None)


def _install() -> None:
    """Once a process: an audit hook can't be taken out again."""
    global _is_installed
    with _installing:
        if not _is_installed:
            sys.addaudithook(_make_hook())
            _is_installed = True


def _make_hook() -> Callable[[str, tuple[object, ...]], None]:
    # The thread's id, and not a context variable, which the code that runs can set. Everything is
    # bound here because each event of each thread of the process comes through.
    find, identify = _watches.get, get_ident

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        watch = find(identify())
        if watch is not None:
            watch.see(event)

    return hook
