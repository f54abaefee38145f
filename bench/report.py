"""A run's report: for a person as a table, for a machine as JSON."""

from __future__ import annotations

__all__ = ["BenchmarkReport", "Environment", "Report", "print_report", "read_environment"]

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.harness import Comparison, Figure

_LIBRARIES = (
    "av",
    "msgspec",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pykka",
    "smartpole",
    "structlog",
    "trio",
)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were measured on. It names no folder and no host."""

    processor: str
    cores: int
    """That this process may use."""
    memory_mb: int
    system: str
    python: str
    libraries: dict[str, str]
    load_before: float
    """Processes that wanted a core in the minute before: well below 1 on a machine at rest."""


class BenchmarkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark found."""

    name: str
    seconds: float
    figures: tuple[Figure, ...] = ()
    not_available: tuple[str, ...] = ()
    failure: str = ""
    """Why it could not run."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of ``python -m bench``."""

    format: int = 1
    made: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    quick: bool
    """Less certain, for having taken less time."""
    environment: Environment
    benchmarks: tuple[BenchmarkReport, ...]

    @property
    def missed(self) -> list[Figure]:
        """Figures that miss their target."""
        return [figure for one in self.benchmarks for figure in one.figures if figure.met is False]

    @property
    def has_failed(self) -> bool:
        return any(one.failure for one in self.benchmarks)


def read_environment() -> Environment:
    """Ask the machine."""
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Environment(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=round(memory / 1e6),
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=libraries,
        load_before=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or "unknown"


def print_report(report: Report) -> None:
    """Print a table for each benchmark."""
    console = Console(width=None if Console().is_terminal else 132, highlight=False)
    there = report.environment
    console.print(
        f"{there.processor}, {there.cores} cores, {there.python}, load {there.load_before:g} "
        f"when it began{'; quick, so less certain' if report.quick else ''}"
    )
    for one in report.benchmarks:
        console.print()
        if one.failure:
            console.print(f"[bold]{one.name}[/] could not run: ", style="red", end="")
            console.print(one.failure, markup=False)
            continue
        console.print(_table(one))
        for line in one.not_available:
            console.print(f"not available here: {line}", markup=False)
    targets = [f for one in report.benchmarks for f in one.figures if f.target is not None]
    if targets:
        console.print(f"\n{len(targets) - len(report.missed)} of {len(targets)} targets met")


def _table(one: BenchmarkReport) -> Table:
    table = Table(title=f"{one.name} ({one.seconds:.0f} s)", title_justify="left")
    table.add_column("figure", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("compared with", overflow="fold")
    table.add_column("its value", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    for figure in one.figures:
        name = figure.name
        if figure.note:
            name += f"\n[dim]{figure.note}[/]"
        compared = figure.compared
        table.add_row(
            name,
            f"{_number(figure.value)} {figure.unit}",
            compared.to if compared else "",
            _number(compared.value) if compared else "",
            _ratio(compared) if compared else "",
            _verdict(figure),
        )
    return table


def _ratio(compared: Comparison) -> str:
    return f"{compared.ratio:.3g}" if compared.ratio < 100 else f"{compared.ratio:.0f}"


def _verdict(figure: Figure) -> str:
    if figure.target is None:
        return ""
    colour, mark = ("green", "✓") if figure.met else ("red", "✗")
    text = f"[{colour}]{mark}[/] {figure.target}"
    if figure.target.of == "difference" and figure.compared:
        text += f" ({_number(figure.compared.difference)})"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
