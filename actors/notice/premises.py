"""What the notice's words take for granted, held against the table of domains.

The words promise things that no setting decides: that the crowd system stores nothing, that
pictures go to two systems only. These are rows of the table, and if a row changes, the notice
refuses to start rather than promise what no longer holds (guideline 9.1(1)).
"""

from __future__ import annotations

__all__ = ["NoticeOutOfDate", "require_premises"]

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from runtime import Domain, DomainRule, Sensitivity, Unrecoverable


class NoticeOutOfDate(Unrecoverable):
    """The words of the notice no longer describe this pole."""


@dataclass(frozen=True, slots=True)
class _Premise:
    domain: Domain
    claim: str
    holds: Callable[[DomainRule], bool]


def _stores_nothing(rule: DomainRule) -> bool:
    return not any(kind.kind == "storage" for kind in rule.holds)


def _reaches_no_network(rule: DomainRule) -> bool:
    return not any(kind.kind == "network" for kind in rule.holds)


def _emits_only(*levels: Sensitivity) -> Callable[[DomainRule], bool]:
    return lambda rule: set(rule.emits) <= set(levels)


def _never_sends_to(*domains: Domain) -> Callable[[DomainRule], bool]:
    return lambda rule: not any(set(domains) & targets for targets in rule.emits.values())


def _takes_nothing_personal(rule: DomainRule) -> bool:
    return not any(level.is_personal for level in rule.takes)


def _pictures_to_two_systems(rule: DomainRule) -> bool:
    targets = rule.emits.get(Sensitivity.PERSONAL_IMAGE, frozenset())
    return targets <= {Domain.CROWD, Domain.SECURITY}


_PREMISES = (
    _Premise(Domain.CAPTURE, "cameras' pictures are not stored on the way", _stores_nothing),
    _Premise(Domain.CAPTURE, "pictures go to crowd and security only", _pictures_to_two_systems),
    _Premise(Domain.CROWD, "the crowd system stores nothing", _stores_nothing),
    _Premise(Domain.CROWD, "the crowd system reaches no network", _reaches_no_network),
    _Premise(Domain.CROWD, "only numbers leave it", _emits_only(Sensitivity.AGGREGATE)),
    _Premise(Domain.CROWD, "no route leads to security", _never_sends_to(Domain.SECURITY)),
    _Premise(
        Domain.SECURITY, "recordings are passed to no other part", _never_sends_to(Domain.CROWD)
    ),
    _Premise(Domain.SECURITY, "no personal data leaves it", _emits_only(Sensitivity.OPERATIONAL)),
    _Premise(Domain.SECURITY, "the security system reaches no network", _reaches_no_network),
    _Premise(Domain.WIFI, "Wi-Fi counting stores nothing", _stores_nothing),
    _Premise(Domain.WIFI, "only numbers leave it", _emits_only(Sensitivity.AGGREGATE)),
    _Premise(Domain.PUBLIC, "what is public holds nothing personal", _takes_nothing_personal),
    _Premise(Domain.CONTROL, "control takes nothing personal", _takes_nothing_personal),
)
_DESCRIBED = frozenset(premise.domain for premise in _PREMISES)


def require_premises(domains: Set[Domain], table: Mapping[Domain, DomainRule]) -> None:
    """Raise NoticeOutOfDate where the words would not be true of a pole with these domains."""
    for premise in _PREMISES:
        if premise.domain in domains and not premise.holds(table[premise.domain]):
            raise NoticeOutOfDate(
                f"the notice says of domain {premise.domain.value!r} that {premise.claim}, and the "
                "table of domains no longer says so. Change the notice's words (wording.toml and "
                "premises.py of actors.notice) together with the table."
            )
    for domain in sorted(domains - _DESCRIBED, key=lambda one: one.value):
        raise NoticeOutOfDate(
            f"this pole runs actors in domain {domain.value!r}, of which the notice has nothing to "
            f"say. It describes: {', '.join(sorted(one.value for one in _DESCRIBED))}."
        )
