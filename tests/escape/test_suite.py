"""The suite itself: without walls, every attempt works; with them, nothing gets out that is not
known to.

Each test runs many poles. `smartpole escape-test` does the same on a real pole.
"""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from actors.escape.campaign import run_campaign
from actors.escape.known import KNOWN_IN_THREAD_MODE
from actors.escape.report import EscapeReport, print_report
from actors.escape.trial import persons
from actors.escape.verdict import Column, Person, Verdict

pytestmark = pytest.mark.real_time

SUITES = ("crowd", "wifi", "capture")
WALLS = (Column.THREAD, Column.PROCESS)


def run(suite: str, column: Column, person: Person) -> EscapeReport:
    return EscapeReport.of(run_campaign([suite], [column], [person]))


def told(report: EscapeReport) -> str:
    return "\n".join(report.wrong)


@pytest.mark.escape
@pytest.mark.parametrize("suite", SUITES)
def test_without_walls_every_attempt_works(suite: str) -> None:
    report = run(suite, Column.NO_WALLS, persons()[-1])
    assert not report.wrong, told(report)
    results = [one.result for one in report.verdicts]
    assert results.count("escaped") >= 0.9 * len(results), "too much is absent on this kernel"


@pytest.mark.escape
@pytest.mark.parametrize("person", persons(), ids=lambda person: person.value)
@pytest.mark.parametrize("column", WALLS, ids=lambda column: column.value)
@pytest.mark.parametrize("suite", SUITES)
def test_nothing_gets_out_that_is_not_known_to(suite: str, column: Column, person: Person) -> None:
    report = run(suite, column, person)
    assert not report.wrong, told(report)
    assert {one.result for one in report.verdicts} & {"stopped"}
    known = {one.attempt for one in report.verdicts if one.attempt in KNOWN_IN_THREAD_MODE}
    out = {one.attempt for one in report.verdicts if one.result == "escaped"}
    assert out == (known if column is Column.THREAD else set()), "the list of what is known is old"


def one(result: str, isolation: Column, attempt: str = "open_and_write") -> Verdict:
    return Verdict(
        attempt=attempt,
        category="files",
        suite="crowd",
        isolation=isolation,
        person=Person.ROOT,
        result=result,
        wall="seccomp",
        found="a file",
    )


@pytest.mark.parametrize(
    ("verdict", "complaint"),
    [
        (one("escaped", Column.NO_WALLS), ""),
        (one("stopped", Column.NO_WALLS), "proves nothing"),
        (one("stopped", Column.NO_WALLS, "subclass_of_the_message"), ""),
        (one("absent", Column.NO_WALLS), ""),
        (one("stopped", Column.THREAD), ""),
        (one("stopped", Column.PROCESS), ""),
        (one("allowed", Column.PROCESS), ""),
        (one("escaped", Column.THREAD), "got out: a file"),
        (one("escaped", Column.PROCESS), "got out: a file"),
        (one("not run", Column.THREAD), "were not made"),
        (one("not run", Column.PROCESS), "were not made"),
    ],
)
def test_what_counts_as_wrong(verdict: Verdict, complaint: str) -> None:
    wrong = EscapeReport.of([verdict]).wrong
    assert len(wrong) == bool(complaint)
    assert complaint in "".join(wrong)


def test_the_report_tells_numbers_measures_and_what_is_old_in_the_list() -> None:
    known = next(iter(KNOWN_IN_THREAD_MODE))
    verdicts = [
        one("stopped", Column.PROCESS),
        one("stopped", Column.PROCESS, "numpy_save"),
        one("allowed", Column.PROCESS, "bits_in_a_reading"),
        one("stopped", Column.THREAD, known),
    ]
    printed = {}
    for brief in (True, False):
        text = io.StringIO()
        print_report(EscapeReport.of(verdicts), Console(file=text, width=200), brief=brief)
        printed[brief] = text.getvalue()
        assert re.search(r"crowd\W+process\W+root\W+2\W+1\W+0\W+0\W+0", printed[brief])
        assert "bits in a reading (process, root): a file" in printed[brief]
        assert f"{known.replace('_', ' ')} (crowd, root) is known to get out" in printed[brief]
        assert "✓ all as it must be" in printed[brief]
    assert "numpy save" in printed[False]
    assert "numpy save" not in printed[True]
