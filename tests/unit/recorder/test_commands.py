from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
import structlog

from actors.recorder.capability import RecordingStore
from actors.recorder.keys import read_keys
from actors.recorder.recording import Recording
from runtime.cli import main
from tests.recordings import packet_run, storage


@pytest.fixture
def key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "manager" / "manager.key"
    assert main(["keys", "make", "--to", str(path)]) == 0
    capsys.readouterr()
    return path


@pytest.fixture
def segments(tmp_path: Path, key: Path) -> Path:
    """A folder with a segment of two seconds and a newer one of one second."""
    folder = tmp_path / "security"
    recording = Recording(
        storage(RecordingStore, folder),
        read_keys(key.with_name(key.name + ".pub")),
        camera="camera",
        place="crossing",
        length=2,
        log=structlog.get_logger("recorder"),
    )
    with structlog.testing.capture_logs():
        recording.accept(packet_run([10, 10, 10], size=9000))
        recording.close(for_good=True)
    return folder


@pytest.fixture(params=["age", "pyrage"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pyrage":
        monkeypatch.setenv("PATH", "")
    elif shutil.which("age") is None:
        pytest.skip("Debian's age is not installed")
    return str(request.param)


def test_a_managers_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "manager.key"
    assert main(["keys", "make", "--to", str(path)]) == 0
    said = capsys.readouterr().out
    public = path.with_name("manager.key.pub")
    assert str(path) in said
    assert str(public) in said
    assert "never on the pole" in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "AGE-SECRET-KEY-1" in path.read_text()
    assert "AGE-SECRET-KEY" not in public.read_text() + said
    assert len(read_keys(public).always) == 1


@pytest.mark.parametrize("existing", ["manager.key", "manager.key.pub"])
def test_a_key_is_never_overwritten(
    existing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / existing).write_text("precious")
    assert main(["keys", "make", "--to", str(tmp_path / "manager.key")]) == 1
    assert "not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_a_key_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["keys", "make", "--to", str(tmp_path / "file" / "manager.key")]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_the_newest_segment_of_a_folder(
    program: str, segments: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segments", "probe", str(segments), "--identity", str(key)]) == 0
    said = capsys.readouterr().out
    assert f"opened with {program}; video h264 64×48, 10 pictures, 1.0 s\n" in said
    assert said.count("\n") == 1
    assert max(path.name for path in segments.glob("*.age")) in said


def test_one_segment(
    program: str, segments: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = min(segments.glob("*.age"))
    before = sorted(os.listdir(segments))
    assert main(["segments", "probe", str(first), "--identity", str(key)]) == 0
    assert "20 pictures, 2.0 s\n" in capsys.readouterr().out
    assert sorted(os.listdir(segments)) == before


def test_one_that_breaks_off(
    program: str, segments: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = min(segments.glob("*.age"))
    with first.open("r+b") as file:
        file.truncate(140_000)
    assert main(["segments", "probe", str(first), "--identity", str(key)]) == 0
    assert "broken off there" in capsys.readouterr().out


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["segments", "probe", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("smartpole segments: ")
    assert said.err.count("\n") == 1
    return said.err


def test_a_wrong_key(
    program: str, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.key"
    assert main(["keys", "make", "--to", str(other)]) == 0
    capsys.readouterr()
    said = fails([str(segments), "--identity", str(other)], capsys)
    assert "can't be opened with" in said
    assert "AGE-SECRET" not in said


def test_what_is_no_key(
    program: str, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.key"
    other.write_text("# nothing\n")
    assert "can't be opened with" in fails([str(segments), "--identity", str(other)], capsys)


def test_what_is_no_segment(
    program: str, segments: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails([str(segments / "index.db"), "--identity", str(key)], capsys)


def test_what_is_not_there(
    segments: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails([str(tmp_path / "none"), "--identity", str(key)], capsys)
    assert "No such file" in said
    said = fails([str(segments), "--identity", str(tmp_path / "none")], capsys)
    assert "private key" in said
    (tmp_path / "empty").mkdir()
    said = fails([str(tmp_path / "empty"), "--identity", str(key)], capsys)
    assert "no finished segment" in said
