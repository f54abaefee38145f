"""The table of domains: the one place where the rules of separation stand.

Everything that enforces or describes the separation reads this table: the class check in
``runtime.actor``, the blueprint check in ``runtime.check``, the border, the sandbox, the public
notice and the audit report.
"""

from __future__ import annotations

__all__ = ["TABLE", "Domain", "DomainRule"]

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
    """One row of the table.

    ``takes``: what may arrive in an inlet. ``emits``: what may leave by an outlet, and to which
    domains. ``holds``: the kinds of capability that may be granted. ``clauses``: where in the
    guideline the row comes from.
    """

    purpose: str
    takes: frozenset[Sensitivity]
    emits: Mapping[Sensitivity, frozenset[Domain]]
    holds: frozenset[CapabilityKind]
    clauses: str

    def may_send(self, sensitivity: Sensitivity, to: Domain) -> bool:
        return to in self.emits.get(sensitivity, frozenset())


_D, _S = Domain, Sensitivity
_REPORTS = frozenset({_D.PUBLIC, _D.CONTROL})


def _row(
    purpose: str,
    *,
    takes: set[Sensitivity],
    emits: dict[Sensitivity, frozenset[Domain]],
    holds: set[CapabilityKind],
    clauses: str,
) -> DomainRule:
    return DomainRule(purpose, frozenset(takes), MappingProxyType(emits), frozenset(holds), clauses)


TABLE: Mapping[Domain, DomainRule] = MappingProxyType(
    {
        _D.CAPTURE: _row(
            "talks to cameras, only demultiplexes",
            takes=set(),
            emits={_S.PERSONAL_IMAGE: frozenset({_D.CROWD, _D.SECURITY})},
            holds={Network("cameras")},
            clauses="5.1(1), 6.3(1)",
        ),
        _D.CROWD: _row(
            "turns pictures into counts and keeps none",
            takes={_S.PERSONAL_IMAGE},
            emits={_S.AGGREGATE: frozenset({_D.PUBLIC})},
            holds={Models("inference")},
            clauses="2, 6.1(3), 6.1(4), 6.2(1), 7.1(1)",
        ),
        _D.SECURITY: _row(
            "keeps pictures for crime prevention, encrypted, two weeks at most",
            takes={_S.PERSONAL_IMAGE},
            emits={_S.OPERATIONAL: _REPORTS},
            holds={Storage("security")},
            clauses="7.1(1), 7.1(3), 7.2(1), 7.3(1)",
        ),
        _D.WIFI: _row(
            "counts devices and keeps no address",
            takes=set(),
            emits={_S.AGGREGATE: frozenset({_D.PUBLIC})},
            holds={Sensing("wifi")},
            clauses="4.1(1), 6.1(1)",
        ),
        _D.CONSENT: _row(
            "keeps the register of consent to the Wi-Fi service",
            takes=set(),
            emits={_S.OPERATIONAL: _REPORTS},
            holds={Storage("consent"), Network("portal")},
            clauses="8.1(1), 8.2(1)",
        ),
        _D.PUBLIC: _row(
            "keeps and shows what is released: statistics and the notice",
            takes={_S.AGGREGATE, _S.OPERATIONAL},
            emits={_S.AGGREGATE: frozenset({_D.PUBLIC}), _S.OPERATIONAL: _REPORTS},
            holds={
                Storage("public"),
                Network("notice"),
                Network("uplink"),
                Facts("blueprint"),
            },
            clauses="6.2(2), 9.1(1)",
        ),
        _D.CONTROL: _row(
            "supervises, records what happened, answers the operator",
            takes={_S.OPERATIONAL},
            emits={_S.OPERATIONAL: _REPORTS},
            holds={Storage("ledger"), Storage("run"), Network("control"), Facts("blueprint")},
            clauses="7.3(1), 11.1(1)",
        ),
    }
)
"""The rules, by domain."""
