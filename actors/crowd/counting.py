"""From one picture to counts."""

from __future__ import annotations

__all__ = ["InferenceModels", "PeopleCounter"]

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.crowd.messages import AgeBand, AttributeCount, Gender, Mask
from models import (
    AttributeEstimator,
    FaceAttributes,
    FaceDetector,
    ModelError,
    ModelStore,
    PersonDetector,
    Provider,
    Session,
    fuse,
    open_session,
    shipped_manifest,
)
from runtime import Authority, Capability, Models, Unrecoverable

_MODELS = ("face", "person", "age", "gender", "mask")


class _ModelSettings(Protocol):
    @property
    def models(self) -> Path: ...


class InferenceModels(
    Capability, kind=Models("inference"), rights="use the bytes of verified models"
):
    """The models' bytes, read and checked against the manifest before the actor runs."""

    @classmethod
    def prepare(cls, authority: Authority) -> dict[str, bytes]:
        settings: _ModelSettings = authority.settings  # type: ignore[assignment]
        store = ModelStore(settings.models)
        try:
            return {name: store.load(name) for name in _MODELS}
        except ModelError as error:
            raise Unrecoverable(str(error)) from None

    def __init__(self, authority: Authority) -> None:
        self._bytes = dict(authority.prepared)  # type: ignore[call-overload]

    def take(self, name: str) -> bytes:
        """The bytes of a model, once: whoever opened it has no use for them any more."""
        return self._bytes.pop(name)

    def close(self) -> None:
        self._bytes.clear()


class PeopleCounter:
    """Counts the people in a picture by estimated gender, age band and mask.

    It remembers nothing from one picture to the next. Raises Unrecoverable where a model can't run
    on any of ``providers``.
    """

    def __init__(
        self, models: InferenceModels, *, providers: Sequence[Provider], threads: int
    ) -> None:
        manifest = shipped_manifest()
        self.providers: dict[str, Provider] = {}
        """By model: where it really runs."""

        def session(name: str) -> Session:
            opened = open_session(
                models.take(name),
                providers=providers,
                intra_op_threads=threads,
                spec=manifest.models[name],
            )
            self.providers[name] = opened.provider
            return opened

        try:
            self._faces = FaceDetector(session("face"))
            self._persons = PersonDetector(session("person"))
            self._attributes = AttributeEstimator(
                age=session("age"), gender=session("gender"), mask=session("mask")
            )
        except ModelError as error:
            raise Unrecoverable(str(error)) from None

    def count(self, rgb: NDArray[np.uint8]) -> tuple[AttributeCount, ...]:
        """How many people share each combination of attributes (guideline 6.1(3)).

        Whatever it computes with is overwritten before it returns.
        """
        try:
            faces = self._faces.detect(rgb)
            people = fuse(faces, self._attributes.estimate(rgb, faces), self._persons.detect(rgb))
        finally:
            for user in (self._faces, self._persons, self._attributes):
                user.erase()
        cells = Counter(_cell(person.attributes) for person in people)
        return tuple(
            AttributeCount(gender=gender, age=age, mask=mask, people=number)
            for (gender, age, mask), number in sorted(
                cells.items(), key=lambda cell: tuple(part.value for part in cell[0])
            )
        )


def _cell(attributes: FaceAttributes) -> tuple[Gender, AgeBand, Mask]:
    return (
        Gender(attributes.gender.value),
        _band(attributes.age),
        Mask(attributes.mask.value),
    )


def _band(age: float | None) -> AgeBand:
    if age is None:
        return AgeBand.UNKNOWN
    if age < 20:
        return AgeBand.UP_TO_19
    if age < 40:
        return AgeBand.FROM_20
    return AgeBand.FROM_40 if age < 60 else AgeBand.FROM_60
