"""How long each model takes, by provider, threads, size of the picture and batch.

Ours is the session as the crowd actor opens it, and the time to overwrite what it computed with is
part of it; beside it runs a plain ONNX Runtime session with its defaults (memory arena, spinning
workers). The two take turns on the same random pictures. The provider named is the one that really
ran.
"""

from __future__ import annotations

__all__ = ["alternate", "measure_sessions"]

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.harness import Comparison, Effort, Figure, measured, percentile
from bench.pipeline import MODELS
from models import Arena, ModelError, ModelStore, Provider, open_session, shipped_manifest
from models.attributes import MASK_SIDE
from models.library import onnxruntime

_PROVIDERS: tuple[Provider, ...] = ("cpu", "cuda", "tensorrt")
_SIZES = {
    "face": ((768, 576), (640, 480), (1280, 736)),
    "person": ((768, 576), (416, 416), (1280, 736)),
}
"""Width and height, for models that take any; the others have one. The
first is what the demo looks at."""
_BATCHES = (1, 4, 8)
"""Faces at once, for the models of attributes: a picture shows several."""
_ERRORS_ONLY = 3
_LEAST_RUNS = 6
_MOST_RUNS = 100
_SECONDS = 3.0
"""For one of ours and its comparison, once the least number of runs is done."""


class _Case(msgspec.Struct, frozen=True):
    """One thing to measure."""

    model: str
    shape: tuple[int, int, int, int]
    threads: int

    def __str__(self) -> str:
        batch, _, height, width = self.shape
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        what = f"{self.model} {width}×{height}"
        return f"{what}, {threads}" if self.model in _SIZES else f"{what}, batch {batch}, {threads}"


def measure_sessions(effort: Effort) -> tuple[list[Figure], list[str]]:
    """Each model on each provider that loads; and which do not, with the reason."""
    store = ModelStore(MODELS)
    figures: list[Figure] = []
    missing = []
    for provider in _PROVIDERS:
        try:
            with _silence():
                open_session(store.load("gender"), providers=[provider])
        except ModelError as error:
            missing.append(f"{provider}: {error.why or error.what}")
            continue
        cases = _cases(provider, effort)
        figures += [_measure(store, provider, case, effort) for case in cases]
    return figures, missing


@contextmanager
def _silence() -> Iterator[None]:
    """Keep ONNX Runtime, which writes to the descriptors, from saying at length what is missing."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in kept:
            os.dup2(nowhere, descriptor)
        yield
        sys.stdout.flush()
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _cases(provider: Provider, effort: Effort) -> Iterator[_Case]:
    # A GPU's provider leaves nothing to the CPU's threads.
    threads = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))] if provider == "cpu" else [1]
    for name, spec in shipped_manifest().models.items():
        for count in threads:
            if name in _SIZES:
                for width, height in _SIZES[name][: 1 if effort.is_quick else None]:
                    yield _Case(name, (1, 3, height, width), count)
            else:
                height, width = (
                    int(side) if side.isdigit() else MASK_SIDE for side in spec.input.shape[2:]
                )
                for batch in _BATCHES:
                    yield _Case(name, (batch, 3, height, width), count)


def _measure(store: ModelStore, provider: Provider, case: _Case, effort: Effort) -> Figure:
    model = store.load(case.model)
    tensor = np.random.default_rng(1).random(case.shape, np.float32) * np.float32(255)
    arena = Arena.of_process()
    ours = open_session(model, providers=[provider], intra_op_threads=case.threads, arena=arena)

    def run_and_erase() -> None:
        with arena.in_use():
            ours.run(tensor)

    plain = _plain_session(model, ours.raw.get_providers(), case.threads)
    own, other = alternate(run_and_erase, _plain_run(plain, tensor), effort.seconds(_SECONDS))
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    p50, p95, p99 = (percentile(own, share) for share in (0.50, 0.95, 0.99))
    a_second = case.shape[0] * 1000 * len(own) / sum(own)
    return Figure(
        name=f"{case} on {ours.provider}",
        value=p50,
        unit="ms",
        better="lower",
        compared=Comparison(
            to=f"plain session on {_named(plain)}",
            value=percentile(other, 0.50),
            ratio=median(ratios),
            difference=median(a - b for a, b in zip(own, other, strict=True)),
        ),
        details={
            "p50, ms": p50,
            "p95, ms": p95,
            "p99, ms": p99,
            "pictures/s": a_second,
            "runs": len(own),
            "threads": case.threads,
            "width": case.shape[3],
            "height": case.shape[2],
            "batch": case.shape[0],
        },
        note=f"p95 {p95:.3g}, p99 {p99:.3g} ms of {len(own)} runs; {a_second:.0f} pictures/s",
    )


def _plain_session(model: bytes, providers: list[str], threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(model, options, providers=providers)


def _plain_run(session: Any, tensor: NDArray[np.float32]) -> Callable[[], object]:
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: tensor})


def _named(session: Any) -> str:
    """What the session itself says it runs on."""
    return str(session.get_providers()[0]).removesuffix("ExecutionProvider").lower()


def alternate(
    first: Callable[[], object], second: Callable[[], object], seconds: float
) -> tuple[list[float], list[float]]:
    """Milliseconds of each, run in turns, for about so long."""
    for _ in range(2):
        first()
        second()
    results: tuple[list[float], list[float]] = ([], [])
    with measured():
        until = perf_counter() + seconds
        while len(results[0]) < _LEAST_RUNS or (
            len(results[0]) < _MOST_RUNS and perf_counter() < until
        ):
            for run, times in zip((first, second), results, strict=True):
                began = perf_counter()
                run()
                times.append((perf_counter() - began) * 1000)
    return results
