"""The custodian: decides about every order for recordings, once, and has the ledger know it."""

from __future__ import annotations

__all__ = ["Custodian"]

import math
from datetime import datetime

import msgspec
import trio

from actors.custody.box import BoxContents, BoxTrouble, Decided, Outcome, Waiting
from actors.custody.capability import OrderBox
from actors.custody.disclosure import DISCLOSURE_STEPS, Disclosures, decide_disclosure
from actors.custody.hold_rules import HOLD_STEPS, decide_hold
from actors.custody.holds import HoldRegister, Holds, holds_in
from actors.custody.managers import CustodianSettings, Managers
from actors.custody.order import HoldPlace, HoldRelease, HoldReview, Order, SignedOrder
from actors.custody.ruling import Ruling
from actors.ledger.receipts import (
    Disclosed,
    DisclosureStep,
    HoldChanged,
    HoldStep,
    Refusal,
    numbers_of,
)
from runtime import Actor, Domain, Needs, Outlet, Reading, outlet, reading

_SURELY_THERE = 60.0
"""Seconds after which what was reported is in the ledger, if the pole is still running. A pole that
ends before reports it again: twice is better than not at all."""
_LOOK_AT_CLOCK = 60.0
"""Seconds, where nothing is to be decided."""


class Custodian(Actor, domain=Domain.SECURITY):
    """Decides what people have ordered to happen with recordings (guideline 7.1(4), 7.2, 7.3(2)).

    Whatever is in the order box is decided once, in the sequence in which it was made, accepted or
    refused, and either stands in the ledger. The receipt is sent before the outcome is written, so
    a crash in between repeats the receipt and loses none. It holds no key and reads no recording;
    what it accepts opens nothing by itself. A hold whose review date has passed is an alarm, and
    goes on.
    """

    orders: Needs[OrderBox]
    holds: Outlet[HoldChanged] = outlet(per_second=1)
    disclosures: Outlet[Disclosed] = outlet(per_second=1)
    settings: CustodianSettings
    looks: Reading = reading(vital=True)
    orders_accepted: Reading
    orders_refused: Reading
    orders_waiting: Reading
    holds_in_force: Reading
    """With those that nobody has decided about yet."""
    reviews_overdue: Reading
    """Holds whose review date has passed: somebody has to look whether they are still needed."""

    async def start(self) -> None:
        self._managers = Managers(self.settings)
        self._ruled: dict[str, tuple[Ruling, datetime]] = {}
        """What was decided and reported, and could not be written down yet."""
        self._told: dict[str, float] = {}
        """Of what was reported in this life and may not be in the ledger yet: when."""
        self._warned: set[str] = set()
        self._next_time = -math.inf
        self._shown: BoxContents | None = None
        self._holds = Holds()
        self._trouble = ""

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except BoxTrouble as trouble:
                if str(trouble) != self._trouble:
                    self.log.error("orders can't be decided", reason=str(trouble))
                self._trouble = str(trouble)
            else:
                self._trouble = ""
                self.looks.add()
            await trio.sleep(self.settings.look)

    async def _look(self) -> None:
        contents = await self.blocking(self.orders.read)
        await self._report_again(contents)
        if trio.current_time() >= self._next_time:
            await self._look_at_clock()
        while contents.waiting:
            await self._look_at_clock()
            self._show(contents)
            await self._decide(self._next(contents), contents)
            contents = await self.blocking(self.orders.read)
        self._show(contents)
        await self._note_reported(contents)

    async def _look_at_clock(self) -> None:
        self._time = await self._now()
        self._next_time = trio.current_time() + _LOOK_AT_CLOCK

    # -- deciding -------------------------------------------------------------------------------

    def _next(self, contents: BoxContents) -> Waiting:
        """What is decided and not written down yet comes first, so that the sequence of decisions
        is that in which they were made."""
        ruled = (one for one in contents.waiting if one.name in self._ruled)
        return next(ruled, contents.waiting[0])

    async def _decide(self, waiting: Waiting, contents: BoxContents) -> None:
        if waiting.name not in self._ruled:
            ruling = self._judge(waiting, contents, self._time)
            await self._tell(ruling)
            self._ruled[waiting.name] = ruling, self._time
        # On a full disk it is tried again, and the ledger told once.
        ruling, now = self._ruled[waiting.name]
        outcome = Outcome(
            number=contents.last + 1,
            at=now,
            kind=waiting.kind,
            why=ruling.why,
            said=ruling.text,
            reported=ruling.receipt is None,
        )
        await self.blocking(self.orders.decide, waiting.name, outcome)
        self._told[waiting.name] = trio.current_time()
        del self._ruled[waiting.name]
        if ruling.why is None:
            self.orders_accepted.add()
            self.log.info("order accepted", order=outcome.number, kind=waiting.kind)
        else:
            self.orders_refused.add()
            why = ruling.why.value
            self.log.warning("order refused", order=outcome.number, kind=waiting.kind, reason=why)

    def _judge(self, waiting: Waiting, contents: BoxContents, now: datetime) -> Ruling:
        signed = waiting.signed
        if signed is None:
            why = f"{waiting.trouble}."
            return Ruling(Refusal.UNREADABLE, why, _unreadable(waiting.name, waiting.kind))
        ruling = self._ruling(signed, contents, now)
        if signed.order.pole != self.orders.pole:
            return _turned_into(
                ruling,
                signed.order,
                Refusal.OTHER_POLE,
                "the order is for another pole, or for the key that this one had before. Accepted: "
                "an order that names the public key of this pole's recordings (pole.pub).",
            )
        if any(signed.id == one.signed.id for one in contents.accepted):
            return _turned_into(
                ruling,
                signed.order,
                Refusal.REPEATED,
                "this very order was accepted before, and is carried out once. Accepted: a new "
                "order.",
            )
        return ruling

    def _ruling(self, signed: SignedOrder, contents: BoxContents, now: datetime) -> Ruling:
        """By what was decided before it, as if nothing else spoke against it."""
        cameras = self.settings.cameras
        if isinstance(signed.order, HoldPlace | HoldReview | HoldRelease):
            register = HoldRegister.of(contents)
            return decide_hold(signed, register, self._managers, now, cameras=cameras)
        past = Disclosures.of(contents)
        return decide_disclosure(signed, past, self._managers, now, cameras=cameras)

    # -- reporting ------------------------------------------------------------------------------

    async def _tell(self, ruling: Ruling) -> None:
        if isinstance(ruling.receipt, HoldChanged):
            await self.holds.send(ruling.receipt)
        elif ruling.receipt is not None:
            await self.disclosures.send(ruling.receipt)

    async def _report_again(self, contents: BoxContents) -> None:
        """Tell the ledger what it may have lost with the last life."""
        for place, decided in enumerate(contents.decided):
            if not decided.outcome.reported and decided.name not in self._told:
                before = BoxContents(contents.decided[:place])
                await self._tell(self._ruling_before(decided, before))
                self._told[decided.name] = trio.current_time()

    async def _note_reported(self, contents: BoxContents) -> None:
        """Write down what the ledger surely has by now."""
        for decided in contents.decided:
            told = self._told.get(decided.name)
            if told is not None and trio.current_time() - told > _SURELY_THERE:
                there = msgspec.structs.replace(decided.outcome, reported=True)
                await self.blocking(self.orders.decide, decided.name, there)
                del self._told[decided.name]

    def _ruling_before(self, decided: Decided, before: BoxContents) -> Ruling:
        """What was ruled at the time, by what was decided before. The outcome stands, whatever the
        configuration says today."""
        outcome = decided.outcome
        if decided.signed is None:
            receipt = _unreadable(decided.name, outcome.kind)
            return Ruling(outcome.why, outcome.said, receipt)
        ruling = self._ruling(decided.signed, before, outcome.at)
        return _turned_into(ruling, decided.signed.order, outcome.why, outcome.said)

    # -- showing --------------------------------------------------------------------------------

    def _show(self, contents: BoxContents) -> None:
        if contents is not self._shown:
            self._shown, self._holds = contents, holds_in(contents)
        holds = self._holds
        overdue = holds.overdue(self._time)
        self.orders_waiting.set(len(contents.waiting))
        self.holds_in_force.set(len(holds))
        self.reviews_overdue.set(len(overdue))
        fresh = {f"{hold.id} {hold.review}" for hold in overdue}
        if fresh - self._warned:
            self.log.error("holds are to be reviewed and go on meanwhile", holds=len(overdue))
        self._warned = fresh

    async def _now(self) -> datetime:
        return await self.blocking(self.orders.time)


def _turned_into(ruling: Ruling, order: Order, why: Refusal | None, text: str) -> Ruling:
    """A ruling about the same order with another end."""
    receipt = ruling.receipt
    if isinstance(receipt, HoldChanged):
        step = HOLD_STEPS[type(order)] if why is None else HoldStep.REFUSED
        hold = receipt.order if isinstance(order, HoldPlace) else receipt.hold
        if step is HoldStep.REFUSED and isinstance(order, HoldPlace):
            hold = None
        receipt = msgspec.structs.replace(receipt, step=step, why=why, hold=hold)
    elif receipt is not None:
        taken = DISCLOSURE_STEPS[type(order)] if why is None else DisclosureStep.REFUSED
        receipt = msgspec.structs.replace(receipt, step=taken, why=why)
    return Ruling(why, text, receipt)


def _unreadable(name: str, kind: str | None) -> HoldChanged | Disclosed | None:
    """For an order of which no more than its kind can be read. ``name`` is its bytes' digest."""
    if kind is None:
        return None
    if kind.startswith("hold-"):
        return HoldChanged(
            step=HoldStep.REFUSED,
            why=Refusal.UNREADABLE,
            order=numbers_of(name),
            hold=None,
            signer=0,
        )
    return Disclosed(
        step=DisclosureStep.REFUSED,
        why=Refusal.UNREADABLE,
        order=numbers_of(name),
        request=None,
        signer=0,
    )
