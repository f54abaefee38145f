"""Every error that the runtime raises on purpose, one meaning each.

A message names who asked, what was refused and why, and what would be accepted. None of them ever
holds personal data, so these messages, unlike those of foreign exceptions, may be logged.
"""

from __future__ import annotations

__all__ = [
    "BlockingRefused",
    "BorderRefused",
    "BorderViolated",
    "CapabilityForged",
    "ChannelMisuse",
    "ConfigurationError",
    "DeclarationError",
    "DomainDied",
    "DomainStuck",
    "LedgerDamaged",
    "LedgerRefused",
    "LedgerTrouble",
    "NoteRefused",
    "PoleUnreachable",
    "PrintingRefused",
    "Problem",
    "RestartBudgetExceeded",
    "SandboxUnavailable",
    "SmartpoleError",
    "SpecificationError",
    "StartTimeout",
    "Unrecoverable",
]

from dataclasses import dataclass


class SmartpoleError(Exception):
    """Base of all deliberate errors. Its message is written for people and safe to log."""


class DeclarationError(SmartpoleError):
    """A message type, capability or actor is declared in a way that the rules do not allow."""


class CapabilityForged(SmartpoleError):
    """Somebody tried to make a handle (capability, port, authority) instead of being granted it."""


class ChannelMisuse(SmartpoleError):
    """A channel was used against its contract: wrong message type, or two receivers at once."""


class BorderRefused(SmartpoleError):
    """A message did not survive the codec of the border between two domains."""


class BorderViolated(SmartpoleError):
    """A domain broke the rules of a border (rubbish, too much, the wrong type) and was ended."""


class DomainDied(SmartpoleError):
    """A domain's thread or process ended otherwise than in order."""


class DomainStuck(SmartpoleError):
    """A domain's loop stopped turning, or would not end when told to."""


class BlockingRefused(SmartpoleError):
    """Work was given to trio's shared worker threads from a thread under kernel walls."""


class PrintingRefused(SmartpoleError, PermissionError):
    """Something was printed from a thread under kernel walls.

    Also what a library expects of a stream that can't be written to.
    """


class SandboxUnavailable(SmartpoleError):
    """The kernel's walls round a domain can't be built here."""


class SpecificationError(SmartpoleError):
    """A supervisor or child specification contradicts itself."""


class StartTimeout(SmartpoleError):
    """A child did not report that it had started within its start timeout."""


class RestartBudgetExceeded(SmartpoleError):
    """A child crashed more often than its restart intensity allows, and its spec escalates."""


class Unrecoverable(SmartpoleError):
    """An actor met something that a restart cannot mend (a missing model, an unusable key).

    Raise it from ``start`` or ``run``: the supervisor does not try again, leaves the actor down,
    keeps the rest of the pole going, and shows the message in ``smartpole status``.
    """


class LedgerDamaged(SmartpoleError):
    """A ledger is not what was signed: changed, rolled back, forked, or without its key."""


class LedgerRefused(SmartpoleError):
    """An entry may not stand in the ledger. It never will."""


class LedgerTrouble(SmartpoleError):
    """The ledger could not be read or written now; it may help to try again later."""


class NoteRefused(SmartpoleError):
    """A signed note, a checkpoint, a proof or a key of notes is none, or is not signed as it
    should be."""


class PoleUnreachable(SmartpoleError):
    """No running pole answered on the control socket."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file.

    ``line`` counts from 1 and is None where the mistake is an absence. ``accepted`` says what
    would have been right.
    """

    key: str
    what: str
    accepted: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line is not None else ""
        hint = f"\n    accepted: {self.accepted}" if self.accepted else ""
        return f"{where}{self.key}: {self.what}{hint}"


class ConfigurationError(SmartpoleError):
    """A configuration that cannot be read. Carries every problem found, not only the first."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source} cannot be used:\n{listing}")
