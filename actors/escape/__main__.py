"""``python -m actors.escape``: the suite without an installed ``smartpole``."""

from __future__ import annotations

import argparse
import sys

from actors.escape.commands import register


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.escape")
    register(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["escape-test", *sys.argv[1:]])
    status: int = arguments.handler(arguments)
    return status


if __name__ == "__main__":
    sys.exit(_main())
