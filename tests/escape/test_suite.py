"""The suite itself: without walls, every attempt works; with them, nothing gets out that is not
known to.

Each test runs many poles. `smartpole escape-test` does the same on a real pole.
"""

from __future__ import annotations

import pytest

from actors.escape.judge import Judge, attempts_of, persons
from actors.escape.report import EscapeReport
from actors.escape.verdict import Column, Person, Verdict

pytestmark = pytest.mark.real_time

SUITES = ("crowd", "wifi", "capture")
WALLS = (Column.THREAD, Column.PROCESS)


def run(suite: str, column: Column, person: Person) -> EscapeReport:
    return EscapeReport.of(Judge(suite, column, person).run(attempts_of(suite), jobs=2))


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
