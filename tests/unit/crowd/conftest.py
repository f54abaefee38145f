from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from actors.camera.footage import STREET
from models import ModelStore, Presence

ROOT = Path(__file__).parents[3]


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture(scope="session")
def models_folder() -> Path:
    folder = ROOT / "var" / "models"
    states = ModelStore(folder).states()
    if any(state.presence is not Presence.PRESENT for state in states):
        pytest.skip("the models are not fetched: smartpole models fetch --to var/models")
    return folder


@pytest.fixture(scope="session")
def street() -> Path:
    film = ROOT / "var" / "footage" / STREET
    if not film.exists():
        pytest.skip("the footage is not fetched: smartpole footage fetch --to var/footage")
    return film
