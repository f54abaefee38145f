from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict

from tests.recordings import Manager


@pytest.fixture(scope="session")
def manager() -> Manager:
    return Manager()


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events
