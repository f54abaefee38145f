"""What may stand in a ledger: bounded fields, declared kinds, nothing that could be a person."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest

from actors.ledger.receipts import StatisticsReleased
from runtime import (
    Actor,
    Digest,
    Domain,
    Message,
    Outlet,
    PlaceName,
    Receipt,
    Sensitivity,
    Word,
    ledger_entry,
)
from runtime.errors import DeclarationError, LedgerRefused
from runtime.ledger import entry as entry_module
from runtime.ledger.entry import (
    POLE,
    PoleEntry,
    decode_record,
    encode_record,
    entry_type,
    kind_of,
    known_kinds,
    load_entry_types,
)
from runtime.ledger.kinds import TailCut
from tests.ledgers import Noted

OPERATIONAL = Sensitivity.OPERATIONAL
NOW = datetime(2026, 11, 25, tzinfo=UTC)
HASH = "ab" * 32


class Colour(enum.Enum):
    RED = "red"


@pytest.fixture(autouse=True)
def own_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is forgotten after it."""
    for name in ("_kinds", "_words", "_decoders"):
        monkeypatch.setattr(entry_module, name, dict(getattr(entry_module, name)))


def declare_full() -> type[Receipt]:
    @ledger_entry("test-full")
    class Full(Receipt, sensitivity=OPERATIONAL):
        place: PlaceName
        number: Annotated[int, msgspec.Meta(ge=0, le=10)]
        flag: bool
        colour: Colour | None
        digest: Digest
        word: Word | None = None
        words: Annotated[tuple[Word, ...], msgspec.Meta(max_length=3)] = ()

    return Full


def full(**changes: Any) -> Receipt:
    given = {"place": "crossing", "number": 3, "flag": True, "colour": Colour.RED, "digest": HASH}
    kind = entry_type("test-full") or declare_full()
    return kind(**{**given, **changes})


def test_an_entry_comes_back_as_it_was() -> None:
    given = full(word="camera", words=("camera", "storage:security"))
    line = encode_record(given, at=NOW, by="sender", words={"camera", "storage:security"})
    record, entry = decode_record(line)
    assert entry == given
    assert (record.kind, record.at, record.by) == ("test-full", NOW, "sender")
    assert b"\n" not in line
    assert kind_of(type(given)) == "test-full"
    assert known_kinds()["test-full"] is type(given)


@pytest.mark.parametrize(
    "change",
    [
        {"word": "Taro.Yamada"},
        {"words": ("camera", "Taro.Yamada")},
    ],
)
def test_a_word_that_the_configuration_does_not_hold_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LedgerRefused, match="not a name of the pole's configuration") as refusal:
        encode_record(full(**change), at=NOW, by="sender", words={"camera"})
    assert "Taro" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 11},
        {"number": "3"},
        {"digest": "AB" * 32},
        {"digest": HASH + "0"},
        {"place": "Taro Yamada"},
        {"flag": 2},
        {"word": "two words"},
        {"words": ("a",) * 4},
        {"colour": "blue"},
        {"digest": b"x"},
    ],
)
def test_a_field_that_does_not_fit_is_refused_without_being_repeated(
    change: dict[str, Any],
) -> None:
    with pytest.raises(LedgerRefused, match="does not fit its declared type") as refusal:
        encode_record(full(**change), at=NOW, by="sender", words={"a"})
    assert "Taro" not in str(refusal.value)


class Free(enum.Enum):
    @classmethod
    def _missing_(cls, value: object) -> Any:
        return value

    ONE = "one"


class Other(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    data: bytes


@pytest.mark.parametrize(
    "field",
    [
        str,
        bytes,
        float,
        int,
        Annotated[int, msgspec.Meta(ge=0)],
        Annotated[int, msgspec.Meta(ge=0, le=2**48)],
        Annotated[str, msgspec.Meta(max_length=10)],
        tuple[Word, ...],
        list[Word],
        dict[str, int],
        Word | str,
        Free,
        Other,
        Any,
        msgspec.Raw,
        bool | msgspec.UnsetType,
        datetime,
    ],
)
@pytest.mark.parametrize("base", [Receipt, PoleEntry])
def test_a_field_in_which_a_person_would_fit_is_refused(base: type, field: Any) -> None:
    if base is Receipt:
        namespace = {"__annotations__": {"field": field}, "__module__": __name__}
        cls: Any = type(Receipt)("Loose", (Receipt,), namespace, sensitivity=OPERATIONAL)
    else:
        cls = msgspec.defstruct("Loose", [("field", field)], bases=(PoleEntry,), frozen=True)
    with pytest.raises(DeclarationError, match=r"'field'.*the ledger holds none"):
        ledger_entry("test-loose")(cls)
    assert "test-loose" not in known_kinds()


def test_a_digest_or_word_does_not_leave_a_domain_with_personal_data() -> None:
    """64 digits hold a picture's share, and which word it is says something as well."""
    with pytest.raises(DeclarationError, match="so that personal data would fit in"):

        class Recorder(Actor, domain=Domain.SECURITY):
            receipts: Outlet[StatisticsReleased]

    class Statistics(Actor, domain=Domain.PUBLIC):
        receipts: Outlet[StatisticsReleased]

    assert Statistics.declaration.outlets["receipts"].message is StatisticsReleased


def test_only_receipts_and_the_poles_own_entries_are_entries() -> None:
    class Plain(Message, sensitivity=OPERATIONAL):
        flag: bool

    with pytest.raises(DeclarationError, match="neither a Receipt nor a PoleEntry"):
        ledger_entry("test-plain")(Plain)  # type: ignore[type-var]

    class Personal(Receipt, sensitivity=Sensitivity.PERSONAL_IMAGE):
        flag: bool

    with pytest.raises(DeclarationError, match="is OPERATIONAL"):
        ledger_entry("test-personal")(Personal)


@pytest.mark.parametrize("kind", ["", "Upper", "two words", "-x", "x" * 41])
def test_what_is_no_kind(kind: str) -> None:
    with pytest.raises(DeclarationError, match="is no kind"):

        @ledger_entry(kind)
        class Named(Receipt, sensitivity=OPERATIONAL):
            flag: bool


def test_a_kind_is_declared_once() -> None:
    with pytest.raises(DeclarationError, match=r"is tests\.ledgers\.Noted already"):

        @ledger_entry("test-noted")
        class Another(Receipt, sensitivity=OPERATIONAL):
            flag: bool

    with pytest.raises(DeclarationError, match="has a kind already"):
        ledger_entry("test-again")(Noted)


def test_what_is_not_declared_is_refused() -> None:
    class Undeclared(Receipt, sensitivity=OPERATIONAL):
        flag: bool

    with pytest.raises(LedgerRefused, match="no declared kind") as refusal:
        encode_record(Undeclared(flag=True), at=NOW, by="sender")
    assert "pole-started" in str(refusal.value)


def test_a_kind_that_nobody_here_declares_is_read_as_far_as_that_goes() -> None:
    line = encode_record(full(), at=NOW, by="sender").replace(b"test-full", b"test-gone")
    record, entry = decode_record(line)
    assert (record.kind, entry) == ("test-gone", None)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"\0\0\0",
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00Z","by":"x","entry":{"number":1',
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00Z","by":"x","entry":{"number":-1}}',
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00Z","by":"x","entry":{"n":1}}',
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00Z","by":"x","entry":{"number":1},"more":1}',
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00","by":"x","entry":{"number":1}}',
        b'{"kind":"test-noted","at":"2026-11-25T00:00:00Z","by":"two words","entry":{"number":1}}',
        b'{"kind":"two words","at":"2026-11-25T00:00:00Z","by":"x","entry":{"number":1}}',
        b'{"kind":"test-noted","at":"now","by":"x","entry":{"number":1}}',
    ],
)
def test_what_is_no_line_of_a_ledger(line: bytes) -> None:
    with pytest.raises(LedgerRefused, match="no entry"):
        decode_record(line)


def test_only_the_pole_says_what_the_pole_says() -> None:
    cut = encode_record(TailCut(removed=1), at=NOW, by=POLE)
    assert decode_record(cut)[1] == TailCut(removed=1)
    with pytest.raises(LedgerRefused, match="can't be written by 'sender'"):
        decode_record(encode_record(TailCut(removed=1), at=NOW, by="sender"))
    with pytest.raises(LedgerRefused, match="can't be written by 'pole'"):
        decode_record(encode_record(Noted(number=1), at=NOW, by=POLE))


def test_every_installed_kind_can_be_declared() -> None:
    assert load_entry_types() == []
    assert {
        "pole-started", "pole-stopped", "grant", "domain-confined", "actor-crashed",
        "domain-crashed", "tail-cut", "release", "notice", "deletion", "hold", "disclosure",
        "recordings", "clock-alarm", "room-alarm",
    } <= known_kinds().keys()  # fmt: skip
