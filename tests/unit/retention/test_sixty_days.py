"""Sixty days of a pole's life, with all that can happen to it: nothing is kept too long without a
hold, nothing is deleted early, and nothing that is held is lost."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlite_utils

from tests.unit.retention.simulated import PLACES, RESERVE, SEGMENT, Pole, PowerCut, Tally
from tests.unit.retention.test_retention import left
from tests.unit.runtime.clock.machine import DAY, HOUR, MEMORY, MINUTE, SECOND, START, Battery

DAYS = 60


class Life:
    """What happens, by chance."""

    def __init__(self, pole: Pole, chance: random.Random, *, every: int, step: int) -> None:
        self._pole = pole
        self._chance = chance
        self._every = every
        """Time between recordings, in the mean."""
        self._step = step
        """Time between sweeps, at most."""

    async def run(self) -> None:
        pole, chance = self._pole, self._chance
        await pole.start()
        until = START + DAYS * DAY
        while pole.machine.now < until:
            try:
                await self._rest(round(chance.expovariate(1 / self._every)))
                if chance.random() < 0.05:
                    pole.plug.left = chance.randrange(1, 60)
                await self._record()
                await self._happen()
            except PowerCut:
                pole.tally.torn += 1
                await self._power_off()
        pole.plug.left = None
        pole.others = 0
        pole.synchronise()
        await self._rest(3 * HOUR)
        await pole.sweep()

    async def _rest(self, time: int) -> None:
        """Time passes, and retention looks now and then."""
        until = self._pole.machine.now + time
        while (left_over := until - self._pole.machine.now) > 0:
            self._pole.machine.pass_time(min(left_over, self._step))
            await self._pole.sweep()

    async def _record(self) -> None:
        pole = self._pole
        for camera in PLACES:
            if self._chance.random() < 0.7:
                pole.begin(camera)
        pole.machine.pass_time(SEGMENT // 2)
        if self._chance.random() < 0.2:
            await pole.sweep()
        if self._chance.random() < 0.05:
            self._jump()
        pole.machine.pass_time(SEGMENT // 2)
        if self._chance.random() < 0.05:
            await self._power_off()
        pole.end()

    async def _happen(self) -> None:
        pole, chance = self._pole, self._chance
        match chance.choices(
            ["nothing", "hold", "release", "jump", "lapse", "sync", "power", "fill", "empty"],
            [40, 3, 2, 3, 2, 8, 3, 2, 4],
        )[0]:
            case "hold":
                start = pole.machine.now - chance.randrange(15 * DAY)
                end = start + chance.choice([MINUTE, HOUR, DAY, 5 * DAY])
                pole.hold(start, end, accepted=chance.random() < 0.7)
            case "release":
                pole.release()
            case "jump":
                self._jump()
            case "lapse":
                pole.machine.lose_synchronisation()
            case "sync":
                pole.synchronise()
            case "power":
                await self._power_off()
            case "fill":
                pole.others = pole.total - chance.randrange(2 * RESERVE)
            case "empty":
                pole.others = 0
            case _:
                pass

    def _jump(self) -> None:
        pole, chance = self._pole, self._chance
        size = chance.choice([5 * SECOND, MINUTE, HOUR, DAY, 20 * DAY, 400 * DAY, 4000 * DAY])
        pole.machine.set_by(chance.choice([-1, 1]) * size)
        pole.tally.jumps += 1

    async def _power_off(self) -> None:
        """And on again. Starting may be cut short, too."""
        pole, chance = self._pole, self._chance
        while True:
            pole.lose_power()
            if chance.random() < 0.1:
                pole.lose_index()
            off = chance.choice([MINUTE, HOUR, DAY, 3 * DAY])
            pole.reboot(chance.randrange(SECOND, off), chance.choice(list(Battery)[:3]))
            if chance.random() < 0.8:
                pole.synchronise()
            if chance.random() < 0.2:
                pole.plug.left = chance.randrange(1, 40)
            try:
                await pole.start()
            except PowerCut:
                pole.tally.torn += 1
                continue
            return


async def live(seed: int, *, every: int, step: int) -> Tally:
    """A life, and whether all is in order at its end."""
    chance = random.Random(seed)
    with TemporaryDirectory(dir=MEMORY) as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        pole = Pole(folder, chance, patch)
        await Life(pole, chance, every=every, step=step).run()
        found = pole.verify()
        assert found.findings == []
        assert found.segments == len(pole.there)
        assert found.open == 0
        with closing(sqlite_utils.Database(folder / "index.db")) as database:
            rows = {row["name"]: row for row in database["segments"].rows}
        assert rows.keys() == left(folder) == pole.there.keys()
        assert {row["state"] for row in rows.values()} <= {"complete", "cut"}
        kept = (folder / "index.db").read_bytes()
        assert [name for name in pole.gone if name.encode() in kept] == []
    return pole.tally


def add(one: Tally, other: Tally) -> Tally:
    names = Tally.__dataclass_fields__
    return Tally(**{name: getattr(one, name) + getattr(other, name) for name in names})


def require_life(tally: Tally) -> None:
    """Everything that was to be tried has happened."""
    for name in Tally.__dataclass_fields__:
        assert getattr(tally, name) > 0, f"{name}: {tally}"


async def test_sixty_days() -> None:
    total = Tally()
    for seed in range(4):
        total = add(total, await live(seed, every=8 * HOUR, step=4 * HOUR))
    require_life(total)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
async def test_sixty_days_many_times(part: int) -> None:
    total = Tally()
    for seed in range(1000 + 20 * part, 1020 + 20 * part):
        total = add(total, await live(seed, every=3 * HOUR, step=2 * HOUR))
    require_life(total)


@pytest.mark.long
async def test_sixty_days_minute_by_minute() -> None:
    await live(7, every=HOUR, step=MINUTE)
