"""``smartpole wifi-capture``: what the Wi-Fi package adds to the command line."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``wifi-capture --to FILE`` to the command line (entry point ``smartpole.commands``)."""
    text = "generate a Wi-Fi capture of made-up devices, for demo and tests"
    command = subparsers.add_parser("wifi-capture", help=text, description=text)
    command.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="the pcapng file to write"
    )
    command.set_defaults(handler=_generate)


def _generate(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without what one command needs.
    from actors.wifi.generate import generate_capture, write_capture

    capture = generate_capture()
    try:
        size = write_capture(capture, arguments.to)
    except OSError as error:
        print(
            f"smartpole wifi-capture: {arguments.to} can't be written: {error.strerror}. "
            "Make room, or choose a file in a folder that you may write to.",
            file=sys.stderr,
        )
        return 1
    print(
        f"  {arguments.to}: a GENERATED capture (nobody was listened to), {capture.seconds:g} s, "
        f"{len(capture.frames)} frames, {capture.devices()} made-up transmitters, "
        f"{size // 1024} KiB"
    )
    return 0
