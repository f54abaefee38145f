"""Runs what is to be confined in a process of its own, as root or as an ordinary user.

A test calls ``in_child(work, …)`` with a function of another module; that function runs in a new
interpreter, and what it returns comes back as JSON. There, ``confined(permissions, work)`` runs
work in a thread that has been confined, beside a main thread that has not.
"""

from __future__ import annotations

__all__ = ["ORDINARY_USER", "attempt", "confined", "in_child", "main", "users"]

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.sandbox import Permissions, confine_thread

ORDINARY_USER = 65534
"pole".encode("idna")  # loads what looking up a host loads, while it can be read
_ROOT = Path(__file__).parents[4]


def users() -> list[int | None]:
    """As whom a test is to run: as whoever runs it, and for root as an ordinary user as well."""
    return [None, ORDINARY_USER] if os.geteuid() == 0 else [None]


def in_child(work: Callable[..., Any], *, user: int | None = None, **arguments: object) -> Any:
    finished = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-W",
            "error",
            "-c",
            "from tests.unit.runtime.sandbox.child import main; main()",
            work.__module__,
            work.__name__,
            json.dumps(user),
            json.dumps(arguments, default=str),
        ],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def main() -> None:
    module, name, user, arguments = sys.argv[1:]
    work = getattr(importlib.import_module(module), name)
    as_user = json.loads(user)
    if as_user is not None:
        os.setgroups([])
        os.setresgid(as_user, as_user, as_user)
        os.setresuid(as_user, as_user, as_user)
    print(json.dumps(work(**json.loads(arguments))))


def confined(
    permissions: Permissions, work: Callable[[], Any], *, best_effort: bool = False
) -> Any:
    """What ``work`` returns in a confined thread. Raises what it raises."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            confine_thread(permissions, best_effort=best_effort)
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def attempt(work: Callable[[], object]) -> str:
    """What became of it: the name of the error, or "done"."""
    try:
        work()
    except BaseException as error:
        return type(error).__name__
    return "done"
