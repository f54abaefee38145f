"""The loop: getting something to run in another thread, or in another domain's loop."""

from __future__ import annotations

__all__: list[str] = []

import queue
import threading
from contextlib import suppress
from typing import Any

import trio
from trio._core import _thread_cache
from trio._core._run import GLOBAL_RUN_CONTEXT, Runner
from trio.lowlevel import TrioToken

from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.bystanders import Archive
from actors.escape.reach import objects_of, thing


@attempt("loop")
async def worker_thread(scene: Scene) -> None:
    """trio.to_thread.run_sync()."""
    await trio.to_thread.run_sync(scene.write)


@attempt("loop")
async def worker_of_the_domain(scene: Scene) -> None:
    """Actor.blocking(), which is for this."""
    await scene.actor.blocking(scene.write)


@attempt("loop")
def cached_thread(scene: Scene) -> None:
    """trio's cache of threads, which is one for the process."""
    _in_cached_thread(scene.write)


def _in_cached_thread(function: Any) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    trio.lowlevel.start_thread_soon(function, answers.put)
    answers.get(timeout=2).unwrap()


@attempt("loop")
def idle_thread_of_the_cache(scene: Scene) -> None:
    """A thread that waits in trio's cache is handed a job past the cache's functions."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    idle = list(_thread_cache.THREAD_CACHE._idle_workers)
    if not idle:
        raise NothingThere
    worker = idle[0]
    _thread_cache.THREAD_CACHE._idle_workers.pop(worker, None)
    worker._job = (scene.write_anywhere, answers.put, None)
    worker._worker_lock.release()
    answers.get(timeout=1).unwrap()


@attempt("loop", linger=0.1)
def call_in_ones_own_loop(scene: Scene) -> None:
    """run_sync_soon() of its own loop."""
    # An error there would take the whole loop down; that is another attempt.
    trio.lowlevel.current_trio_token().run_sync_soon(scene.write_anywhere)


@attempt("loop", linger=0.2)
def call_in_another_loop(scene: Scene) -> None:
    """run_sync_soon() of another domain's loop; of its own where there is but one."""
    own = trio.lowlevel.current_trio_token()
    tokens = [one for one in objects_of(TrioToken) if one is not own] or [own]
    for token in tokens:
        try:
            token.run_sync_soon(scene.write_anywhere)
        except trio.RunFinishedError:
            continue


@attempt("loop", linger=0.2)
def task_of_another_loop(scene: Scene) -> None:
    """spawn_system_task() on another domain's runner; on its own where there is but one."""
    own = GLOBAL_RUN_CONTEXT.runner
    runners = [one for one in objects_of(Runner) if one is not own] or [own]

    async def write() -> None:
        scene.write_anywhere()

    for runner in runners:
        runner.entry_queue.run_sync_soon(runner.spawn_system_task, write)


@attempt("loop", linger=0.1)
def nursery_of_another_domain(scene: Scene) -> None:
    """start_soon() in a nursery of the archive; whose loop notices it at its next step."""
    for task in objects_of(trio.lowlevel.Task):
        coroutine: Any = task.coro
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and isinstance(frame.f_locals.get("self"), Archive):
            nursery = task.parent_nursery
            if nursery is not None:

                async def write() -> None:
                    scene.write_anywhere()

                nursery.start_soon(write)
                return
    raise NothingThere


@attempt("loop")
def guest_mode(scene: Scene) -> None:
    """A guest loop, whose host is a thread of its own."""
    todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
    outcomes: list[Any] = []

    def host() -> None:
        async def write() -> None:
            scene.write()

        def done(outcome: Any) -> None:
            outcomes.append(outcome)
            todo.put(None)

        try:
            trio.lowlevel.start_guest_run(
                write, run_sync_soon_threadsafe=todo.put, done_callback=done
            )
            while (job := todo.get(timeout=2)) is not None:
                job()
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=host, daemon=True)
    thread.start()
    thread.join(2)
    if outcomes and isinstance(outcomes[0], BaseException):
        raise outcomes[0]
    if outcomes:
        outcomes[0].unwrap()


@attempt("loop")
def second_loop_in_a_thread(scene: Scene) -> None:
    """trio.run() in a thread of its own, whose worker threads it then uses."""
    errors: list[BaseException] = []

    async def write() -> None:
        await trio.to_thread.run_sync(scene.write)

    def run() -> None:
        try:
            trio.run(write)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2)
    if errors:
        raise errors[0]


@attempt("loop", linger=0.3)
def job_for_the_workers_of_another_domain(scene: Scene) -> None:
    """Actor.blocking() of another domain's actor, called in its loop's name."""
    archive = thing(Archive)
    own = trio.lowlevel.current_trio_token()
    tokens = [one for one in objects_of(TrioToken) if one is not own] or [own]

    async def write() -> None:
        with suppress(Exception):
            await archive.blocking(scene.write_anywhere)

    for token in tokens:
        try:
            token.run_sync_soon(trio.lowlevel.spawn_system_task, write)
        except trio.RunFinishedError:
            continue
