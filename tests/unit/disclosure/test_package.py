"""Packages: what lies in one, what is left out and said, and what is left behind: nothing."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from html import unescape
from pathlib import Path

import msgspec
import pyrage
import pytest
from pyrage import x25519

from actors.custody.disclosure import OPEN_WITHIN
from actors.disclosure import package as package_module
from actors.disclosure.contents import Contents, Why, video_path
from actors.disclosure.errors import DisclosureRefused
from actors.disclosure.package import make_package
from actors.disclosure.proofs import prove_orders
from actors.disclosure.verify import Verified, verify_package
from actors.ledger.receipts import Ground
from actors.recorder.capability import RecordingExpiry
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import public_key
from tests.disclosures import EVENT, Site
from tests.recordings import storage

MINUTE = timedelta(minutes=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "state")


def why(found: Verified) -> list[str]:
    return [reason for _, reason in found.missing]


def cover_of(folder: Path) -> str:
    text = re.sub(r"<style>.*</style>", "", (folder / "cover.html").read_text(), flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def test_the_smallest_package(site: Site, tmp_path: Path) -> None:
    names = site.record_minutes(EVENT - 5 * MINUTE, 10)
    site.record_minutes(EVENT - 5 * MINUTE, 10, camera="camera-1")
    site.record_minutes(EVENT - 5 * MINUTE, 10, camera="camera-0", place="park")
    made = site.package(tmp_path / "package")
    found = verify_package(made.folder, site.keys)
    assert found.findings == []
    assert found.films == 5
    assert why(found) == []
    assert [film.name for film in made.contents.films] == names[3:8]
    assert sorted(path.name for path in (made.folder / "video").iterdir()) == names[3:8]
    for name in names[3:8]:
        film = pyrage.decrypt((made.folder / video_path(name)).read_bytes(), [site.guest])
        assert film == pyrage.decrypt((site.security / name).read_bytes(), [site.own])
    lines = (made.folder / "manifests.log").read_text().splitlines()
    assert len(lines) == 10
    assert all("camera-1" not in line and "park" not in line for line in lines)


def test_sha256sum_takes_the_list(site: Site, tmp_path: Path) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    made = site.package(tmp_path / "package")
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=made.folder).returncode == 0
    path = made.folder / "cover.html"
    path.write_bytes(path.read_bytes()[:-1])
    assert subprocess.run(check, cwd=made.folder, capture_output=True).returncode == 1


def test_nothing_in_it_is_for_others(site: Site, tmp_path: Path) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    folder = site.package(tmp_path / "package").folder
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


# -- what is missing ----------------------------------------------------------------------------


def test_what_is_missing_is_said(site: Site, tmp_path: Path) -> None:
    start = EVENT - 2 * MINUTE
    gone = site.record(start, 60)
    site.note_gap(start + MINUTE, EVENT, "the camera could not be reached")
    other = site.record(EVENT, 30, to=x25519.Identity.generate())
    torn = site.record(EVENT + MINUTE / 2, 30, size=1000, cut=10)
    cut = site.record(EVENT + MINUTE, 30, cut=10)
    lost = site.record(EVENT + 1.5 * MINUTE, 30)
    changed = site.record(EVENT + 2 * MINUTE, 30)
    storage(RecordingExpiry, site.security).delete([gone])
    (site.security / lost).unlink()
    path = site.security / changed
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    made = site.package(tmp_path / "package")
    assert [(film.name, film.breaks_off) for film in made.contents.films] == [(cut, True)]
    assert {one.name: one.why for one in made.contents.left_out} == {
        other: Why.UNOPENED,
        torn: Why.TORN,
        lost: Why.ABSENT,
        changed: Why.CHANGED,
    }
    found = verify_package(made.folder, site.keys)
    assert found.findings == []
    assert why(found) == [
        "deleted", "gap", "unopened", "torn", "absent", "changed", "unaccounted",
    ]  # fmt: skip
    cover = cover_of(made.folder)
    for text in (
        "保存期間が過ぎたため、提供の前に削除されました",
        "カメラにつながりませんでした",
        "The camera could not be reached",
        "no key that opens it",
        "breaks off before its first picture",
        "Video, which breaks off before its end",
        "age reports an error at its end",
        "the file is not there, and no deletion was signed",
        "not what the pole signed",
        "Nothing was recorded, and no reason was signed",
    ):
        assert text in cover, text
    assert cover.count("なし：") == 7


def test_a_changed_header_is_not_taken_for_another_key(site: Site, tmp_path: Path) -> None:
    names = site.record_minutes(EVENT - 2 * MINUTE, 5)
    path = site.security / names[0]
    content = bytearray(path.read_bytes())
    content[60] ^= 1  # in the stanza, so that the key doesn't open it
    path.write_bytes(content)
    made = site.package(tmp_path / "package")
    assert [(one.name, one.why) for one in made.contents.left_out] == [(names[0], Why.CHANGED)]


def test_a_day_whose_key_was_destroyed(site: Site, tmp_path: Path) -> None:
    days = [x25519.Identity.generate() for _ in range(2)]
    for day, start in zip(days, (EVENT - 2 * MINUTE, EVENT), strict=True):
        site.record_minutes(start, 2, to=day)
    job = site.job(site.approved(), [days[1]])
    made = make_package(job, tmp_path / "package")
    assert [one.why for one in made.contents.left_out] == [Why.UNOPENED] * 2
    assert len(made.contents.films) == 2
    assert verify_package(made.folder, site.keys).findings == []


def test_retention_comes_while_it_is_made(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = site.record_minutes(EVENT - 2 * MINUTE, 5)
    job = site.job(site.approved())
    rewrap, calls = package_module.rewrap, []

    def interrupted(*arguments: object) -> object:
        if not calls:
            storage(RecordingExpiry, site.security).delete(names[3:])
        calls.append(arguments)
        return rewrap(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(package_module, "rewrap", interrupted)
    made = make_package(job, tmp_path / "package")
    assert made.contents.left_out == ()
    assert [film.name for film in made.contents.films] == names[:3]
    found = verify_package(made.folder, site.keys)
    assert found.findings == []
    assert why(found) == ["deleted", "deleted"]


# -- what is refused, and leaves nothing --------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_to_hand_over(site: Site, tmp_path: Path) -> None:
    names = site.record_minutes(EVENT - 2 * MINUTE, 5)
    job = site.job(site.approved(), [x25519.Identity.generate()])
    with pytest.raises(DisclosureRefused, match=r"nothing to hand over.*5 unopened"):
        make_package(job, tmp_path / "package")
    storage(RecordingExpiry, site.security).delete(names)
    with pytest.raises(DisclosureRefused, match="5 deleted"):
        make_package(job, tmp_path / "package")
    assert left(tmp_path) == ["state"]


def test_a_record_that_the_pole_did_not_sign(site: Site, tmp_path: Path) -> None:
    site.record_minutes(EVENT - 2 * MINUTE, 5)
    job = site.job(site.approved())
    (chain,) = site.security.glob("chain-*.log")
    chain.write_text(chain.read_text().replace('"number":4,', '"number":4 ,', 1))
    with pytest.raises(DisclosureRefused, match=r"record 4 .*recordings verify"):
        make_package(job, tmp_path / "package")
    assert left(tmp_path) == ["state"]


def test_a_folder_that_is_there(site: Site, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    with pytest.raises(DisclosureRefused, match="not overwritten"):
        site.package(tmp_path / "package")


def test_a_full_disk_leaves_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.record_minutes(EVENT - 2 * MINUTE, 5)
    job = site.job(site.approved())

    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package_module, "rewrap", full)
    with pytest.raises(OSError, match="No space"):
        make_package(job, tmp_path / "package")
    assert left(tmp_path) == ["state"]
    monkeypatch.undo()
    assert make_package(job, tmp_path / "package").contents.films  # the approval is not used up


def test_what_does_not_stand_in_the_ledger_is_not_opened(site: Site) -> None:
    ledger = LedgerFolder(site.ledger_folder, public_key(site.ledger_folder))  # a copy of before
    request = site.approved()
    with pytest.raises(DisclosureRefused, match=r"no signed entry of the disclosure-request.*7\.3"):
        prove_orders(ledger, [request])


# -- the cover sheet ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["捜査機関の公文書による照会", "7.2(1) ②", "刑 第1234号", "警視庁 Example警察署"]),
        (
            {"ground": Ground.LAW, "document": "刑事訴訟法 第218条"},
            ["A law requires it", "①", "第218条"],
        ),
        (
            {"ground": Ground.FACILITY, "facility": "station", "document": "", "authority": ""},
            ["秘密保持契約あり", "③", "station"],
        ),
    ],
)
def test_the_cover_sheet(
    site: Site, tmp_path: Path, fields: dict[str, object], expected: list[str]
) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    made = site.package(tmp_path / "package", **fields)
    cover = cover_of(made.folder)
    for text in (
        *expected,
        "2026-11-30 20:58:00 – 2026-11-30 21:03:00 日本時間 Japan time",
        "請求した管理者 Requested by site-manager",
        "Approved by another manager site-deputy",
        "age -d -i KEY video/",
        "sha256sum -c SHA256SUMS",
        "smartpole disclose verify . --key pole.pub",
        "not even anonymised (guideline 7.2(2))",
    ):
        assert text in cover, text
    assert "breaks off" not in cover
    # It needs nothing but itself.
    assert not re.search(
        r"(src|href)=|https?://|@import|url\(", (made.folder / "cover.html").read_text()
    )


def test_the_cover_sheet_shows_what_was_written_and_runs_none_of_it(
    site: Site, tmp_path: Path
) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    made = site.package(tmp_path / "package", authority="<script>alert(1)</script>")
    page = (made.folder / "cover.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_contents_are_for_machines(site: Site, tmp_path: Path) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    made = site.package(tmp_path / "package")
    read = msgspec.json.decode((made.folder / "contents.json").read_bytes(), type=Contents)
    assert read == made.contents
    assert read.recordings_key == site.pole


def test_the_way_takes_as_long_as_people_take(site: Site, tmp_path: Path) -> None:
    site.record_minutes(EVENT - 5 * MINUTE, 10, size=1000)
    request = site.approved()
    site.now += OPEN_WITHIN
    made = make_package(site.job(request), tmp_path / "package")
    assert made.contents.made == "2026-12-08T03:00:00Z"
