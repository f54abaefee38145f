"""The custodian's alarms, and that it decides about disclosures as about holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pyrage
import pytest
import structlog
import trio
from structlog.typing import EventDict

from actors.custody.actor import Custodian
from actors.custody.box import BOX, OrderBoxFolder
from actors.custody.capability import OrderBox
from actors.custody.managers import Role
from actors.custody.order import DisclosureApproval, DisclosureRequest, HoldReview, Order
from actors.ledger.receipts import Disclosed, DisclosureStep, Ground, HoldChanged, Refusal
from actors.recorder.signing import PoleKey
from runtime import Domain, Outlet, Reading
from runtime.channel import Link, Queue
from tests.people import NOON, Person, people, place, settings_of
from tests.recordings import storage

T = TypeVar("T")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MANAGER, DEPUTY = people()


class CustodianInVirtualTime(Custodian, domain=Domain.SECURITY):
    """The same, by the loop's clock and without threads, which virtual time does not see."""

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)

    async def _now(self) -> datetime:
        return NOON + timedelta(seconds=int(trio.current_time()))


class Site:
    """A custodian, its box, and what it told the ledger."""

    def __init__(self, folder: Path) -> None:
        self.box = OrderBoxFolder(folder / BOX)
        self.folder = folder
        self.pole = str(PoleKey.of_folder(folder).public)
        self.holds = Queue("ledger.receipts", HoldChanged, capacity=1000)
        self.disclosures = Queue("ledger.receipts", Disclosed, capacity=1000)
        self.actor = CustodianInVirtualTime(
            {
                "settings": settings_of(MANAGER.named(), DEPUTY.named(Role.DEPUTY)),
                "orders": storage(OrderBox, folder, actor="custodian"),
                "holds": Outlet._mint("custodian.holds", HoldChanged, [Link(self.holds)]),
                "disclosures": Outlet._mint(
                    "custodian.disclosures", Disclosed, [Link(self.disclosures)]
                ),
                "log": structlog.get_logger("custodian"),
                **{name: Reading() for name in Custodian.declaration.readings},
            }
        )

    def bring(self, by: Person, order: Order) -> str:
        signed = by.sign(order)
        self.box.put(signed)
        return signed.id

    async def run_for(self, time: timedelta) -> list[EventDict]:
        with structlog.testing.capture_logs() as log, trio.move_on_after(time.total_seconds()):
            await self.actor.start()
            await self.actor.run()
        return log


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_review_that_is_due_is_an_alarm_and_no_release(site: Site) -> None:
    hold = site.bring(MANAGER, place(pole=site.pole, review=NOON + 10 * MINUTE))
    assert not [one for one in await site.run_for(10 * MINUTE) if one["log_level"] == "error"]
    log = await site.run_for(5 * MINUTE)
    (alarm,) = (one for one in log if one["log_level"] == "error")
    assert alarm["event"] == "holds are to be reviewed and go on meanwhile"
    assert (site.actor.reviews_overdue.value, site.actor.holds_in_force.value) == (1, 1)
    review = HoldReview(pole=site.pole, hold=hold, review=NOON + 9 * DAY)
    site.bring(DEPUTY, review)
    await site.run_for(MINUTE)
    assert (site.actor.reviews_overdue.value, site.actor.holds_in_force.value) == (0, 1)


async def test_what_cannot_be_known_is_told_once_and_mends(site: Site) -> None:
    site.bring(MANAGER, place(pole=site.pole))
    await site.run_for(MINUTE)
    (path,) = (site.folder / BOX).glob("*.order")
    whole = path.read_bytes()
    path.unlink()
    looks = site.actor.looks.value
    log = await site.run_for(MINUTE)
    (trouble,) = (one for one in log if one["log_level"] == "error")
    assert "nothing is deleted" in trouble["reason"]
    assert site.actor.looks.value == looks
    path.write_bytes(whole)
    await site.run_for(MINUTE)
    assert site.actor.looks.value > looks


async def test_disclosures_are_decided_as_well(site: Site) -> None:
    request = DisclosureRequest(
        pole=site.pole,
        ground=Ground.AUTHORITY,
        document="第123号",
        authority="新宿警察署",
        places=("crossing",),
        cameras=("camera-0",),
        written_start=NOON - 2 * DAY,
        written_end=NOON - DAY,
        event_start=NOON - 2 * DAY,
        event_end=NOON - 2 * DAY + timedelta(hours=1),
        start=NOON - 2 * DAY,
        end=NOON - 2 * DAY + timedelta(hours=1),
        recipient=str(pyrage.x25519.Identity.generate().to_public()),
        made=NOON,
    )
    asked = site.bring(MANAGER, request)
    site.bring(MANAGER, DisclosureApproval(pole=site.pole, request=asked, made=NOON + DAY))
    site.bring(DEPUTY, DisclosureApproval(pole=site.pole, request=asked, made=NOON + 2 * DAY))
    site.bring(DEPUTY, DisclosureApproval(pole="another", request=asked, made=NOON + 3 * DAY))
    await site.run_for(timedelta(seconds=10))
    assert [(one.step, one.why) for one in site.disclosures._waiting] == [
        (DisclosureStep.REQUESTED, None),
        (DisclosureStep.REFUSED, Refusal.SAME_PERSON),
        (DisclosureStep.APPROVED, None),
        (DisclosureStep.REFUSED, Refusal.OTHER_POLE),
    ]
    assert [one.outcome.number for one in site.box.read().decided] == [1, 2, 3, 4]
    assert not site.holds._waiting
