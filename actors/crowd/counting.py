"""From one picture to counts."""

from __future__ import annotations

__all__ = ["InferenceModels", "PeopleCounter"]

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.crowd.bands import AgeEdges, band_of
from actors.crowd.memory import PictureMemory
from actors.crowd.messages import DEFAULT_AGE_BANDS, AgeBand, AttributeCount, Gender, Mask
from actors.crowd.preparation import PreparedModels, warm_up
from actors.crowd.region import Region
from models import (
    Arena,
    FaceAttributes,
    ModelError,
    PeopleFinder,
    Provider,
    Search,
    Session,
    open_session,
    shipped_manifest,
)
from runtime import Authority, Capability, Models, Reach, Unrecoverable

_GPU_FILES = tuple(
    Path(path)
    for path in ("/usr/lib", "/usr/local/cuda", "/proc/driver/nvidia", "/sys/bus/pci/devices")
)
"""What NVIDIA's libraries open, when the first session is made."""


class _ModelSettings(Protocol):
    @property
    def models(self) -> Path: ...


class InferenceModels(
    Capability, kind=Models("inference"), rights="use the bytes of verified models"
):
    """The models, checked against the manifest before the domain's walls stand, and opened inside
    them: once for all actors of the domain that use them alike."""

    @classmethod
    def reach(cls, settings: Any) -> Reach:
        """Nothing on the CPU; a GPU's device nodes and libraries, where such a provider is asked
        for. Which of them a driver needs was not tried: no GPU was at hand."""
        if not {"cuda", "tensorrt"} & set(settings.providers):
            return Reach()
        nodes = [*Path("/dev").glob("nvidia*"), *Path("/dev").glob("nvidia-caps/*")]
        return Reach(
            read=tuple(path for path in _GPU_FILES if path.exists()),
            devices=tuple(sorted(node for node in nodes if node.is_char_device())),
        )

    @classmethod
    def prepare(cls, authority: Authority) -> PreparedModels:
        """Read and verify the models, and load all that decoding and inference load late."""
        settings: _ModelSettings = authority.settings  # type: ignore[assignment]
        folder = settings.models

        def prepared() -> PreparedModels:
            made = PreparedModels(folder, PeopleFinder.MODELS)
            warm_up()
            return made

        try:
            return authority.commons.take((PreparedModels, folder), prepared)
        except ModelError as error:
            raise Unrecoverable(str(error)) from None

    def __init__(self, authority: Authority) -> None:
        if not isinstance(authority.prepared, PreparedModels):
            raise Unrecoverable("the models have not been prepared before the domain was confined")
        self._prepared = authority.prepared
        self._commons = authority.commons
        self._held: list[Hashable] = []

    @property
    def arena(self) -> Arena | None:
        """Where the models compute; None where it could not be had, and ``lacking`` says why."""
        return self._prepared.arena

    @property
    def lacking(self) -> str:
        return self._prepared.lacking

    def sessions(self, providers: Sequence[Provider], threads: int) -> Mapping[str, Session]:
        """Each model, open. Actors that ask for the same are given the same: a session keeps
        nothing of a picture, since the arena is one's alone and overwritten (``Arena.in_use``).

        Raises ``ModelError`` where a model can't run on any of ``providers``.
        """
        key = (Session, self._prepared.folder, tuple(providers), threads)
        manifest = shipped_manifest()

        def opened(name: str) -> Session:
            # The bytes go when the session stands: nobody has a use for them any more.
            return open_session(
                self._prepared.take(name),
                providers=providers,
                intra_op_threads=threads,
                arena=self.arena,
                spec=manifest.models[name],
            )

        sessions = self._commons.take(key, lambda: {n: opened(n) for n in PeopleFinder.MODELS})
        self._held.append(key)
        return sessions

    def close(self) -> None:
        """Sessions that no other actor uses are not given to the next incarnation."""
        while self._held:
            self._commons.give_back(self._held.pop())


class PeopleCounter:
    """Counts the people in a picture by estimated gender, age band and mask.

    It remembers nothing from one picture to the next. Raises Unrecoverable where a model can't run
    on any of ``providers``.
    """

    def __init__(
        self,
        models: InferenceModels,
        *,
        providers: Sequence[Provider],
        threads: int,
        memory: PictureMemory | None = None,
        search: Search | None = None,
        region: Region | None = None,
        age_bands: AgeEdges = DEFAULT_AGE_BANDS,
    ) -> None:
        self.memory = memory or PictureMemory()
        self._arena = models.arena
        self._region = region or Region()
        self._age_bands = age_bands
        try:
            sessions = models.sessions(providers, threads)
        except ModelError as error:
            raise Unrecoverable(str(error)) from None
        self.providers = {name: session.provider for name, session in sessions.items()}
        """By model: where it really runs."""
        self._finder = PeopleFinder.opened(
            sessions.__getitem__, search=search, allocate=self.memory.allocate
        )

    def count(self, rgb: NDArray[np.uint8]) -> tuple[AttributeCount, ...]:
        """How many people share each combination of attributes (guideline 6.1(3)).

        What lies outside the region is black in ``rgb`` afterwards. Whatever it computes with is
        overwritten before it returns.
        """
        with self._erasing():
            people = self._finder.find(self._region.cut(rgb))
        cells = Counter(self._cell(person.attributes) for person in people)
        return tuple(
            AttributeCount(gender=gender, age=age, mask=mask, people=number)
            for (gender, age, mask), number in sorted(
                cells.items(), key=lambda cell: tuple(part.value for part in cell[0])
            )
        )

    @contextmanager
    def _erasing(self) -> Iterator[None]:
        erase = PictureMemory.erases
        with nullcontext() if self._arena is None else self._arena.in_use(erase=erase):
            try:
                yield
            finally:
                if erase:
                    self._finder.erase()
        if self._arena is not None and erase:
            self.memory.lock(self._arena)

    def _cell(self, attributes: FaceAttributes) -> tuple[Gender, AgeBand, Mask]:
        return (
            Gender(attributes.gender.value),
            band_of(attributes.age, self._age_bands),
            Mask(attributes.mask.value),
        )
