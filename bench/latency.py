"""Latency, for who chooses hardware: each model by itself, a whole picture, and other precisions.

The table and the JSON hold every number; ``var/bench/latency.svg`` shows a whole picture's time by
threads and width.
"""

from __future__ import annotations

__all__ = ["benchmark"]

from bench.harness import Effort, Outcome
from bench.looking import measure_looking
from bench.pipeline import require_material
from bench.sessions import measure_sessions


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    looking, lacking = measure_looking(effort)
    sessions, missing = measure_sessions(effort)
    return Outcome(figures=(*looking, *sessions), not_available=(*lacking, *missing))
