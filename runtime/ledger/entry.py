"""Entries: what may stand in a ledger, and the closed list of their kinds.

Each kind of entry is a type that is declared once:

    @ledger_entry("release")
    class StatisticsReleased(Receipt, sensitivity=Sensitivity.OPERATIONAL):
        place: PlaceName
        digest: Digest

A ledger is kept for years and shown to auditors, so no entry may hold personal data: each field is
a bounded number, an enumeration, a digest, or a word of the pole's own configuration. That is
checked when the type is declared, and again for each entry that is appended. ``Receipt`` is for
what actors report; what only the pole itself may say is a ``PoleEntry``, which no channel carries.
"""

from __future__ import annotations

__all__ = [
    "LONGEST_LINE",
    "POLE",
    "Digest",
    "DigestNumbers",
    "Entry",
    "LedgerRecord",
    "PoleEntry",
    "Receipt",
    "Word",
    "decode_record",
    "digests_in_numbers",
    "encode_record",
    "entry_type",
    "is_word",
    "kind_of",
    "known_kinds",
    "ledger_entry",
    "load_entry_types",
]

import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import inspect as shape

from runtime.errors import DeclarationError, LedgerRefused
from runtime.message import PLACE_PATTERN, Message, Sensitivity, why_value_unbounded

E = TypeVar("E", bound="type[Entry]")

_DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"
_WORD_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._:+-]{0,127}\Z"
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TEXTS = (_DIGEST_PATTERN, _WORD_PATTERN, PLACE_PATTERN)
_ENTRY_POINTS = "smartpole.ledger"

LONGEST_LINE = 16 * 1024
"""Bytes of one entry."""
POLE = "pole"
"""Who writes what the pole itself says. No actor is written under this name."""

Digest = Annotated[str, msgspec.Meta(pattern=_DIGEST_PATTERN, max_length=64)]
"""A SHA-256 in hexadecimal."""

DigestNumbers = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)], ...],
    msgspec.Meta(min_length=8, max_length=8),
]
"""A SHA-256 as eight numbers, big-endian: what leaves a domain with personal data is numbers, whose
bits ``smartpole check`` adds up."""

Word = Annotated[str, msgspec.Meta(pattern=_WORD_PATTERN, max_length=128)]
"""A name of the pole's own configuration or program. Any other is refused when it is appended, so
that it is no free text."""


class Receipt(Message, sensitivity=Sensitivity.OPERATIONAL):
    """Base of what an actor reports for the ledger. Declare subclasses by ``ledger_entry``.

    Where the sender's domain handles personal data, the type must be bounded as all that leaves
    such a domain: without ``Digest`` and ``Word``.
    """


class PoleEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what only the pole itself writes. It is no message, so no actor can send one."""


Entry: TypeAlias = Receipt | PoleEntry


class LedgerRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the ledger, in JSON: what is hashed is the line without its end."""

    kind: Word
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    """When it was noted, by the pole's wall clock (UTC). It goes back where the clock does."""
    by: Word
    """Which actor appended it, or ``pole``."""
    entry: msgspec.Raw
    """The entry's fields, as its kind declares them."""


_kinds: dict[str, type[Entry]] = {}
_words: dict[type[Entry], tuple[str, ...]] = {}
"""By type: its fields that may hold a word."""
_decoders: dict[str, msgspec.json.Decoder[Entry]] = {}
_encoder = msgspec.json.Encoder()
_record_decoder = msgspec.json.Decoder(LedgerRecord)


def ledger_entry(kind: str) -> Callable[[E], E]:
    """Declares a type of entry under the name by which it stands in the ledger.

    Raises DeclarationError where the kind is taken, or a field could hold personal data. A package
    that declares types names the module as an entry point of the group ``smartpole.ledger``, so
    that ``smartpole ledger`` can read them.
    """

    def declare(cls: E) -> E:
        if not _KIND.fullmatch(kind):
            raise DeclarationError(
                f"entry type {cls.__name__}: {kind!r} is no kind. Accepted: at most 40 lower-case "
                "letters, digits and -, beginning with a letter."
            )
        known = _kinds.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise DeclarationError(
                f"entry type {cls.__name__}: the kind {kind!r} is {known.__module__}."
                f"{known.__qualname__} already. Choose another name."
            )
        if cls in _words:
            raise DeclarationError(f"entry type {cls.__name__} has a kind already.")
        _require_entry(cls)
        _kinds[kind] = cls
        _words[cls] = tuple(_fields_with_words(cls))
        _decoders[kind] = msgspec.json.Decoder(cls)
        return cls

    return declare


def _require_entry(cls: type[Entry]) -> None:
    if not issubclass(cls, Receipt | PoleEntry):
        raise DeclarationError(
            f"entry type {cls.__name__} is neither a Receipt nor a PoleEntry. Actors report "
            "Receipts."
        )
    if issubclass(cls, Receipt) and cls.sensitivity is not Sensitivity.OPERATIONAL:
        raise DeclarationError(
            f"entry type {cls.__name__} is {cls.sensitivity.name}: what stands in the ledger is "
            "OPERATIONAL."
        )
    hints = typing.get_type_hints(cls)
    for name, kind in _fields(cls):
        why = _why_no_field(kind)
        if msgspec.UnsetType in typing.get_args(hints[name]):
            why = "may be UNSET"
        if why is not None:
            raise DeclarationError(
                f"entry type {cls.__name__}: its field {name!r} {why}, so that personal data would "
                "fit in, and the ledger holds none. Accepted: integers with both bounds, bool, "
                "enumerations, PlaceName, Digest, Word, and tuples of these with a max_length."
            )


def _fields(cls: type[Entry]) -> Iterator[tuple[str, shape.Type]]:
    info = shape.type_info(cls)
    assert isinstance(info, shape.StructType)
    for field in info.fields:
        yield field.name, field.type


def _why_no_field(kind: shape.Type) -> str | None:
    match kind:
        case shape.Metadata(type=inner):
            return _why_no_field(inner)
        case shape.StrType(pattern=pattern) if pattern in _TEXTS:
            return None
        case shape.VarTupleType(item_type=item, max_length=int()):
            return _why_no_field(item)
        case shape.TupleType(item_types=types) | shape.UnionType(types=types):
            return next(filter(None, map(_why_no_field, types)), None)
        case _:
            return why_value_unbounded(kind, Receipt)


def _fields_with_words(cls: type[Entry]) -> Iterator[str]:
    for name, kind in _fields(cls):
        if _may_hold_word(kind):
            yield name


def _may_hold_word(kind: shape.Type) -> bool:
    match kind:
        case shape.Metadata(type=inner) | shape.VarTupleType(item_type=inner):
            return _may_hold_word(inner)
        case shape.StrType(pattern=pattern):
            return pattern == _WORD_PATTERN
        case shape.TupleType(item_types=types) | shape.UnionType(types=types):
            return any(map(_may_hold_word, types))
        case _:
            return False


# -- the list of kinds --------------------------------------------------------------------------


def load_entry_types() -> list[str]:
    """Have every installed package declare its types; returns what could not be loaded."""
    failures = []
    for point in sorted(entry_points(group=_ENTRY_POINTS)):
        try:
            point.load()
        except (ImportError, AttributeError, DeclarationError) as error:
            failures.append(f"no entry types of {point.name!r}: {error}")
    return failures


def known_kinds() -> Mapping[str, type[Entry]]:
    """Every kind that is declared here, by name."""
    return MappingProxyType(_kinds)


def digests_in_numbers(kind: str) -> frozenset[str]:
    """Which fields of that kind are ``DigestNumbers``, so that they can be shown as digests."""
    declared = _kinds.get(kind)
    if declared is None:
        return frozenset()
    hints = typing.get_type_hints(declared, include_extras=True)
    return frozenset(
        name
        for name, hint in hints.items()
        if hint == DigestNumbers or DigestNumbers in typing.get_args(hint)
    )


def entry_type(kind: str) -> type[Entry] | None:
    """The type of that kind; None where no loaded package declares it."""
    return _kinds.get(kind)


def kind_of(cls: type[Entry]) -> str:
    """The kind of a declared type. Raises LedgerRefused for another."""
    if cls in _words:
        for kind, known in _kinds.items():
            if known is cls:
                return kind
    raise LedgerRefused(
        f"a {cls.__name__} was refused by the ledger: it is no declared kind of entry. Accepted: "
        f"{', '.join(sorted(_kinds))}."
    )


def is_word(text: str) -> bool:
    """Whether a name of the configuration can stand in an entry."""
    return re.match(_WORD_PATTERN, text) is not None


# -- one record ---------------------------------------------------------------------------------


def encode_record(entry: Entry, *, at: datetime, by: str, words: Collection[str] = ()) -> bytes:
    """The line of an entry, checked by reading it again. Raises LedgerRefused, which never repeats
    what was refused.

    ``words`` are the names that may stand where an entry takes a ``Word``.
    """
    cls = type(entry)
    kind = kind_of(cls)
    try:
        fields = _encoder.encode(entry)
        read = _decoders[kind].decode(fields)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise LedgerRefused(
            f"a {cls.__name__} was refused by the ledger: it does not fit its declared type."
        ) from None
    for name in _words[cls]:
        if not all(word in words for word in _texts(getattr(read, name))):
            raise LedgerRefused(
                f"a {cls.__name__} was refused by the ledger: its {name!r} is not a name of the "
                "pole's configuration."
            )
    line = _encoder.encode(LedgerRecord(kind=kind, at=at, by=by, entry=msgspec.Raw(fields)))
    if len(line) > LONGEST_LINE:
        raise LedgerRefused(
            f"a {cls.__name__} of {len(line)} bytes was refused by the ledger: an entry has at "
            f"most {LONGEST_LINE} bytes."
        )
    return line


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def decode_record(line: bytes) -> tuple[LedgerRecord, Entry | None]:
    """Read a line. Its entry is None where no loaded package declares its kind.

    Raises LedgerRefused where it is no record, or its entry is not as its kind declares it.
    """
    try:
        record = _record_decoder.decode(line)
        decoder = _decoders.get(record.kind)
        entry = decoder.decode(record.entry) if decoder is not None else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise LedgerRefused("this line is no entry of a ledger") from None
    if entry is not None and isinstance(entry, PoleEntry) != (record.by == POLE):
        raise LedgerRefused(f"an entry of kind {record.kind!r} can't be written by {record.by!r}")
    return record, entry
