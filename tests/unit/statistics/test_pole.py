"""Statistics and the Wi-Fi counter under a whole pole, in real time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from structlog.testing import capture_logs

from actors.crowd.messages import PictureCount
from actors.statistics import Statistics
from actors.wifi import WifiCounter
from actors.wifi.generate import generate_capture, write_capture
from runtime import Actor, Domain, Outlet
from tests.poles import actor_status, eventually, running_pole
from tests.unit.statistics.pictures import of_people

pytestmark = pytest.mark.real_time

POLE = """
[actors.crowd]
type = "crowd"
place = "crossing"

[actors.wifi]
type = "wifi"
place = "crossing"
grants = ["WifiSensing"]
settings = { source = "file:street.pcapng", slice = "10s", loop = true }

[actors.statistics]
type = "statistics"
grants = ["StatisticsStore"]
settings = { slice = "10s", k = 4, demonstration = true }
supervision = { first_delay = "50ms" }

[[channels]]
from = "crowd.counts"
to = "statistics.people"

[[channels]]
from = "wifi.counts"
to = "statistics.devices"
"""


class Pictures(Actor, domain=Domain.CROWD):
    """Stands where the crowd actor would: fifty pictures a second."""

    sent: ClassVar[int] = 0
    counts: Outlet[PictureCount]

    async def run(self) -> None:
        while True:
            await self.counts.send(of_people(int(time.time()), 6, place="crossing"))
            Pictures.sent += 1
            await trio.sleep(0.02)


class Fragile(Statistics):
    """Crashes when it is told to."""

    crash: ClassVar[trio.Event]

    async def _take_pictures(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._crash_when_told)
            await super()._take_pictures()
            nursery.cancel_scope.cancel()

    async def _crash_when_told(self) -> None:
        await Fragile.crash.wait()
        Fragile.crash = trio.Event()
        raise RuntimeError("something broke")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_capture(generate_capture(), tmp_path / "street.pcapng")
    Pictures.sent, Fragile.crash = 0, trio.Event()
    return tmp_path


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "state" / "public" / "statistics.db")) as database:
        return database.execute(query).fetchall()


TYPES: dict[str, type[Actor]] = {"crowd": Pictures, "wifi": WifiCounter, "statistics": Statistics}


async def test_counts_come_from_the_air_and_from_pictures_into_the_store(folder: Path) -> None:
    with capture_logs() as logs:
        async with running_pole(folder, POLE, TYPES) as pole:
            await eventually(lambda: actor_status(pole, "wifi").readings["devices_now"] >= 4)
            await eventually(lambda: Pictures.sent >= 60)
    # Stopped in order: the Wi-Fi counter's last slice has come through as well.
    assert actor_status(pole, "statistics").readings["pictures_released"] == Pictures.sent
    assert rows(folder, "SELECT max(peak), max(mean_tenths) FROM people_slices") == [(6, 60)]
    # Nobody's attributes could be told, so there is nothing to part them by.
    assert rows(folder, "SELECT * FROM people_groups") == []
    counted = rows(folder, "SELECT max(devices) FROM device_slices")[0][0]
    assert 4 <= counted <= generate_capture().devices(0, 12)
    stations = {frame.station for frame in generate_capture().frames if frame.station}
    stored = b"".join(path.read_bytes() for path in (folder / "state" / "public").iterdir())
    for station in stations:
        assert station not in stored
        assert station.hex(":") not in repr(logs)


async def test_killed_in_the_middle_it_loses_nothing_that_was_accepted(folder: Path) -> None:
    types = {**TYPES, "statistics": Fragile}
    async with running_pole(folder, POLE, types) as pole:
        await eventually(lambda: Pictures.sent >= 60)
        Fragile.crash.set()
        await eventually(lambda: actor_status(pole, "statistics").incarnation == 2)
        sent = Pictures.sent
        await eventually(lambda: Pictures.sent >= sent + 60)
        status = actor_status(pole, "statistics")
        assert (status.crashes, status.readings["pictures_late"]) == (1, 0)
    assert actor_status(pole, "statistics").readings["pictures_released"] == Pictures.sent
