"""Ending: what an actor's or a process's end carries outside."""

from __future__ import annotations

__all__: list[str] = []

import os
import sys
from typing import Any

import trio

from actors.escape.attempt import Scene, attempt, line_of
from runtime import Unrecoverable
from runtime.errors import BorderRefused


@attempt("crashes", ends=True)
def crash_with_a_message(scene: Scene) -> None:
    """A crash by an error of the runtime's own, whose message is logged."""
    raise BorderRefused(scene.text)


@attempt("crashes", ends=True)
def crash_for_good(scene: Scene) -> None:
    """Unrecoverable, whose message `smartpole status` shows."""
    raise Unrecoverable(scene.text)


@attempt("crashes", ends=True)
def crash_with_a_type(scene: Scene) -> None:
    """A crash by an error whose type is named by the loot."""
    raise type(f"E{scene.text}", (Exception,), {})


@attempt("crashes", ends=True)
def crash_in_a_function(scene: Scene) -> None:
    """A crash in a function that is named by the loot."""
    namespace: dict[str, Any] = {}
    exec(f"def f{scene.text}(): raise ValueError", namespace)
    namespace[f"f{scene.text}"]()


@attempt("crashes", ends=True)
def crash_in_a_file(scene: Scene) -> None:
    """A crash in a file that is named by the loot."""
    exec(compile("raise ValueError", f"{scene.text}.py", "exec"), {})


@attempt("crashes", ends=True, effect="line")
def crash_in_a_line(scene: Scene) -> None:
    """A crash in a line whose number is part of the loot, longer than a number in a log may be."""
    code = compile("raise ValueError", scene.text, "exec")
    exec(code.replace(co_firstlineno=line_of(scene.loot)), {})


@attempt("crashes", ends=True)
def crash_in_a_group(scene: Scene) -> None:
    """A crash by a group of errors with messages, notes and causes."""
    error = BorderRefused(scene.text)
    error.add_note(scene.text)
    raise ExceptionGroup(scene.text, [error]) from Unrecoverable(scene.text)


@attempt("crashes", ends=True)
def crash_in_one_of_ones_own_type(scene: Scene) -> None:
    """A crash by a subclass of the runtime's errors whose text is made when it is asked for."""

    class Refused(BorderRefused):
        def __str__(self) -> str:
            return scene.text

    raise Refused


@attempt("crashes", ends=True)
def exit_with_a_message(scene: Scene) -> None:
    """SystemExit with a text, which Python prints."""
    sys.exit(scene.text)


@attempt("crashes", ends=True)
def interrupt_with_a_message(scene: Scene) -> None:
    """KeyboardInterrupt with a text."""
    raise KeyboardInterrupt(scene.text)


@attempt("crashes", ends=True, linger=0.3)
def error_in_a_system_task(scene: Scene) -> None:
    """A system task that fails takes its loop down, and its message with it."""

    async def fail() -> None:
        raise ValueError(scene.text)

    trio.lowlevel.spawn_system_task(fail)


@attempt("crashes", ends=True, linger=0.3)
def error_in_the_loops_queue(scene: Scene) -> None:
    """A function for run_sync_soon() that fails."""

    def fail() -> None:
        raise ValueError(scene.text)

    trio.lowlevel.current_trio_token().run_sync_soon(fail)


@attempt("crashes", ends=True, effect="exit_status")
def exit_status(scene: Scene) -> None:
    """os._exit() with a byte of the loot."""
    os._exit(64 + scene.loot[0] % 64)
