"""Managers: who is named, for what, from when to when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from actors.custody.actor import Custodian
from actors.custody.managers import Managers, PublicKey, Role
from runtime import Domain, check, load_blueprint
from runtime.errors import ConfigurationError
from runtime.ledger.note import SignatureType, SigningKey
from tests.people import NOON, Person, people, place, settings_of
from tests.poles import _IDENTITY

JAPAN = timezone(timedelta(hours=9))


def test_a_term_begins_and_ends_with_a_day_in_japan() -> None:
    manager, _ = people()
    named = manager.named(since=date(2026, 11, 25), until=date(2026, 11, 25))
    first = datetime(2026, 11, 25, tzinfo=JAPAN)
    assert [
        named.covers(moment)
        for moment in (
            first - timedelta(seconds=1),
            first,
            first + timedelta(hours=24, seconds=-1),
            first + timedelta(hours=24),
        )
    ] == [False, True, True, False]


def test_a_place_lacks_who_is_not_named_or_not_in_term() -> None:
    manager, deputy = people()
    managers = Managers(
        settings_of(
            manager.named(places=("crossing", "hall")),
            deputy.named(Role.DEPUTY, places=("crossing",), until=date(2026, 12, 31)),
        )
    )
    assert managers.lacking("crossing", NOON) == ()
    assert managers.lacking("crossing", datetime(2027, 1, 1, tzinfo=UTC)) == (Role.DEPUTY,)
    assert managers.lacking("hall", NOON) == (Role.DEPUTY,)
    assert managers.lacking("elsewhere", NOON) == (Role.MANAGER, Role.DEPUTY)
    assert managers.accepted_signers(datetime(2027, 1, 1, tzinfo=UTC)) == ("site-manager",)


def test_who_signed_is_told_by_their_key_alone() -> None:
    manager, deputy = people()
    managers = Managers(settings_of(manager.named(), deputy.named(Role.DEPUTY)))
    assert managers.signer_of(manager.sign(place())) == manager.named()
    assert managers.signer_of(deputy.sign(place())) == deputy.named(Role.DEPUTY)
    assert managers.signer_of(Person("site-manager").sign(place())) is None


def test_two_people_are_two_names_and_two_keys() -> None:
    manager, deputy = people()
    with pytest.raises(ValueError, match="different names"):
        settings_of(manager.named(), Person("site-manager").named(Role.DEPUTY))
    same = SigningKey("site-deputy", SignatureType.ED25519, manager.key._private)
    deputy.key = same
    with pytest.raises(ValueError, match=r"different keys.*7\.2\(1\)"):
        settings_of(manager.named(), deputy.named(Role.DEPUTY))


def test_a_key_bears_its_owners_name() -> None:
    manager, deputy = people()
    manager.key = deputy.key
    with pytest.raises(ValueError, match="smartpole keys signer --name site-manager"):
        manager.named()


def test_a_term_does_not_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="until not before from"):
        people()[0].named(since=date(2026, 12, 1), until=date(2026, 11, 30))


def test_a_witnesss_key_is_no_persons() -> None:
    witness = SigningKey.generate("site-manager", SignatureType.COSIGNATURE)
    with pytest.raises(ValueError, match="witness"):
        PublicKey.from_text(str(witness.verifier), Path())


CONFIGURATION = """
[actors.custodian]
type = "custodian"
grants = ["OrderBox"]
[actors.custodian.settings]
cameras = { custodian = "crossing" }
[[actors.custodian.settings.managers]]
name = "site-manager"
role = "manager"
places = ["crossing"]
from = 2026-04-01
until = 2027-03-31
key = "KEY"
"""


def findings(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """What the check says against this custodian, but for its ports, which lead nowhere here."""
    text = (_IDENTITY + CONFIGURATION).replace("KEY", str(people()[0].key.verifier))
    text = text.replace("[actors.custodian]", '[actors.custodian]\nplace = "crossing"')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "pole.toml"
    path.write_text(text, "utf-8")
    found = check(load_blueprint(path, actor_types={"custodian": Custodian}))
    return [one.what for one in found if one.who == "custodian"]


def test_a_configuration_names_people(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


def test_what_the_settings_name_has_to_be_there(tmp_path: Path) -> None:
    assert findings(tmp_path, ('places = ["crossing"]', 'places = ["hall"]')) == [
        "site-manager is named for the place 'hall', which is not declared"
    ]
    assert findings(tmp_path, ("{ custodian =", "{ camera =")) == [
        "it names the camera 'camera', and no actor has that name"
    ]
    assert findings(tmp_path, ('custodian = "crossing"', 'custodian = "hall"')) == [
        "it names the place 'hall' for 'custodian', which is elsewhere"
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("until = 2027-03-31", "until = 2026-03-31"), "until not before from"),
        (('role = "manager"', 'role = "boss"'), "one of deputy, manager"),
        (('key = "site', 'key = "sita'), "expected a public key NAME+ID+KEY"),
        (('places = ["crossing"]', "places = []"), "length >= 1"),
    ],
)
def test_mistakes_in_a_configuration_are_told_by_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        findings(tmp_path, change)
    assert said in str(caught.value)
    assert "line " in str(caught.value)


def test_the_custodian_holds_the_order_box_and_nothing_else() -> None:
    declared = Custodian.declaration
    assert declared.domain is Domain.SECURITY
    assert [need.capability.__name__ for need in declared.needs.values()] == ["OrderBox"]
    assert not declared.inlets, "no picture comes to it"
