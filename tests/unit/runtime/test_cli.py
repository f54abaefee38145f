"""The command smartpole: exit status, and one clear line where something is wrong."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import cli
from runtime.status import PoleStatus
from tests.example_pole import ACTOR_TYPES, CONFIGURATION, FORBIDDEN, NOTICE, POLE
from tests.unit.runtime.test_pole_at_work import TYPES, WORKER

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def smartpole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command on a configuration; returns status, standard output and standard error."""
    monkeypatch.setattr("runtime.blueprint.InstalledActorTypes", lambda: {**ACTOR_TYPES, **TYPES})
    monkeypatch.setattr(cli, "entry_points", lambda **_: [])
    monkeypatch.setattr(cli, "configure_logging", lambda level: None)

    def run(command: str, text: str = CONFIGURATION, *more: str) -> tuple[int, str, str]:
        path = tmp_path / "pole.toml"
        path.write_text(text, encoding="utf-8")
        status = cli.main([command, str(path), *more])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


def test_check_of_a_good_configuration(smartpole: Run, tmp_path: Path) -> None:
    status, out, err = smartpole("check")
    assert (status, err) == (0, "")
    # How many bits a choice of words holds depends on how many the program has.
    out = re.sub(r"[0-9,]+ (bits a line|bits a second\n  the moment)", r"N \1", out)
    assert out == (
        f"✓ {tmp_path}/pole.toml: 7 actors in 5 domains, 4 channels; nothing to object.\n"
        "\n"
        "The most that can leave the domains that handle personal data:\n"
        "  outlet        message       bits a message  messages a second  bits a second\n"
        "  wifi.counts   DeviceCount               14                 32            426\n"
        "  crowd.counts  PictureCount              14                 32            426\n"
        # Two numbers for each domain, three for each actor, nine for each queue, and five readings.
        "  numbers in status: 46 whole numbers of 53 bits, each 0.5 s: 4,876 bits a second\n"
        "  words in the log, of 3 domains: N bits a line, 0.5 lines a second, 20 at once after a "
        "pause: N bits a second\n"
        "  the moment at which something is sent can say more, and is not counted here\n"
    )
    assert not (tmp_path / "state").exists(), "checking makes nothing"


def test_check_of_a_pole_without_personal_data_has_no_bounds(
    smartpole: Run, tmp_path: Path
) -> None:
    status, out, _ = smartpole("check", POLE + NOTICE)
    assert status == 0
    assert out.count("\n") == 1


def test_a_configuration_lowers_what_can_leave(smartpole: Run) -> None:
    slow = CONFIGURATION + "[actors.crowd.outlets.counts]\nper_second = 0.5\n"
    status, out, _ = smartpole("check", slow)
    assert status == 0
    assert re.search(r"crowd\.counts +PictureCount +14 +0\.5 +7\n", out), out


@pytest.mark.parametrize("rate", ["33", "0", "-1", "nan", "inf"])
def test_a_configuration_can_not_raise_it(smartpole: Run, rate: str) -> None:
    fast = CONFIGURATION + f"[actors.crowd.outlets.counts]\nper_second = {rate}\n"
    status, out, err = smartpole("check", fast)
    assert (status, out) == (2, "")
    assert "actors.crowd.outlets.counts.per_second: " in err
    assert "a configuration may only lower the rate of an outlet" in err
    assert "accepted: a number above 0, 32 at most" in err


def test_a_rate_for_an_outlet_that_is_not_there(smartpole: Run) -> None:
    text = CONFIGURATION + "[actors.crowd.outlets.count]\nper_second = 1\n"
    status, _, err = smartpole("check", text)
    assert status == 2
    assert "actor type 'crowd' has no outlet 'count'" in err
    assert "accepted: one of counts" in err


def test_route_shows_each_use_and_why(smartpole: Run) -> None:
    status, out, err = smartpole("route", CONFIGURATION, "crowd")
    assert (status, err) == (0, "")
    assert "✗" not in out
    lines = CONFIGURATION.split("\n")
    at = lines.index('to = "crowd.pictures"') - 1
    assert (
        f"  ✓ pictures ← camera.to_crowd: Picture (personal image)  (line {at})\n"
        "      allowed: domain 'capture' may send personal image to crowd, security "
        "(guideline 5.1(1), 6.3(1))\n"
    ) in out
    assert "  ✓ models: VerifiedModels [models:inference], to read verified models  (line" in out
    assert "bound: at most 14 bits a message, 32 a second: at most 426 bits a second" in out
    assert "  personal image: network:cameras → camera → crowd\n" in out
    assert "comes from\n  network:cameras → camera → crowd\n" in out
    assert "ends in\n  crowd → statistics → storage:public\n" in out


def test_route_of_a_refused_configuration(smartpole: Run) -> None:
    text = (CONFIGURATION + FORBIDDEN).replace(
        'grants = ["StatisticsStore"]', 'grants = ["StatisticsStore", "RecordingStore"]'
    )
    status, out, err = smartpole("route", text, "statistics")
    assert (status, err) == (1, "")
    assert "  ✗ counts ← camera.to_crowd: Picture (personal image)  (line" in out
    assert "personal image: network:cameras → camera → statistics\n" in out
    assert "rule: domain 'capture' talks to cameras" in out
    assert "remedy: remove this channel; there is no setting that allows it" in out
    assert "  ✓ devices ← wifi.counts: DeviceCount (aggregate)" in out
    assert "besides\n  ✗ statistics\n      refused: it is granted RecordingStore" in out


def test_route_of_an_actor_that_is_not_there(smartpole: Run, tmp_path: Path) -> None:
    status, out, err = smartpole("route", CONFIGURATION, "crwd")
    assert (status, out) == (1, "")
    assert err == (
        f"smartpole: {tmp_path}/pole.toml has no actor 'crwd'. Accepted: announcer, camera, "
        "crowd, recorder, retention, statistics, wifi.\n"
    )


def test_check_of_a_forbidden_configuration(smartpole: Run, tmp_path: Path) -> None:
    status, out, err = smartpole("check", CONFIGURATION + FORBIDDEN)
    assert (status, out) == (1, "")
    assert "✗ camera.to_crowd → statistics.counts (line " in err
    assert "rule: domain 'capture' talks to cameras" in err
    assert "guideline 5.1(1)" in err
    assert "remedy: remove this channel; there is no setting that allows it" in err
    assert err.rstrip().endswith("finding(s); it may not run.")


def test_check_of_a_configuration_with_mistakes(smartpole: Run, tmp_path: Path) -> None:
    status, out, err = smartpole("check", CONFIGURATION.replace('keep = "14d"', 'keep = "soon"'))
    assert (status, out) == (2, "")
    assert err.startswith(f"smartpole: {tmp_path}/pole.toml cannot be used:\n  line ")
    assert "actors.retention.settings.keep: expected a duration" in err


def test_a_configuration_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "/nowhere/pole.toml"]) == 2
    assert "file: there is no such file" in capsys.readouterr().err


def test_graph_in_the_terminal(smartpole: Run) -> None:
    status, out, err = smartpole("graph")
    assert (status, err) == (0, "")
    for word in ("camera", "crowd", "recorder", "Picture", "RecordingStore"):
        assert word in out


def test_graph_of_a_forbidden_configuration_is_drawn_too(smartpole: Run) -> None:
    status, out, _ = smartpole("graph", CONFIGURATION + FORBIDDEN)
    assert status == 0
    assert "✗" in out


def test_graph_as_a_picture(smartpole: Run, tmp_path: Path) -> None:
    target = tmp_path / "graph.svg"
    status, out, _ = smartpole("graph", CONFIGURATION, "--svg", str(target))
    assert (status, out) == (0, f"wrote {target}\n")
    assert target.read_text(encoding="utf-8").startswith(("<svg", "<?xml"))


def test_graph_into_a_folder_that_is_not_there(smartpole: Run, tmp_path: Path) -> None:
    status, _, err = smartpole("graph", CONFIGURATION, "--svg", str(tmp_path / "no" / "x.svg"))
    assert status == 1
    assert err == f"smartpole: {tmp_path}/no/x.svg can't be written: No such file or directory\n"


def test_status_without_a_pole_is_one_clear_line(smartpole: Run, tmp_path: Path) -> None:
    status, out, err = smartpole("status")
    assert (status, out) == (1, "")
    assert err == (
        f"smartpole: no pole runs on {tmp_path}/state: its control socket does not exist. "
        "Start one with: smartpole run CONFIGURATION\n"
    )


def test_run_refuses_what_the_check_refuses(smartpole: Run, tmp_path: Path) -> None:
    status, _, err = smartpole("run", CONFIGURATION + FORBIDDEN)
    assert status == 1
    assert "it may not run" in err
    assert not (tmp_path / "state").exists()


def test_run_on_a_folder_that_is_in_use_is_one_clear_line(smartpole: Run, tmp_path: Path) -> None:
    run = tmp_path / "state" / "run"
    run.mkdir(parents=True)
    with (run / "pole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, err = smartpole("run", POLE + WORKER)
    assert status == 1
    assert err.startswith(f"smartpole: a pole runs on {tmp_path}/state already.")
    assert err.count("\n") == 1


@pytest.mark.real_time
def test_run_for_a_time_says_whether_all_worked(smartpole: Run) -> None:
    assert smartpole("run", POLE + WORKER, "--for", "50ms")[0] == 0
    assert smartpole("run", POLE + '[actors.d]\ntype = "doomed"\n', "--for", "0.05")[0] == 1


@pytest.mark.real_time
def test_an_actor_that_escalates_ends_the_command_with_one_line(smartpole: Run) -> None:
    text = POLE + (
        '[actors.c]\ntype = "crasher"\n'
        'supervision = { restarts = 0, when_exhausted = "escalate" }\n'
    )
    status, _, err = smartpole("run", text)
    assert status == 1
    assert err.startswith("smartpole: domain-security was given up more than 3 times in 600 s.")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["chek", "x"], "invalid choice: 'chek'"),
        (["check"], "the following arguments are required: configuration"),
        (["check", "a", "b"], "unrecognized arguments: b"),
        (["run", "x", "--for", "soon"], "Expected a duration such as"),
        (["run", "x", "--log-level", "loud"], "invalid choice: 'loud'"),
    ],
)
def test_a_command_that_cannot_be_read(
    smartpole: Run, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_a_package_whose_commands_are_broken_stops_no_other(
    smartpole: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Point:
        name = "broken"

        def __lt__(self, other: object) -> bool:
            return True

        def load(self) -> object:
            raise ImportError("No module named 'lamps'")

    monkeypatch.setattr(cli, "entry_points", lambda **_: [Point()])
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert "check" in captured.out
    assert "broken" in captured.err
    assert "No module named 'lamps'" in captured.err


@pytest.mark.real_time
def test_the_installed_command_runs_without_importing_video_or_models(tmp_path: Path) -> None:
    """``check`` of a pole must not cost what only its actors need."""
    code = (
        "import sys; from runtime import cli; status = cli.main(['check', sys.argv[1]]); "
        "print([m for m in ('av', 'onnxruntime', 'starlette') if m in sys.modules]); "
        "sys.exit(status)"
    )
    (tmp_path / "pole.toml").write_text(POLE + "[actors]\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "pole.toml")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("[]\n")


def test_status_as_json_is_what_status_reads() -> None:
    import msgspec

    status = PoleStatus(
        name="p", process=1, unix_time=0, uptime=0, isolation="", blueprint="", actors=(),
        folders=(), without_storage=(),
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(status), type=PoleStatus) == status
    assert set(json.loads(msgspec.json.encode(status))) == set(PoleStatus.__struct_fields__)
