"""``smartpole escape-test``: what the escape suite adds to the command line."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import signal
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``escape-test`` to the command line (entry point ``smartpole.commands``)."""
    text = "let hostile actors try to get something out of their domains, and see whether they can"
    command = subparsers.add_parser(
        "escape-test",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Runs small poles of its own on this machine, "
        "beside any that is at work, in temporary folders and on this machine's own network only. "
        "As root, each is run as root and as an ordinary user; without walls as the latter only.",
    )
    command.add_argument(
        "--isolation",
        choices=("thread", "process", "both"),
        default="both",
        help="how the domains are kept apart (%(default)s)",
    )
    command.add_argument(
        "--domain",
        choices=("crowd", "wifi", "capture", "all"),
        default="all",
        help="whose actor is hostile (%(default)s)",
    )
    command.add_argument(
        "--as", dest="person", choices=("root", "ordinary"), help="as this user only"
    )
    command.add_argument(
        "--attempt", action="append", metavar="NAME", help="this attempt only (may be repeated)"
    )
    command.add_argument(
        "--without-control",
        action="store_true",
        help="leave out the poles without walls, which show that the attempts work",
    )
    command.add_argument(
        "--brief", action="store_true", help="print only numbers and what is not as it must be"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    command.add_argument(
        "--jobs",
        type=int,
        default=0,
        metavar="N",
        help="poles at a time (two for each processor; 1 beside a pole that is at work)",
    )
    command.add_argument("--list", action="store_true", help="list the attempts and end")
    command.set_defaults(handler=_test)


def _test(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without what one command needs.
    import msgspec
    from rich.console import Console

    from actors.escape.campaign import run_campaign
    from actors.escape.judge import attempts_of
    from actors.escape.report import EscapeReport, print_report
    from actors.escape.trial import persons
    from actors.escape.verdict import Column, Person

    suites = ("crowd", "wifi", "capture") if arguments.domain == "all" else (arguments.domain,)
    if arguments.list:
        for one in {one.name: one for suite in suites for one in attempts_of(suite)}.values():
            print(f"{one.category:10} {one.name:42} {one.summary}")
        return 0
    names = set(arguments.attempt or ())
    if unknown := names - {one.name for suite in suites for one in attempts_of(suite)}:
        print(
            f"smartpole escape-test: there is no attempt {', '.join(sorted(unknown))}. "
            "`smartpole escape-test --list` names them all.",
            file=sys.stderr,
        )
        return 2
    columns = [Column.THREAD, Column.PROCESS]
    if arguments.isolation != "both":
        columns = [Column(arguments.isolation)]
    if not arguments.without_control:
        columns.insert(0, Column.NO_WALLS)
    people = persons()
    if arguments.person:
        wanted = Person(arguments.person)
        if wanted not in people:
            print("smartpole escape-test: only root can test as root.", file=sys.stderr)
            return 2
        people = (wanted,)
    # As by Ctrl-C: what it has started is ended, and its folders are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verdicts = run_campaign(
        suites,
        columns,
        people,
        names=names,
        jobs=arguments.jobs,
        say=lambda text: print(f"· {text}", file=sys.stderr, flush=True),
    )
    report = EscapeReport.of(verdicts)
    print_report(report, Console(), brief=arguments.brief)
    if arguments.json:
        try:
            arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        except OSError as error:
            print(
                f"smartpole escape-test: {arguments.json} can't be written: {error.strerror}.",
                file=sys.stderr,
            )
            return 1
    return 1 if report.wrong else 0
