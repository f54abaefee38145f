"""The command smartpole: exit status, and one clear line where something is wrong."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import cli
from runtime.status import PoleStatus
from tests.example_pole import ACTOR_TYPES, CONFIGURATION, FORBIDDEN, POLE
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
    assert out == (
        f"✓ {tmp_path}/pole.toml: 7 actors in 5 domains, 4 channels; nothing to object.\n"
    )
    assert not (tmp_path / "state").exists(), "checking makes nothing"


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
