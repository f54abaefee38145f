"""The table of domains: the one place where the rules of separation stand.

Everything that enforces or describes the separation reads this table: the class check in
``runtime.actor``, the blueprint check in ``runtime.check`` with the routes of ``runtime.route``,
the border, the sandbox, the public notice and the audit report.
"""

from __future__ import annotations

__all__ = ["BRINGS", "TABLE", "Domain", "DomainRule", "levels_that_may_enter"]

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from runtime.capability import CapabilityKind, Facts, Models, Network, Sensing, Storage
from runtime.message import Sensitivity


class Domain(enum.Enum):
    """Where an actor lives. Each actor lives in exactly one."""

    CAPTURE = "capture"
    CROWD = "crowd"
    SECURITY = "security"
    WIFI = "wifi"
    CONSENT = "consent"
    PUBLIC = "public"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class DomainRule:
    """One row of the table."""

    purpose: str
    handles: frozenset[Sensitivity]
    """The personal data that may be in its memory, whichever way it comes in."""
    takes: frozenset[Sensitivity]
    """What may arrive in an inlet."""
    emits: Mapping[Sensitivity, frozenset[Domain]]
    """What may leave by an outlet, and to which domains."""
    holds: frozenset[CapabilityKind]
    """The kinds of capability that may be granted."""
    clauses: str
    """Where in the guideline the row comes from."""

    def may_send(self, sensitivity: Sensitivity, to: Domain) -> bool:
        return to in self.emits.get(sensitivity, frozenset())

    @property
    def is_personal(self) -> bool:
        """Whether it handles personal data, so that all that leaves it must be bounded."""
        return bool(self.handles)

    @property
    def storage(self) -> frozenset[str]:
        """Names of the folders, below the pole's state folder, that it may write to."""
        return frozenset(kind.scope for kind in self.holds if kind.kind == "storage")

    @property
    def network(self) -> frozenset[str]:
        """What it may reach on the network."""
        return frozenset(kind.scope for kind in self.holds if kind.kind == "network")


def _row(
    purpose: str,
    *,
    handles: set[Sensitivity],
    takes: set[Sensitivity],
    emits: dict[Sensitivity, set[Domain]],
    holds: set[CapabilityKind],
    clauses: str,
) -> DomainRule:
    frozen = {level: frozenset(domains) for level, domains in emits.items()}
    return DomainRule(
        purpose,
        frozenset(handles),
        frozenset(takes),
        MappingProxyType(frozen),
        frozenset(holds),
        clauses,
    )


_NONE: set[Sensitivity] = set()
_OPERATIONAL, _AGGREGATE = Sensitivity.OPERATIONAL, Sensitivity.AGGREGATE
_IDENTIFIER, _IMAGE = Sensitivity.PERSONAL_IDENTIFIER, Sensitivity.PERSONAL_IMAGE
_D = Domain

# Laid out by hand, so that the whole table is read on one screen.
# fmt: off
TABLE: Mapping[Domain, DomainRule] = MappingProxyType({
    _D.CAPTURE: _row(
        "talks to cameras, only demultiplexes",
        handles={_IMAGE}, takes=_NONE,
        emits={_IMAGE: {_D.CROWD, _D.SECURITY}},
        holds={Network("cameras")},
        clauses="5.1(1), 6.3(1)",
    ),
    _D.CROWD: _row(
        "turns pictures into counts and keeps none",
        handles={_IMAGE}, takes={_IMAGE},
        emits={_AGGREGATE: {_D.PUBLIC}},
        holds={Models("inference")},
        clauses="2, 6.1(3), 6.1(4), 6.2(1), 7.1(1)",
    ),
    _D.SECURITY: _row(
        "keeps pictures for crime prevention, encrypted, two weeks at most",
        handles={_IMAGE}, takes={_IMAGE},
        emits={_OPERATIONAL: {_D.PUBLIC, _D.CONTROL}},
        holds={Storage("security")},
        clauses="7.1(1), 7.1(3), 7.2(1), 7.3(1)",
    ),
    _D.WIFI: _row(
        "counts devices and keeps no address",
        handles={_IDENTIFIER}, takes=_NONE,
        emits={_AGGREGATE: {_D.PUBLIC}},
        holds={Sensing("wifi")},
        clauses="4.1(1), 6.1(1)",
    ),
    _D.CONSENT: _row(
        "keeps the register of consent to the Wi-Fi service",
        handles={_IDENTIFIER}, takes=_NONE,
        emits={_OPERATIONAL: {_D.PUBLIC, _D.CONTROL}},
        holds={Storage("consent"), Network("portal")},
        clauses="8.1(1), 8.2(1)",
    ),
    _D.PUBLIC: _row(
        "keeps and shows what is released: statistics and the notice",
        handles=_NONE, takes={_AGGREGATE, _OPERATIONAL},
        emits={_AGGREGATE: {_D.PUBLIC}, _OPERATIONAL: {_D.PUBLIC, _D.CONTROL}},
        holds={Storage("public"), Network("notice"), Network("uplink"), Facts("blueprint")},
        clauses="6.2(2), 9.1(1)",
    ),
    _D.CONTROL: _row(
        "supervises, records what happened, answers the operator",
        handles=_NONE, takes={_OPERATIONAL},
        emits={_OPERATIONAL: {_D.PUBLIC, _D.CONTROL}},
        holds={Storage("ledger"), Storage("run"), Network("control"), Facts("blueprint")},
        clauses="7.3(1), 11.1(1)",
    ),
})
"""The rules, by domain."""

BRINGS: Mapping[CapabilityKind, Sensitivity] = MappingProxyType({
    Network("cameras"): _IMAGE,
    Sensing("wifi"): _IDENTIFIER,
    Network("portal"): _IDENTIFIER,
})
"""The kinds of capability by which personal data comes into the pole."""
# fmt: on


def levels_that_may_enter(kind: CapabilityKind) -> frozenset[Sensitivity]:
    """The personal data that may go where a capability of this kind leads: only what each domain
    that may hold the kind handles, because whoever holds it may find there what others left."""
    holders = [rule.handles for rule in TABLE.values() if kind in rule.holds]
    return frozenset.intersection(*holders) if holders else frozenset()
