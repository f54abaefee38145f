"""Latency, for who chooses hardware: a whole picture, each model by itself, and other precisions.

The table and the JSON hold every number; ``var/bench/latency.svg`` shows what a whole picture
takes.
"""

from __future__ import annotations

__all__ = ["benchmark"]

from pathlib import Path

from bench.harness import Effort, Outcome
from bench.looking import measure_looking
from bench.pipeline import require_material
from bench.plot import plot_latency
from bench.sessions import measure_sessions
from bench.variants import measure_variants

PLOT = Path("var/bench/latency.svg")


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    looking, lacking = measure_looking(effort)
    plot_latency(looking, PLOT)
    sessions, missing = measure_sessions(effort)
    variants, not_made = measure_variants(effort)
    return Outcome(
        figures=(*looking, *sessions, *variants), not_available=(*lacking, *missing, *not_made)
    )
