"""The package's own names, and that it stands alone."""

from __future__ import annotations

import ast
from pathlib import Path

import models

_PACKAGE = Path(models.__file__).parent


def test_public_names() -> None:
    assert set(models.__all__) == {
        "Allocate",
        "Arena",
        "AttributeEstimator",
        "Box",
        "Face",
        "FaceAttributes",
        "FaceDetector",
        "Gender",
        "Manifest",
        "Mask",
        "ModelError",
        "ModelSpec",
        "ModelState",
        "ModelStore",
        "OutputKind",
        "PeopleFinder",
        "Person",
        "PersonDetector",
        "PersonSeen",
        "Presence",
        "Provider",
        "Search",
        "Session",
        "fuse",
        "open_session",
        "shipped_manifest",
    }
    assert all(hasattr(models, name) for name in models.__all__)


def test_conversion_libraries_are_imported_by_name_only_when_converting() -> None:
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"onnx", "h5py"}, path


def test_no_public_name_speaks_of_identity() -> None:
    """Guideline clause 4.2(2): no identification, so no API for it."""
    forbidden = ("embed", "identif", "recogni", "reid", "track", "feature")
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert not any(word in node.name.lower() for word in forbidden), (path, node.name)
