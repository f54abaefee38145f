"""Attempts are named by the thread that makes them, and nothing else comes of the watch."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.watch import unwatch_thread, watch_thread

pytestmark = pytest.mark.real_time


@pytest.fixture(autouse=True)
def _unwatched() -> Iterator[None]:
    yield
    unwatch_thread()


def _in_thread(work: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_attempts_are_reported_by_name_only(tmp_path: Path) -> None:
    seen: list[str] = []
    secret = tmp_path / "someone's name"
    watch_thread(seen.append)
    secret.write_text("x")
    os.rename(secret, tmp_path / "b")
    socket.socket().close()
    unwatch_thread()
    assert [name for name in seen if not name.startswith("gc.")] == [
        "open",
        "os.rename",
        "socket.__new__",
    ]


def test_what_a_domain_is_there_for_is_no_attempt(tmp_path: Path) -> None:
    seen: list[str] = []
    watch_thread(seen.append, allowed=("open", "os.rename"))
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").rename(tmp_path / "b")
    os.mkdir(tmp_path / "c")
    unwatch_thread()
    assert seen == ["os.mkdir"]


def test_other_threads_are_not_watched(tmp_path: Path) -> None:
    seen: list[str] = []
    watch_thread(seen.append)
    _in_thread(lambda: (tmp_path / "a").write_text("x"))
    unwatch_thread()
    (tmp_path / "b").write_text("x")
    assert "open" not in seen


def test_a_report_may_fail_or_do_forbidden_things_itself(tmp_path: Path) -> None:
    count = 0

    def report(event: str) -> None:
        nonlocal count
        count += 1
        (tmp_path / f"log-{count}").write_text(event)
        raise RuntimeError("the log is full")

    watch_thread(report)
    (tmp_path / "a").write_text("x")
    os.mkdir(tmp_path / "b")
    unwatch_thread()
    assert (tmp_path / "a").read_text() == "x"
    assert (tmp_path / "b").is_dir()
    assert [(tmp_path / f"log-{n}").read_text() for n in (1, 2)] == ["open", "os.mkdir"]
    assert count == 2


def test_a_thread_that_is_not_watched_hardly_notices() -> None:
    """0.1 µs an event here; the limit leaves room for a busy machine."""
    import sys

    _in_thread(lambda: (watch_thread(print), unwatch_thread()))  # the hook is in place
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(20_000):
            sys.audit("smartpole.test", 1)
        best = min(best, (time.perf_counter() - began) / 20_000)
    print(f"{best * 1e6:.2f} µs an event")
    assert best < 1e-6
