"""Opens a model for running, and makes sure that it runs where it was asked to.

ONNX Runtime's GPU build lists CUDA and TensorRT on machines that have neither, and then computes on
the CPU without a word. What counts is what the finished session names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.arena import Arena
from models.errors import ModelError
from models.library import onnxruntime
from models.manifest import ModelSpec

__all__ = ["Provider", "Session", "open_session"]

Provider = Literal["cpu", "cuda", "tensorrt"]

_PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_ERRORS_ONLY = 3


class Session:
    """A model ready to run; `open_session` makes it.

    Its own ONNX Runtime session is behind it, reachable as `raw` for measuring. It logs nothing and
    keeps no picture; see `open_session` for what ONNX Runtime itself may keep.
    """

    def __init__(self, raw: onnxruntime.InferenceSession, provider: Provider) -> None:
        self.raw = raw
        self._provider = provider
        self._input: str = raw.get_inputs()[0].name
        self._outputs: list[str] = [output.name for output in raw.get_outputs()]

    @property
    def provider(self) -> Provider:
        """Where the model really runs."""
        return self._provider

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs' names, in the order that `run` returns them."""
        return self._outputs

    def run(self, tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Compute all outputs for one input tensor (N x 3 x H x W)."""
        results: list[NDArray[np.float32]] = self.raw.run(self._outputs, {self._input: tensor})
        return results


def open_session(
    model: bytes,
    *,
    providers: Sequence[Provider] = ("cpu",),
    intra_op_threads: int = 1,
    keep_arena: bool = False,
    arena: Arena | None = None,
    spec: ModelSpec | None = None,
) -> Session:
    """Make a session from a model's bytes; no file is opened.

    `providers` are tried in their order. The first must load, unless `"cpu"` stands after it: only
    then may the CPU step in. `intra_op_threads` are the threads of one run, the caller's included.
    `keep_arena=False` switches ONNX Runtime's memory arena and pattern off: with them on, freed
    memory stays with the session and with it copies of pictures, for 15 to 25 % less time. With
    an `arena` the session computes in that one instead, fast, and whoever runs it overwrites the
    arena afterwards. Given a `spec`, the model must have the manifest's input and outputs and no
    others.

    Raises `ModelError` for an unknown provider, one that did not load, a model that ONNX Runtime
    refuses, or inputs or outputs that the manifest does not list.
    """
    who = "model session" if spec is None else f"model session for {spec.title}"
    _check_arguments(who, providers, intra_op_threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = 1
    # A worker that spins while it waits takes a small machine's core from the rest of the pole.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    options.enable_cpu_mem_arena = keep_arena
    options.enable_mem_pattern = keep_arena and arena is None
    if arena is not None:
        options.enable_cpu_mem_arena = True
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Weights are for the session's life, and must not be overwritten with a picture: neither
        # as they are, nor packed anew for the matrix products.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    available = set(onnxruntime.get_available_providers())
    asked = [_PROVIDERS[provider] for provider in providers]
    usable = [name for name in asked if name in available]
    with nullcontext() if arena is None else arena.in_use():
        try:
            raw = onnxruntime.InferenceSession(
                model, options, providers=usable or [_PROVIDERS["cpu"]]
            )
        except Exception as error:
            # ONNX Runtime's exceptions share no base class that it exports.
            raise ModelError(who, "does not open", why=str(error).strip()) from error
        if arena is not None:
            _require_nothing_kept(who, raw, arena)
    session = Session(raw, _really(who, raw, providers))
    if spec is not None:
        _check_against(who, raw, spec)
    return session


def _check_arguments(who: str, providers: Sequence[str], threads: int) -> None:
    unknown = [provider for provider in providers if provider not in _PROVIDERS]
    if unknown or not providers:
        raise ModelError(
            who,
            f"is asked to run on {', '.join(unknown) or 'nothing'}",
            accepted="cpu, cuda, tensorrt",
        )
    if threads < 1:
        raise ModelError(
            who,
            f"is asked to run on {threads} threads",
            accepted="1 or more (cores of the machine)",
        )


def _really(who: str, raw: Any, providers: Sequence[Provider]) -> Provider:
    loaded: list[str] = raw.get_providers()
    for position, provider in enumerate(providers):
        if _PROVIDERS[provider] in loaded:
            return provider
        if "cpu" not in providers[position + 1 :]:
            break
    raise ModelError(
        who,
        f"was asked to run on {', '.join(providers)}, and {providers[0]} did not load",
        why=f"ONNX Runtime {onnxruntime.__version__} would compute on {', '.join(loaded)} instead",
        accepted='a machine and drivers that it supports, or "cpu" written last as the fallback',
    )


def _require_nothing_kept(who: str, raw: Any, arena: Arena) -> None:
    """That the session still computes the same when its arena has been overwritten.

    ONNX Runtime keeps weights elsewhere, since it was told to; but it promises that nowhere.
    """
    entry = raw.get_inputs()[0]
    sides = (side if isinstance(side, int) else 64 for side in entry.shape[1:])
    tensor = np.random.default_rng(1).random((1, *sides), np.float32)
    before = [output.copy() for output in raw.run(None, {entry.name: tensor})]
    arena.erase()
    after = raw.run(None, {entry.name: tensor})
    if not all(map(np.array_equal, before, after)):
        raise ModelError(
            who,
            "keeps something of its own in the arena that is overwritten after each picture",
            why=f"ONNX Runtime {onnxruntime.__version__} puts weights elsewhere than expected",
            accepted="a version that this program was tested with",
        )


def _check_against(who: str, raw: Any, spec: ModelSpec) -> None:
    inputs = [entry.name for entry in raw.get_inputs()]
    outputs = [entry.name for entry in raw.get_outputs()]
    if inputs != [spec.input.name] or set(outputs) != set(spec.outputs):
        raise ModelError(
            who,
            f"takes {', '.join(inputs)} and gives {', '.join(outputs)}",
            why="the manifest's outputs are an allow-list (guideline clause 4.2(2))",
            accepted=f"input {spec.input.name}; outputs {', '.join(spec.outputs)}",
        )
