"""A domain's own worker threads: what they run, how they end, and whose they are."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Callable

import pytest
import trio

from runtime.workers import Workers, run_blocking

pytestmark = pytest.mark.real_time


def thread_name() -> str:
    return threading.current_thread().name


def names(prefix: str) -> set[str]:
    """Living threads that are called so."""
    return {one.name for one in threading.enumerate() if one.name.startswith(prefix)}


class Gate:
    """Something that blocks a thread until the test lets it pass."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self.passed = 0

    def block(self) -> str:
        self.entered.release()
        assert self._open.wait(10)
        self.passed += 1
        return thread_name()

    def open(self) -> None:
        self._open.set()

    async def until_entered(self, times: int = 1) -> None:
        for _ in range(times):
            await trio.to_thread.run_sync(self.entered.acquire)


async def test_it_returns_what_the_function_returns_and_raises_what_it_raises() -> None:
    class Odd(BaseException):
        pass

    def fail(error: BaseException) -> None:
        raise error

    async with Workers("d"):
        assert await run_blocking(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await run_blocking(divmod, 7, 0)
        with pytest.raises(Odd, match="words"):
            await run_blocking(fail, Odd("words"))
        assert (await run_blocking(thread_name)).startswith("d-"), "the worker has survived it"


async def test_it_runs_in_the_caller_s_context_and_changes_nothing_of_it() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    def look_and_change() -> str:
        seen = who.get()
        who.set("someone else")
        return seen

    async with Workers("d"):
        who.set("crowd")
        assert await run_blocking(look_and_change) == "crowd"
        assert who.get() == "crowd"


async def test_the_loop_goes_on_meanwhile() -> None:
    gate = Gate()
    async with Workers("d"), trio.open_nursery() as nursery:
        nursery.start_soon(run_blocking, gate.block)
        await gate.until_entered()
        assert gate.passed == 0
        gate.open()
    assert gate.passed == 1


async def test_one_that_is_cancelled_waits_for_its_work_all_the_same() -> None:
    gate = Gate()
    order: list[str] = []
    async with Workers("d"), trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def work() -> None:
            with scope:
                order.append(await run_blocking(gate.block))
                order.append("returned")
                await trio.lowlevel.checkpoint()
                order.append("and went on")
            order.append("over")

        nursery.start_soon(work)
        await gate.until_entered()
        scope.cancel()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert order == []
        gate.open()
    assert order == ["d-1", "returned", "over"]


async def test_one_that_is_cancelled_before_does_not_begin() -> None:
    ran: list[bool] = []
    async with Workers("d"):
        with trio.CancelScope() as scope:
            scope.cancel()
            await run_blocking(ran.append, True)
        assert ran == []
        assert names("d-") == set()


async def test_one_that_is_cancelled_while_it_waits_for_a_thread_does_not_begin() -> None:
    gate = Gate()
    ran: list[bool] = []
    async with Workers("d", at_most=1), trio.open_nursery() as nursery:
        nursery.start_soon(run_blocking, gate.block)
        await gate.until_entered()
        with trio.move_on_after(0.01) as scope:
            await run_blocking(ran.append, True)
        assert scope.cancelled_caught
        gate.open()
    assert ran == []


async def test_there_are_as_many_threads_as_work_and_no_more_than_allowed() -> None:
    gate = Gate()
    async with Workers("d", at_most=3):
        assert names("d-") == set(), "none before there is work"
        for _ in range(5):
            await run_blocking(thread_name)
        assert names("d-") == {"d-1"}, "one is enough for one thing after another"
        async with trio.open_nursery() as nursery:
            for _ in range(7):
                nursery.start_soon(run_blocking, gate.block)
            await gate.until_entered(3)
            assert not gate.entered.acquire(blocking=False)
            assert names("d-") == {"d-1", "d-2", "d-3"}
            gate.open()
        assert gate.passed == 7
    assert names("d-") == set(), "they end with the domain"


async def test_each_thread_is_prepared_first_and_left_in_order_last() -> None:
    told: list[tuple[str, str]] = []

    def tell(what: str) -> Callable[[], None]:
        return lambda: told.append((what, thread_name()))

    gate = Gate()
    async with Workers("d", begin=tell("begin"), end=tell("end")):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(run_blocking, gate.block)
            await gate.until_entered(2)
            gate.open()
        assert sorted(told) == [("begin", "d-1"), ("begin", "d-2")]
    assert sorted(told[2:]) == [("end", "d-1"), ("end", "d-2")]


async def test_threads_end_with_the_block_however_it_ends() -> None:
    with pytest.raises(RuntimeError):
        async with Workers("d"):
            await run_blocking(thread_name)
            raise RuntimeError
    assert names("d-") == set()


async def test_what_a_thread_worked_on_does_not_live_on_in_it() -> None:
    """Or a picture would stay in memory until the next one comes."""

    class Picture:
        pass

    async with Workers("d"):
        picture = Picture()
        trace = weakref.ref(picture)
        await run_blocking(id, picture)
        del picture
        with trio.fail_after(5):
            while trace() is not None:  # the thread may not have come round yet
                gc.collect()
                await trio.sleep(0.001)


async def test_where_there_are_no_workers_trio_s_own_do_it() -> None:
    """In a command or a test; never in a confined domain, where they are refused."""
    assert not (await run_blocking(thread_name)).startswith("d-")
    async with Workers("d"):
        async with Workers("inner"):
            assert (await run_blocking(thread_name)).startswith("inner-")
        assert (await run_blocking(thread_name)).startswith("d-")
    assert not (await run_blocking(thread_name)).startswith("d-")


def test_each_loop_has_its_own() -> None:
    """Domains are loops of one process: none may work in another's threads."""
    seen: dict[str, str] = {}
    met = threading.Barrier(2, timeout=10)

    async def domain(name: str) -> None:
        async with Workers(name):
            met.wait()
            seen[name] = await run_blocking(thread_name)
            met.wait()

    loops = [threading.Thread(target=trio.run, args=(domain, name)) for name in ("a", "b")]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert seen == {"a": "a-1", "b": "b-1"}
