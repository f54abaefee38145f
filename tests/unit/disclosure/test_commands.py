"""`smartpole disclose`: what it says to whoever slips, and its exit status."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from actors.custody.box import BOX, OrderBoxFolder, Outcome
from actors.custody.order import DisclosureExport, sign_order
from actors.disclosure.errors import DisclosureRefused
from actors.disclosure.folder import PoleFolder
from actors.disclosure.keys import PoleKeys
from runtime.cli import main
from tests.disclosures import EVENT, NOW, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "state")
    site.record_minutes(EVENT - timedelta(minutes=5), 10, size=1000)
    return site


def disclose(*arguments: object) -> int:
    return main(["disclose", *map(str, arguments)])


def put(site: Site) -> OrderBoxFolder:
    """What was accepted, as the custodian leaves it in the box."""
    box = OrderBoxFolder(site.security / BOX)
    number = box.read().last
    for steps in (site.past.requests, site.past.approvals, site.past.openings, site.past.exports):
        for one in steps.values():
            name = box.put(one.signed)
            if box.outcome(name) is None:
                number += 1
                kind = one.signed.order.kind
                outcome = Outcome(number=number, at=one.at, kind=kind, why=None, said="")
                box.decide(name, outcome)
    return box


# -- verify -------------------------------------------------------------------------------------


def test_verifying(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = site.package(tmp_path / "package").folder
    both = ["--key", site.security / "pole.pub", "--key", site.ledger_folder / "pole.pub"]
    assert disclose("verify", folder, *both) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"✓ {folder}: as it was handed over")
    assert "time       2026-11-30 20:58:00 to 21:03:00 (Japan)" in said
    (folder / "video" / "x").write_text("")
    (folder / "cover.html").unlink()
    assert disclose("verify", folder, *both) == 1
    said = capsys.readouterr().out
    assert "NOT as it was handed over, 2 findings" in said
    assert "ADDED video/x: " in said
    assert "REMOVED cover.html: " in said
    assert disclose("verify", folder, *both, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert [one["what"] for one in found["findings"]] == ["cover.html", "video/x"]
    assert found["segments"] == 5


def test_verifying_against_a_copy_of_the_ledger(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = site.package(tmp_path / "package")
    check = ["verify", made.folder, "--key", site.pole, "--key", site.keys.ledger]
    with_ledger = [*check, "--ledger", site.ledger_folder]
    assert disclose(*with_ledger) == 1
    assert f"FALSE {site.ledger_folder}: the copy of the ledger" in capsys.readouterr().out
    number = site.log.size
    assert site.ask(made.export.order, site.site)[1].why is None
    assert disclose(*with_ledger) == 0
    assert f"the ledger tells of this package: entry {number}" in capsys.readouterr().out
    entries = site.ledger_folder / "entries.jsonl"
    entries.write_bytes(
        entries.read_bytes().replace(b'"refused"', b'"Refused"').replace(b"2", b"3")
    )
    assert disclose(*with_ledger) == 2
    assert capsys.readouterr().err.startswith("smartpole disclose: ")


def test_verifying_what_is_not_there(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["--key", site.pole, "--key", site.keys.ledger]
    assert disclose("verify", tmp_path / "nothing", *keys) == 2
    assert "No such file" in capsys.readouterr().err
    assert disclose("verify", tmp_path / "nothing", "--key", site.pole) == 2
    assert "1 keys of recordings and 0 of ledgers" in capsys.readouterr().err
    assert disclose("verify", site.folder, *keys) == 1
    assert "REMOVED SHA256SUMS" in capsys.readouterr().out


@pytest.mark.parametrize("extra", ["x", "recordings+x", "PRIVATE+KEY+a+b+c"])
def test_keys_that_are_none(site: Site, extra: str) -> None:
    with pytest.raises(DisclosureRefused, match="Accepted: a text or a file") as raised:
        PoleKeys.read([f"# both\n{site.pole}\n{site.keys.ledger}\n", extra])
    assert "PRIVATE" not in str(raised.value)
    assert PoleKeys.read([f"# both\n{site.pole}\n\n{site.keys.ledger}"]).ledger == site.keys.ledger


# -- list ---------------------------------------------------------------------------------------


def test_listing_a_copy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert disclose("list", site.folder) == 0
    assert capsys.readouterr().out == "nothing is requested.\n"
    request, _ = site.ask(site.request(), site.site)
    put(site)
    assert disclose("list", site.folder) == 0
    said = capsys.readouterr().out
    assert f"request {request.id[:12]}  waits for another manager's approval" in said
    assert "by site-manager; ledger entry 0" in said
    assert disclose("list", site.folder, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["requests"]
    assert listed["id"] == request.id
    assert listed["approval"] is None
    assert listed["request"]["order"]["document"] == "刑 第1234号"


def test_listing_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert disclose("list", tmp_path) == 1
    assert "Accepted: a pole's TOML file, or a copy of its state folder" in capsys.readouterr().err


# -- who may open it now ------------------------------------------------------------------------


def test_one_person_opens_and_packs_once_and_in_time(site: Site) -> None:
    request = site.approved()
    folder = PoleFolder(site.folder)
    put(site)
    assert folder.opening(request.id, site.site, NOW) is None
    opening, _ = site.ask(site.opening(request), site.site)
    put(site)
    found = folder.opening(request.id, site.site, NOW)
    assert found is not None
    assert found.id == opening.id
    with pytest.raises(DisclosureRefused, match=r"site-manager has opened.*7\.2\(1\)"):
        folder.opening(request.id, site.deputy, NOW)
    with pytest.raises(DisclosureRefused, match="7 days, and is over"):
        folder.opening(request.id, site.site, NOW + timedelta(days=8))
    made = DisclosureExport(
        pole=site.pole, made=NOW, request=request.id, package="ab" * 32, segments=1
    )
    assert site.ask(made, site.site)[1].why is None
    put(site)
    with pytest.raises(DisclosureRefused, match="one is all"):
        folder.opening(request.id, site.site, NOW)


def test_an_order_that_nobody_decided_about_opens_nothing(site: Site) -> None:
    request = site.approved()
    box = put(site)
    box.put(sign_order(site.opening(request), site.site))
    assert PoleFolder(site.folder).opening(request.id, site.site, NOW) is None


def test_without_a_ledger_nothing_is_packed(site: Site) -> None:
    opening = site.job(site.approved()).opening
    put(site)
    (site.ledger_folder / "checkpoint").unlink()
    with pytest.raises(DisclosureRefused, match=r"Without the ledger.*7\.3\(1\)"):
        PoleFolder(site.folder).job(opening, [], site.site, lambda: NOW)
