"""The one arena in which all sessions compute."""

from __future__ import annotations

import resource
import threading
import time

import numpy as np
import pytest

from models import Arena, ModelError, ModelStore, open_session
from models import session as module
from models.convert.graph import Graph


def _chain() -> bytes:
    """y = ((x + x) + (x + x)), so that there is something between input and output."""
    graph = Graph("chain")
    twice = graph.add("Add", ["image", "image"])
    graph.output("y", graph.add("Add", [twice, twice]), ["N", 3, "H", "W"])
    return graph.serialise({"image": ["N", 3, "H", "W"]})


def bytes_of(arena: Arena) -> np.ndarray:
    return arena._bytes[: arena.used]


def test_there_is_one() -> None:
    assert Arena.of_process() is Arena.of_process()
    assert Arena.of_process().size >= 1 << 27


@pytest.mark.parametrize("side", [32, 320, 640])
def test_what_was_computed_lies_in_it_and_is_overwritten(side: int) -> None:
    arena = Arena.of_process()
    session = open_session(_chain(), arena=arena)
    picture = np.random.default_rng(side).random((1, 3, side, side), np.float32)
    quadruple = (picture * 4)[0, 0, 0, :16].tobytes()
    with arena.in_use():
        result = session.run(picture)[0]
        assert np.array_equal(result, picture * 4)
        del result
        assert quadruple in arena._bytes[: 32 << 20].tobytes()
    assert not arena._bytes[: 32 << 20].any()
    with arena.in_use():
        assert np.array_equal(session.run(picture)[0], picture * 4)


def test_erasing_costs_no_new_pages_once_it_knows_what_is_used() -> None:
    arena = Arena.of_process()
    session = open_session(_chain(), arena=arena)
    picture = np.ones((1, 3, 640, 640), np.float32)
    for _ in range(2):
        with arena.in_use():
            session.run(picture)
    # What runs use is overwritten in place: none of it was given back to the kernel.
    assert arena.used >= picture.nbytes
    before = _minor_faults()
    with arena.in_use():
        session.run(picture)
    assert _minor_faults() - before < picture.nbytes / 4096 / 4


def _minor_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_two_threads_take_turns() -> None:
    arena = Arena.of_process()
    session = open_session(_chain(), arena=arena)
    wrong: list[int] = []

    def look(number: int) -> None:
        picture = np.full((1, 3, 256, 256), number, np.float32)
        for _ in range(20):
            with arena.in_use():
                if not (session.run(picture)[0] == 4 * number).all():
                    wrong.append(number)

    threads = [threading.Thread(target=look, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_turns_go_in_the_order_of_asking() -> None:
    """Who gives it back and asks again at once comes after those that wait."""
    arena = Arena.of_process()
    order: list[int] = []

    def look(number: int) -> None:
        with arena.in_use():
            order.append(number)

    threads = []
    with arena.in_use():
        for number in range(4):
            threads.append(threading.Thread(target=look, args=(number,)))
            threads[-1].start()
            while len(arena._turns._waiting) <= number:
                time.sleep(0.001)
    look(4)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_it_is_erased_after_an_error_too() -> None:
    arena = Arena.of_process()
    session = open_session(_chain(), arena=arena)
    with pytest.raises(RuntimeError), arena.in_use():
        session.run(np.ones((1, 3, 64, 64), np.float32))
        raise RuntimeError
    assert not arena._bytes[: 8 << 20].any()


@pytest.mark.models
def test_a_session_that_keeps_weights_in_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore
) -> None:
    """Weights packed anew, as ONNX Runtime does it unless told otherwise."""
    model = store.load("face")
    arena = Arena.of_process()
    assert open_session(model, arena=arena).provider == "cpu"

    class Packing(module.onnxruntime.SessionOptions):  # type: ignore[misc,name-defined]
        def add_session_config_entry(self, key: str, value: str) -> None:
            if key != "session.disable_prepacking":
                super().add_session_config_entry(key, value)

    monkeypatch.setattr(module.onnxruntime, "SessionOptions", Packing)
    with pytest.raises(ModelError, match="keeps something of its own"):
        open_session(model, arena=arena)
