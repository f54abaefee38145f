from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from bench.rtsp_camera import RtspServer, rtsp_server_lacks
from tests.cameras import make_film


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, ten pictures a second, a key picture each second."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def rtsp_server(film: Path) -> Iterator[Callable[..., RtspServer]]:
    """Starts RTSP servers which play the film for ever; their options are ``RtspServer``'s."""
    if missing := rtsp_server_lacks():
        pytest.skip(missing)
    with ExitStack() as servers:
        yield lambda **options: servers.enter_context(RtspServer(film, **options))
