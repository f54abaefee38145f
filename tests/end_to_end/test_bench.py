"""``smartpole bench`` as its user runs it: on a pole's own configuration, with nothing kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo_pole import demo_configuration

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.real_time,
    pytest.mark.models,
    pytest.mark.footage,
]


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_it_measures_cameras_and_crowd_and_keeps_nothing(tmp_path: Path, isolation: str) -> None:
    configuration = demo_configuration(
        tmp_path, ('isolation = "thread"', f'isolation = "{isolation}"')
    )
    done = bench(configuration, "--for", "4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    (camera,) = figures["cameras"]
    assert camera["actor"] == "crowd"
    assert camera["asked_per_second"] == 1
    assert camera["looked_at"] + camera["late"] >= 2
    looking, erased = camera["decode_and_inference"], camera["captured_to_erased"]
    assert 0 < looking["p50"] <= erased["p50"] <= erased["p99"]
    assert 0 < figures["processor"] <= figures["cores"]
    # Neither recorded nor stored nor published: those domains were never there.
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept} <= {"run"}


def test_without_a_crowd_there_is_nothing_to_measure(tmp_path: Path) -> None:
    path = tmp_path / "pole.toml"
    path.write_text(
        '[pole]\nname = "p"\noperator = { ja = "p", en = "p" }\ncontact = { ja = "p", en = "p" }\n'
        'guideline = "1.0"\nstate = "state"\n[places]\nyard = { ja = "p", en = "p" }\n'
        '[actors.notice]\ntype = "notice"\nsettings = { port = 8461 }\n'
        'grants = ["NoticePort", "BlueprintView", "StatisticsView"]\n',
        encoding="utf-8",
    )
    done = bench(path)
    assert done.returncode == 1
    assert "nothing to measure" in done.stderr
    assert "Traceback" not in done.stderr
