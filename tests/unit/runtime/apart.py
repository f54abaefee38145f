"""Running a pole whose domains are apart, and looking at it."""

from __future__ import annotations

__all__ = ["ISOLATIONS", "OTHERS", "Watched", "apart", "blueprint_of", "configuration"]

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import Domain
from runtime.blueprint import Blueprint, Isolation, load_blueprint
from runtime.log import configure_logging
from runtime.pole import Pole
from runtime.status import ActorStatus, DomainStatus
from runtime.supervisor import CrashRecord
from tests.example_pole import POLE
from tests.poles import eventually
from tests.unit.runtime.apart_actors import TYPES, release

ISOLATIONS = pytest.mark.parametrize("isolation", list(Isolation), ids=lambda one: one.value)
OTHERS = ("camera", "board", "recorder")
"""The actors beside the crowd domain."""


def configuration(
    folder: Path,
    trick: str = "",
    *,
    always: bool = False,
    pole: str = "",
    counter: str = "",
    more: str = "",
) -> str:
    """Of the whole pole. ``always``: in every life of the domain. ``pole`` and ``counter`` go under
    their headings, ``more`` at the end."""
    tricks = f'lives = "{folder / "lives"}", trick = "{trick}", always = {str(always).lower()}'
    return (
        POLE.replace('state = "state"', f'state = "state"\n{pole}')
        + f"""
[actors.camera]
type = "camera"

[actors.counter]
type = "counter"
grants = ["Lives"]
settings = {{ {tricks} }}
{counter}

[actors.bystander]
type = "bystander"

[actors.board]
type = "board"
settings = {{ trick = "{trick}" }}

[actors.recorder]
type = "recorder"

[[channels]]
from = "camera.pictures"
to = "counter.pictures"

[[channels]]
from = "camera.pictures"
to = "recorder.pictures"

[[channels]]
from = "counter.totals"
to = "board.totals"

{more}
"""
    )


def blueprint_of(folder: Path, text: str) -> Blueprint:
    path = folder / "pole.toml"
    path.write_text(text, encoding="utf-8")
    return load_blueprint(path, TYPES)


class Watched:
    """A running pole, as a test looks at it."""

    def __init__(self, pole: Pole, scope: trio.CancelScope) -> None:
        self.pole = pole
        self.scope = scope
        """Around the pole and the test."""

    def actor(self, name: str) -> ActorStatus:
        return next(one for one in self.pole.status().actors if one.name == name)

    def domain(self, domain: Domain) -> DomainStatus:
        return next(one for one in self.pole.status().domains if one.name == domain.value)

    def reading(self, actor: str, name: str) -> int:
        return self.actor(actor).readings[name]

    def crashes(self, child: str) -> list[CrashRecord]:
        return [one for one in self.pole.crashes() if one.child == child]

    async def until(self, condition: Callable[[], object], within: float = 20) -> None:
        await eventually(condition, within)

    async def until_at_work(self) -> None:
        """Every actor has received something."""
        await self.until(
            lambda: all(self.reading(name, "received") > 3 for name in ("board", "recorder"))
        )

    async def until_alive_again(self, domain: Domain, incarnation: int) -> None:
        def is_so() -> bool:
            told = self.domain(domain)
            return told.incarnation >= incarnation and told.state == "running"

        await self.until(is_so)

    async def until_more(self, actor: str, reading: str = "received") -> None:
        """It works: some more than now, whichever life of it does it."""
        status = self.actor(actor)
        before = status.readings[reading]
        await self.until(lambda: self.reading(actor, reading) not in range(before + 1))

    def assert_unaffected(self, *names: str) -> None:
        """Their domains have lived once; they have received each picture once and in order."""
        for name in names:
            actor = self.actor(name)
            assert self.domain(Domain(actor.domain)).incarnation == 1, name
            assert (actor.state, actor.incarnation, actor.crashes) == ("running", 1, 0), name
            assert not actor.readings.get("disorder"), name


@asynccontextmanager
async def apart(
    folder: Path,
    isolation: Isolation,
    trick: str = "",
    *,
    log_level: str = "critical",
    **options: Any,
) -> AsyncIterator[Watched]:
    """Run it while the block lasts, and stop it in order afterwards."""
    blueprint = blueprint_of(folder, configuration(folder, trick, **options))
    pole = Pole(blueprint, isolation=isolation, log_level=log_level)
    release[0] = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        try:
            with trio.fail_after(30):
                await pole.ready.wait()
            yield Watched(pole, nursery.cancel_scope)
        finally:
            release[0] = True
            pole.stop()


def main() -> None:
    """A pole in a process of its own: ``python -m tests.unit.runtime.apart CONFIGURATION``."""
    configure_logging("critical")
    trio.run(Pole(load_blueprint(Path(sys.argv[1]), TYPES), isolation=Isolation.PROCESS).run)


if __name__ == "__main__":
    main()
