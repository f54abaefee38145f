"""Actors of a pole whose domains are apart, and what a hostile one among them may do.

Pictures go from capture to crowd and to security, and crowd tells the public their numbers. A
domain's process finds the actor types here, and loads nothing of the tests beside it.
"""

from __future__ import annotations

__all__ = ["CHANNEL", "SECRET", "TYPES", "release"]

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import trio

from runtime import (
    DROP_OLDEST,
    Actor,
    Capability,
    Domain,
    Inlet,
    Message,
    Models,
    Needs,
    Outlet,
    Reading,
    Sensitivity,
    Settings,
    Unrecoverable,
    inlet,
    outlet,
)
from runtime.capability import Authority
from runtime.crossing import ReceivingEnd, SendingEnd
from runtime.link import ControlLink

T = TypeVar("T")

CHANNEL = "counter.totals → board.totals"
SECRET = "".join(reversed("orihcI_akanaT"))
"""Stands for something personal, in a word that stands nowhere in the program, nor in the tests."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Picture(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    number: _Number
    data: Annotated[bytes, msgspec.Meta(max_length=1024)] = b""


class Total(Message, sensitivity=Sensitivity.AGGREGATE):
    number: _Number


class Camera(Actor, domain=Domain.CAPTURE):
    pictures: Outlet[Picture]
    sent: Reading

    async def run(self) -> None:
        while True:
            # A pace, not a wait for something: two hundred pictures a second.
            await trio.sleep(0.005)
            await self.pictures.send(Picture(number=self.sent.value))
            self.sent.add()


class Lives(Capability, kind=Models("inference"), rights="count the domain's lives"):
    """Which life of the domain this is: before its walls stand, it may write that down."""

    @classmethod
    def prepare(cls, authority: Authority) -> object:
        settings: Any = authority.settings
        if settings.trick == "fail to prepare":
            raise Unrecoverable("there is no model: fetch one")
        with open(settings.lives, "ab") as file:
            file.write(b".")
            return file.tell()

    def __init__(self, authority: Authority) -> None:
        self.number = authority.prepared


class CounterSettings(Settings, frozen=True, kw_only=True):
    lives: str
    trick: str = ""
    always: bool = False
    """In every life of the domain, and not only in the first."""


class Counter(Actor, domain=Domain.CROWD):
    pictures: Inlet[Picture] = inlet(capacity=16, overflow=DROP_OLDEST)
    totals: Outlet[Total] = outlet(per_second=1000)
    lives: Needs[Lives]
    settings: CounterSettings
    counted: Reading

    async def run(self) -> None:
        async for picture in self.pictures:
            self.counted.add()
            if self.counted.value == 3 and (self.settings.always or self.lives.number == 1):
                TRICKS.get(self.settings.trick, lambda _: None)(self)
            await self.totals.send(Total(number=picture.number))

    async def stop(self) -> None:
        if self.settings.trick == "take time to stop":
            await trio.sleep(1)


class Sink(Actor, domain=Domain.PUBLIC):
    """Counts, and counts what comes twice or out of order, and what has not come."""

    received: Reading
    disorder: Reading
    missing: Reading
    last: Reading

    async def take(self, messages: Inlet[Any]) -> None:
        async for message in messages:
            if self.received.value:
                self.missing.add(message.number - self.last.value - 1)
                self.disorder.add(message.number <= self.last.value)
            self.last.set(message.number)
            self.received.add()
            self.note()

    def note(self) -> None:
        """Called at each message."""


class BoardSettings(Settings, frozen=True, kw_only=True):
    trick: str = ""


class Board(Sink, domain=Domain.PUBLIC):
    totals: Inlet[Total]
    settings: BoardSettings

    async def run(self) -> None:
        await self.take(self.totals)

    def note(self) -> None:
        if self.settings.trick == "grant too much" and self.received.value == 3:
            _socket_of(_end(ReceivingEnd)).send((33).to_bytes(4, "big"))


class Recorder(Sink, domain=Domain.SECURITY):
    pictures: Inlet[Picture] = inlet(capacity=256)

    async def run(self) -> None:
        await self.take(self.pictures)


class Bystander(Actor, domain=Domain.CROWD):
    """Lives in the crowd domain too, and does no harm."""

    breaths: Reading

    async def run(self) -> None:
        while True:
            self.breaths.add()
            await trio.sleep(0.01)


# -- what a hostile actor may do -------------------------------------------------------------

release = [False]
"""Lets go of those who are stuck: a thread can't be ended from outside."""


def _end(kind: type[T]) -> T:
    """This domain's end of the channel, as hostile code finds what it was not given."""
    for one in gc.get_objects():
        if not isinstance(one, kind) or getattr(one, "name", "") != CHANNEL:
            continue
        if _socket_of(one).fileno() >= 0:  # or it is another test's
            return one
    raise LookupError


def _inside(thing: object) -> Iterator[object]:
    """What it holds, whatever that is called."""
    for one in gc.get_referents(thing):
        yield one
        if isinstance(one, dict):
            yield from one.values()


def _socket_of(thing: object) -> socket.socket:
    return next(one for one in _inside(thing) if isinstance(one, socket.socket))


def _link() -> ControlLink[Any]:
    """The domain's own: its ends catch up with it."""
    owners = (getattr(one, "__self__", None) for one in _inside(_end(SendingEnd)))
    return next(one for one in owners if isinstance(one, ControlLink))


def _stuck(_: Counter) -> None:
    while not release[0]:
        time.sleep(0.01)


def _leave(_: Counter) -> None:
    raise SystemExit("no actor's error")


def _flood(_: Counter) -> None:
    frame = msgspec.msgpack.encode(Total(number=0))
    _socket_of(_end(SendingEnd)).send((len(frame).to_bytes(4, "big") + frame) * 100)


def _crash(_: Counter) -> None:
    raise ValueError(SECRET)


def _open_files(_: Counter) -> None:
    for _ in range(7):
        with suppress(OSError):
            Path("/etc/hostname").read_bytes()


def _talk(actor: Counter) -> None:
    actor.log.warning(f"the picture shows {SECRET}", **{SECRET: SECRET, "camera": b"\xff\xd8"})
    actor.log.warning("a device passed", address="aa:bb:cc:dd:ee:ff", number=2**40)


TRICKS: dict[str, Callable[[Counter], object]] = {
    "stuck": _stuck,
    "leave": _leave,
    "crash": _crash,
    "open files": _open_files,
    "talk": _talk,
    "rubbish": lambda _: _end(SendingEnd).put(b"\xc1" + SECRET.encode()),
    "a wrong field": lambda _: _end(SendingEnd).put(msgspec.msgpack.encode({"number": SECRET})),
    "another type": lambda _: _end(SendingEnd).put(
        msgspec.msgpack.encode({"number": 1, "data": b"picture"})
    ),
    "too long": lambda _: _end(SendingEnd).put(bytes(64 * 1024 + 1)),
    "without credit": _flood,
    "rubbish to the pole": lambda _: _socket_of(_link()).send(b"\0\0\0\1\xc1"),
}


TYPES: dict[str, type[Actor]] = {
    "camera": Camera,
    "counter": Counter,
    "bystander": Bystander,
    "board": Board,
    "recorder": Recorder,
}
