"""The page in a real browser: it loads what it needs, and fits a phone."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
import trio

from actors.notice.content import describe
from actors.notice.figures import HOUR
from actors.notice.rendering import render, render_figures
from actors.notice.wording import load_wording
from runtime import Isolation, Separation
from tests.unit.notice.hosting import SEPARATION, a_cell, a_free_port, running
from tests.unit.notice.test_figures import MIDNIGHT, figures, people
from tests.unit.statistics.test_store import open_store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_time,
    pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed"),
]

# Measures the page at a phone's width. Only from files: the served page may not be framed.
PHONE = """<!DOCTYPE html><iframe src="page.html" style="width:360px;height:800px;border:0"
onload="const page = this.contentDocument.documentElement;
document.body.dataset.wide = page.scrollWidth; document.body.dataset.high = page.scrollHeight">
</iframe>"""


async def browse(folder: Path, *arguments: str) -> tuple[str, str]:
    """What chromium writes to standard output and to its log."""
    with trio.fail_after(90):
        done = await trio.run_process(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments],
            capture_stdout=True,
            capture_stderr=True,
        )
    return done.stdout.decode(), done.stderr.decode()


def picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


async def test_a_browser_shows_the_page_with_its_style(tmp_path: Path) -> None:
    port = a_free_port()
    shot = tmp_path / "page.png"
    async with running(a_cell(tmp_path, port)):
        address = f"http://127.0.0.1:{port}/"
        dom, log = await browse(tmp_path, "--dump-dom", address)
        await browse(tmp_path, "--window-size=1200,900", f"--screenshot={shot}", address)
    assert "人数を数える" in dom
    assert "犯罪を防ぐ" in dom
    assert "Content Security Policy" not in log
    pixels = picture(shot)
    assert pixels.shape == (900, 1200, 3)
    # The masthead's colour comes from the style sheet, so the policy let it through.
    assert np.abs(pixels[5, 5].astype(int) - (0x12, 0x34, 0x3F)).max() <= 3
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200


async def test_a_browser_draws_the_figures(tmp_path: Path) -> None:
    port = a_free_port()
    shot = tmp_path / "page.png"
    now = int(time.time()) // 60 * 60
    with closing(open_store(tmp_path / "public")) as store:
        for at in range(now - 20 * HOUR, now - 60, 60):
            store.append(people(at, 30))
    async with running(a_cell(tmp_path, port)):
        address = f"http://127.0.0.1:{port}/statistics"
        dom, log = await browse(tmp_path, "--dump-dom", address)
        await browse(tmp_path, "--window-size=1200,1400", f"--screenshot={shot}", address)
    assert "ここに何人いたか" in dom
    assert "Content Security Policy" not in log
    # Bars in their colour: the style sheet reaches into the charts.
    crowd = np.abs(picture(shot)[400:].astype(int) - (0x0B, 0x6E, 0x66)).max(axis=2) <= 3
    assert crowd.sum() > 10_000


async def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    facts = a_cell(tmp_path, a_free_port())._facts
    bare = Separation(isolation=Isolation.THREAD, landlock_abi=0, seccomp=False, missing=("all",))
    pages = render(describe(facts["blueprint"], bare, load_wording(), now=0))  # type: ignore[arg-type]
    assert await size_on_a_phone(tmp_path, pages.html, pages.style) > 3000, "nothing is missing"


async def test_the_figures_fit_a_phone(tmp_path: Path) -> None:
    blueprint = a_cell(tmp_path, a_free_port())._facts["blueprint"]
    content = describe(blueprint, SEPARATION, load_wording(), now=0)  # type: ignore[arg-type]
    slices = [people(MIDNIGHT + 60 * at, 9_999) for at in range(60)]
    found = figures(slices, MIDNIGHT + HOUR)
    page = render_figures(found, content).html.replace(b"<details>", b"<details open>")
    assert await size_on_a_phone(tmp_path, page, render(content).style) > 2000


async def size_on_a_phone(folder: Path, page: bytes, style: bytes) -> int:
    """How high a page is there; it must not scroll sideways."""
    (folder / "page.html").write_bytes(page.replace(b'href="/', b'href="'))
    (folder / "notice.css").write_bytes(style)
    (folder / "phone.html").write_text(PHONE)
    dom, _ = await browse(
        folder,
        "--allow-file-access-from-files",
        "--virtual-time-budget=3000",
        "--dump-dom",
        f"file://{folder / 'phone.html'}",
    )
    wide, high = re.search(r'data-wide="(\d+)" data-high="(\d+)"', dom).groups()  # type: ignore[union-attr]
    assert int(wide) == 360, "the page must not scroll sideways"
    return int(high)
