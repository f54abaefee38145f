"""``smartpole bench``: how a pole's own computer keeps up with its own cameras."""

from __future__ import annotations

__all__ = ["CameraFigures", "Figures", "register"]

import argparse
import os
import sys
from pathlib import Path

import msgspec
import trio
from rich import box
from rich.console import Console
from rich.table import Table

from actors.crowd.actor import CrowdCounter, CrowdSettings
from runtime import Blueprint, Domain, SmartpoleError, check, load_blueprint
from runtime.config import seconds_argument
from runtime.histogram import HistogramStatistics
from runtime.log import configure_logging
from runtime.memory import share_one_heap
from runtime.pole import Pole
from runtime.sandbox import harden_process
from runtime.status import ActorStatus, PoleStatus

_DOMAINS = (Domain.CAPTURE, Domain.CROWD)
_SECONDS = 30.0
_WARM_UP = 3.0
"""Seconds after the first picture of each camera, until caches are warm."""
_PATIENCE = 60.0
_STEP = 0.1


class CameraFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One crowd actor: what it looked at, and how long that took."""

    actor: str
    place: str
    asked_per_second: float | None
    """Pictures; None where every picture is asked for."""
    looked_at: int
    looked_at_per_second: float
    late: int
    """Pictures that were too old when their turn came: this machine can't keep up."""
    decode_and_inference: HistogramStatistics
    """Microseconds, since the start."""
    captured_to_erased: HistogramStatistics


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What ``smartpole bench`` found."""

    seconds: float
    isolation: str
    processor: float
    """Cores in use by cameras and crowd together."""
    cores: int
    """That this process may use."""
    cameras: tuple[CameraFigures, ...]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = (
        "look through the pole's own cameras for a while and tell how this computer keeps up. "
        "Cameras and crowd run as configured, each in its walls; nothing is recorded, stored or "
        "published meanwhile"
    )
    bench = subparsers.add_parser("bench", help="measure this pole's computer", description=text)
    bench.add_argument("configuration", type=Path, help="a pole's TOML file")
    bench.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        default=_SECONDS,
        metavar="TIME",
        help=f"how long, such as 60 or 5min (default: {_SECONDS:.0f})",
    )
    bench.add_argument("--json", action="store_true", help="print JSON for a machine")
    bench.set_defaults(handler=_bench)


def _seconds(text: str) -> float:
    seconds = seconds_argument(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError("Expected a time above 0")
    return seconds


def _bench(arguments: argparse.Namespace) -> int:
    configure_logging("error")
    share_one_heap()
    blueprint = load_blueprint(arguments.configuration)
    if findings := check(blueprint):
        raise SmartpoleError(
            f"{arguments.configuration} may not run: smartpole check names {len(findings)} "
            "finding(s)."
        )
    if not _counters(blueprint):
        raise SmartpoleError(
            f"{arguments.configuration} has no actor that counts people, so there is nothing to "
            "measure."
        )
    harden_process()
    figures = trio.run(_measure, blueprint, arguments.seconds)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    else:
        _show(figures)
    return 0


def _counters(blueprint: Blueprint) -> list[str]:
    return [
        plan.name for plan in blueprint.actors.values() if issubclass(plan.actor_type, CrowdCounter)
    ]


async def _measure(blueprint: Blueprint, seconds: float) -> Figures:
    pole = Pole(blueprint, log_level="error", only=_DOMAINS)
    names = _counters(blueprint)
    figures: Figures | None = None
    failure: SmartpoleError | None = None

    async def watch() -> None:
        nonlocal figures, failure
        try:
            await _until_all_look(pole, names)
        except SmartpoleError as error:
            failure = error
            pole.stop()
            return
        await trio.sleep(_WARM_UP)
        before, used, began = pole.status(), _processor_time(pole.status()), trio.current_time()
        await trio.sleep(seconds)
        after = pole.status()
        took = trio.current_time() - began
        figures = Figures(
            seconds=round(took, 1),
            isolation=after.isolation,
            processor=round((_processor_time(after) - used) / took, 3),
            cores=len(os.sched_getaffinity(0)),
            cameras=tuple(
                _camera(blueprint, _actor(before, name), _actor(after, name), took)
                for name in names
            ),
        )
        pole.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        try:
            await pole.run()
        except SmartpoleError as error:
            failure = error  # raised below, where no nursery wraps it into a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if figures is None:
        raise SmartpoleError("the measurement was stopped before its end.")
    return figures


async def _until_all_look(pole: Pole, names: list[str]) -> None:
    with trio.move_on_after(_PATIENCE):
        while not all(  # noqa: ASYNC110 - a pole announces nothing to outsiders
            _looked(_actor(pole.status(), name)) for name in names
        ):
            await trio.sleep(_STEP)
        return
    silent = [name for name in names if not _looked(_actor(pole.status(), name))]
    reasons = {f"{one.child}: {one.message or one.error}" for one in pole.crashes()}
    raise SmartpoleError(
        f"{', '.join(silent)} looked at no picture within {_PATIENCE:g} s. "
        f"{'Crashes: ' + '; '.join(sorted(reasons)) if reasons else 'Do its cameras answer?'}"
    )


def _actor(status: PoleStatus, name: str) -> ActorStatus:
    return next(actor for actor in status.actors if actor.name == name)


def _looked(actor: ActorStatus) -> int:
    return actor.readings["pictures_counted"]


def _camera(
    blueprint: Blueprint, before: ActorStatus, after: ActorStatus, took: float
) -> CameraFigures:
    plan = blueprint.actors[after.name]
    assert isinstance(plan.settings, CrowdSettings)
    interval = float(plan.settings.interval)
    looked = _looked(after) - _looked(before)
    return CameraFigures(
        actor=after.name,
        place=plan.place,
        asked_per_second=1 / interval if interval else None,
        looked_at=looked,
        looked_at_per_second=round(looked / took, 3),
        late=after.readings["pictures_late"] - before.readings["pictures_late"],
        decode_and_inference=after.histograms["decode_and_inference"],
        captured_to_erased=after.histograms["captured_to_erased"],
    )


def _processor_time(status: PoleStatus) -> float:
    """Seconds that all processes of the pole have used."""
    tick = os.sysconf("SC_CLK_TCK")
    seconds = 0.0
    for process in {status.process, *(domain.process for domain in status.domains)} - {0}:
        try:
            fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
        except OSError:  # it ended meanwhile
            continue
        user, system = fields.split()[11:13]
        seconds += (int(user) + int(system)) / tick
    return seconds


def _show(figures: Figures) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(
        f"{figures.seconds:g} s · {figures.processor:.2f} of {figures.cores} cores for cameras and "
        f"crowd · {figures.isolation}"
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("counts people", no_wrap=True)
    for title in ("pictures/s", "asked", "late"):
        table.add_column(title, justify="right")
    for title in ("decode + inference p50", "p99", "capture → erased p50", "p99", "longest"):
        table.add_column(title, justify="right")
    for one in figures.cameras:
        looking, erased = one.decode_and_inference, one.captured_to_erased
        table.add_row(
            f"{one.actor} ({one.place})" if one.place else one.actor,
            f"{one.looked_at_per_second:.2f}",
            "every" if one.asked_per_second is None else f"{one.asked_per_second:.2f}",
            f"{one.late:,}",
            *(_milliseconds(value) for value in (looking.p50, looking.p99)),
            *(_milliseconds(value) for value in (erased.p50, erased.p99, erased.maximum)),
        )
    console.print(table)
    if any(one.late for one in figures.cameras):
        console.print(
            "This computer does not keep up: pictures were too old when their turn came. Ask for "
            "fewer (interval), look less closely (width), or use other hardware (providers)."
        )


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms"
