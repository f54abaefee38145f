"""The folder where fetched models lie, and the only way to read one: by name, hash checked."""

from __future__ import annotations

import hashlib
from enum import Enum
from pathlib import Path

import msgspec

from models.errors import ModelError
from models.manifest import Manifest, shipped_manifest

__all__ = ["ModelState", "ModelStore", "Presence"]


class Presence(Enum):
    """Whether a model's file is in the store, and is the one the manifest names."""

    PRESENT = "present"
    MISSING = "missing"
    WRONG = "wrong hash"


class ModelState(msgspec.Struct, frozen=True):
    """One line of `smartpole models list`."""

    name: str
    """The model's name in the manifest."""
    presence: Presence
    path: Path
    """Where its file lies, or would."""
    size: int
    """Bytes of that file; 0 when there is none."""
    package: str
    """Package and version it comes from, with the registry's kind."""
    licence: str
    """The package's licence, and the upstream's where it differs."""
    title: str


class ModelStore:
    """Reads models from a folder that `fetch` has filled.

    It never writes there. A model is handed out as bytes, because the code that runs it may open no
    file any more by then.

        store = ModelStore(Path("var/models"))
        session = open_session(store.load("face"), providers=["cpu"])
    """

    def __init__(self, directory: Path, *, table: Manifest | None = None) -> None:
        self._directory = directory
        self._manifest = table or shipped_manifest()

    @property
    def directory(self) -> Path:
        """The folder; it may not exist yet."""
        return self._directory

    def load(self, name: str) -> bytes:
        """The model's file, after its SHA-256 was compared with the manifest.

        Raises `ModelError` for an unknown name, a file that is missing or cannot be read, and one
        with another hash.
        """
        spec = self._manifest.spec(name)
        path = self._directory / spec.file
        command = f"smartpole models fetch --to {self._directory}"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ModelError(
                f"model {name!r}", f"is not in {self._directory}", accepted=f"run: {command}"
            ) from None
        except OSError as error:
            raise ModelError(f"model {name!r}", f"cannot be read: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != spec.sha256:
            raise ModelError(
                f"model {name!r}",
                f"in {path} is not the file the manifest names",
                why=f"its SHA-256 is {found}, the manifest says {spec.sha256}",
                accepted=f"remove the file or leave it, then run: {command}",
            )
        return content

    def states(self) -> list[ModelState]:
        """Each model of the manifest with what lies in the store for it; reads every file."""
        return [self._state(name) for name in self._manifest.models]

    def verify(self) -> list[ModelState]:
        """`states()`, provided that all is well.

        Raises `ModelError` naming every model that is missing or has another hash.
        """
        states = self.states()
        wrong = [state for state in states if state.presence is not Presence.PRESENT]
        if wrong:
            raise ModelError(
                f"models in {self._directory}",
                ", ".join(f"{state.name}: {state.presence.value}" for state in wrong),
                accepted=f"run: smartpole models fetch --to {self._directory}",
            )
        return states

    def _state(self, name: str) -> ModelState:
        spec = self._manifest.models[name]
        path = self._directory / spec.file
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = path.stat().st_size
            presence = Presence.PRESENT if digest == spec.sha256 else Presence.WRONG
        except FileNotFoundError:
            size, presence = 0, Presence.MISSING
        except OSError as error:
            raise ModelError(f"model {name!r}", f"cannot be read: {error}") from error
        package = spec.package
        licence = package.licence
        if package.upstream_licence != licence:
            licence = f"{licence} (upstream: {package.upstream_licence})"
        return ModelState(
            name=name,
            presence=presence,
            path=path,
            size=size,
            package=f"{package.kind.value} {package.name} {package.version}",
            licence=licence,
            title=spec.title,
        )
