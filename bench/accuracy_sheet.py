"""A page to look at: each picture with what was found in it."""

from __future__ import annotations

__all__ = ["Sheet"]

import base64
from fractions import Fraction
from html import escape
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

from bench.accuracy_labels import Labelled
from bench.accuracy_match import Judged
from models import Box, PersonSeen

_HEAD = """<!doctype html><meta charset="utf-8"><title>Accuracy: what was found</title>
<style>
body { font: 14px/1.4 sans-serif; margin: 1rem; background: #fff; color: #222 }
main { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; width: 30rem } figure.wrong figcaption { color: #b00020; font-weight: bold }
svg { width: 100%; height: auto; display: block; background: #000 }
rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }
.body { stroke: #ffd54f } .face { stroke: #4dd0e1 }
text { fill: #fff; stroke: #000; stroke-width: 3; paint-order: stroke }
</style>
<h1>What was found</h1>
<p>Yellow: bodies. Blue: faces, with what is estimated. Captions in red: the count is not the
labelled one. These are pictures of people: delete the page when it has been looked at.</p>
<main>
"""


class Sheet:
    """An HTML page that holds its pictures; it is written when the block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[str] = [_HEAD]

    def __enter__(self) -> Sheet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("".join([*self._parts, "</main>\n"]), encoding="utf-8")

    def add(self, row: Labelled, rgb: NDArray[np.uint8], judged: Judged) -> None:
        """Append one picture."""
        height, width = rgb.shape[:2]
        picture = base64.b64encode(_jpeg(rgb)).decode()
        boxes = "".join(_person(one, width) for one in judged.seen)
        persons = "?" if row.persons is None else str(row.persons)
        if row.persons_max is not None and row.persons_max != row.persons:
            persons += f" to {row.persons_max}"
        faces = sum(one.face is not None for one in judged.seen)
        wrong = ' class="wrong"' if row.error(judged.people) else ""
        self._parts.append(
            f"<figure{wrong}>"
            f'<svg viewBox="0 0 {width} {height}">'
            f'<image href="data:image/jpeg;base64,{picture}" width="{width}" height="{height}"/>'
            f"{boxes}</svg><figcaption>{escape(row.name)}: {judged.people} people, {persons} "
            f"labelled; {faces} faces, {'?' if row.faces is None else row.faces} labelled"
            "</figcaption></figure>\n"
        )


def _person(one: PersonSeen, width: int) -> str:
    drawn = _rectangle(one.body, "body") if one.body else ""
    if one.face is None:
        return drawn
    found = one.attributes
    age = "age ?" if found.age is None else f"{found.age:.0f}"
    mask = {"worn": "mask", "not worn": "no mask", "unknown": "mask ?"}[found.mask.value]
    gender = {"female": "f", "male": "m", "unknown": "f/m ?"}[found.gender.value]
    size = max(8.0, width / 60)
    return (
        f"{drawn}{_rectangle(one.face, 'face')}"
        f'<text x="{one.face.left:.0f}" y="{one.face.top - 3:.0f}" font-size="{size:.0f}">'
        f"{escape(f'{gender}, {age}, {mask}')}</text>"
    )


def _rectangle(box: Box, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{box.left:.0f}" y="{box.top:.0f}" '
        f'width="{box.width:.0f}" height="{box.height:.0f}"/>'
    )


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    height, width = rgb.shape[:2]
    even = np.ascontiguousarray(rgb[: height - height % 2 or 1, : width - width % 2 or 1])
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = even.shape[1], even.shape[0]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qscale": "4"}
    frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
