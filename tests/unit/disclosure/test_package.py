"""Packages: what they hold, and that nothing in one can be changed unseen."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

from actors.disclosure.verify import verify_package
from tests.disclosures import EVENT, Site


def test_a_package(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    names = site.record_minutes(EVENT - timedelta(minutes=5), 10)
    made = site.package(tmp_path / "package")
    found = verify_package(made.folder, site.keys)
    assert found.findings == []
    assert found.films == 5
    assert [film.name for film in made.contents.films] == names[3:8]
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.folder, check=False)
    assert done.returncode == 0
