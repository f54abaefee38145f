"""A domain that may open nothing: what is tried there is refused, and leaves no trace."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtime.sandbox import attempts
from tests.unit.runtime.sandbox.child import ORDINARY_USER, in_child, users

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module", params=users())
def seen(request: pytest.FixtureRequest) -> Iterator[Any]:
    """All attempts in one process; each test looks at one."""
    folder = Path(tempfile.mkdtemp(prefix="smartpole-walls-"))
    if request.param == ORDINARY_USER:
        os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    yield in_child(attempts.try_all, user=request.param, folder=folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", attempts.ATTEMPTS)
def test_refused(seen: Any, name: str) -> None:
    assert seen["outcomes"][name] in {"PermissionError", "OperationalError", "OSError"}


def test_no_trace(seen: Any) -> None:
    assert seen.pop("outcomes")
    assert seen == {
        "new files": [],
        "held": "held",
        "metadata": [True, True],
        "attributes": [],
        "notes": [0],
        "connections": True,
        "datagrams": True,
        "held socket": True,
        "link": "still there",
        "closing": "done",
        "wakeup": "w",
        "children": "ChildProcessError",
    }
