"""What the crowd domain does before its walls stand, since it can't afterwards."""

from __future__ import annotations

__all__ = ["PreparedModels", "warm_up"]

import hashlib
import importlib
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path

import av
import numpy as np

from actors.crowd.memory import PictureMemory
from models import Arena, ModelError, ModelStore, shipped_manifest
from runtime.memory import keep_large_blocks_apart, protect

_LATE_IMPORTS = ("numpy.random", "encodings.idna", "encodings.latin_1", "av.video.reformatter")
"""What the libraries import only when it is first needed, by opening files."""
_DECODERS = ("h264", "hevc", "mjpeg", "mpeg4", "av1", "vp8", "vp9")
"""What cameras send, and what films for trying out hold."""


def warm_up() -> None:
    """Load whatever decoding and inference load late. No file is opened for them afterwards."""
    for module in _LATE_IMPORTS:
        importlib.import_module(module)
    for codec in _DECODERS:
        try:
            av.CodecContext.create(codec, "r")
        except (av.error.FFmpegError, ValueError):
            continue  # FFmpeg was built without it; a camera that sends it is told so later
    grey = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
    grey.reformat(format="yuv420p", threads=1).reformat(16, 16, "rgb24", threads=1)


class PreparedModels:
    """The models' files, verified and mapped, and the arena in which they will compute.

    A mapped file takes memory only while it is read, and no file is opened for it any more.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        """Raises ``ModelError`` for a model that is missing or not the manifest's."""
        self.folder = folder
        store = ModelStore(folder)
        self._digests: dict[str, str] = {}
        self._maps: Mapping[str, mmap.mmap] = {name: self._map(store, name) for name in names}
        self.arena: Arena | None = None
        self.lacking = ""
        """Why the models compute in ordinary memory; empty where they don't."""
        if PictureMemory.erases:
            keep_large_blocks_apart()
        try:
            self.arena = Arena.of_process()
        except ModelError as error:
            self.lacking = str(error)
        else:
            # Locked is what turns out to be used; left out of dumps and forks is all of it.
            self.lacking = protect(self.arena.address, self.arena.size, lock=False).lacking

    def take(self, name: str) -> bytes:
        """A model's bytes. Raises ``ModelError`` if its file has been changed meanwhile."""
        mapped = self._maps[name]
        content = mapped[:]
        mapped.madvise(mmap.MADV_DONTNEED)
        if hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise ModelError(
                f"model {name!r}",
                "was changed on disk after it had been verified",
                accepted="run: smartpole models fetch",
            )
        return content

    def _map(self, store: ModelStore, name: str) -> mmap.mmap:
        spec = shipped_manifest().spec(name)
        store.load(name)
        self._digests[name] = spec.sha256
        with (store.directory / spec.file).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_DONTNEED)
        return mapped
