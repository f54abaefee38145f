"""What the custodian says to orders on holds: each refusal names what, why and what is accepted."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from actors.custody.hold_rules import AHEAD, LONGEST_REVIEW, WIDEST, decide_hold
from actors.custody.holds import HoldRegister
from actors.custody.managers import CustodianSettings, Managers, Role
from actors.custody.order import HoldRelease, HoldReview, SignedOrder
from actors.custody.ruling import Ruling
from actors.ledger.receipts import Ground, HoldChanged, HoldStep, Refusal, numbers_of
from runtime.message import why_unbounded
from tests.people import CAMERAS, NOON, POLE, Person, people, place, settings_of

MANAGER, DEPUTY = people()
NIGHT = Person("night-manager")
OLD = Person("old-manager")
SETTINGS = settings_of(
    MANAGER.named(places=("crossing",)),
    DEPUTY.named(Role.DEPUTY, places=("crossing", "hall")),
    NIGHT.named(places=("hall",), until=date(2026, 11, 30)),
    OLD.named(places=("crossing",), until=date(2026, 6, 30)),
)


def ruling(
    signed: SignedOrder,
    *past: SignedOrder,
    settings: CustodianSettings = SETTINGS,
    now: datetime = NOON,
) -> Ruling:
    register = HoldRegister()
    for one in past:
        register.add(one)
    return decide_hold(signed, register, Managers(settings), now, cameras=CAMERAS)


def refused(signed: SignedOrder, *past: SignedOrder, **given: Any) -> tuple[Refusal | None, str]:
    found = ruling(signed, *past, **given)
    receipt = found.receipt
    assert isinstance(receipt, HoldChanged)
    assert (receipt.step, receipt.why) == (HoldStep.REFUSED, found.why)
    assert receipt.order == numbers_of(signed.id)
    assert found.text.endswith(".")
    assert "Accepted" in found.text, "it says what would be accepted"
    return found.why, found.text


def test_a_hold_is_placed() -> None:
    signed = MANAGER.sign(place(cameras=("camera-1",)))
    found = ruling(signed)
    assert found.why is None
    assert "opens none of them" in found.text
    assert found.receipt == HoldChanged(
        step=HoldStep.PLACED,
        order=numbers_of(signed.id),
        hold=numbers_of(signed.id),
        ground=Ground.AUTHORITY,
        document=numbers_of(hashlib.sha256("第123号".encode()).hexdigest()),
        places=("crossing",),
        start=int((NOON - timedelta(days=3)).timestamp()),
        end=int((NOON - timedelta(days=2)).timestamp()),
        review=int((NOON + timedelta(days=30)).timestamp()),
        signer=signed.key_id,
    )


def test_a_deputy_may_do_all_of_it() -> None:
    placed = DEPUTY.sign(place())
    assert ruling(placed).why is None
    review = DEPUTY.sign(HoldReview(pole=POLE, hold=placed.id, review=NOON + timedelta(days=90)))
    reviewed = ruling(review, placed)
    assert reviewed.why is None
    receipt = reviewed.receipt
    assert isinstance(receipt, HoldChanged)
    assert (receipt.step, receipt.hold) == (HoldStep.REVIEWED, numbers_of(placed.id))
    assert receipt.review == int((NOON + timedelta(days=90)).timestamp())
    release = MANAGER.sign(HoldRelease(pole=POLE, hold=placed.id))
    released = ruling(release, placed, review)
    assert released.why is None
    assert isinstance(released.receipt, HoldChanged)
    assert (released.receipt.step, released.receipt.places) == (HoldStep.RELEASED, ("crossing",))


@pytest.mark.parametrize(
    ("change", "why", "said"),
    [
        ({"ground": None}, Refusal.GROUND, ["order names none", "7.1(4)", "① law; ②"]),
        ({"ground": Ground.FACILITY}, Refusal.GROUND, ["facility's operator is none", "7.1(4)"]),
        ({"document": " "}, Refusal.DOCUMENT, ["no document", "7.1(4)", "law and its article"]),
        ({"authority": ""}, Refusal.DOCUMENT, ["who asked", "7.1(4)", "as the document names"]),
        ({"places": ()}, Refusal.RANGE, ["names no place", "crossing, hall"]),
        ({"places": ("yard",)}, Refusal.UNSTAFFED, ["no manager is named", "7.3(2)", "crossing"]),
        ({"places": ("hall",)}, Refusal.PLACE, ["site-manager does not answer", "7.3(2)"]),
        ({"cameras": ("camera-2",)}, Refusal.RANGE, ["1 of the cameras", "camera-0, camera-1"]),
        ({"end": NOON - timedelta(days=3)}, Refusal.RANGE, ["is empty", "after the beginning"]),
        (
            {"end": NOON - timedelta(days=3) + WIDEST + timedelta(seconds=1)},
            Refusal.RANGE,
            ["longer than 31 days", "7.1(4)", "31 days in one order"],
        ),
        (
            {"start": NOON + timedelta(days=20), "end": NOON + AHEAD + timedelta(seconds=1)},
            Refusal.RANGE,
            ["31 days from now", "7.1(3)", "another order"],
        ),
        ({"review": NOON}, Refusal.REVIEW, ["no date", "7.1(4)", "366 days"]),
        ({"review": NOON + LONGEST_REVIEW + timedelta(1)}, Refusal.REVIEW, ["no date", "7.1(4)"]),
    ],
)
def test_what_a_hold_is_refused_for(change: dict[str, Any], why: Refusal, said: list[str]) -> None:
    found, text = refused(MANAGER.sign(place(**change)))
    assert found is why
    for part in said:
        assert part in text
    assert "第123号" not in text
    assert "新宿" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"ground": Ground.LAW},
        {"end": NOON - timedelta(days=3) + WIDEST},
        {"end": NOON + timedelta(days=10)},
        {"start": NOON + timedelta(days=20), "end": NOON + AHEAD},
        {"review": NOON + timedelta(seconds=1)},
        {"review": NOON + LONGEST_REVIEW},
        {"cameras": ("camera-0", "camera-1")},
    ],
)
def test_what_is_just_accepted(change: dict[str, Any]) -> None:
    assert ruling(MANAGER.sign(place(**change))).why is None


def test_nobody_who_is_not_named_may_order() -> None:
    why, text = refused(Person("site-manager").sign(place()))
    assert why is Refusal.SIGNATURE
    assert "7.3(2)" in text
    assert "the key of site-manager, site-deputy, night-manager" in text


def test_nobody_may_order_out_of_term() -> None:
    why, text = refused(OLD.sign(place()))
    assert why is Refusal.TERM
    for part in ("old-manager", "2026-04-01 to 2026-06-30", "7.3(2)", "site-manager"):
        assert part in text


@pytest.mark.parametrize("missing", Role)
def test_without_a_manager_and_a_deputy_nothing_is_held(missing: Role) -> None:
    there = Role.DEPUTY if missing is Role.MANAGER else Role.MANAGER
    why, text = refused(MANAGER.sign(place()), settings=settings_of(MANAGER.named(there)))
    assert why is Refusal.UNSTAFFED
    assert f"crossing has no {missing.value} in their term" in text
    assert "7.3(2)" in text


def test_a_hold_ends_without_a_deputy() -> None:
    """Nothing may be kept longer because somebody left."""
    placed = MANAGER.sign(place())
    release = MANAGER.sign(HoldRelease(pole=POLE, hold=placed.id))
    assert ruling(release, placed, settings=settings_of(MANAGER.named())).why is None


def test_what_follows_is_about_a_hold_in_force() -> None:
    placed = MANAGER.sign(place())
    release = MANAGER.sign(HoldRelease(pole=POLE, hold=placed.id))
    again = MANAGER.sign(HoldRelease(pole=POLE, hold=placed.id))
    review = MANAGER.sign(HoldReview(pole=POLE, hold=placed.id, review=NOON + timedelta(days=9)))
    for order in (release, review):
        why, text = refused(order)
        assert why is Refusal.UNKNOWN
        assert "was never placed" in text
        assert "smartpole hold list" in text
    for order in (again, review):
        why, text = refused(order, placed, release)
        assert why is Refusal.UNKNOWN
        assert "is released already" in text


def test_others_places_are_others_holds() -> None:
    placed = DEPUTY.sign(place(places=("hall",)))
    why, text = refused(MANAGER.sign(HoldRelease(pole=POLE, hold=placed.id)), placed)
    assert why is Refusal.PLACE
    assert "Accepted of site-manager: crossing" in text
    assert ruling(NIGHT.sign(HoldRelease(pole=POLE, hold=placed.id)), placed).why is None


def test_a_review_sets_a_date_to_come() -> None:
    placed = MANAGER.sign(place())
    why, _ = refused(MANAGER.sign(HoldReview(pole=POLE, hold=placed.id, review=NOON)), placed)
    assert why is Refusal.REVIEW


def test_an_order_cannot_write_into_the_ledger_what_it_likes() -> None:
    receipt = ruling(MANAGER.sign(place(places=("crossing", "taro-yamada")))).receipt
    assert isinstance(receipt, HoldChanged)
    assert receipt.places == ("crossing",)
    assert why_unbounded(HoldChanged) is None
