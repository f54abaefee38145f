"""``python -m actors.escape.pole CONFIGURATION ISOLATION``: a real pole with hostile actors in it.

Run by the judge, as a process of its own. ``loop`` is the control group: one loop, no kernel
sandbox, and no codec at the border either, so that every attempt can show that it works.
"""

from __future__ import annotations

__all__ = ["ACTOR_TYPES", "REFUSED", "main"]

import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import trio

from actors.escape.bystanders import Archive, Witness
from actors.escape.hostile import HostileCamera, HostileCrowd, HostileWifi
from actors.escape.system import end_with_parent
from actors.statistics.actor import Statistics
from runtime import Actor, SmartpoleError, check, load_blueprint
from runtime.blueprint import Isolation
from runtime.border import BorderCodec
from runtime.house import Housing
from runtime.log import configure_logging
from runtime.memory import share_one_heap
from runtime.pole import Pole

ACTOR_TYPES: dict[str, type[Actor]] = {
    "archive": Archive,
    "hostile-camera": HostileCamera,
    "hostile-crowd": HostileCrowd,
    "hostile-wifi": HostileWifi,
    "statistics": Statistics,
    "witness": Witness,
}


REFUSED = 4
"""Exit status: the pole said in its own words why it does not run."""


def main(arguments: list[str]) -> int:
    """Run the pole until it is told to stop."""
    configuration, isolation = Path(arguments[0]), arguments[1]
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging("info")
    share_one_heap()
    outside = _open_like_a_service()
    if isolation == "loop":
        BorderCodec.cross = _pass_unchanged  # type: ignore[method-assign,assignment]
    blueprint = load_blueprint(configuration, ACTOR_TYPES)
    if findings := check(blueprint):
        print("findings:", *findings, sep="\n", file=sys.stderr)
        return 1
    if isolation == "loop":
        pole = Pole(blueprint, housing=Housing.ONE_LOOP)
    else:
        pole = Pole(blueprint, isolation=Isolation(isolation))
    if failure := trio.run(_run, pole):
        print(f"the pole ended: {failure}", file=sys.stderr)
        return REFUSED
    outside.close()
    return 0


async def _run(pole: Pole) -> SmartpoleError | None:
    """The pole, beside something that uses trio's worker threads now and then, as a library on the
    main side may: they wait in their cache for more. Returns why the pole has ended by itself."""
    failure: SmartpoleError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_use_workers)
        try:
            await pole.run()
        except SmartpoleError as error:
            failure = error
        nursery.cancel_scope.cancel()
    return failure


async def _use_workers() -> None:
    while True:
        await trio.to_thread.run_sync(os.getpid)
        await trio.sleep(1)


def _pass_unchanged(_: BorderCodec[Any], message: Any) -> Any:
    """A border that checks nothing."""
    return message


def _open_like_a_service() -> socket.socket:
    """A socket to somebody outside, as the notice or the service manager has one: held by the pole
    itself, and worth finding."""
    outside = socket.socket(type=socket.SOCK_DGRAM)
    outside.connect(("127.0.0.1", int(os.environ["SMARTPOLE_ESCAPE_UDP"])))
    return outside


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
