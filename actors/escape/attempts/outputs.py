"""Everything that is printed, logged or shown."""

from __future__ import annotations

__all__: list[str] = []

import gc
import itertools
import logging
import sys
import threading
import traceback
import warnings
from typing import Any

import structlog
import trio

from actors.escape.attempt import Scene, attempt
from actors.escape.measures import LINES, OF_A_LINE, OF_A_READING, READINGS, bits_of, line_of


@attempt("outputs", linger=0.1)
def printed(scene: Scene) -> None:
    """print()."""
    print(scene.text, flush=True)


@attempt("outputs", linger=0.1)
def printed_to_standard_error(scene: Scene) -> None:
    """print() to standard error."""
    print(scene.text, file=sys.__stderr__, flush=True)


@attempt("outputs", linger=0.1)
def logged_as_a_value(scene: Scene) -> None:
    """The actor's own log: the loot as a value."""
    scene.actor.log.error("hello", note=scene.text)


@attempt("outputs", linger=0.1)
def logged_as_an_event(scene: Scene) -> None:
    """The actor's own log: the loot as the event."""
    scene.actor.log.error(scene.text)


@attempt("outputs", linger=0.1)
def logged_as_a_name(scene: Scene) -> None:
    """The actor's own log: the loot as the name of a value."""
    scene.actor.log.error("hello", **{f"n{scene.text}": 1})


@attempt("outputs", linger=0.1)
def logged_as_the_actors_name(scene: Scene) -> None:
    """The actor's own log, bound to another name."""
    scene.actor.log.bind(actor=scene.text, domain=scene.text).error("hello")


@attempt("outputs", linger=0.1)
def logged_with_an_exception(scene: Scene) -> None:
    """The actor's own log, with an exception that holds the loot."""
    try:
        raise ValueError(scene.text)
    except ValueError as error:
        scene.actor.log.error("failed", reason=str(error), exc_info=True)


@attempt("outputs", measured="log", alone=True, limit=9)
async def bits_in_words_of_the_log(scene: Scene) -> None:
    """The loot in the choice of words, marks and numbers that a log line may hold."""
    for bits in itertools.islice(bits_of(scene.loot, OF_A_LINE), LINES):
        event, fields = line_of(bits)
        scene.actor.log.error(event, **fields)
        await trio.sleep(0.1)


@attempt("outputs", linger=0.1)
def logged_by_structlog(scene: Scene) -> None:
    """A logger of its own, of structlog."""
    structlog.get_logger("pole").warning("hello", note=scene.text)


@attempt("outputs", linger=0.1)
def logged_by_the_standard_library(scene: Scene) -> None:
    """A logger of the standard library, whose last resort is standard error."""
    logging.getLogger("smartpole").error("hello %s", scene.text)


@attempt("outputs", linger=0.1)
def warned(scene: Scene) -> None:
    """warnings.warn()."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(scene.text, stacklevel=1)


@attempt("outputs", linger=0.1)
def traceback_printed(scene: Scene) -> None:
    """A traceback of a function that is named by the loot."""
    try:
        raise ValueError(scene.text)
    except ValueError:
        traceback.print_exc()


@attempt("outputs", linger=0.1)
def error_that_nobody_can_raise(scene: Scene) -> None:
    """An error in __del__, which Python prints."""

    class Failing:
        def __del__(self) -> None:
            raise ValueError(scene.text)

    one: Any = Failing()
    del one
    gc.collect(0)


@attempt("outputs", linger=0.1)
def error_in_a_thread(scene: Scene) -> None:
    """An error that ends a thread, which Python prints."""

    def fail() -> None:
        raise ValueError(scene.text)

    thread = threading.Thread(target=fail, name=scene.text)
    thread.start()
    thread.join(1)


@attempt("outputs", effect="thread_name", alone=True, linger=0.3)
def name_of_a_worker_thread(scene: Scene) -> None:
    """A thread of trio's cache with a name, which everybody sees."""
    wait = threading.Event()
    scene.actor.kept.append(wait)
    trio.lowlevel.start_thread_soon(lambda: wait.wait(6), lambda _: None, scene.text[:15])


@attempt("outputs", effect="control", alone=True)
def text_for_a_reading(scene: Scene) -> None:
    """A text where a reading has its number, which `smartpole status` shows."""
    scene.actor.scratch._value = scene.text


@attempt("outputs", effect="control", alone=True)
def headline_for_the_status(scene: Scene) -> None:
    """The settings' headline, which `smartpole status` shows."""
    type(scene.actor.settings).headline = lambda _: scene.text


@attempt("outputs", measured="reading", alone=True, limit=8)
async def bits_in_a_reading(scene: Scene) -> None:
    """The loot in a reading, one number after another, each of them allowed."""
    for bits in itertools.islice(bits_of(scene.loot, OF_A_READING), READINGS):
        scene.actor.scratch.set(bits)
        await trio.sleep(0.1)
