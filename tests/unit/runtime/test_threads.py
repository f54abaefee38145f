"""trio's shared worker threads are refused to confined threads and to nobody else."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio._core._thread_cache as trio_threads

from runtime.errors import BlockingRefused, PrintingRefused
from runtime.threads import guard_standard_streams, mark_confined_thread, refuse_trio_workers

pytestmark = pytest.mark.real_time


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    """The cache of before is put back, so that other tests have trio as it is."""
    before = trio_threads.THREAD_CACHE
    refuse_trio_workers()
    yield
    trio_threads.THREAD_CACHE = before


async def _direct() -> None:
    trio.lowlevel.start_thread_soon(lambda: None, lambda _: None)


WAYS: dict[str, Callable[[Path], Awaitable[Any]]] = {
    "trio": lambda _: trio.to_thread.run_sync(threading.get_ident),
    "anyio": lambda _: anyio.to_thread.run_sync(threading.get_ident),
    "lowlevel": lambda _: _direct(),
    "trio's file": lambda folder: trio.Path(folder / "file").write_text("x"),
    "anyio's file": lambda folder: anyio.Path(folder / "file").write_text("x"),
    "trio's name look-up": lambda _: trio.socket.getaddrinfo("a.invalid", 80),
}


def _run_in_thread(work: Callable[[], Awaitable[Any]], *, marked: bool) -> Any:
    results: list[Any] = []

    def run() -> None:
        if marked:
            mark_confined_thread()
        try:
            results.append(trio.run(work))
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("way", WAYS)
def test_refused_on_a_confined_thread(way: str, tmp_path: Path) -> None:
    async def main() -> int:
        for _ in range(50):  # more than the limiter lets through, were its tokens lost
            with pytest.raises(BlockingRefused, match=r"self\.blocking"):
                await WAYS[way](tmp_path)
        return trio.to_thread.current_default_thread_limiter().borrowed_tokens

    assert _run_in_thread(main, marked=True) == 0
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("way", [way for way in WAYS if "look-up" not in way])
def test_as_before_on_any_other(way: str, tmp_path: Path) -> None:
    async def main() -> str:
        await WAYS[way](tmp_path)
        return "done"

    assert _run_in_thread(main, marked=False) == "done"


def test_idle_workers_of_others_are_not_given_to_a_confined_thread() -> None:
    async def warm_up() -> int:
        return await trio.to_thread.run_sync(threading.get_native_id)

    first = _run_in_thread(warm_up, marked=False)
    assert isinstance(_run_in_thread(warm_up, marked=True), BlockingRefused)
    assert _run_in_thread(warm_up, marked=False) == first  # still there, and used again


def test_a_new_thread_is_not_marked_by_an_old_ones_id() -> None:
    async def work() -> str:
        return await trio.to_thread.run_sync(lambda: "done")

    assert isinstance(_run_in_thread(work, marked=True), BlockingRefused)
    assert [_run_in_thread(work, marked=False) for _ in range(5)] == ["done"] * 5


def test_asking_twice_changes_nothing() -> None:
    cache = trio_threads.THREAD_CACHE
    refuse_trio_workers()
    assert trio_threads.THREAD_CACHE is cache


@pytest.mark.parametrize(
    "way",
    [
        lambda: print("x"),
        lambda: sys.stdout.write("x"),
        lambda: sys.stderr.writelines(["x"]),
        lambda: sys.stdout.buffer.write(b"x"),
    ],
)
def test_a_confined_thread_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, way: Callable[[], object]
) -> None:
    printed = _guard(monkeypatch)

    async def main() -> str:
        with contextlib.suppress(OSError):  # as a library takes it
            way()
        try:
            way()
        except PrintingRefused as error:
            return str(error)
        return "printed"

    assert "self.log" in _run_in_thread(main, marked=True)
    assert printed.getvalue() == ""


def test_any_other_thread_prints_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _guard(monkeypatch)

    async def main() -> None:
        print("said")

    assert _run_in_thread(main, marked=False) is None
    assert printed.getvalue() == "said\n"


def _guard(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a guarded standard output takes."""
    stream = io.StringIO()
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, stream)
    guard_standard_streams()
    return stream
