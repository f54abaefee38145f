"""The command ``smartpole``. Packages add commands of their own by ``smartpole.commands``."""

from __future__ import annotations

__all__ = ["main"]

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points, version
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from runtime.blueprint import Blueprint, load_blueprint
from runtime.check import check
from runtime.config import seconds_argument
from runtime.control import ask_status
from runtime.domain import TABLE
from runtime.errors import ConfigurationError, DomainStuck, SmartpoleError
from runtime.graph import to_bounds, to_svg, to_text, to_uses
from runtime.ledger.commands import register as register_ledger
from runtime.log import configure_logging
from runtime.memory import share_one_heap
from runtime.pole import Pole
from runtime.sandbox import harden_process
from runtime.view import LiveView, render_status, render_summary

OK, FAILED, UNUSABLE = 0, 1, 2
"""Exit statuses: as wished; refused or failed; the configuration or command can't be read."""

_COMMAND_ENTRY_POINTS = "smartpole.commands"
_REFRESH = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="smartpole",
        description="The program on a street pole's computer: crowd information and security "
        "recording from one camera, completely separated.",
    )
    parser.add_argument("--version", action="version", version=version("smartpole"))
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    own = _add_own_commands(subparsers)
    if not given or given[0] not in own:
        # Others' commands import much (video, models), so they are loaded only where needed.
        for point in sorted(entry_points(group=_COMMAND_ENTRY_POINTS)):
            try:
                point.load()(subparsers)
            except (ImportError, AttributeError) as error:
                print(f"smartpole: no commands of {point.name!r}: {error}", file=sys.stderr)
    namespace = parser.parse_args(given)
    try:
        handler: Callable[[argparse.Namespace], int] = namespace.handler
        return handler(namespace)
    except ConfigurationError as error:
        print(f"smartpole: {error}", file=sys.stderr)
        return UNUSABLE
    except SmartpoleError as error:
        print(f"smartpole: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has seen enough (``| head``); Python's flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _add_own_commands(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> set[str]:
    def add(
        name: str, handler: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text, description=text)
        command.add_argument("configuration", type=Path, help="a pole's TOML file")
        command.set_defaults(handler=handler)
        return command

    add("check", _check, "judge a configuration without starting anything")
    graph = add("graph", _graph, "show domains, actors, channels and grants as a picture")
    graph.add_argument("--svg", type=Path, metavar="FILE", help="write an SVG picture instead")
    route = add("route", _route, "show each use of one actor, where it comes from, and why")
    route.add_argument("actor", help="its name in the configuration")
    run = add("run", _run, "run a pole until it is stopped (SIGTERM or Ctrl-C)")
    run.add_argument("--view", action="store_true", help="show what happens, and a summary")
    run.add_argument(
        "--for",
        dest="seconds",
        type=seconds_argument,
        metavar="TIME",
        help="stop after this time, such as 60 or 5min; exit 0 only if every actor worked",
    )
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default=None)
    status = add("status", _status, "ask a running pole how it is")
    status.add_argument("--json", action="store_true", help="print JSON for a machine")
    register_ledger(subparsers)
    return {"check", "graph", "route", "run", "status", "ledger"}


def _load_sound(path: Path) -> Blueprint | None:
    """A blueprint without findings, or None after printing them."""
    blueprint = load_blueprint(path)
    findings = check(blueprint)
    for finding in findings:
        print(f"✗ {finding}", file=sys.stderr)
    if findings:
        print(f"{path}: {len(findings)} finding(s); it may not run.", file=sys.stderr)
        return None
    return blueprint


def _check(arguments: argparse.Namespace) -> int:
    blueprint = _load_sound(arguments.configuration)
    if blueprint is None:
        return FAILED
    print(
        f"✓ {arguments.configuration}: {len(blueprint.actors)} actors in "
        f"{len({plan.domain for plan in blueprint.actors.values()})} domains, "
        f"{len(blueprint.channels)} channels; nothing to object."
    )
    if any(TABLE[plan.domain].is_personal for plan in blueprint.actors.values()):
        print(f"\n{to_bounds(blueprint)}")
    return OK


def _route(arguments: argparse.Namespace) -> int:
    """Of a refused blueprint, too: that is when one wants to know why."""
    blueprint = load_blueprint(arguments.configuration)
    if arguments.actor not in blueprint.actors:
        raise SmartpoleError(
            f"{arguments.configuration} has no actor {arguments.actor!r}. "
            f"Accepted: {', '.join(sorted(blueprint.actors)) or 'none, it has no actors'}."
        )
    shown = to_uses(blueprint, arguments.actor)
    print(shown, end="")
    return FAILED if "\n  ✗ " in shown else OK


def _graph(arguments: argparse.Namespace) -> int:
    blueprint = load_blueprint(arguments.configuration)
    if arguments.svg:
        try:
            arguments.svg.write_text(to_svg(blueprint), encoding="utf-8")
        except OSError as error:
            raise SmartpoleError(f"{arguments.svg} can't be written: {error.strerror}") from None
        print(f"wrote {arguments.svg}")
    else:
        print(to_text(blueprint))
    return OK


def _run(arguments: argparse.Namespace) -> int:
    level = arguments.log_level or ("warning" if arguments.view else "info")
    configure_logging(level)
    share_one_heap()
    blueprint = _load_sound(arguments.configuration)
    if blueprint is None:
        return FAILED
    for undone in harden_process():
        print(f"smartpole: {undone}", file=sys.stderr)
    try:
        return trio.run(_run_pole, blueprint, level, arguments.view, arguments.seconds)
    except DomainStuck as error:
        # The thread of a stuck domain would keep an ordinary exit waiting.
        print(f"smartpole: {error}", file=sys.stderr, flush=True)
        os._exit(FAILED)


async def _run_pole(
    blueprint: Blueprint, log_level: str, with_view: bool, seconds: float | None
) -> int:
    pole = Pole(blueprint, log_level=log_level)

    async def stop_later(after: float) -> None:
        await trio.sleep(after)
        pole.stop()

    async def show() -> None:
        with LiveView() as view:
            while True:
                view.update(pole.status())
                await trio.sleep(_REFRESH)

    failure: SmartpoleError | None = None
    async with trio.open_nursery() as nursery:
        if seconds is not None:
            nursery.start_soon(stop_later, seconds)
        if with_view:
            nursery.start_soon(show)
        try:
            await pole.run()
        except SmartpoleError as error:
            failure = error  # raised below, where no nursery wraps it into a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    status = pole.status()
    if with_view:
        Console().print(render_summary(status))
    return OK if seconds is None or status.working else FAILED


def _status(arguments: argparse.Namespace) -> int:
    state = load_blueprint(arguments.configuration).pole.state
    status = trio.run(ask_status, state)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())
    else:
        Console().print(render_status(status))
    return OK


if __name__ == "__main__":  # pragma: no cover
    sys.exit(main())
