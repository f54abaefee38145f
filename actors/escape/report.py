"""What the suite found: judged, as a table for a person and as JSON for a machine."""

from __future__ import annotations

__all__ = ["EscapeReport", "print_report", "wrong"]

import platform
from collections import Counter
from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.table import Table

from actors.escape.known import KNOWN_IN_THREAD_MODE, STOPPED_WITHOUT_WALLS
from actors.escape.verdict import Column, Verdict

_RESULTS = {
    "stopped": "stopped",
    "allowed": "within its bound",
    "escaped": "not stopped",
    "absent": "not on this kernel",
    "not run": "not made",
}
_TITLES = {Column.NO_WALLS: "no walls", Column.THREAD: "thread", Column.PROCESS: "process"}


class EscapeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run of the suite."""

    kernel: str
    machine: str
    verdicts: tuple[Verdict, ...]
    wrong: tuple[str, ...]
    """Why the suite has failed, if it has, one a line."""

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> EscapeReport:
        """Judge the verdicts."""
        given = tuple(verdicts)
        return cls(
            kernel=platform.release(),
            machine=platform.machine(),
            verdicts=given,
            wrong=_complaints(given),
        )


def wrong(verdict: Verdict) -> str:
    """Why a verdict is not as it must be, or ""."""
    who = (
        f"{verdict.attempt} ({verdict.suite}, {_TITLES[verdict.isolation]}, {verdict.person.value})"
    )
    if verdict.result == "not run":
        return f"{who} was not made: {verdict.wall}"
    if verdict.isolation is Column.NO_WALLS:
        if verdict.result == "stopped" and verdict.attempt not in STOPPED_WITHOUT_WALLS:
            return (
                f"{who} does not work even without walls ({verdict.wall}), so that it proves "
                "nothing where it is stopped"
            )
        return ""
    if verdict.result == "escaped" and not _is_known(verdict):
        return f"{who} got out: {verdict.found}"
    return ""


def _complaints(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """One line for each attempt, but for those of one pole that did not come about at all."""
    lines: list[str] = []
    unmade: Counter[tuple[str, str, str, str]] = Counter()
    for one in verdicts:
        if one.result == "not run":
            unmade[one.suite, _TITLES[one.isolation], one.person.value, one.wall] += 1
        elif line := wrong(one):
            lines.append(line)
    for (*where, why), number in unmade.items():
        lines.append(f"{number} attempt(s) ({', '.join(where)}) were not made: {why}")
    return tuple(lines)


def print_report(report: EscapeReport, console: Console, *, brief: bool = False) -> None:
    """Attempt by isolation: by which wall it was stopped, or that it was not; then in numbers."""
    if not brief:
        _print_tables(report, console)
    _print_summary(report, console)
    for line in report.wrong:
        console.print(f"✗ {line}", style="red", highlight=False)
    if not report.wrong:
        console.print("✓ all as it must be")


def _print_tables(report: EscapeReport, console: Console) -> None:
    columns = [one for one in Column if any(v.isolation is one for v in report.verdicts)]
    for group in dict.fromkeys((one.suite, one.person) for one in report.verdicts):
        suite, person = group
        chosen = [one for one in report.verdicts if (one.suite, one.person) == group]
        table = Table(title=f"domain {suite}, as {person.value}", title_justify="left")
        table.add_column("what")
        table.add_column("attempt")
        for column in columns:
            table.add_column(_TITLES[column])
        cells: dict[str, dict[Column, Verdict]] = {}
        for one in chosen:
            cells.setdefault(one.attempt, {})[one.isolation] = one
        for name, row in cells.items():
            category = next(iter(row.values())).category
            shown = (_cell(row[column]) if column in row else "" for column in columns)
            table.add_row(category, name.replace("_", " "), *shown)
        console.print(table)


def _print_summary(report: EscapeReport, console: Console) -> None:
    """How many of each, what was carried by what is allowed, and what is known and was stopped."""
    table = Table(title="in numbers", title_justify="left")
    for title in ("domain", "isolation", "as", *_RESULTS.values()):
        table.add_column(title)
    groups = Counter((one.suite, one.isolation, one.person) for one in report.verdicts)
    for suite, column, person in groups:
        results = Counter(
            one.result
            for one in report.verdicts
            if (one.suite, one.isolation, one.person) == (suite, column, person)
        )
        counts = (str(results[result]) for result in _RESULTS)
        table.add_row(suite, _TITLES[column], person.value, *counts)
    console.print(table)
    for one in report.verdicts:
        if one.result == "allowed":
            console.print(
                f"  {one.attempt.replace('_', ' ')} ({_TITLES[one.isolation]}, "
                f"{one.person.value}): {one.found}"
            )
    for one in report.verdicts:
        if one.result == "stopped" and _is_known(one):
            console.print(
                f"  {one.attempt.replace('_', ' ')} ({one.suite}, {one.person.value}) is known to "
                f"get out in thread mode, and did not here: {one.wall}"
            )


def _is_known(verdict: Verdict) -> bool:
    return verdict.isolation is Column.THREAD and verdict.attempt in KNOWN_IN_THREAD_MODE


def _cell(verdict: Verdict) -> str:
    match verdict.result:
        case "escaped" if verdict.isolation is Column.NO_WALLS:
            return "[dim]gets out[/dim]"
        case "escaped" if _is_known(verdict):
            return "[yellow]NOT STOPPED (known)[/yellow]"
        case "escaped":
            return "[bold red]NOT STOPPED[/bold red]"
        case "stopped":
            return f"[green]{verdict.wall}[/green]"
        case "allowed":
            return f"[green]{verdict.found}[/green]"
        case "absent":
            return "[dim]not on this kernel[/dim]"
        case _:
            return "[bold red]not made[/bold red]"
