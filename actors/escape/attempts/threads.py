"""New threads, and other interpreters."""

from __future__ import annotations

__all__: list[str] = []

import _thread
import ctypes
import importlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.system import LIBC


def _carry_out(scene: Scene, errors: list[BaseException]) -> None:
    try:
        scene.write()
    except BaseException as error:
        errors.append(error)


@attempt("threads")
def thread(scene: Scene) -> None:
    """threading.Thread."""
    errors: list[BaseException] = []
    one = threading.Thread(target=_carry_out, args=(scene, errors), daemon=True)
    one.start()
    one.join(2)
    if errors:
        raise errors[0]


@attempt("threads")
def thread_of_the_lower_module(scene: Scene) -> None:
    """_thread.start_new_thread()."""
    errors: list[BaseException] = []
    _thread.start_new_thread(_carry_out, (scene, errors))
    time.sleep(0.1)
    if errors:
        raise errors[0]


@attempt("threads")
def timer(scene: Scene) -> None:
    """threading.Timer."""
    errors: list[BaseException] = []
    one = threading.Timer(0.01, _carry_out, (scene, errors))
    one.daemon = True
    one.start()
    one.join(2)
    if errors:
        raise errors[0]


@attempt("threads")
def executor(scene: Scene) -> None:
    """concurrent.futures.ThreadPoolExecutor."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(scene.write).result(2)


@attempt("threads")
def pool_of_multiprocessing(scene: Scene) -> None:
    """multiprocessing.pool.ThreadPool."""
    with ThreadPool(1) as pool:
        pool.apply_async(scene.write).get(2)


@attempt("threads")
def thread_of_the_c_library(scene: Scene) -> None:
    """pthread_create() by ctypes."""
    errors: list[BaseException] = []

    def begin(_: object) -> None:
        _carry_out(scene, errors)

    entry = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(begin)
    ident = ctypes.c_ulong()
    if error := LIBC.pthread_create(ctypes.byref(ident), None, entry, None):
        raise OSError(error, "pthread_create")
    LIBC.pthread_join(ident, None)
    if errors:
        raise errors[0]


@attempt("threads")
def another_interpreter(scene: Scene) -> None:
    """A second interpreter in this process."""
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = importlib.import_module(name)
    except ImportError:
        raise NothingThere from None
    source = f"open({str(scene.path)!r}, 'wb').write({scene.loot!r})"
    ident = interpreters.create()
    try:
        result = interpreters.run_string(ident, source)
        if result is not None:  # 3.13 tells the error instead of raising it
            raise OSError(f"{result.type.__name__}")
    finally:
        interpreters.destroy(ident)
