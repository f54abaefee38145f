"""Orders in any sequence, with replays, false signatures, crashes and full disks, against a model.

The model is a plain book-keeper who is told what was brought, and decides by the guideline's words
as a person would. It shares neither code nor data with the custodian but the types of orders.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import structlog
import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from actors.custody.actor import Custodian
from actors.custody.box import BOX, BoxTrouble, OrderBoxFolder
from actors.custody.capability import HoldsView, OrderBox
from actors.custody.managers import Role
from actors.custody.order import HoldPlace, HoldRelease, HoldReview, SignedOrder
from actors.ledger.receipts import Disclosed, Ground, HoldChanged, HoldStep, numbers_of
from actors.recorder.signing import PoleKey
from runtime import Domain, Outlet, Reading
from runtime.channel import Link, Queue
from runtime.ledger.note import Note
from tests.people import NOON, Person, place, settings_of
from tests.recordings import storage

T = TypeVar("T")
DAY = timedelta(days=1)
END_OF_BRIEF = NOON.replace(hour=15) + 10 * DAY
"""Midnight in Japan."""

MANAGER, DEPUTY, STRANGER = Person("site-manager"), Person("site-deputy"), Person("site-manager")
HALL_ONLY, BRIEF = Person("hall-manager"), Person("brief-manager")
SETTINGS = settings_of(
    MANAGER.named(),
    DEPUTY.named(Role.DEPUTY),
    HALL_ONLY.named(places=("hall",)),
    BRIEF.named(until=(NOON + 10 * DAY).date()),
)


class CustodianInVirtualTime(Custodian, domain=Domain.SECURITY):
    """The same, without threads, at the time that the test says, and with crashes."""

    now: datetime
    crash_before_writing = False
    is_disk_full = False

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        if self.crash_before_writing and function.__name__ == "decide":
            raise RuntimeError("power cut")
        if self.is_disk_full and function.__name__ == "decide":
            raise BoxTrouble("a decision can't be written: No space left on device")
        return function(*args)

    async def _now(self) -> datetime:
        return self.now


def custodian(folder: Path, receipts: Queue[HoldChanged], now: datetime) -> CustodianInVirtualTime:
    """A life of the custodian, whose receipts go there."""
    others = Queue("ledger.receipts", Disclosed, capacity=1)
    return CustodianInVirtualTime(
        {
            "settings": SETTINGS,
            "now": now,
            "orders": storage(OrderBox, folder, actor="custodian"),
            "holds": Outlet._mint("custodian.holds", HoldChanged, [Link(receipts)]),
            "disclosures": Outlet._mint("custodian.disclosures", Disclosed, [Link(others)]),
            "log": structlog.get_logger("custodian"),
            **{name: Reading() for name in Custodian.declaration.readings},
        }
    )


@dataclass(frozen=True)
class Brought:
    """What the model knows of a file in the box."""

    name: str
    by: Person
    order: Any
    text: str
    is_intact: bool


class Model:
    """A book-keeper. Holds are by the hash of the order's text that placed them."""

    def __init__(self, pole: str) -> None:
        self.pole = pole
        self.accepted: set[str] = set()
        self.held: dict[str, HoldPlace] = {}
        self.reviews: dict[str, datetime] = {}
        self.steps: Counter[tuple[tuple[int, ...], HoldStep]] = Counter()
        """What has to stand in the ledger, and how often at least."""

    def would_accept(self, file: Brought, now: datetime) -> bool:
        order, by = file.order, file.by
        if not file.is_intact or by is STRANGER or order.pole != self.pole:
            return False
        if by is BRIEF and now >= END_OF_BRIEF:
            return False
        if digest(file.text) in self.accepted:
            return False
        if isinstance(order, HoldPlace):
            return self.may_be_placed(order, by, now)
        if order.hold not in self.held:
            return False
        if by is HALL_ONLY and self.held[order.hold].places != ("hall",):
            return False
        return isinstance(order, HoldRelease) or now < order.review <= now + 366 * DAY

    def may_be_placed(self, order: HoldPlace, by: Person, now: datetime) -> bool:
        where = {"camera-0": "crossing", "camera-1": "crossing", "camera-2": "hall"}
        mine = {"hall"} if by is HALL_ONLY else {"crossing", "hall"}
        return (
            order.ground in (Ground.LAW, Ground.AUTHORITY)
            and order.document != ""
            and bool(order.places)
            and set(order.places) <= mine
            and all(where[camera] in order.places for camera in order.cameras)
            and order.start < order.end <= min(order.start, now) + 31 * DAY
            and now < order.review <= now + 366 * DAY
        )

    def decide(self, file: Brought, now: datetime) -> None:
        order, id = file.order, digest(file.text)
        step = HoldStep.REFUSED
        if self.would_accept(file, now):
            self.accepted.add(id)
            if isinstance(order, HoldPlace):
                step, self.held[id], self.reviews[id] = HoldStep.PLACED, order, order.review
            elif isinstance(order, HoldReview):
                step, self.reviews[order.hold] = HoldStep.REVIEWED, order.review
            else:
                step = HoldStep.RELEASED
                del self.held[order.hold]
        self.steps[numbers_of(id), step] += 1


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


people = st.sampled_from([MANAGER, DEPUTY, HALL_ONLY, BRIEF, STRANGER])
days = st.integers(-40, 40)
mostly_the_pole = st.sampled_from([True, True, True, True, False])


class Orders(RuleBasedStateMachine):
    orders: Bundle[Brought] = Bundle("orders")
    holds: Bundle[str] = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.box = OrderBoxFolder(self.folder / BOX)
        self.now = NOON
        self.waiting: dict[str, Brought] = {}
        self.known: set[str] = set()
        self.has_rubbish = False
        """It is decided first, because nothing says when it was made."""
        self.pending: tuple[Brought, datetime] | None = None
        """What is decided and can't be written down, and when that was."""
        self.maybe: set[tuple[tuple[int, ...], HoldStep]] = set()
        """What a crash may have left in the ledger, and was then decided anew."""
        self.receipts: Queue[HoldChanged] = Queue("receipts", HoldChanged, capacity=100_000)
        self.ledger: list[tuple[HoldChanged, datetime]] = []
        self.pole = str(PoleKey.of_folder(self.folder).public)
        self.model = Model(self.pole)
        self.view = storage(HoldsView, self.folder, actor="retention")
        self.life = custodian(self.folder, self.receipts, self.now)
        self.is_new = True

    def teardown(self) -> None:
        self.temporary.cleanup()

    # -- what people bring ----------------------------------------------------------------------

    def bring(self, by: Person, order: Any, signed: SignedOrder, *, intact: bool = True) -> Brought:
        file = Brought(self.box.put(signed), by, order, order.text, intact)
        if file.name not in self.known:
            self.known.add(file.name)
            self.waiting[file.name] = file
        return file

    @rule(
        target=orders,
        by=people,
        ground=st.sampled_from(
            [Ground.LAW, Ground.AUTHORITY, Ground.AUTHORITY, Ground.FACILITY, None]
        ),
        document=st.sampled_from(["1", "1", "1", ""]),
        places=st.sampled_from([("crossing",), ("hall",), ("crossing", "hall"), (), ("yard",)]),
        cameras=st.sampled_from([(), (), ("camera-0",), ("camera-2",)]),
        start=days,
        length=st.sampled_from([1, 2, 20, 31, 32, 0, -1]),
        review=st.sampled_from([1, 5, 30, 366, 367, 0, -1]),
        made=st.integers(-3, 3),
        is_for_this=mostly_the_pole,
    )
    def place(
        self, by: Person, ground: Ground | None, document: str, places: tuple[str, ...],
        cameras: tuple[str, ...], start: int, length: int, review: int, made: int,
        is_for_this: bool,
    ) -> Brought:  # fmt: skip
        begin = self.now + start * DAY
        order = place(
            pole=self.pole if is_for_this else "another", made=self.now + made * DAY,
            ground=ground, document=document, places=places, cameras=cameras, start=begin,
            end=begin + length * DAY, review=self.now + review * DAY,
        )  # fmt: skip
        return self.bring(by, order, by.sign(order))

    @rule(target=orders, by=st.sampled_from([MANAGER, DEPUTY, HALL_ONLY]), hall=st.booleans())
    def place_well(self, by: Person, hall: bool) -> Brought:
        """Else too few would be accepted for much to follow."""
        where = ("hall",) if hall or by is HALL_ONLY else ("crossing",)
        order = place(
            pole=self.pole, made=self.now, places=where, start=self.now - 5 * DAY,
            end=self.now - 4 * DAY, review=self.now + 20 * DAY,
        )  # fmt: skip
        return self.bring(by, order, by.sign(order))

    @rule(target=holds, file=orders)
    def speak_of(self, file: Brought) -> str:
        """Of whatever order: most are no hold, or none any more."""
        return digest(file.text)

    @rule(target=orders, by=people, hold=holds, review=st.sampled_from([1, 60, 366, 367, 0]))
    def review(self, by: Person, hold: str, review: int) -> Brought:
        order = HoldReview(pole=self.pole, made=self.now, hold=hold, review=self.now + review * DAY)
        return self.bring(by, order, by.sign(order))

    @rule(
        target=orders, by=people, hold=holds, made=st.integers(-3, 3), is_for_this=mostly_the_pole
    )
    def release(self, by: Person, hold: str, made: int, is_for_this: bool) -> Brought:
        pole = self.pole if is_for_this else "another"
        order = HoldRelease(pole=pole, made=self.now + made * DAY, hold=hold)
        return self.bring(by, order, by.sign(order))

    @rule(file=orders)
    def bring_the_same_again(self, file: Brought) -> None:
        self.bring(file.by, file.order, file.by.sign(file.order), intact=file.is_intact)

    @rule(file=orders, by=people)
    def sign_what_another_signed(self, file: Brought, by: Person) -> None:
        self.bring(by, file.order, by.sign(file.order))

    @rule(file=orders, claimed=st.sampled_from([MANAGER, DEPUTY]))
    def forge(self, file: Brought, claimed: Person) -> None:
        """A signature that claims to be somebody's and is about another text."""
        line = claimed.sign(place(pole=self.pole)).note.signatures
        forged = SignedOrder(file.order, Note(file.order.text, line))
        self.bring(claimed, file.order, forged, intact=False)

    @rule(data=st.binary(max_size=50))
    def bring_rubbish(self, data: bytes) -> None:
        folder = self.folder / BOX
        folder.mkdir(exist_ok=True)
        path = folder / f"{hashlib.sha256(data).hexdigest()}.order"
        self.has_rubbish |= not path.exists()
        path.write_bytes(data)

    # -- what happens to the pole ---------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 1, 24, 24 * 5, 24 * 40]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def look(self) -> None:
        self.run()
        if self.pending is not None:
            self.model.decide(*self.pending)
        for file in self.in_sequence():
            if self.pending is None or file is not self.pending[0]:
                self.model.decide(file, self.now)
        self.pending, self.has_rubbish = None, False
        self.waiting.clear()
        assert self.box.read().waiting == ()
        self.check_receipts()

    @rule()
    def restart(self) -> None:
        self.life = custodian(self.folder, self.receipts, self.now)
        self.is_new, self.pending = True, None

    @rule()
    def cut_the_power(self) -> None:
        """What was just reported had not reached the ledger."""
        self.ledger = [(one, at) for one, at in self.ledger if at < self.now]
        self.restart()

    @rule()
    def crash_before_it_is_written(self) -> None:
        """The ledger was told of a decision, and the box was not."""
        self.life.crash_before_writing = True
        try:
            self.run()
        except RuntimeError as error:
            assert str(error) == "power cut"
            for file in self.in_sequence()[:1]:
                self.note_that_it_may_be_told(file)
        finally:
            self.restart()

    @rule()
    def fill_the_disk(self) -> None:
        """Nothing can be written for a while; the ledger is told once, however long it takes."""
        self.life.is_disk_full = True
        told = set()
        for _ in range(3):
            with suppress(BoxTrouble):
                self.run()
            told.add(len(self.ledger))
        assert len(told) == 1
        self.life.is_disk_full = False
        if self.pending is None and self.waiting and not self.has_rubbish:
            self.pending = self.in_sequence()[0], self.now
            self.note_that_it_may_be_told(self.pending[0])

    def note_that_it_may_be_told(self, file: Brought) -> None:
        self.maybe |= {(numbers_of(digest(file.text)), step) for step in HoldStep}

    def in_sequence(self) -> list[Brought]:
        return sorted(self.waiting.values(), key=lambda one: (one.order.made, one.name))

    def run(self) -> None:
        self.life.now = self.now
        clock = trio.testing.MockClock()
        clock.jump((self.now - NOON).total_seconds())

        async def run() -> None:
            if self.is_new:
                await self.life.start()
                self.is_new = False
            await self.life._look()

        try:
            trio.run(run, clock=clock)
        finally:
            self.ledger += [(one, self.now) for one in self.receipts._waiting]
            self.receipts._waiting.clear()

    # -- what has to hold -----------------------------------------------------------------------

    @invariant()
    def what_is_held_is_what_the_model_holds(self) -> None:
        wanted = {id: self.model.reviews[id] for id in self.model.held}
        for file in self.waiting.values():
            if isinstance(file.order, HoldPlace):
                wanted.setdefault(digest(file.text), file.order.review)
        assert {hold.id: hold.review for hold in self.view.current()} == wanted

    def check_receipts(self) -> None:
        told = Counter((one.order, one.step) for one, _ in self.ledger)
        for step, times in self.model.steps.items():
            assert told[step] >= times, "a decision is missing in the ledger"
        assert set(told) <= set(self.model.steps) | self.maybe


Orders.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_orders = Orders.TestCase
