"""Each expected fault: a clear message, and the rest of the pole goes on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio

from runtime import check, load_blueprint
from runtime.house import Housing
from runtime.pole import Pole
from tests.demo_pole import actor, demo_configuration, wait_for

pytestmark = [pytest.mark.real_time, pytest.mark.models, pytest.mark.footage]

RECIPIENTS = 'recipients = "../var/demo-manager/manager.key.pub"'
VITAL = {
    "camera": "packets",
    "crowd": "pictures_counted",
    "recorder": "packets_recorded",
    "retention": "sweeps",
    "wifi": "frames_seen",
    "notice": "notice_ready",
}


def garbage(folder: Path, content: str) -> str:
    path = folder / "garbage"
    path.write_text(content, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("fault", "victim", "states", "says"),
    [
        ("missing model", "crowd", {"down"}, "smartpole models fetch"),
        ("wrong key", "recorder", {"down"}, "age1"),
        ("missing key", "recorder", {"down"}, "smartpole keys make"),
        (
            "port in use",
            "notice",
            {"waiting to restart", "starting", "resting after too many crashes"},
            "in use",
        ),
    ],
)
async def test_the_rest_goes_on(
    fault: str, victim: str, states: set[str], says: str, tmp_path: Path
) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        change = {
            "missing model": ('models = "../var/models"', f'models = "{tmp_path / "none"}"'),
            "wrong key": (RECIPIENTS, f'recipients = "{garbage(tmp_path, "age1nonsense")}"'),
            "missing key": (RECIPIENTS, f'recipients = "{tmp_path / "none.pub"}"'),
            "port in use": ("port = 8460", f"port = {occupied.getsockname()[1]}"),
        }[fault]
        blueprint = load_blueprint(demo_configuration(tmp_path, change))
        assert check(blueprint) == []
        pole = Pole(blueprint, housing=Housing.ONE_LOOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run)
            status = await wait_for(
                blueprint.pole.state,
                lambda s: (
                    actor(s, victim).state in states
                    and actor(s, victim).last_crash is not None
                    and all(
                        actor(s, name).readings[work] > 0
                        for name, work in VITAL.items()
                        if name != victim
                    )
                ),
                seconds=20,
            )
            pole.stop()
    crash = actor(status, victim).last_crash
    assert crash is not None
    assert says in crash.message
    assert all(one.crashes == 0 for one in status.actors if one.name != victim)
