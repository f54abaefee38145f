"""Sessions: what really runs, and what a model may have for inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from models import ModelError, open_session, shipped_manifest
from models.convert.graph import Graph


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def _double(output: str = "scores") -> bytes:
    graph = Graph("double")
    graph.output(output, graph.add("Add", ["image", "image"]), ["N", 3, "H", "W"])
    return graph.serialise({"image": ["N", 3, "H", "W"]})


@pytest.mark.parametrize("keep_arena", [False, True])
def test_runs_on_the_cpu_and_says_so(keep_arena: bool) -> None:
    session = open_session(_double(), keep_arena=keep_arena)
    assert session.provider == "cpu"
    assert session.outputs == ["scores"]
    ones = np.ones((1, 3, 2, 2), np.float32)
    assert np.array_equal(session.run(ones)[0], ones * 2)


def test_a_gpu_that_does_not_load_is_an_error() -> None:
    if _has_gpu():
        assert open_session(_double(), providers=["cuda"]).provider == "cuda"
        return
    with pytest.raises(ModelError, match="cuda did not load") as raised:
        open_session(_double(), providers=["cuda"])
    assert '"cpu" written last' in raised.value.accepted


@pytest.mark.parametrize("asked", [["cuda", "cpu"], ["tensorrt", "cuda", "cpu"]])
def test_the_cpu_steps_in_only_where_it_was_named(asked: list[str]) -> None:
    session = open_session(_double(), providers=asked)
    assert session.provider in asked
    if not _has_gpu():
        assert session.provider == "cpu"


class _Silent:
    """A session that fell back to the CPU without a word, as the GPU build's do."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        (["cpu"], "cpu"),
        (["cuda"], None),
        (["tensorrt", "cuda"], None),
        (["cuda", "cpu"], "cpu"),
        (["tensorrt", "cuda", "cpu"], "cpu"),
        (["cpu", "cuda"], "cpu"),
    ],
)
def test_silent_fallback(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], runs: str | None
) -> None:
    from models import session as module

    if runs is None:
        with pytest.raises(ModelError, match=f"{asked[0]} did not load"):
            module._really("who", _Silent(), asked)
    else:
        assert module._really("who", _Silent(), asked) == runs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"providers": []}, "run on nothing"),
        ({"providers": ["gpu"]}, "run on gpu"),
        ({"intra_op_threads": 0}, "0 threads"),
    ],
)
def test_refused_arguments(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        open_session(_double(), **arguments)


def test_what_is_no_model() -> None:
    with pytest.raises(ModelError, match="does not open"):
        open_session(b"no model at all")


def test_outputs_are_held_to_the_manifest() -> None:
    person = shipped_manifest().spec("person")
    spec = msgspec.structs.replace(person, outputs={"scores": person.outputs["scores"]})
    assert open_session(_double(), spec=spec).provider == "cpu"
    with pytest.raises(ModelError, match=r"gives embedding[\s\S]*4\.2\(2\)"):
        open_session(_double("embedding"), spec=spec)
    with pytest.raises(ModelError, match="allow-list"):
        open_session(_double(), spec=person)
