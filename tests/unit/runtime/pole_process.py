"""A pole in a process of its own: ``python -m tests.unit.runtime.pole_process CONFIGURATION``.

Prints its last status as JSON. Its sink takes a while for each message, so that its queue is full
when it is told to stop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import trio

from runtime import Actor, Domain, Inlet, Message, Outlet, Reading, Sensitivity, inlet
from runtime.blueprint import load_blueprint
from runtime.house import Housing
from runtime.log import configure_logging
from runtime.pole import Pole

CONFIGURATION = """
[pole]
name = "p"
operator = { ja = "運", en = "o" }
contact = { ja = "連", en = "c" }
guideline = "1.0"
state = "state"
[places]
[actors.source]
type = "source"
[actors.sink]
type = "sink"
[[channels]]
from = "source.out"
to = "sink.into"
"""


class Number(Message, sensitivity=Sensitivity.OPERATIONAL):
    number: int


class Source(Actor, domain=Domain.SECURITY):
    out: Outlet[Number]
    sent: Reading

    async def run(self) -> None:
        while True:
            await self.out.send(Number(number=self.sent.value))
            self.sent.add()


class Sink(Actor, domain=Domain.PUBLIC):
    into: Inlet[Number] = inlet(capacity=50)
    received: Reading

    async def run(self) -> None:
        async for note in self.into:
            assert note.number == self.received.value
            await trio.sleep(0.0005)  # what the work costs, not a wait for something
            self.received.add()


def main() -> None:
    configure_logging("warning")
    pole = Pole(
        load_blueprint(Path(sys.argv[1]), {"source": Source, "sink": Sink}),
        housing=Housing.ONE_LOOP,
    )
    trio.run(pole.run)
    sys.stdout.buffer.write(msgspec.json.encode(pole.status()))


if __name__ == "__main__":
    main()
