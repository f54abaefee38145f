"""The message path: what is sent by the actor's own outlets, and past them."""

from __future__ import annotations

__all__: list[str] = []

import enum
import itertools
import time
from typing import Any

import msgspec
import trio

from actors.crowd.messages import PictureCount
from actors.escape.attempt import NothingThere, Scene, attempt
from actors.escape.measures import OF_A_REPORT, TICK, TICKS, bits_of, pause, report_of
from actors.escape.messages import AttemptReport, CaptureReport, Outcome
from runtime.channel import Queue

_SENDING = 6.0
"""Seconds: long enough for what may come at once to count for little."""
_MOST_SENT = 2_000
"""Where nothing holds them up."""


def _report_type(scene: Scene) -> Any:
    return CaptureReport if scene.suite == "capture" else AttemptReport


async def _send(scene: Scene, **fields: Any) -> None:
    """Send a report whose fields are not what its type says, and none of the attempts' own."""
    plain: dict[str, Any] = {"number": 0, "outcome": Outcome.BEGUN, "errno": 0}
    await scene.actor.reports.send(_report_type(scene)(**plain | fields))


@attempt("messages")
async def text_for_a_number(scene: Scene) -> None:
    """A text in a field that is a number."""
    await _send(scene, number=scene.text)


@attempt("messages")
async def bytes_for_a_number(scene: Scene) -> None:
    """Bytes in a field that is a number."""
    await _send(scene, errno=scene.loot)


@attempt("messages")
async def text_for_an_enumeration(scene: Scene) -> None:
    """A text in a field that is an enumeration."""
    await _send(scene, outcome=scene.text)


@attempt("messages")
async def member_that_is_not_listed(scene: Scene) -> None:
    """A member of an enumeration that the hostile actor made itself."""
    member = object.__new__(Outcome)
    member._value_ = scene.text
    member._name_ = "BEGUN"
    await _send(scene, outcome=member)


@attempt("messages")
async def look_alike_enumeration(scene: Scene) -> None:
    """A member of another enumeration."""
    await _send(scene, outcome=enum.Enum("Outcome", {"BEGUN": scene.text}).BEGUN)  # type: ignore[attr-defined]


@attempt("messages", effect="number")
async def number_beyond_its_bound(scene: Scene) -> None:
    """A whole number of hundreds of bits."""
    await _send(scene, number=int.from_bytes(scene.loot, "big"))


@attempt("messages", effect="number")
async def number_of_a_subclass(scene: Scene) -> None:
    """An int whose own methods show another value than it has."""

    class Number(int):
        def __repr__(self) -> str:
            return scene.text

    await _send(scene, number=Number(5))


@attempt("messages")
async def text_of_a_subclass(scene: Scene) -> None:
    """A str subclass that claims to be a number."""

    class Text(str):
        __slots__ = ()
        __class__ = int  # type: ignore[assignment]

        def __index__(self) -> int:
            return 1

    await _send(scene, errno=Text(scene.text))


@attempt("messages")
async def subclass_of_the_message(scene: Scene) -> None:
    """A subclass with a field more."""

    class Larger(_report_type(scene), sensitivity=_report_type(scene).sensitivity):  # type: ignore[misc,call-arg]
        number: Any

    await scene.actor.reports.send(Larger(number=scene.text, outcome=Outcome.BEGUN, errno=0))


@attempt("messages")
async def message_changed_after_it_was_made(scene: Scene) -> None:
    """A sound message, with a field forced in afterwards."""
    message = _report_type(scene)(number=0, outcome=Outcome.BEGUN, errno=0)
    msgspec.structs.force_setattr(message, "number", scene.text)
    await scene.actor.reports.send(message)


@attempt("messages", linger=0.1)
async def message_changed_after_it_was_sent(scene: Scene) -> None:
    """A sound message, with a field forced in while it waits in the queue."""
    message = _report_type(scene)(number=0, outcome=Outcome.BEGUN, errno=0)
    scene.actor.reports.send_nowait(message)
    msgspec.structs.force_setattr(message, "number", scene.text)
    for queue in _queues(scene):
        for waiting in queue._waiting:
            msgspec.structs.force_setattr(waiting, "number", scene.text)


def _queues(scene: Scene) -> list[Queue[Any]]:
    """The queues behind the outlet, where they are in this heap."""
    return [
        link.queue
        for link in getattr(scene.actor.reports, "_links", ())
        if isinstance(getattr(link, "queue", None), Queue)
    ]


@attempt("messages")
async def queue_itself(scene: Scene) -> None:
    """A message of wrong fields, put into the queue behind the outlet."""
    queues = _queues(scene)
    if not queues:
        raise NothingThere
    kind = queues[0].message_type
    for queue in queues:
        queue.put(kind(number=scene.text, outcome=Outcome.BEGUN, errno=0))


@attempt("messages", linger=0.1)
def outlet_without_its_codec(scene: Scene) -> None:
    """The outlet is made to forget its codec, and then to send wrong fields."""
    outlet = scene.actor.reports
    if not hasattr(outlet, "_codec"):
        raise NothingThere
    codec, outlet._codec = outlet._codec, None
    try:
        outlet.send_nowait(_report_type(scene)(number=scene.text, outcome=Outcome.BEGUN, errno=0))
    finally:
        outlet._codec = codec


@attempt("messages")
def codec_that_lets_all_pass(scene: Scene) -> None:
    """The outlet's codec is replaced by one that changes and checks nothing."""

    class Passing:
        def cross(self, message: Any) -> Any:
            return message

    outlet = scene.actor.reports
    if not hasattr(outlet, "_codec"):
        raise NothingThere
    codec, outlet._codec = outlet._codec, Passing()
    try:
        outlet.send_nowait(_report_type(scene)(number=scene.text, outcome=Outcome.BEGUN, errno=0))
    finally:
        outlet._codec = codec


@attempt("messages")
async def outlet_of_another_type(scene: Scene) -> None:
    """The outlet is told that it carries something else, and given that."""
    outlet = scene.actor.reports

    class Note(msgspec.Struct):
        number: str
        outcome: str = "begun"
        errno: int = 0

    kind, outlet._type = outlet._type, Note
    codec = getattr(outlet, "_codec", None)
    try:
        if codec is not None:
            outlet._codec = None
        outlet.send_nowait(Note(number=scene.text))
    finally:
        outlet._type = kind
        if codec is not None:
            outlet._codec = codec


@attempt("messages", only="crowd")
async def text_for_a_place(scene: Scene) -> None:
    """The loot as the name of a place, which is the only text that may go."""
    await scene.actor.counts.send(
        PictureCount(place=scene.text[:40], taken_at=int(time.time()), people=0, cells=())
    )


@attempt("messages", measured="numbers", alone=True, limit=_SENDING + 3)
async def bits_in_allowed_numbers(scene: Scene) -> None:
    """As many of the loot's bits as ordinary messages take, as fast as they go."""
    until = trio.current_time() + _SENDING
    for bits in itertools.islice(bits_of(scene.loot, OF_A_REPORT), _MOST_SENT):
        number, outcome, code = report_of(bits)
        await _send(scene, number=number, outcome=outcome, errno=code)
        if trio.current_time() > until:
            break


@attempt("messages", measured="times", alone=True, limit=8)
async def bits_in_the_timing_of_messages(scene: Scene) -> None:
    """The loot in the pauses between ordinary messages: nothing in their content."""
    await _send(scene, number=TICK)
    for bit in itertools.islice(bits_of(scene.loot, 1), TICKS):
        await trio.sleep(pause(bit))
        await _send(scene, number=TICK)
