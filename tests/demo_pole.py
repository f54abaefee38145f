"""The demo's configuration, moved to a folder and a port of a test's own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import trio

from runtime.control import ask_status
from runtime.errors import PoleUnreachable
from runtime.status import ActorStatus, PoleStatus

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_configuration(folder: Path, *changes: tuple[str, str]) -> Path:
    """conf/demo.toml with its state in ``folder``, a free port, and the given replacements."""
    text = (ROOT / "conf" / "demo.toml").read_text("utf-8")
    moves = (
        ('state = "../var/demo"', f'state = "{folder / "state"}"'),
        ("port = 8460", f"port = {free_port()}"),
    )
    changed = {old for old, _ in changes}
    for old, new in (*changes, *(move for move in moves if move[0] not in changed)):
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in conf/demo.toml"
        text = text.replace(old, new)
    text = text.replace('"../var', f'"{ROOT}/var').replace('"file:../var', f'"file:{ROOT}/var')
    path = folder / "pole.toml"
    path.write_text(text, "utf-8")
    return path


async def wait_for(
    state: Path, condition: Callable[[PoleStatus], bool], *, seconds: float
) -> PoleStatus:
    """Ask the pole again and again until it is as wished. Fails after ``seconds``."""
    status = None
    with trio.move_on_after(seconds):
        while True:
            try:
                status = await ask_status(state)
            except PoleUnreachable:
                status = None
            if status is not None and condition(status):
                return status
            await trio.sleep(0.1)
    raise AssertionError(f"not within {seconds} s; last seen: {status}")


def actor(status: PoleStatus, name: str) -> ActorStatus:
    return next(one for one in status.actors if one.name == name)
