"""The cover sheet in a real browser: on a phone, and on paper."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.disclosures import EVENT, Site
from tests.unit.notice.test_browser import CHROMIUM, PHONE, browse

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_time,
    pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed"),
]


async def test_the_cover_sheet_fits_a_phone_and_two_sheets_of_paper(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    site.record_minutes(EVENT - timedelta(minutes=5), 10, size=1000)
    folder = site.package(tmp_path / "package").folder
    shutil.copy(folder / "cover.html", tmp_path / "page.html")
    (tmp_path / "phone.html").write_text(PHONE)
    address = (tmp_path / "phone.html").as_uri()
    page, _ = await browse(
        tmp_path, "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom",
        address,
    )  # fmt: skip
    wide = re.search(r'data-wide="(\d+)"', page)
    assert wide is not None, page
    assert int(wide[1]) <= 360
    paper = tmp_path / "cover.pdf"
    await browse(tmp_path, f"--print-to-pdf={paper}", (folder / "cover.html").as_uri())
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 2 <= sheets <= 3
