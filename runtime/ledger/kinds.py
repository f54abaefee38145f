"""What the pole itself writes into the ledger: its starts and stops, its walls, its crashes."""

from __future__ import annotations

__all__ = [
    "ActorCrashed",
    "CapabilityGranted",
    "DomainConfined",
    "DomainCrashed",
    "LastEnd",
    "PoleStarted",
    "PoleStopped",
    "TailCut",
    "blueprint_words",
    "note_crash",
]

import enum
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec

from runtime.blueprint import Blueprint, Isolation, Sandbox
from runtime.domain import Domain
from runtime.ledger.entry import Digest, PoleEntry, Word, is_word, ledger_entry
from runtime.supervisor import ChildState, CrashRecord

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class LastEnd(enum.Enum):
    """How the pole ended before."""

    NONE = "none"
    """There was none: the ledger begins."""
    STOPPED = "stopped"
    """It said that it stopped."""
    CUT = "cut"
    """It said nothing: power failed, or it was killed."""


@ledger_entry("pole-started")
class PoleStarted(PoleEntry, frozen=True, kw_only=True):
    """A pole begins. What follows, up to the next one, is of this run."""

    configuration: Digest
    """Of the configuration file: ``sha256sum CONF``."""
    blueprint: Digest
    """Of domains, actors, channels and grants as drawn: ``smartpole graph CONF | sha256sum``."""
    software: Word
    """Version of smartpole."""
    isolation: Isolation | None
    """None where all domains share one loop, which no configuration can ask for."""
    sandbox: Sandbox
    """What was to be done where the kernel lacks a wall."""
    last_end: LastEnd


@ledger_entry("grant")
class CapabilityGranted(PoleEntry, frozen=True, kw_only=True):
    """In this run, an actor holds a capability."""

    actor: Word
    domain: Domain
    capability: Word
    kind: Word
    """What it reaches, such as ``storage:security``."""


@ledger_entry("domain-confined")
class DomainConfined(PoleEntry, frozen=True, kw_only=True):
    """A domain begins (again), and the kernel said that its walls stand."""

    domain: Domain
    landlock_abi: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    """The kernel's level of Landlock that holds it; 0 for none."""
    seccomp: bool
    missing: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    """How many walls do not stand."""


@ledger_entry("actor-crashed")
class ActorCrashed(PoleEntry, frozen=True, kw_only=True):
    """An actor ended by an error. The log says which; an error's text has no place here."""

    actor: Word
    domain: Domain
    incarnation: _Number
    phase: ChildState
    """What it was doing."""


@ledger_entry("domain-crashed")
class DomainCrashed(PoleEntry, frozen=True, kw_only=True):
    """A whole domain ended otherwise than in order."""

    domain: Domain
    incarnation: _Number


@ledger_entry("pole-stopped")
class PoleStopped(PoleEntry, frozen=True, kw_only=True):
    """A pole ends and says so."""

    in_order: bool
    """False where it ended because of something that no restart of a part could mend."""
    dropped: _Number
    """Entries of this run that could not be written and were lost."""


@ledger_entry("tail-cut")
class TailCut(PoleEntry, frozen=True, kw_only=True):
    """After a power cut, a half-written end was found and removed. Nothing that was signed, or
    reported as appended, was in it."""

    removed: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    """Bytes."""


def note_crash(note: Callable[[PoleEntry], None], domain: Domain, crash: CrashRecord) -> None:
    """Note what the supervisor of a domain's actors, or of the domains, recorded.

    A crash whose phase is none known, which a domain can claim, is one in running.
    """
    phases = {state.value: state for state in ChildState}
    note(
        ActorCrashed(
            actor=crash.child,
            domain=domain,
            incarnation=max(0, min(crash.incarnation, 2**31 - 1)),
            phase=phases.get(crash.phase, ChildState.RUNNING),
        )
    )


def blueprint_words(blueprint: Blueprint) -> frozenset[str]:
    """The names of a configuration that may stand in entries as a ``Word``: of places, actors and
    capabilities, and what its settings declare as words."""
    return frozenset(filter(is_word, _names(blueprint)))


def _names(blueprint: Blueprint) -> Iterator[str]:
    yield from blueprint.places
    for plan in blueprint.actors.values():
        yield from (plan.name, plan.type_name)
        for setting in plan.settings.words:
            value = getattr(plan.settings, setting)
            yield from (value,) if isinstance(value, str) else value
        for need in plan.needs.values():
            yield from (need.__name__, str(need.kind))
