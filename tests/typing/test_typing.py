"""Mistakes that a type checker must find before anything runs, and what it must not complain of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
REPOSITORY = Path(__file__).parents[2]
_REPORT = re.compile(
    r"^(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*?)(?:  \[(?P<code>[a-z-]+)\])?$"
)


@pytest.fixture(scope="module")
def reported() -> set[tuple[str, int, str]]:
    """File, line and code of every error, from one run over all cases."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--no-pretty",
            *sorted(CASES.glob("*.py")),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    found = [_REPORT.match(line) for line in run.stdout.splitlines() if ": note: " not in line]
    assert all(found), run.stdout
    return {(Path(m["path"]).name, int(m["line"]), m["code"]) for m in found if m}


def expected(path: Path) -> set[tuple[str, int, str]]:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return {
        (path.name, number, code)
        for number, line in lines
        for code in line.partition("# E: ")[2].split()
    }


@pytest.mark.parametrize("case", sorted(CASES.glob("*.py")), ids=lambda path: path.stem)
def test_mypy_finds_these_mistakes_and_no_others(
    case: Path, reported: set[tuple[str, int, str]]
) -> None:
    here = {error for error in reported if error[0] == case.name}
    wanted = expected(case)
    assert len(wanted) > 5
    assert sorted(here - wanted) == []
    assert sorted(wanted - here) == []
