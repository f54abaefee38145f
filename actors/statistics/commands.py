"""``smartpole statistics``: what a pole has released, as a table or for other programs."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import csv
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from actors.statistics.release import Released
    from runtime import Blueprint

_DAY = "24h"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `statistics` (entry point `smartpole.commands`)."""
    text = "show or export the statistics that a pole has released; it may be running"
    command = subparsers.add_parser("statistics", help=text, description=text)
    command.add_argument("configuration", type=Path, help="the pole's TOML file")
    command.add_argument(
        "--since", default=_DAY, metavar="TIME", help=f"how far back, such as 30min or 7d ({_DAY})"
    )
    command.add_argument("--place", metavar="NAME", help="of one place only")
    command.add_argument(
        "--as",
        dest="form",
        choices=("table", "csv", "json", "ngsi-ld"),
        default="table",
        help="ngsi-ld: entities CrowdFlowObserved, of people only (table)",
    )
    command.set_defaults(handler=_statistics)


def _statistics(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without loading all of it.
    from runtime import Duration, SmartpoleError
    from runtime.blueprint import load_blueprint

    blueprint = load_blueprint(arguments.configuration)
    try:
        since = time.time() - Duration.parse(arguments.since)
    except ValueError as error:
        raise SmartpoleError(f"--since {arguments.since}: {error}") from None
    if arguments.place is not None and arguments.place not in blueprint.places:
        raise SmartpoleError(
            f"--place {arguments.place}: there is no such place. Accepted: "
            f"{', '.join(sorted(blueprint.places)) or 'none, no place is declared'}."
        )
    found = [
        one
        for one in _read(blueprint, int(since))
        if arguments.place is None or one.place == arguments.place
    ]
    _write(found, blueprint, arguments.form, sys.stdout)
    return 0


def _read(blueprint: Blueprint, since: int) -> list[Released]:
    from actors.statistics.reading import FILE, devices_in, people_in, read_slices
    from runtime import SmartpoleError

    path = blueprint.pole.state / "public" / FILE
    with read_slices(path) as connection:
        if connection is None:
            raise SmartpoleError(
                f"{path}: there are no statistics yet. They are stored when the pole's first slice "
                "is over."
            )
        return [*people_in(connection, since), *devices_in(connection, since)]


def _write(found: list[Released], blueprint: Blueprint, form: str, to: TextIO) -> None:
    import msgspec

    from actors.statistics.export import CSV_COLUMNS, csv_rows, json_of, ngsi_ld_of
    from actors.statistics.release import ReleasedPeople

    if form == "table":
        _print_table(found, blueprint)
    elif form == "csv":
        writer = csv.writer(to, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(csv_rows(found))
    else:
        people = [one for one in found if isinstance(one, ReleasedPeople)]
        if form == "json":
            devices = [one for one in found if not isinstance(one, ReleasedPeople)]
            content: object = {
                "pole": blueprint.pole.name,
                "people": [json_of(one) for one in people],
                "devices": [json_of(one) for one in devices],
            }
        else:
            content = [ngsi_ld_of(one, blueprint) for one in people]
        print(msgspec.json.format(msgspec.json.encode(content), indent=2).decode(), file=to)


def _print_table(found: list[Released], blueprint: Blueprint) -> None:
    from rich.console import Console
    from rich.table import Table

    from actors.statistics.groups import ANY
    from actors.statistics.release import ReleasedDevices

    table = Table(title=f"Released by {blueprint.pole.name}", title_justify="left", box=None)
    for heading in ("from (UTC)", "s", "place", "observed", "most", "mean", "most of each group"):
        right = heading in ("s", "observed", "mean")
        table.add_column(
            heading, justify="right" if right else "left", no_wrap=heading == "from (UTC)"
        )
    for one in found:
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.start))
        window = (start, str(one.end - one.start), one.place)
        few = f"fewer than {one.k}"
        if isinstance(one, ReleasedDevices):
            table.add_row(*window, "", f"{one.devices or few} devices", "", "")
            continue
        named = ((part.group.names_in(one.age_bands), part.peak) for part in one.groups)
        who = ", ".join(
            f"{' '.join(name for name in names if name != ANY)}: {peak}" for names, peak in named
        )
        mean = "" if one.mean_tenths is None else f"{one.mean_tenths / 10:.1f}"
        observed = f"{one.coverage_tenths * 10} %"
        table.add_row(*window, observed, f"{one.peak or few} people", mean, who)
    Console().print(table)
