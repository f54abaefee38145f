"""Managers: the people who may order something for recordings, as the configuration names them."""

from __future__ import annotations

__all__ = ["CustodianSettings", "Facility", "Manager", "Managers", "PublicKey", "Role"]

import enum
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from actors.custody.order import CameraName, SignedOrder
from actors.custody.times import JAPAN
from runtime import Duration, PlaceName, Settings, Word
from runtime.errors import NoteRefused
from runtime.ledger.note import SignatureType, VerifierKey

_Places = Annotated[tuple[PlaceName, ...], msgspec.Meta(min_length=1, max_length=64)]


class Role(enum.Enum):
    """A place has one of each at any time (7.3(2))."""

    MANAGER = "manager"
    DEPUTY = "deputy"


class PublicKey:
    """A person's verifier key, as ``smartpole keys signer`` prints it: ``NAME+ID+KEY``."""

    __slots__ = ("verifier",)

    def __init__(self, verifier: VerifierKey) -> None:
        self.verifier = verifier

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.verifier == other.verifier

    def __hash__(self) -> int:
        return hash(self.verifier)

    @classmethod
    def from_text(cls, text: str, folder: Path) -> PublicKey:
        """Read it. Raises ValueError."""
        expected = "Expected a public key NAME+ID+KEY, as `smartpole keys signer` prints it"
        try:
            verifier = VerifierKey.from_text(text)
        except NoteRefused:
            raise ValueError(expected) from None
        if verifier.type is not SignatureType.ED25519:
            raise ValueError(f"{expected}; this is a witness's")
        return cls(verifier)


class _Term(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Word
    places: _Places
    """Where."""
    since: date = msgspec.field(name="from")
    """The first day (Japan)."""
    until: date
    """The last day (Japan)."""

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ValueError("Expected until not before from")

    def covers(self, moment: datetime) -> bool:
        """Whether the term runs at that time."""
        return self.since <= moment.astimezone(JAPAN).date() <= self.until


class Manager(_Term, frozen=True, kw_only=True):
    """Somebody who answers for the cameras of some places, for a term. The name is that of the
    role, such as ``site-manager``, and not of the person: it stands in logs."""

    role: Role
    key: PublicKey
    """Of the same name."""

    def __post_init__(self) -> None:
        _Term.__post_init__(self)
        if self.key.verifier.name != self.name:
            raise ValueError(
                f"Expected a key named {self.name}: smartpole keys signer --name {self.name}"
            )

    def answers_for(self, places: Iterable[str]) -> bool:
        """Whether all these places are theirs."""
        return set(places) <= set(self.places)


class Facility(_Term, frozen=True, kw_only=True):
    """An operator of a building with which there is a confidentiality agreement (7.2(1) ③)."""

    agreement: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """Number of the agreement, by which it is found on file. Its term is from … until."""


class CustodianSettings(Settings, frozen=True, kw_only=True):
    """Who may order what."""

    managers: Annotated[tuple[Manager, ...], msgspec.Meta(max_length=256)]
    cameras: dict[CameraName, PlaceName]
    """The place of each camera that records: ``cameras = { camera = "entrance" }``."""
    facilities: Annotated[tuple[Facility, ...], msgspec.Meta(max_length=256)] = ()
    look: Duration = Duration(1)
    """How often to look for new orders."""
    battery_clock: bool = False
    """As retention's: whether this computer's own clock can be relied on."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.look <= 60:
            raise ValueError("Expected look of at least 100ms and at most 1min")
        names = [manager.name for manager in self.managers]
        keys = [manager.key.verifier.public for manager in self.managers]
        if len(set(names)) < len(names):
            raise ValueError("Expected managers with different names")
        if len(set(keys)) < len(keys):
            raise ValueError(
                "Expected managers with different keys: two people are told apart by their keys "
                "(guideline 7.2(1))"
            )
        if len({facility.name for facility in self.facilities}) < len(self.facilities):
            raise ValueError("Expected facilities with different names")

    def headline(self) -> str:
        return f"{len(self.managers)} managers"

    def misfits(self, places: Collection[str], actors: Mapping[str, str]) -> Iterable[str]:
        for term in (*self.managers, *self.facilities):
            for place in term.places:
                if place not in places:
                    yield f"{term.name} is named for the place {place!r}, which is not declared"
        for camera, place in self.cameras.items():
            if camera not in actors:
                yield f"it names the camera {camera!r}, and no actor has that name"
            elif actors[camera] != place:
                yield f"it names the place {place!r} for {camera!r}, which is elsewhere"


class Managers:
    """The people and agreements of one pole, asked about one moment at a time."""

    def __init__(self, settings: CustodianSettings) -> None:
        self._managers = settings.managers
        self._facilities = {facility.name: facility for facility in settings.facilities}
        self.places = frozenset(place for one in settings.managers for place in one.places)
        """Every place for which somebody is named, now or at another time."""

    def signer_of(self, signed: SignedOrder) -> Manager | None:
        """Who signed it, in their term or not; None where it was none of them."""
        for manager in self._managers:
            if signed.is_signed_by(manager.key.verifier):
                return manager
        return None

    def lacking(self, place: str, moment: datetime) -> tuple[Role, ...]:
        """Which roles nobody has at that place at that time (7.3(2))."""
        there = {one.role for one in self._managers if place in one.places and one.covers(moment)}
        return tuple(role for role in Role if role not in there)

    def facility(self, name: str) -> Facility | None:
        """The facility of that name, whether or not its agreement is in force."""
        return self._facilities.get(name)

    def accepted_signers(self, moment: datetime) -> tuple[str, ...]:
        """The names of those who are in their term, for telling who could sign."""
        return tuple(one.name for one in self._managers if one.covers(moment))
