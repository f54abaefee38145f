"""The benchmarks run, and tell what they found in a form that others can read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pykka", reason="the benchmarks' extra is not installed")

import bench.__main__ as command
from bench.harness import BenchmarkFailed, Effort, Target, compare, percentile, take_turns

TINY = Effort(rounds=2, scale=0.01)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a tiny run of the two benchmarks that need no models writes."""
    path = tmp_path_factory.mktemp("bench") / "figures" / "latest.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "_QUICK", TINY)
        status = command.main(["channel", "supervisor", "--quick", "--json", str(path)])
    assert status == 0
    return json.loads(path.read_bytes())


@pytest.mark.real_time
class TestReport:
    def test_names_what_it_was_measured_on(self, report: dict) -> None:
        there = report["environment"]
        assert there["cores"] >= 1
        assert there["python"].startswith("CPython 3.")
        assert {"trio", "msgspec", "pykka"} <= there["libraries"].keys()

    def test_names_nothing_of_the_machine(self, report: dict) -> None:
        assert not re.search(r'"[^"]*(/home/|/root|/work|/tmp)', json.dumps(report))

    def test_holds_both_benchmarks_and_no_failure(self, report: dict) -> None:
        assert [one["name"] for one in report["benchmarks"]] == ["channel", "supervisor"]
        assert not any(one["failure"] for one in report["benchmarks"])

    def test_each_figure_has_its_comparison(self, report: dict) -> None:
        figures = [figure for one in report["benchmarks"] for figure in one["figures"]]
        assert len(figures) >= 15
        for figure in figures:
            assert figure["value"] > 0
            assert figure["unit"]
            assert figure["compared"]["to"]
            assert figure["compared"]["value"] > 0
            assert figure["compared"]["ratio"] > 0
            assert (figure["met"] is None) == (figure["target"] is None)

    @pytest.mark.parametrize(
        ("figure", "other"),
        [
            ("send, one by one", "trio memory channel"),
            ("drain", "trio memory channel"),
            ("round trip", "trio memory channel"),
            ("restart after a crash, backoff 0", "bare loop: while True, try"),
        ],
    )
    def test_has_the_targets(self, report: dict, figure: str, other: str) -> None:
        figures = [one for part in report["benchmarks"] for one in part["figures"]]
        (found,) = [
            one for one in figures if one["name"] == figure and one["compared"]["to"] == other
        ]
        assert found["target"]


class TestCommand:
    def test_refuses_an_unknown_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            command.main(["chanel"])
        assert "no benchmark 'chanel'; there are channel, supervisor" in capsys.readouterr().err

    def test_runs_all_but_the_demo_when_nothing_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        names: list[str] = []

        def run(name: str, effort: Effort) -> command.BenchmarkReport:
            names.append(name)
            return command.BenchmarkReport(name=name, seconds=0)

        monkeypatch.setattr(command, "_run", run)
        assert command.main(["--json", str(tmp_path / "latest.json")]) == 0
        assert names == [name for name in command.BENCHMARKS if name not in ("accuracy", "demo")]
        assert {"channel", "pipeline", "load", "overload", "separation", "ledger"} <= set(names)

    @pytest.mark.parametrize("name", ["latency", "pipeline", "load", "overload"])
    def test_says_how_to_get_what_is_missing(
        self,
        name: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert command.main([name, "--quick"]) == 1
        assert "smartpole" in capsys.readouterr().out
        assert "fetch --to var/" in (tmp_path / "var/bench/latest.json").read_text()

    def test_a_failure_names_nothing_of_the_machine(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def fail(effort: Effort) -> None:
            raise BenchmarkFailed(f"there is no {tmp_path}/var/footage/street.mp4")

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("bench.channel.benchmark", fail)
        assert command.main(["channel"]) == 1
        written = (tmp_path / "var/bench/latest.json").read_text()
        assert "there is no var/footage/street.mp4" in written
        assert str(tmp_path) not in written

    def test_check_is_about_targets(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        missed = compare(
            "a figure",
            {"ours": [1.0], "theirs": [2.0]},
            "ours",
            "theirs",
            unit="s",
            better="higher",
            target=Target(of="ratio", least=0.9),
        )
        report = command.BenchmarkReport(name="channel", seconds=0, figures=(missed,))
        monkeypatch.setattr(command, "_run", lambda name, effort: report)
        arguments = ["channel", "--json", str(tmp_path / "latest.json")]
        assert command.main(arguments) == 0
        assert command.main([*arguments, "--check"]) == 1


class TestHarness:
    def test_contestants_take_turns_and_the_first_round_warms_up(self) -> None:
        order: list[str] = []

        def contestant(name: str) -> float:
            order.append(name)
            return float(len(order))

        results = take_turns({n: lambda n=n: contestant(n) for n in "ab"}, rounds=2)
        assert "".join(order) == "ab" + "ba" + "ab"
        assert results == {"a": [4.0, 5.0], "b": [3.0, 6.0]}

    def test_ratio_is_the_median_of_the_rounds_ratios(self) -> None:
        # A disturbed round (the second) must not count, whichever side it hit.
        results = {"ours": [10.0, 90.0, 30.0], "theirs": [5.0, 9.0, 15.0]}
        figure = compare("f", results, "ours", "theirs", unit="s", better="lower")
        assert figure.compared is not None
        assert (figure.value, figure.compared.value, figure.compared.ratio) == (30.0, 9.0, 2.0)

    @pytest.mark.parametrize(
        ("target", "met"),
        [
            (Target(of="value", most=30), True),
            (Target(of="value", most=29), False),
            (Target(of="ratio", least=2), True),
            (Target(of="ratio", least=2.1), False),
            (Target(of="difference", most=15), True),
            (Target(of="difference", most=14), False),
        ],
    )
    def test_targets(self, target: Target, met: bool) -> None:
        results = {"ours": [30.0], "theirs": [15.0]}
        figure = compare("f", results, "ours", "theirs", unit="s", better="lower", target=target)
        assert figure.met is met

    @pytest.mark.parametrize(
        ("count", "share", "expected"),
        [(1, 0.99, 1), (100, 0.50, 50), (100, 0.95, 95), (100, 0.99, 99), (10, 0.95, 10)],
    )
    def test_percentile(self, count: int, share: float, expected: int) -> None:
        assert percentile([float(n) for n in range(count, 0, -1)], share) == expected
