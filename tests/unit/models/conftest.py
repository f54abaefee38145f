"""The fetched models and footage. Where they are missing, tests that ask for them fail, and say how
to get them: a check that silently did not run is worse than none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from models import ModelError, ModelStore, Session, open_session, shipped_manifest

_ROOT = Path(__file__).parents[3]

Pictures = Callable[..., Iterator[NDArray[np.uint8]]]


@pytest.fixture(scope="session")
def store() -> ModelStore:
    """The fetched models, from SMARTPOLE_MODELS or var/models."""
    found = ModelStore(Path(os.environ.get("SMARTPOLE_MODELS", _ROOT / "var" / "models")))
    try:
        found.verify()
    except ModelError as error:
        pytest.fail(str(error), pytrace=False)
    return found


@pytest.fixture(scope="session")
def opened(store: ModelStore) -> Callable[[str], Session]:
    """Opens a model on the CPU, held to the manifest's outputs; each once."""
    sessions: dict[str, Session] = {}

    def open_once(name: str) -> Session:
        if name not in sessions:
            spec = shipped_manifest().spec(name)
            sessions[name] = open_session(store.load(name), intra_op_threads=2, spec=spec)
        return sessions[name]

    return open_once


@pytest.fixture(scope="session")
def footage() -> Pictures:
    """footage(name, every) yields every so many pictures of a clip, as RGB."""
    directory = Path(os.environ.get("SMARTPOLE_FOOTAGE", _ROOT / "var" / "footage"))

    def pictures(name: str, every: int) -> Iterator[NDArray[np.uint8]]:
        path = directory / name
        if not path.exists():
            command = f"smartpole footage fetch --to {directory}"
            pytest.fail(f"{path} is missing; run: {command}", pytrace=False)
        with av.open(path) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % every == 0:
                    yield frame.to_ndarray(format="rgb24")

    return pictures
