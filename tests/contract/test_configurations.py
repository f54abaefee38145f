"""Every configuration that lies in conf/ may run once its capitals are filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import check, load_blueprint

CONFIGURATIONS = sorted((Path(__file__).parents[2] / "conf").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_it_may_run(path: Path) -> None:
    assert check(load_blueprint(path)) == []
