"""Holds: what is covered, and that knowing it opens nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.custody.box import BOX, OrderBoxFolder, Outcome
from actors.custody.capability import HoldsView, OrderBox
from actors.custody.holds import UNKNOWN_END, Hold, HoldRegister, Holds
from actors.custody.order import HoldRelease, HoldReview, SignedOrder
from actors.ledger.receipts import Refusal
from runtime import Capability
from runtime.clock import kernel
from tests.people import NOON, POLE, people, place
from tests.recordings import storage

MANAGER, DEPUTY = people()
SECOND = 1_000_000


def hold(start: int, end: int, *, places: tuple[str, ...], cameras: tuple[str, ...]) -> Hold:
    order = place(
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(end, UTC),
        places=places,
        cameras=cameras,
    )
    return Hold("id", order, order.review)


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 5),
    st.sampled_from(["crossing", "hall", ""]),
    st.sampled_from(["camera-0", "camera-1", ""]),
    st.sampled_from([(), ("camera-0",)]),
)
@example(3, 2, 0, 5, "crossing", "camera-0", ())
def test_a_segment_with_one_held_picture_stays(
    start: int, end: int, first: int, length: int, where: str, camera: str, only: tuple[str, ...]
) -> None:
    """Against the plain reading: pictures of each second, one by one."""
    one = hold(start, end, places=("crossing",), cameras=only)
    held = any(start <= second < end for second in range(first, first + length + 1))
    held &= where in ("crossing", "") and (not only or camera in (*only, ""))
    asked = Holds([one]).covers(
        camera=camera, place=where, start=first * SECOND, end=(first + length) * SECOND
    )
    assert asked == held


def test_an_end_that_nobody_noted_is_late() -> None:
    one = Holds([hold(10_000, 20_000, places=("crossing",), cameras=())])
    begun = 10_000 * SECOND - UNKNOWN_END
    assert one.covers(camera="c", place="crossing", start=begun, end=None)
    assert not one.covers(camera="c", place="crossing", start=begun - 1, end=None)
    assert not one.covers(camera="c", place="crossing", start=20_000 * SECOND, end=None)


def test_nothing_is_held_without_orders(tmp_path: Path) -> None:
    holds = storage(HoldsView, tmp_path, actor="retention").current()
    assert len(holds) == 0
    assert not holds.covers(camera="", place="", start=0, end=None)


def decided(box: OrderBoxFolder, signed: SignedOrder, number: int, why: Refusal | None) -> None:
    outcome = Outcome(number=number, at=NOON, kind=signed.order.kind, why=why, said="")
    box.decide(box.put(signed), outcome)


def test_the_view_follows_the_box(tmp_path: Path) -> None:
    view = storage(HoldsView, tmp_path, actor="retention")
    box = OrderBoxFolder(tmp_path / BOX)
    first, second = MANAGER.sign(place()), MANAGER.sign(place(places=("hall",)))
    assert len(view.current()) == 0

    box.put(first)
    (waiting,) = view.current()
    assert (waiting.id, waiting.is_decided) == (first.id, False)
    assert view.current() is view.current(), "nothing has changed, so nothing is made anew"

    decided(box, first, 1, None)
    box.put(second)
    assert [(one.id, one.is_decided) for one in view.current()] == [
        (first.id, True),
        (second.id, False),
    ]
    decided(box, second, 2, Refusal.PLACE)
    assert [one.id for one in view.current()] == [first.id]

    later = NOON + timedelta(days=60)
    decided(box, DEPUTY.sign(HoldReview(pole=POLE, hold=first.id, review=later)), 3, None)
    (held,) = view.current()
    assert (held.review, held.is_overdue(NOON), held.is_overdue(later)) == (later, False, False)
    assert view.current().overdue(later + timedelta(seconds=1)) == (held,)

    release = DEPUTY.sign(HoldRelease(pole=POLE, hold=first.id))
    box.put(release)
    assert len(view.current()) == 1, "a release counts when it is accepted"
    decided(box, release, 4, None)
    assert len(view.current()) == 0
    register = HoldRegister.of(box.read())
    assert (list(register.placed), list(register.in_force)) == ([first.id], [])


def test_a_new_handle_computes_the_same(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path / BOX)
    signed = [MANAGER.sign(place()) for _ in range(5)]
    for number, one in enumerate(signed, start=1):
        decided(box, one, number, None)
    view = storage(HoldsView, tmp_path, actor="retention")
    assert [one.id for one in view.current()] == [one.id for one in signed]


def public_names(kind: type[Capability]) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_neither_handle_opens_a_recording(tmp_path: Path) -> None:
    """By what they offer; that no key which opens one lies on the pole is the recorder's."""
    shared = {"kind", "rights", "prepare"}
    assert public_names(HoldsView) - shared == {"current"}
    assert public_names(OrderBox) - shared == {"read", "decide", "time"}
    (tmp_path / "20261122T030000Z-crossing-00000001.mp4.age").write_bytes(b"ciphertext")
    box = storage(OrderBox, tmp_path, actor="custodian")
    assert "ciphertext" not in str(box.read())
    fields = set(Hold.__dataclass_fields__)
    assert fields == {"id", "order", "review", "is_decided"}


def test_a_dead_battery_ends_nobodys_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The custodian goes by the pole's own clock; its tests have every jump that there is."""
    right = int(NOON.timestamp()) * SECOND
    monkeypatch.setattr(kernel, "_adjtimex", lambda: (right, True))
    before = storage(OrderBox, tmp_path, actor="custodian").time()
    assert before == NOON
    monkeypatch.setattr(kernel, "_adjtimex", lambda: (0, False))
    after = storage(OrderBox, tmp_path, actor="custodian").time()
    assert timedelta(0) <= after - before < timedelta(minutes=1)
