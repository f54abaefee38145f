"""``python -m bench``: run benchmarks, print a table, write JSON."""

from __future__ import annotations

__all__ = ["main"]

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec

from bench.harness import Benchmark, BenchmarkFailed, Effort
from bench.report import BenchmarkReport, Report, print_report, read_environment

BENCHMARKS = {
    "channel": "sending and receiving, against trio, asyncio and pykka",
    "supervisor": "starting, stopping and restarting, against a bare loop and pykka",
    "latency": "each model and a whole picture, by provider, threads, size, batch and precision",
    "pipeline": "pictures a second and latency, against a bare loop",
    "load": "what one camera takes of a processor, and where it goes",
    "overload": "more cameras than the machine can take: what each gets, and memory",
    "accuracy": "people, faces and attributes told rightly in labelled pictures (only when named)",
    "recording": "eight cameras recorded at once, against a plain remux of the same streams",
    "retention": "a purge out of a million segments, against one out of ten thousand",
    "separation": "walls, border and erasing, against one loop without them; restarts",
    "release": "how much the release gate still tells of streets and of busier places",
    "ledger": "appending, against SQLite; verifying a million entries",
    "demo": "the demo to its first count, and its memory (only when named)",
}
"""Each is a module here with a function ``benchmark``."""

_ONLY_WHEN_NAMED = ("accuracy", "demo")
_OURS = ("bench", "actors", "models", "runtime")
_USUAL = Effort()
_QUICK = Effort(rounds=5, scale=0.25)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for. Exit status 1: something failed, or a target was missed (--check)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.labels or options.root) and "accuracy" not in options.names:
        parser.error("--labels and --root are for accuracy: python -m bench accuracy --labels …")
    names = options.names or [name for name in BENCHMARKS if name not in _ONLY_WHEN_NAMED]
    effort = msgspec.structs.replace(
        _QUICK if options.quick else _USUAL, labels=options.labels, root=options.root
    )
    environment = read_environment()
    benchmarks = []
    for name in dict.fromkeys(names):
        print(f"· {name}: {BENCHMARKS[name]}", file=sys.stderr, flush=True)
        benchmarks.append(_run(name, effort))
    report = Report(quick=options.quick, environment=environment, benchmarks=tuple(benchmarks))
    print_report(report)
    written = _write(report, options.json)
    if report.has_failed or not written:
        return 1
    return 1 if options.check and report.missed else 0


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:12}{text}" for name, text in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure smartpole, each figure beside what it is compared with.",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=_name, help="which; without any, most of them"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("var/bench/latest.json"),
        help="where the figures are written (%(default)s)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE.csv", help="accuracy: what is to be seen, by eye"
    )
    parser.add_argument(
        "--root", type=Path, metavar="FOLDER", help="accuracy: where the labelled pictures are"
    )
    parser.add_argument("--quick", action="store_true", help="take less time, be less certain")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return parser


def _name(text: str) -> str:
    # Not argparse's own choices: with those it refuses that no name is given.
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(
            f"there is no benchmark {text!r}; there are {', '.join(BENCHMARKS)}"
        )
    return text


def _run(name: str, effort: Effort) -> BenchmarkReport:
    began = perf_counter()
    try:
        benchmark = cast(Benchmark, importlib.import_module(f"bench.{name}").benchmark)
        outcome = benchmark(effort)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        return BenchmarkReport(
            name=name,
            seconds=perf_counter() - began,
            failure=f"{error.name} is not installed. Set up with: make develop",
        )
    except BenchmarkFailed as error:
        # The report names nothing of this machine; from here, relative paths say as much.
        failure = str(error).replace(f"{Path.cwd()}/", "")
        return BenchmarkReport(name=name, seconds=perf_counter() - began, failure=failure)
    return BenchmarkReport(
        name=name,
        seconds=round(perf_counter() - began, 1),
        figures=outcome.figures,
        not_available=outcome.not_available,
    )


def _write(report: Report, path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    except OSError as error:
        print(f"bench: {path} can't be written: {error.strerror}", file=sys.stderr)
        return False
    print(f"written: {path}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
