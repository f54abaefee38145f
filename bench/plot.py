"""A picture of latencies."""

from __future__ import annotations

__all__ = ["plot_latency"]

from collections.abc import Sequence
from pathlib import Path

from bench.harness import Figure


def plot_latency(figures: Sequence[Figure], path: Path) -> None:
    """Write an SVG with p50, p95 and p99 of each figure beside what it was compared with.

    Raises ModuleNotFoundError where matplotlib is missing.
    """
    # Loaded here: it takes a second, which no other benchmark needs.
    from matplotlib.figure import Figure as Picture

    height = 0.9 + 0.5 * len(figures)
    picture = Picture(figsize=(9, height), layout="constrained")
    axes = picture.subplots()
    places = range(len(figures))
    for shade, quantile in (("0.85", "p99, ms"), ("0.65", "p95, ms"), ("#2060a0", "p50, ms")):
        axes.barh(
            places,
            [figure.details[quantile] for figure in figures],
            height=0.6,
            color=shade,
            label=quantile.removesuffix(", ms"),
        )
    others = [figure.compared.value if figure.compared else 0.0 for figure in figures]
    axes.plot(others, places, "k|", markersize=16, label="plain sessions, p50")
    axes.set_yticks(places, [figure.name for figure in figures])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds")
    axes.set_title("Looking at one picture", loc="left")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, format="svg")
