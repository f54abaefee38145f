"""A folder that an ordinary user can reach too: pytest's own belongs to who runs it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.runtime.sandbox.child import ORDINARY_USER


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Belongs to the user of the test's parameter ``user``, where it has one."""
    made = Path(tempfile.mkdtemp(prefix="smartpole-walls-"))
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("user") == ORDINARY_USER:
        os.chown(made, ORDINARY_USER, ORDINARY_USER)
    yield made
    shutil.rmtree(made)
