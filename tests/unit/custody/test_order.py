"""Orders: one way to write each, and nothing else is one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.custody.order import (
    KINDS,
    LONGEST_ORDER,
    HoldPlace,
    HoldRelease,
    HoldReview,
    Order,
    OrderUnreadable,
    kind_of_text,
    read_order,
    sign_order,
)
from actors.ledger.receipts import Ground
from runtime.errors import NoteRefused
from runtime.ledger.note import Note, SignatureType, SigningKey
from tests.people import NOON, Person, place

PERSON, OTHER = Person("site-manager"), Person("site-deputy")
DIGEST = hashlib.sha256(b"").hexdigest()

_texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=200
)
_times = st.integers(0, int(datetime(2105, 1, 1, tzinfo=UTC).timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
_orders: st.SearchStrategy[Order] = st.one_of(
    st.builds(
        HoldPlace,
        pole=_texts,
        made=_times,
        ground=st.none() | st.sampled_from(Ground),
        document=_texts,
        authority=_texts,
        places=st.lists(st.sampled_from(["crossing", "hall", "0-9"]), max_size=4).map(tuple),
        cameras=st.lists(st.sampled_from(["camera", "C_2"]), max_size=4).map(tuple),
        start=_times,
        end=_times,
        review=_times,
    ),
    st.builds(HoldReview, pole=_texts, made=_times, hold=st.just(DIGEST), review=_times),
    st.builds(HoldRelease, pole=_texts, made=_times, hold=st.just(DIGEST)),
)


@given(_orders)
def test_what_is_signed_is_read_again(order: Order) -> None:
    signed = PERSON.sign(order)
    read = read_order(signed.data)
    assert read == signed
    assert read.order == order
    assert kind_of_text(signed.data) == order.kind
    assert (read.signer, read.key_id) == (
        "site-manager",
        int.from_bytes(PERSON.key.verifier.id, "big"),
    )
    assert read.is_signed_by(PERSON.key.verifier)
    assert not read.is_signed_by(OTHER.key.verifier)
    assert not read.is_signed_by(SigningKey.generate("site-manager").verifier)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_rubbish_is_no_order(data: bytes) -> None:
    with pytest.raises(OrderUnreadable):
        read_order(data)


@given(st.data())
def test_no_changed_byte_keeps_the_signature(data: st.DataObject) -> None:
    whole = bytearray(PERSON.sign(place()).data)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        read = read_order(bytes(whole))
    except OrderUnreadable:
        return
    assert not read.is_signed_by(PERSON.key.verifier)


def test_a_person_can_read_what_they_sign() -> None:
    text = place(nonce="0" * 32).text
    assert text.startswith('smartpole order v1: hold-place\n{\n  "pole": "recordings+')
    assert '"authority": "新宿警察署"' in text
    assert '"start": "2026-11-22T03:00:00Z"' in text


def test_asking_twice_is_two_orders() -> None:
    assert PERSON.sign(place()).id != PERSON.sign(place()).id


def test_who_signs_makes_no_other_order() -> None:
    order = place()
    assert PERSON.sign(order).id == OTHER.sign(order).id


def of_text(text: str) -> bytes:
    return bytes(Note(text).signed(PERSON.key))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * (LONGEST_ORDER + 1), "at most"),
        (b"no note", "no order. Accepted: a signed note"),
        (of_text("smartpole order v2: hold-place\n{}\n"), "no kind of order. Accepted: hold-place"),
        (of_text("smartpole order v1: hold-everything\n{}\n"), "no kind of order"),
        (of_text("smartpole order v1: hold-place\n{}\n"), "no hold-place as this version"),
        (bytes(Note(place().text).signed(PERSON.key).signed(OTHER.key)), "one signature"),
        (of_text(place().text.replace("  ", " ")), "in another way"),
        (of_text(place().text.replace('"made"', '"extra": 1,\n  "made"')), "no hold-place as this"),
        (of_text(place().text.replace("T03:00:00Z", "T12:00:00+09:00")), "no hold-place as this"),
        (of_text(place().text.replace("03:00:00Z", "03:00:00.5Z")), "no hold-place as this"),
    ],
)
def test_what_is_no_order_is_told_why(data: bytes, why: str) -> None:
    with pytest.raises(OrderUnreadable, match=why):
        read_order(data)


@pytest.mark.parametrize(
    "change",
    [
        {"start": NOON.replace(microsecond=1)},
        {"start": NOON.astimezone(timezone(timedelta(hours=9)))},
        {"start": datetime(1969, 12, 31, tzinfo=UTC)},
        {"end": datetime(2107, 1, 1, tzinfo=UTC)},
        {"document": "two\nlines"},
        {"authority": "\u202eturned round"},
    ],
)
def test_bounds_of_an_order(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        place(**change)


def test_every_kind_is_listed_once() -> None:
    assert all(KINDS[kind.kind] is kind for kind in KINDS.values())
    assert set(KINDS.values()) == set(Order.__subclasses__())


def test_a_witness_signs_no_orders() -> None:
    with pytest.raises(NoteRefused, match="smartpole keys signer"):
        sign_order(place(), SigningKey.generate("witness", SignatureType.COSIGNATURE))


def test_a_long_text_does_not_fit_in() -> None:
    text = place(nonce="0" * 32).text.replace("第123号", "x" * 201)
    with pytest.raises(OrderUnreadable):
        read_order(of_text(text))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"pole": "x" * 201, "hold": DIGEST}, HoldRelease)
