"""The table of models: where each comes from, what it must hash to, and what it may say.

The table is `manifest.toml` beside this file. It is data, checked in full when it is read; nothing
in this package runs a model that does not stand there. Its `outputs` are an allow-list: guideline
clause 4.2(2) forbids identification, so an output has one of the kinds of `OutputKind`, and there
is no kind for an embedding, a feature vector or an identity.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from models.errors import ModelError

__all__ = [
    "Conversion",
    "InputSpec",
    "Manifest",
    "ModelSpec",
    "OutputKind",
    "OutputSpec",
    "Package",
    "PackageFile",
    "PackageKind",
    "Requirement",
    "read_manifest",
    "shipped_manifest",
]

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
# What a package registry's client takes as a name, and nothing that it could take for an option,
# an address or a path.
PackageName = Annotated[
    str, msgspec.Meta(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*$")
]
PackageVersion = Annotated[str, msgspec.Meta(pattern=r"^[0-9][0-9A-Za-z.+!-]*$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\.onnx$")]
CardName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\.md$")]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class OutputKind(Enum):
    """All that a model here may say about a picture; the list is closed on purpose.

    Each is needed to count people or to estimate one of the three attributes. A vector that could
    tell one person from another fits none of them.
    """

    FACE_SCORE = "face-score"
    FACE_POINTS = "face-points"
    PERSON_SCORE = "person-score"
    BOX_SIZE = "box-size"
    BOX_OFFSET = "box-offset"
    BOX_DISTANCES = "box-distances"
    AGE_DISTRIBUTION = "age-distribution"
    GENDER_PROBABILITY = "gender-probability"
    MASK_PROBABILITY = "mask-probability"

    @property
    def widest(self) -> int:
        """How many numbers the kind needs per place or face, and so may have at most.

        This is what keeps an embedding from being declared under an innocent kind's name.
        """
        return _WIDEST[self]


_WIDEST = {
    OutputKind.FACE_SCORE: 1,
    OutputKind.FACE_POINTS: 10,
    OutputKind.PERSON_SCORE: 1,
    OutputKind.BOX_SIZE: 2,
    OutputKind.BOX_OFFSET: 2,
    OutputKind.BOX_DISTANCES: 44,
    OutputKind.AGE_DISTRIBUTION: 81,
    OutputKind.GENDER_PROBABILITY: 2,
    OutputKind.MASK_PROBABILITY: 2,
}


class PackageKind(Enum):
    """The registry a package comes from, by the client that is used for it."""

    PYPI = "pypi"
    NPM = "npm"


class Conversion(Enum):
    """What is done to the package's files to make the ONNX file that runs."""

    NONE = "none"
    FACE_SIDES = "face-sides"
    NANODET_TFJS = "nanodet-tfjs"
    MASK_KERAS = "mask-keras"


class PackageFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file inside a package: its path there and its SHA-256 in hexadecimal."""

    path: NotEmpty
    sha256: Sha256


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registry package that carries a model, with the licence it states and the upstream's."""

    kind: PackageKind
    name: PackageName
    version: PackageVersion
    licence: NotEmpty
    upstream: NotEmpty
    upstream_licence: NotEmpty
    files: Annotated[tuple[PackageFile, ...], msgspec.Meta(min_length=1)]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that fetching may need: a PyPI package at one version."""

    name: PackageName
    version: PackageVersion


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model takes: (pixel - mean) / scale per channel, in the order of `colours`."""

    name: NotEmpty
    shape: tuple[str, str, str, str]
    layout: Literal["NCHW"]
    colours: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    side_multiple: Annotated[int, msgspec.Meta(ge=1)] = 1


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One output a model may have: its kind, shape and meaning in words."""

    kind: OutputKind
    shape: tuple[str, ...]
    meaning: NotEmpty


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the manifest says of one model. `file` and `sha256` are of the file that runs."""

    title: NotEmpty
    package: Package
    conversion: Conversion
    file: FileName
    sha256: Sha256
    card: CardName
    use: NotEmpty
    input: InputSpec
    outputs: Annotated[dict[str, OutputSpec], msgspec.Meta(min_length=1)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table. `npm_wheel` is the wheel that brings npm where none is installed."""

    format: Literal[1]
    npm_wheel: Requirement
    models: dict[str, ModelSpec]

    def spec(self, name: str) -> ModelSpec:
        """The entry of the model `name`; `ModelError` names the known ones when there is none."""
        try:
            return self.models[name]
        except KeyError:
            raise ModelError(
                f"model {name!r}",
                "is not in the manifest",
                why="only models with a source, a hash and a list of allowed outputs may run",
                accepted=", ".join(self.models),
            ) from None


_PATH = Path(__file__).with_name("manifest.toml")
_OUTPUT_KIND_AT = re.compile(r"outputs\[.*\]\.kind|outputs\.[^.`]+\.kind")


@cache
def shipped_manifest() -> Manifest:
    """The manifest that ships with this package, read once.

    Call it before the code's domain is confined: afterwards the file cannot be opened any more.
    """
    return read_manifest(_PATH)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest file; `ModelError` tells which key is wrong and what would do."""
    who = f"model manifest {path.name}"
    try:
        table = msgspec.toml.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelError(who, "cannot be read", why=str(error)) from error
    except msgspec.ValidationError as error:
        raise _refusal(who, str(error)) from error
    except msgspec.DecodeError as error:
        raise ModelError(who, "is no valid TOML", why=str(error)) from error
    for name, spec in table.models.items():
        _check(f"{who}, model {name}", spec)
    return table


def _refusal(who: str, reason: str) -> ModelError:
    if _OUTPUT_KIND_AT.search(reason):
        return ModelError(
            who,
            "has an output of a kind that no model here may have",
            why=f"{reason}; guideline clause 4.2(2) forbids identification, so embeddings, feature "
            "vectors and identities have no kind",
            accepted=", ".join(kind.value for kind in OutputKind),
        )
    return ModelError(
        who,
        "has an entry that is not accepted",
        why=reason,
        accepted="see the classes of models/manifest.py; each key of the manifest is a field there",
    )


def _check(who: str, spec: ModelSpec) -> None:
    for output, said in spec.outputs.items():
        _check_width(who, output, said)
    for file in spec.package.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise ModelError(
                who,
                f"names the package file {file.path!r}",
                why="the path leaves the package",
                accepted="a path inside the package, such as models/name.onnx",
            )
    hashes = [file.sha256 for file in spec.package.files]
    if spec.conversion is Conversion.NONE and hashes != [spec.sha256]:
        raise ModelError(
            who,
            "is used as it comes, yet its hash differs from its package file's",
            why="conversion is none, so both are the same file",
            accepted="one package file, with the SHA-256 of the entry",
        )


def _check_width(who: str, output: str, said: OutputSpec) -> None:
    widest = said.kind.widest
    # Channels stand second in a map (N, C, rows, columns) and last in a table (N, ..., C).
    position = 1 if len(said.shape) == 4 else -1
    channels = said.shape[position] if len(said.shape) >= 2 else ""
    if not channels.isdecimal() or not 1 <= int(channels) <= widest:
        raise ModelError(
            who,
            f"declares output {output!r} as {said.kind.value} with shape {list(said.shape)}",
            why=f"a {said.kind.value} has at most {widest} numbers for each place or face; more "
            "could carry what tells persons apart (guideline clause 4.2(2))",
            accepted=f"a shape whose channel count is a number from 1 to {widest}",
        )
