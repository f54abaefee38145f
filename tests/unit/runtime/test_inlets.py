"""An inlet of many senders: a queue for each, and none to blame for another's crash."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import trio

from runtime import Actor, Domain, Inlet, Inlets, Message, Outlet, Sender, Sensitivity, check, inlet
from runtime.errors import CapabilityForged
from tests.example_pole import POLE, example_blueprint
from tests.poles import actor_status, eventually, running_pole


class Note(Message, sensitivity=Sensitivity.OPERATIONAL):
    number: int


class Teller(Actor, domain=Domain.PUBLIC):
    notes: Outlet[Note]

    async def run(self) -> None:
        for number in range(5):
            await self.notes.send(Note(number=number))
        await trio.sleep_forever()


class Board(Actor, domain=Domain.PUBLIC):
    """Takes the notes of each teller by itself, and crashes on one teller's."""

    notes: Inlets[Note] = inlet(capacity=8, acknowledge="manual")
    heard: defaultdict[Sender, list[int]] = defaultdict(list)
    strikes = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for sender, notes in self.notes.items():
                nursery.start_soon(self._listen, sender, notes)

    async def _listen(self, sender: Sender, notes: Inlet[Note]) -> None:
        async for note in notes:
            if sender.name == "left" and note.number == 2 and type(self).strikes:
                type(self).strikes -= 1
                for other, others in self.notes.items():
                    if other != sender:
                        others.exonerate()
                raise ZeroDivisionError
            self.heard[sender].append(note.number)
            if sender.name == "left":
                notes.acknowledge()


TELLERS = """
[actors.left]
type = "teller"
place = "crossing"
[actors.right]
type = "teller"
[actors.board]
type = "board"
supervision = { first_delay = "10ms" }
[[channels]]
from = "left.notes"
to = "board.notes"
[[channels]]
from = "right.notes"
to = "board.notes"
"""


@pytest.fixture
def types() -> dict[str, type[Actor]]:
    Board.heard, Board.strikes = defaultdict(list), 0
    return {"teller": Teller, "board": Board}


async def test_each_sender_has_a_queue_and_a_name(
    tmp_path: Path, types: dict[str, type[Actor]]
) -> None:
    async with running_pole(tmp_path, TELLERS, types) as pole:
        await eventually(lambda: sum(map(len, Board.heard.values())) == 10)
        queues = actor_status(pole, "board").inlets
        assert [queue.name for queue in queues] == ["board.notes[left]", "board.notes[right]"]
        assert [queue.accepted for queue in queues] == [5, 5]
        assert [queue.in_hand for queue in queues] == [0, 5]
    numbers = [0, 1, 2, 3, 4]
    assert Board.heard == {Sender("left", "crossing"): numbers, Sender("right", ""): numbers}


async def test_one_senders_messages_do_not_pay_for_anothers(
    tmp_path: Path, types: dict[str, type[Actor]]
) -> None:
    """What is in hand when two incarnations in a row crash is set aside, but not the innocent's."""
    Board.strikes = 2
    async with running_pole(tmp_path, TELLERS, types) as pole:
        await eventually(lambda: Board.heard[Sender("left", "crossing")][-1:] == [4])
        left, right = actor_status(pole, "board").inlets
    assert left.poisoned == 1
    assert right.poisoned == 0
    assert set(Board.heard[Sender("right", "")]) == {0, 1, 2, 3, 4}


def test_two_channels_of_one_sender_are_refused(tmp_path: Path) -> None:
    class Doubled(Actor, domain=Domain.PUBLIC):
        notes: Outlet[Note]
        more: Outlet[Note]

    text = POLE + TELLERS.replace('type = "teller"', 'type = "doubled"')
    text = text.replace('place = "crossing"\n', "")
    for sender in ("left", "right"):
        text += f'[[channels]]\nfrom = "{sender}.more"\nto = "board.notes"\n'
    found = check(example_blueprint(tmp_path, text, {"doubled": Doubled, "board": Board}))
    assert [(finding.who, finding.what) for finding in found] == [
        ("board.notes", "2 channels lead from 'left' to this inlet"),
        ("board.notes", "2 channels lead from 'right' to this inlet"),
    ]


def test_nobody_makes_one() -> None:
    with pytest.raises(CapabilityForged):
        Inlets({})
