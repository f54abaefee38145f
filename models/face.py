"""Finds faces in a picture with CenterFace.

Decoding follows the model's paper (Xu et al., "CenterFace: Joint Face Detection and Alignment Using
Face as Point", 2019): a peak of the heat map is a face's centre, and the other maps hold there its
size, the centre's place in the cell, and five points.
"""

from __future__ import annotations

import msgspec
import numpy as np

from models.geometry import Box, Floats, Picture, suppress
from models.picture import PictureInput
from models.scratch import Allocate, Scratch, on_the_heap
from models.session import Session

__all__ = ["Face", "FaceDetector", "FivePoints", "Point"]

STRIDE = 4
"""Pixels of the picture per cell of the maps."""
SCORE = 0.5
"""Below it a peak is taken for nothing; see the model card for what was measured."""
OVERLAP = 0.3
"""Two boxes that share more (intersection over union) are the same face."""

Point = tuple[float, float]
FivePoints = tuple[Point, Point, Point, Point, Point]


class Face(msgspec.Struct, frozen=True):
    """A face: where it is, how sure the detector is (0 to 1), and five points, all in pixels.

    The points are the left eye, right eye, nose, left and right corner of the mouth, left and right
    as seen in the picture. They serve to cut the face out upright and are never kept.
    """

    box: Box
    score: float
    points: FivePoints


class FaceDetector:
    """Finds faces in RGB pictures.

    detector = FaceDetector(open_session(store.load("face")))
    faces = detector.detect(rgb)
    detector.erase()
    """

    def __init__(
        self,
        session: Session,
        input_size: tuple[int, int] | None = None,
        *,
        score: float = SCORE,
        overlap: float = OVERLAP,
        allocate: Allocate = on_the_heap,
        scratch: Scratch | None = None,
    ) -> None:
        """`input_size` (width, height) reserves the memory at once, not at the first picture.

        `allocate` makes the memory in which a picture waits, `scratch` is where it is scaled.
        """
        self._session = session
        self._score = score
        self._overlap = overlap
        self._input = PictureInput(size=input_size, allocate=allocate, scratch=scratch)
        names = list(session.outputs)
        self._order = [names.index(name) for name in ("heatmap", "scale", "offset", "landmarks")]

    def detect(self, rgb: Picture, reduced: float = 1.0) -> list[Face]:
        """All faces in a picture (uint8, H x W x 3), best score first.

        With `reduced` below 1 the picture is scaled down by that factor before it is looked at.
        Boxes are in the picture's pixels and end at its edges. Sides that are multiples of 32 save
        a little work; smaller faces than about 10 pixels are not found.
        """
        results = self._session.run(self._input.load(rgb, reduced))
        heatmap, scale, offset, landmarks = (results[index][0] for index in self._order)
        rows, columns = np.nonzero(heatmap[0] > self._score)
        if rows.size == 0:
            return []
        scores = heatmap[0, rows, columns]
        heights, widths = np.exp(scale[:, rows, columns]) * STRIDE
        row_offsets, column_offsets = offset[:, rows, columns]
        left = (columns + column_offsets + 0.5) * STRIDE - widths / 2
        top = (rows + row_offsets + 0.5) * STRIDE - heights / 2
        boxes: Floats = np.stack([left, top, left + widths, top + heights], axis=1)
        boxes = boxes.astype(np.float32)
        widths, heights, boxes = (np.asarray(a / reduced) for a in (widths, heights, boxes))
        kept = suppress(boxes, scores, self._overlap)
        # (row, column) five times, as fractions of the box -> (column, row) in pixels.
        points = landmarks[:, rows[kept], columns[kept]].T.reshape(-1, 5, 2)[:, :, ::-1]
        sizes = np.stack([widths[kept], heights[kept]], axis=1)
        points = points * sizes[:, None, :] + boxes[kept, None, :2]
        limits = np.array([rgb.shape[1], rgb.shape[0]] * 2, np.float32)
        inside = np.clip(boxes[kept], 0, limits)
        return [
            Face(Box(*box), score, _five(five))
            for box, score, five in zip(
                inside.tolist(), scores[kept].tolist(), points.tolist(), strict=True
            )
            if box[2] > box[0] and box[3] > box[1]
        ]

    def erase(self) -> None:
        """Overwrite the last picture in this detector's memory."""
        self._input.erase()


def _five(points: list[list[float]]) -> FivePoints:
    first, second, third, fourth, fifth = ((x, y) for x, y in points)
    return first, second, third, fourth, fifth
