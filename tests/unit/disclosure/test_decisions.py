"""What the custodian decides about a disclosure: each refusal with its clause."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.custody.disclosure import OPEN_WITHIN, REQUEST_FOR
from actors.custody.disclosure_request import LONGEST_EVENT, MARGIN
from actors.custody.managers import Managers
from actors.custody.order import DisclosureApproval, DisclosureExport, Purpose
from actors.ledger.receipts import DisclosureStep, Ground, Refusal, numbers_of
from runtime.ledger.note import SigningKey
from tests.disclosures import EVENT, NOW, Site

HOUR = timedelta(hours=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "state")


FACILITY = {"ground": Ground.FACILITY, "facility": "station", "document": ""}
REFUSED: dict[str, tuple[dict[str, Any], Refusal, str]] = {
    "no ground": ({"ground": None}, Refusal.GROUND, r"7\.2\(1\).*7\.2\(2\).*Accepted: ① law"),
    "anonymised": ({"anonymised": True}, Refusal.ANONYMISED, r"forbidden as well.*7\.2\(2\)"),
    "anonymised by law": (
        {"anonymised": True, "ground": Ground.LAW},
        Refusal.ANONYMISED,
        r"7\.2\(2\)",
    ),
    "anonymised without a ground": (
        {"anonymised": True, "ground": None},
        Refusal.ANONYMISED,
        r"7\.2\(2\)",
    ),
    "another purpose": ({"purpose": Purpose.OTHER}, Refusal.PURPOSE, r"7\.2\(2\).*Accepted"),
    "a facility's other purpose": (
        {**FACILITY, "purpose": Purpose.OTHER},
        Refusal.PURPOSE,
        r"crime prevention only",
    ),
    "by telephone": ({"document": " "}, Refusal.DOCUMENT, r"7\.2\(1\) ②.*telephone"),
    "a law without its article": (
        {"ground": Ground.LAW, "document": ""},
        Refusal.DOCUMENT,
        r"7\.2\(1\) ①.*the law and its article",
    ),
    "to nobody": ({"authority": ""}, Refusal.DOCUMENT, r"to whom.*Accepted"),
    "a facility that nobody knows": (
        {**FACILITY, "facility": "shop"},
        Refusal.AGREEMENT,
        r"7\.2\(1\) ③.*Accepted: the name of a facility",
    ),
    "a facility's other place": (
        {**FACILITY, "places": ("park",), "cameras": ("camera-2",)},
        Refusal.AGREEMENT,
        r"③.*Accepted: crossing",
    ),
    "a place without a manager": ({"places": ("harbour",)}, Refusal.UNSTAFFED, r"7\.3\(2\)"),
    "no place": ({"places": ()}, Refusal.RANGE, r"smallest range.*7\.2\(1\)"),
    "all cameras": ({"cameras": ()}, Refusal.RANGE, r"smallest range.*each camera is named"),
    "another place's camera": (
        {"cameras": ("camera-0", "camera-2")},
        Refusal.RANGE,
        r"1 of the cameras.*Accepted: camera-0, camera-1",
    ),
    "an empty time": ({"end": EVENT - timedelta(minutes=2)}, Refusal.RANGE, r"is empty"),
    "what is still to come": (
        {"written_end": NOW + HOUR, "event_end": NOW, "end": NOW + timedelta(seconds=1)},
        Refusal.RANGE,
        r"not over yet.*7\.2\(1\)",
    ),
    "more than the document names, before": (
        {"written_start": EVENT},
        Refusal.RANGE,
        r"wider than the document.*2026-11-30 21:00:00 \(Japan\) to",
    ),
    "more than the document names, after": ({"written_end": EVENT}, Refusal.RANGE, r"7\.2\(1\)"),
    "more than what happened needs, before": (
        {"start": EVENT - MARGIN - timedelta(seconds=1)},
        Refusal.RANGE,
        r"wider than what happened needs.*Accepted: from 2026-11-30 20:30:00 \(Japan\) to "
        r"2026-11-30 21:30:00 \(Japan\) at most",
    ),
    "more than what happened needs, after": (
        {"end": EVENT + MARGIN + timedelta(seconds=1)},
        Refusal.RANGE,
        r"smallest range",
    ),
    "something else than what happened": (
        {"start": EVENT + timedelta(seconds=1)},
        Refusal.RANGE,
        r"nothing of what is looked for",
    ),
    "an event of more than a day": (
        {"event_start": EVENT - LONGEST_EVENT, "event_end": EVENT + timedelta(seconds=1)},
        Refusal.RANGE,
        r"24 hours.*several requests",
    ),
    "an event that ends before it begins": (
        {"event_end": EVENT - timedelta(seconds=1)},
        Refusal.RANGE,
        r"not before its beginning",
    ),
    "no key": ({"recipient": "age1xyz"}, Refusal.RECIPIENT, r"age-keygen"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_is_refused_with_its_clause(site: Site, case: str) -> None:
    fields, why, text = REFUSED[case]
    signed, ruling = site.ask(site.request(**fields), site.site)
    assert ruling.why is why
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(ruling.text)
    receipt = ruling.receipt
    assert (receipt.step, receipt.why) == (DisclosureStep.REFUSED, why)
    assert receipt.order == receipt.request == numbers_of(signed.id)
    assert set(receipt.places) <= {"crossing", "park"}
    assert signed.id not in site.past.requests


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ground": Ground.LAW, "document": "刑事訴訟法 第218条"},
        {"ground": Ground.LAW, "document": "民事訴訟法 第226条", "purpose": Purpose.OTHER},
        FACILITY,
        {"start": EVENT - MARGIN, "end": EVENT + MARGIN},
        {"event_start": EVENT - LONGEST_EVENT + HOUR, "event_end": EVENT + HOUR},
        {"cameras": ("camera-0", "camera-1")},
        {
            "written_end": NOW,
            "event_start": NOW - HOUR / 4,
            "event_end": NOW,
            "start": NOW - HOUR / 2,
            "end": NOW,
        },
    ],
)
def test_a_request_that_is_accepted(site: Site, fields: dict[str, Any]) -> None:
    _, ruling = site.ask(site.request(**fields), site.deputy)
    assert ruling.why is None, ruling.text
    assert "opens nothing" in ruling.text
    assert ruling.receipt.step is DisclosureStep.REQUESTED
    assert ruling.receipt.ground is fields.get("ground", Ground.AUTHORITY)
    assert (ruling.receipt.document is None) == (fields.get("document") == "")


def test_no_document_number_and_no_name_stands_in_the_ledger(site: Site) -> None:
    signed, ruling = site.ask(site.request(places=("crossing", "harbour")), site.site)
    stands = (site.ledger_folder / "entries.jsonl").read_text()
    for secret in ("1234", "警視庁", "harbour", site.request().recipient):
        assert secret not in stands
        assert secret not in ruling.text
    assert numbers_of(signed.id) == ruling.receipt.order


# -- who ----------------------------------------------------------------------------------------


def test_who_is_not_named_may_not_ask(site: Site) -> None:
    stranger = SigningKey.generate("site-manager")
    _, ruling = site.ask(site.request(), stranger)
    assert ruling.why is Refusal.SIGNATURE
    assert "7.3(2)" in ruling.text
    assert "site-manager, site-deputy, other-manager" in ruling.text


def test_who_is_out_of_term_may_not_ask(site: Site) -> None:
    site.now += timedelta(days=365)
    _, ruling = site.ask(site.request(), site.site)
    assert ruling.why is Refusal.TERM
    assert "2026-04-01 to 2027-03-31" in ruling.text
    assert "7.3(2)" in ruling.text


def test_a_manager_asks_for_their_own_places_only(site: Site) -> None:
    _, ruling = site.ask(site.request(), site.other)
    assert ruling.why is Refusal.PLACE
    assert "7.3(2)" in ruling.text
    assert "Accepted of other-manager: park" in ruling.text


@pytest.mark.parametrize("lacking", ["manager", "deputy"])
def test_without_manager_and_deputy_nothing_is_disclosed(site: Site, lacking: str) -> None:
    left = [
        msgspec.structs.replace(one, until=date(2026, 6, 30))
        if (one.role.value == lacking and one.name != "other-manager")
        else one
        for one in site.settings.managers
    ]
    site.managers = Managers(msgspec.structs.replace(site.settings, managers=tuple(left)))
    key = site.deputy if lacking == "manager" else site.site
    _, ruling = site.ask(site.request(), key)
    assert ruling.why is Refusal.UNSTAFFED
    assert f"has no {lacking} in their term" in ruling.text
    assert "7.3(2)" in ruling.text


def test_an_agreement_that_is_over(site: Site) -> None:
    over = msgspec.structs.replace(site.settings.facilities[0], until=date(2026, 11, 30))
    site.managers = Managers(msgspec.structs.replace(site.settings, facilities=(over,)))
    _, ruling = site.ask(site.request(**FACILITY), site.site)
    assert ruling.why is Refusal.AGREEMENT
    assert "not in force now (guideline 7.2(1) ③)" in ruling.text


# -- what follows -------------------------------------------------------------------------------


def test_two_people_decide(site: Site) -> None:
    request, _ = site.ask(site.request(), site.site)
    approval = DisclosureApproval(pole=site.pole, request=request.id)
    _, ruling = site.ask(approval, site.site)
    assert ruling.why is Refusal.SAME_PERSON
    assert "two people decide (guideline 7.2(1))" in ruling.text
    _, ruling = site.ask(approval, site.other)
    assert ruling.why is Refusal.PLACE
    _, ruling = site.ask(approval, site.deputy)
    assert ruling.why is None
    assert ruling.receipt.step is DisclosureStep.APPROVED
    assert ruling.receipt.request == numbers_of(request.id)
    _, ruling = site.ask(DisclosureApproval(pole=site.pole, request=request.id), site.deputy)
    assert ruling.why is Refusal.REPEATED


def test_a_request_that_was_refused_is_not_approved(site: Site) -> None:
    request, _ = site.ask(site.request(ground=None), site.site)
    _, ruling = site.ask(DisclosureApproval(pole=site.pole, request=request.id), site.deputy)
    assert ruling.why is Refusal.UNKNOWN
    assert "no accepted request" in ruling.text


def test_a_request_grows_old(site: Site) -> None:
    request, _ = site.ask(site.request(), site.site)
    site.now += REQUEST_FOR + timedelta(seconds=1)
    _, ruling = site.ask(DisclosureApproval(pole=site.pole, request=request.id), site.deputy)
    assert ruling.why is Refusal.EXPIRED
    assert "a new request" in ruling.text


def test_an_agreement_that_ends_before_the_approval(site: Site) -> None:
    request, _ = site.ask(site.request(**FACILITY), site.site)
    over = msgspec.structs.replace(site.settings.facilities[0], until=date(2026, 11, 30))
    site.managers = Managers(msgspec.structs.replace(site.settings, facilities=(over,)))
    _, ruling = site.ask(DisclosureApproval(pole=site.pole, request=request.id), site.deputy)
    assert ruling.why is Refusal.AGREEMENT


def test_only_what_is_approved_is_opened_and_only_once(site: Site) -> None:
    request, _ = site.ask(site.request(), site.site)
    _, ruling = site.ask(site.opening(request), site.site)
    assert ruling.why is Refusal.UNKNOWN
    assert "not approved" in ruling.text
    assert "7.2(1)" in ruling.text
    site.ask(DisclosureApproval(pole=site.pole, request=request.id), site.deputy)
    _, ruling = site.ask(site.opening(request, site.deputy), site.site)
    assert ruling.why is Refusal.SIGNATURE
    _, ruling = site.ask(site.opening(request), site.site)
    assert ruling.why is None
    assert ruling.receipt.step is DisclosureStep.OPENED
    for key in (site.site, site.deputy):
        _, ruling = site.ask(site.opening(request, key), key)
        assert ruling.why is Refusal.REPEATED
        assert "good for one export" in ruling.text


def test_an_approval_expires(site: Site) -> None:
    request = site.approved()
    site.now += OPEN_WITHIN + timedelta(seconds=1)
    _, ruling = site.ask(site.opening(request), site.site)
    assert ruling.why is Refusal.EXPIRED
    assert "2026-12-08 12:00:00 (Japan)" in ruling.text


def _export(site: Site, request: str, package: str = "ab" * 32, **fields: Any) -> DisclosureExport:
    return DisclosureExport(
        **{
            "pole": site.pole,
            "made": NOW,
            "request": request,
            "package": package,
            "segments": 3,
            **fields,
        }
    )


def test_one_package_and_it_is_told(site: Site) -> None:
    request = site.approved()
    _, ruling = site.ask(_export(site, request.id), site.site)
    assert ruling.why is Refusal.UNKNOWN
    assert "nothing was opened" in ruling.text
    site.ask(site.opening(request), site.site)
    _, ruling = site.ask(_export(site, request.id), site.deputy)
    assert ruling.why is Refusal.SIGNATURE
    late = _export(site, request.id, made=NOW + OPEN_WITHIN + timedelta(seconds=1))
    _, ruling = site.ask(late, site.site)
    assert ruling.why is Refusal.EXPIRED
    site.now += 2 * OPEN_WITHIN  # told late, and made in time
    _, ruling = site.ask(_export(site, request.id), site.site)
    assert ruling.why is None, ruling.text
    assert ruling.receipt.package == numbers_of("ab" * 32)
    _, ruling = site.ask(_export(site, request.id, "cd" * 32), site.site)
    assert ruling.why is Refusal.REPEATED
    # The second package stands in the ledger, for whoever looks for where it came from.
    assert ruling.receipt.package == numbers_of("cd" * 32)


@pytest.mark.parametrize(
    "make",
    [
        lambda site: DisclosureApproval(pole=site.pole, request="0" * 64),
        lambda site: _export(site, "0" * 64),
    ],
)
def test_what_is_about_nothing_known(site: Site, make: Callable[[Site], Any]) -> None:
    _, ruling = site.ask(make(site), site.site)
    assert ruling.why is Refusal.UNKNOWN
    assert ruling.receipt.request == numbers_of("0" * 64)
    assert ruling.receipt.ground is None
