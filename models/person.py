"""Finds people in a picture with NanoDet.

Decoding follows the generalised focal loss (Li et al., 2020) that NanoDet is trained with: each
side of a box is a distribution over eleven distances from the cell's centre, and its mean counts.
"""

from __future__ import annotations

import msgspec
import numpy as np

from models.geometry import Box, Floats, Picture, suppress
from models.picture import PictureInput
from models.scratch import Allocate, Scratch, on_the_heap
from models.session import Session

__all__ = ["Person", "PersonDetector"]

STRIDES = (8, 16, 32)
BINS = 11
MEAN = (103.53, 116.28, 123.675)
SCALE = (57.375, 57.12, 58.395)
SCORE = 0.45
"""Below it a box is taken for nothing; see the model card for what was measured."""
OVERLAP = 0.5
"""Two boxes that share more (intersection over union) are the same person."""
INSIDE = 0.85
"""A box of which more lies inside a better one, or the reverse, is a part of the same person: near
and large people come in several boxes otherwise."""


class Person(msgspec.Struct, frozen=True):
    """A person's body: where it is, in pixels, and how sure the detector is (0 to 1)."""

    box: Box
    score: float


class PersonDetector:
    """Finds people in RGB pictures.

    detector = PersonDetector(open_session(store.load("person")))
    people = detector.detect(rgb)
    detector.erase()
    """

    def __init__(
        self,
        session: Session,
        input_size: tuple[int, int] | None = None,
        *,
        score: float = SCORE,
        overlap: float = OVERLAP,
        inside: float = INSIDE,
        allocate: Allocate = on_the_heap,
        scratch: Scratch | None = None,
    ) -> None:
        """`input_size` (width, height) reserves the memory at once, not at the first picture.

        `allocate` makes the memory in which a picture waits, `scratch` is where it is scaled.
        """
        self._session = session
        self._score = score
        self._overlap = overlap
        self._inside = inside
        self._input = PictureInput(
            bgr=True, mean=MEAN, scale=SCALE, size=input_size, allocate=allocate, scratch=scratch
        )
        names = list(session.outputs)
        self._order = names.index("scores"), names.index("distances")
        self._grid_for: tuple[int, int] = (0, 0)
        self._grid: Floats = np.zeros((0, 3), np.float32)

    def detect(self, rgb: Picture, reduced: float = 1.0) -> list[Person]:
        """All people in a picture (uint8, H x W x 3), best score first.

        With `reduced` below 1 the picture is scaled down by that factor before it is looked at: the
        model finds no one who is higher than 640 pixels there, but pieces of them. Boxes are in the
        picture's pixels and end at its edges. Sides that are multiples of 32 save a little work.
        """
        tensor = self._input.load(rgb, reduced)
        results = self._session.run(tensor)
        scores = results[self._order[0]][0, :, 0]
        cells = np.nonzero(scores > self._score)[0]
        if cells.size == 0:
            return []
        scores = scores[cells]
        grid = self._cells(tensor.shape[2], tensor.shape[3])[cells]
        distances = _means(results[self._order[1]][0, cells]) * grid[:, 2:]
        boxes = np.concatenate([grid[:, :2] - distances[:, :2], grid[:, :2] + distances[:, 2:]], 1)
        boxes /= np.float32(reduced)
        boxes = np.clip(boxes, 0, np.array([rgb.shape[1], rgb.shape[0]] * 2, np.float32))
        kept = suppress(boxes, scores, self._overlap, inside=self._inside)
        return [
            Person(Box(*box), score)
            for box, score in zip(boxes[kept].tolist(), scores[kept].tolist(), strict=True)
            if box[2] > box[0] and box[3] > box[1]
        ]

    def erase(self) -> None:
        """Overwrite the last picture in this detector's memory."""
        self._input.erase()

    def _cells(self, height: int, width: int) -> Floats:
        """Each cell's centre (column, row) and stride, in the order of the model's outputs."""
        if self._grid_for != (height, width):
            parts = []
            for stride in STRIDES:
                rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
                centres = (np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * stride
                parts.append(np.insert(centres, 2, stride, axis=1))
            self._grid = np.concatenate(parts).astype(np.float32)
            self._grid_for = (height, width)
        return self._grid


def _means(logits: Floats) -> Floats:
    """Mean distance, in strides, of each of four distributions: (n, 44) -> (n, 4)."""
    bins = logits.reshape(-1, 4, BINS)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    # Not a matrix product: it would wake the linear algebra library's own threads.
    return np.asarray((weights * np.arange(BINS, dtype=np.float32)).sum(axis=2))
