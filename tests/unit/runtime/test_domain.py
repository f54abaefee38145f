"""Who may send what to whom: the whole table, against one written by hand."""

import itertools

import pytest

from runtime.capability import Network, Sensing, Storage
from runtime.domain import BRINGS, TABLE, Domain, levels_that_may_enter
from runtime.message import Sensitivity

D, S = Domain, Sensitivity

# From the architecture's table. Everything that does not stand here is forbidden.
ALLOWED: set[tuple[Domain, Sensitivity, Domain]] = {
    (D.CAPTURE, S.PERSONAL_IMAGE, D.CROWD),
    (D.CAPTURE, S.PERSONAL_IMAGE, D.SECURITY),
    (D.CROWD, S.AGGREGATE, D.PUBLIC),
    (D.WIFI, S.AGGREGATE, D.PUBLIC),
    (D.SECURITY, S.OPERATIONAL, D.PUBLIC),
    (D.SECURITY, S.OPERATIONAL, D.CONTROL),
    (D.CONSENT, S.OPERATIONAL, D.PUBLIC),
    (D.CONSENT, S.OPERATIONAL, D.CONTROL),
    (D.PUBLIC, S.AGGREGATE, D.PUBLIC),
    (D.PUBLIC, S.OPERATIONAL, D.PUBLIC),
    (D.PUBLIC, S.OPERATIONAL, D.CONTROL),
    (D.CONTROL, S.OPERATIONAL, D.PUBLIC),
    (D.CONTROL, S.OPERATIONAL, D.CONTROL),
}


@pytest.mark.parametrize(
    ("sender", "level", "receiver"), [*itertools.product(Domain, Sensitivity, Domain)]
)
def test_who_may_send_what_to_whom(sender: Domain, level: Sensitivity, receiver: Domain) -> None:
    assert TABLE[sender].may_send(level, receiver) is ((sender, level, receiver) in ALLOWED)


@pytest.mark.parametrize(("sender", "level"), [*itertools.product(Domain, Sensitivity)])
def test_what_may_be_sent_to_someone_may_be_taken_there(sender: Domain, level: Sensitivity) -> None:
    for receiver in TABLE[sender].emits.get(level, ()):
        assert level in TABLE[receiver].takes


def test_nothing_personal_reaches_a_domain_with_a_network_or_public_storage() -> None:
    """Over any number of hops: messages of a personal level end in crowd and security."""
    for level in (S.PERSONAL_IMAGE, S.PERSONAL_IDENTIFIER):
        reached = {receiver for sender in Domain for receiver in TABLE[sender].emits.get(level, ())}
        for receiver in reached:
            kinds = {(kind.kind, kind.scope) for kind in TABLE[receiver].holds}
            assert not any(kind == "network" for kind, _ in kinds)
            assert not any(kind == "storage" and scope != "security" for kind, scope in kinds)


def test_the_table_has_a_row_for_every_domain_and_cannot_be_changed() -> None:
    assert set(TABLE) == set(Domain)
    with pytest.raises(TypeError):
        TABLE[D.CROWD] = TABLE[D.PUBLIC]  # type: ignore[index]
    with pytest.raises(TypeError):
        TABLE[D.CROWD].emits[S.PERSONAL_IMAGE] = frozenset(Domain)  # type: ignore[index]
    with pytest.raises(AttributeError):
        TABLE[D.CROWD].holds = frozenset()  # type: ignore[misc]
    for rule in TABLE.values():
        assert rule.purpose
        assert all(clause[0].isdigit() for clause in rule.clauses.split(", "))


# From the architecture's table, columns "personal data in", "disk" and "network".
HANDLES = {
    D.CAPTURE: {S.PERSONAL_IMAGE},
    D.CROWD: {S.PERSONAL_IMAGE},
    D.SECURITY: {S.PERSONAL_IMAGE},
    D.WIFI: {S.PERSONAL_IDENTIFIER},
    D.CONSENT: {S.PERSONAL_IDENTIFIER},
    D.PUBLIC: set(),
    D.CONTROL: set(),
}
STORAGE = {
    D.SECURITY: {"security"},
    D.CONSENT: {"consent"},
    D.PUBLIC: {"public"},
    D.CONTROL: {"ledger", "run"},
}
NETWORK = {
    D.CAPTURE: {"cameras"},
    D.CONSENT: {"portal"},
    D.PUBLIC: {"notice", "uplink"},
    D.CONTROL: {"control"},
}


@pytest.mark.parametrize("domain", Domain)
def test_what_each_domain_handles_and_reaches(domain: Domain) -> None:
    rule = TABLE[domain]
    assert rule.handles == HANDLES[domain]
    assert rule.is_personal is bool(HANDLES[domain])
    assert rule.storage == STORAGE.get(domain, set())
    assert rule.network == NETWORK.get(domain, set())


@pytest.mark.parametrize("domain", Domain)
def test_a_row_agrees_with_itself(domain: Domain) -> None:
    rule = TABLE[domain]
    personal = {level for level in {*rule.takes, *rule.emits} if level.is_personal}
    assert personal <= rule.handles
    for kind in rule.holds:
        if kind in BRINGS:
            assert BRINGS[kind] in rule.handles
        if kind.kind in ("storage", "network"):
            # Where the checker follows personal data, a row must not contradict another.
            assert rule.handles == levels_that_may_enter(kind)


def test_what_may_be_where_a_capability_leads() -> None:
    assert levels_that_may_enter(Storage("security")) == {S.PERSONAL_IMAGE}
    assert levels_that_may_enter(Network("cameras")) == {S.PERSONAL_IMAGE}
    assert levels_that_may_enter(Storage("consent")) == {S.PERSONAL_IDENTIFIER}
    assert levels_that_may_enter(Sensing("wifi")) == {S.PERSONAL_IDENTIFIER}
    for nobody in (Storage("public"), Network("uplink"), Storage("ledger"), Storage("elsewhere")):
        assert levels_that_may_enter(nobody) == set()
