"""A pole in simulated time, whose truth the test knows: its clocks, its disk, its plug."""

from __future__ import annotations

__all__ = ["KEEP", "SECOND", "Pole", "PowerCut", "Truth"]

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.custody.order import HoldPlace, SignedOrder
from actors.recorder import capability, expiry
from actors.recorder import chain as chain_module
from actors.recorder.capability import OpenSegment, RecordingExpiry, RecordingStore, StorageTrouble
from actors.recorder.index import SegmentIndex
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import Verification, verify
from actors.retention.actor import Retention
from runtime import Authority, Duration, Size
from runtime.clock import Clock
from tests.orders import Holder
from tests.recordings import storage
from tests.unit.retention.test_retention import left, retention
from tests.unit.runtime.clock.machine import DAY, SECOND, Battery, Machine

KEEP = 14 * DAY
PLACES = {"camera-1": "crossing", "camera-2": "crossing", "camera-3": "square"}
SEGMENT = 60 * SECOND
SIZE = 1_000
RESERVE = 1_000_000
NEAR = 60 * SECOND
"""By how much the pole may take a segment for longer than it is; see ``actors.recorder.expiry``."""
NO_END = 3_600 * SECOND
BEAT = 60 * SECOND


class PowerCut(BaseException):
    """The process is gone."""


class Plug:
    """Pulls itself at the nth of the steps by which something gets on the disk."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.left: int | None = None

    def step(self) -> bool:
        """Whether the power fails here."""
        if self.left is None:
            return False
        self.left -= 1
        return self.left <= 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function before or after which the power may fail."""

        def wrapped(*given: Any, **named: Any) -> Any:
            if self.step():
                if self._chance.random() < 0.5:
                    function(*given, **named)
                self.left = None
                raise PowerCut
            return function(*given, **named)

        return wrapped

    def writing(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        """The same, where only a part may have been written."""

        def torn(descriptor: int, data: Any) -> int:
            if self.step():
                write(descriptor, bytes(data)[: self._chance.randrange(len(data) + 1)])
                self.left = None
                raise PowerCut
            return write(descriptor, data)

        return torn


@dataclass(eq=False)
class Truth:
    """A segment, as it was."""

    name: str
    camera: str
    boot: str
    boottime: int
    start: int
    end: int | None = None
    """None while it is written, and where the power cut it short."""
    is_empty: bool = True
    """Whether nothing of it surely reached the disk."""

    @property
    def place(self) -> str:
        return PLACES[self.camera]


@dataclass
class Order:
    """A hold that is in force."""

    signed: SignedOrder
    order: HoldPlace
    start: int
    end: int

    def names(self, segment: Truth) -> bool:
        return segment.place in self.order.places and (
            not self.order.cameras or segment.camera in self.order.cameras
        )

    def covers(self, segment: Truth) -> bool:
        """In truth."""
        end = segment.end if segment.end is not None else segment.start + SEGMENT
        return self.names(segment) and segment.start < self.end and end > self.start

    def may_cover(self, segment: Truth, earliest: int, latest: int) -> bool:
        """As far as the pole can know that it began between these times."""
        lasted = segment.end - segment.start if segment.end is not None else NO_END
        return (
            self.names(segment)
            and earliest - NEAR < self.end
            and latest + lasted + NEAR >= self.start
        )


@dataclass
class Tally:
    """What happened, so that a run in which nothing happens is none."""

    recorded: int = 0
    expired: int = 0
    for_room: int = 0
    refused: int = 0
    cuts: int = 0
    torn: int = 0
    holds: int = 0
    spared: int = 0
    jumps: int = 0
    rebuilt: int = 0
    unknown: int = 0


class Pole:
    """The real store, expiry, index, chain, clock, holds and retention, on simulated hardware."""

    def __init__(self, folder: Path, chance: random.Random, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.chance = chance
        self.machine = Machine()
        self.machine.synchronise()
        self.plug = Plug(chance)
        self.total = 40 * RESERVE
        self.others = 0
        """Bytes that something else takes of the disk."""
        self.there: dict[str, Truth] = {}
        self.gone: set[str] = set()
        """Names of segments that were deleted."""
        self.orders: list[Order] = []
        self.tally = Tally()
        self.known_boots = {self.machine.boot}
        self.last_seen: dict[str, int] = {}
        """Of each boot, the boottime at which the clock looked last."""
        self._open: list[tuple[OpenSegment, Truth]] = []
        self._patch(patch)
        self.holder = Holder(folder)

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(capability, "boot_id", lambda: self.machine.boot)
        patch.setattr(expiry, "Clock", partial(Clock, look=self.machine.look))
        patch.setattr(chain_module, "_PER_FILE", 64)
        patch.setattr(os, "statvfs", self._statvfs)
        patch.setattr(os, "write", self.plug.writing(os.write))
        for where, name in (
            (os, "fsync"), (os, "fdatasync"), (Path, "unlink"), (Path, "rename"), (Path, "replace"),
            (SegmentIndex, "opened"), (SegmentIndex, "closed"), (SegmentIndex, "forget"),
            (SegmentIndex, "take_in"),
        ):  # fmt: skip
            patch.setattr(where, name, self.plug.around(getattr(where, name)))

    def _statvfs(self, _: object) -> SimpleNamespace:
        used = self.others + len(left(self.folder)) * SIZE * 10
        return SimpleNamespace(f_frsize=1, f_bavail=max(0, self.total - used), f_blocks=self.total)

    # -- what the pole does -----------------------------------------------------------------

    async def start(self) -> None:
        """As the host starts it: what takes long first, then retention, then the recorder."""
        for kind in (RecordingExpiry, RecordingStore):
            kind.prepare(Authority._mint(actor="a", folder=self.folder, settings=None, facts={}))
        self.retention: Retention = retention(
            self.folder, look=self.machine.look, keep=Duration(KEEP / SECOND), reserve=Size(RESERVE)
        )
        with self.watched("expired or for_room"):
            await self.retention.start()
        self._store = storage(RecordingStore, self.folder)
        self._store.adopt_leftovers()
        # What broke off before anything could be read in it is nothing.
        there = self._names()
        self.there = {
            name: truth for name, truth in self.there.items() if name in there or not truth.is_empty
        }

    async def sweep(self) -> None:
        """What retention does every minute and every few seconds."""
        self.last_seen[self.machine.boot] = self.machine.boottime
        with self.watched("expired"):
            before = self.retention.sweeps.value
            await self.retention._sweep()
            assert self.retention.sweeps.value == before + 1
        with self.watched("for_room"):
            await self.retention._make_room()
        self.check_limits()

    def begin(self, camera: str) -> None:
        """A segment begins, if there is room."""
        look = self.machine.look()
        facts = camera, look.boot, look.boottime, self.machine.now
        before = self._names()
        try:
            segment = self._store.open_segment(
                camera=camera, place=PLACES[camera], started_at=max(look.wall, 0), codec="h264",
                width=1, height=1, head=b"head", boottime=look.boottime,
            )  # fmt: skip
        except StorageTrouble:
            self.tally.refused += 1
            return
        finally:
            for name in self._names() - before:  # also if the power failed right then
                self.there[name] = Truth(name, *facts)
        self.there[segment.name].is_empty = False
        self._open.append((segment, self.there[segment.name]))
        self.tally.recorded += 1
        with suppress(StorageTrouble):
            segment.write(b"x" * SIZE)

    def _names(self) -> set[str]:
        return {name.removesuffix(".part") for name in left(self.folder)}

    def end(self) -> None:
        """All of them end."""
        while self._open:
            segment, truth = self._open.pop()
            segment.finish(max(self.machine.look().wall, 0))
            truth.end = self.machine.now

    def lose_power(self) -> None:
        """Everything that is not on the disk is gone."""
        self.plug.left = None
        self._open.clear()
        self._store = self.retention = None  # type: ignore[assignment]
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if os.readlink(link).startswith(str(self.folder)):
                    os.close(int(link.name))
        # What the pole did not get to know of: a segment whose file never came about.
        for name in self.there.keys() - self._names():
            del self.there[name]
        self.tally.cuts += 1

    def lose_index(self) -> None:
        self.tally.rebuilt += 1
        path = self.folder / "index.db"
        if self.chance.random() < 0.5:
            for file in self.folder.glob("index.db*"):
                os.unlink(file)
        else:
            path.write_bytes(b"torn" * 500 + path.read_bytes()[2000:])

    # -- what people do ---------------------------------------------------------------------

    @contextmanager
    def on_another_computer(self) -> Iterator[None]:
        left_over, self.plug.left = self.plug.left, None
        yield
        self.plug.left = left_over

    def hold(self, start: int, end: int, *, accepted: bool) -> None:
        start, end = start // SECOND * SECOND, end // SECOND * SECOND
        camera = self.chance.choice(["", *PLACES])
        places = (PLACES[camera],) if camera else tuple(sorted(set(PLACES.values())))
        cameras = (camera,) if camera else ()
        with self.on_another_computer():
            signed = self.holder.place(
                start, end, places=places, cameras=cameras, accepted=accepted
            )
        assert isinstance(signed.order, HoldPlace)
        self.orders.append(Order(signed, signed.order, start, end))
        self.tally.holds += 1

    def release(self) -> None:
        if self.orders:
            order = self.orders.pop(self.chance.randrange(len(self.orders)))
            with self.on_another_computer():
                self.holder.decide(order.signed)
                self.holder.release(order.signed)

    def synchronise(self) -> None:
        self.machine.synchronise()
        self.known_boots.add(self.machine.boot)

    def reboot(self, off: int, battery: Battery) -> None:
        self.last_seen.setdefault(self.machine.boot, 0)
        self.machine.reboot(off, battery, year=self.chance.choice(["1970", "2000", "2021"]))

    # -- what must hold ---------------------------------------------------------------------

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Nothing is deleted early, and nothing that is held, whatever happens meanwhile."""
        before = dict(self.there)
        free = self._statvfs(None).f_bavail
        try:
            yield
        finally:
            there = self._names()
            gone = [truth for name, truth in before.items() if name not in there]
            for truth in gone:
                del self.there[truth.name]
                self.gone.add(truth.name)
                if truth.is_empty:
                    continue
                held = [one for one in self.orders if one.covers(truth)]
                assert not held, f"{truth} was held and is lost"
                age = self.machine.now - truth.start
                if what == "expired" or free >= RESERVE:
                    assert age >= KEEP - SECOND, f"{truth} was {age / DAY} days old"
            if what == "for_room" and gone:
                self._check_order([truth for truth in gone if truth.boot in self.known_boots])
            if what != "expired or for_room":
                setattr(self.tally, what, getattr(self.tally, what) + len(gone))

    def _check_order(self, gone: list[Truth]) -> None:
        """Of those that might have gone, none that stays is older."""
        timeline = self.retention.recordings.time()
        for truth in self.there.values():
            earliest, latest = timeline.span(truth.boot, truth.boottime, truth.start)
            may_go = truth.end is not None and truth.boot in self.known_boots
            if may_go and not any(one.may_cover(truth, earliest, latest) for one in self.orders):
                younger = [one for one in gone if one.start > truth.start]
                assert not younger, f"{younger[0]} went for room before {truth}"

    def check_limits(self) -> None:
        """Right after a sweep, nothing is older than it may be, but what is held."""
        timeline = self.retention.recordings.time()
        if not timeline.is_known:
            self.tally.unknown += 1
        for truth in self.there.values():
            earliest, latest = timeline.span(truth.boot, truth.boottime, truth.start)
            if timeline.is_known:
                assert earliest - SECOND <= truth.start <= latest + SECOND, f"{truth}: {timeline}"
                since = self._latest(truth)
            else:
                since = timeline.moment(truth.boot, truth.boottime, truth.start)
            if timeline.now - since <= KEEP + BEAT:
                continue
            self.tally.spared += 1
            assert any(one.may_cover(truth, earliest, latest) for one in self.orders), (
                f"{truth} is {(timeline.now - since) / DAY} days old, and not held"
            )

    def _latest(self, truth: Truth) -> int:
        """When it began; or, if that can't be known, the latest time at which it can have: its
        boot was over before the next one, of which the time is known, began."""
        boot = truth.boot
        latest = 0
        while boot not in self.known_boots:
            latest += self.last_seen.get(boot, 0)
            boot = f"{int(boot, 16) + 1:032x}"
        if boot == truth.boot:
            return truth.start
        return self.machine.began[boot] - latest + truth.boottime

    def verify(self) -> Verification:
        key = VerifyKey.from_text((self.folder / "pole.pub").read_text())
        return verify(self.folder, key)
