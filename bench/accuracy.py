"""Accuracy: how many people, faces and attributes are told rightly in labelled pictures.

Looked at is as a pole with the usual settings looks: pictures wider than 768 pixels are scaled down
as the decoder does it. Where places are labelled, faces and people found are matched one to one
with those labelled, and every picture but a street is looked at again at a half and a third of its
size, which gives smaller faces. Where there are only numbers, as many as both sides name count as
found: recall is the sum of min(found, labelled) over labelled, precision the same over found, which
flatters where a miss and a mistake meet in one picture; and attributes are judged in pictures
whose faces are all of one kind.

``python -m bench accuracy --labels FILE.csv --root FOLDER`` takes pictures and films of one's own
(``bench/accuracy_labels.py`` says what the file holds). Without, it takes the reporting set in
``tests/data/people``, on which nothing was tuned.
"""

from __future__ import annotations

__all__ = ["benchmark", "frames_of"]

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import av
import av.error
import msgspec
import numpy as np

from bench.accuracy_labels import Labelled, read_labels
from bench.accuracy_match import FaceFound, Judged, judge
from bench.accuracy_pictures import FOLDER, LABELS
from bench.accuracy_sheet import Sheet
from bench.harness import BenchmarkFailed, Effort, Figure, Outcome, Target
from bench.pictures import scaled
from models import ModelError, ModelStore, PeopleFinder, Session, open_session

MODELS = Path("var/models")
SHEETS = Path("var/accuracy")

_WIDTH = 768
_SMALLER = (1.0, 1 / 2, 1 / 3)
_SIZES = ((16, 24), (24, 32), (32, 48), (48, 64), (64, 10_000))
"""Faces' widths in pixels of the picture that was looked at."""


class _Look(msgspec.Struct, frozen=True):
    """One picture looked at once."""

    labelled: Labelled
    scale: float
    """Below 1: the picture was made smaller on purpose."""
    judged: Judged


def benchmark(effort: Effort) -> Outcome:
    """Measure on a label file and its pictures; the sheet to look at lies in var/accuracy."""
    if (effort.labels is None) != (effort.root is None):
        raise BenchmarkFailed("--labels FILE.csv and --root FOLDER go together")
    labels, root = effort.labels or LABELS / "reporting.csv", effort.root or FOLDER
    finder = _finder()
    looks: list[_Look] = []
    absent = []
    with Sheet(SHEETS / f"{labels.stem}.html") as sheet:
        for row, frame in frames_of(read_labels(labels), root):
            if frame is None:
                absent.append(row.name)
                continue
            again = row.places is not None and row.scene != "street" and not effort.is_quick
            for shrunk in _SMALLER if again else (1.0,):
                width = min(_WIDTH, frame.width)
                rgb = scaled(frame, round(width * shrunk))
                judged = judge(row, finder.find(rgb), rgb.shape[1] / frame.width)
                looks.append(_Look(row, shrunk, judged))
                if shrunk == 1.0:
                    sheet.add(row, rgb, judged)
        if not looks:
            raise BenchmarkFailed(
                f"none of the pictures that {labels.name} names is in {root}. "
                "Fetch ours with: python -m bench.accuracy_pictures"
            )
    lacking = [f"{len(absent)} pictures: {', '.join(absent[:5])}"] if absent else []
    figures = [*_detection(looks), *_attributes(looks)]
    if not any(face.mask == "worn" for look in looks for face in look.judged.faces):
        lacking.append("masks that are worn: no picture has one. Bring your own (--labels)")
    return Outcome(figures=tuple(figures), not_available=tuple(lacking))


def _finder() -> PeopleFinder:
    store = ModelStore(MODELS)

    def session(name: str) -> Session:
        threads = len(os.sched_getaffinity(0))
        return open_session(store.load(name), intra_op_threads=threads, keep_arena=True)

    try:
        return PeopleFinder.opened(
            session,
        )
    except ModelError as error:
        raise BenchmarkFailed(str(error)) from None


def frames_of(
    rows: Sequence[Labelled], root: Path
) -> Iterator[tuple[Labelled, av.VideoFrame | None]]:
    """Each labelled frame; None where its file is not there or ends before it."""
    by_file: dict[str, list[Labelled]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    for name, wanted in by_file.items():
        waiting = {row.frame_no: row for row in wanted}
        try:
            with av.open(root / name) as film:
                for number, frame in enumerate(film.decode(video=0)):
                    if number in waiting:
                        yield waiting.pop(number), frame
                    if not waiting:
                        break
        except FileNotFoundError:
            pass
        except (av.error.FFmpegError, IndexError) as error:
            raise BenchmarkFailed(f"{name} can't be decoded: {error}") from None
        for row in waiting.values():
            yield row, None


# -- figures ---------------------------------------------------------------------------------------


def _detection(looks: Sequence[_Look]) -> Iterator[Figure]:
    groups = [look for look in looks if look.labelled.scene == "group"]
    whole = [look for look in looks if look.scale == 1.0]
    for title, some, least in (
        ("group photos", groups, (0.97, 0.95)),
        ("all pictures", looks, (None, None)),
    ):
        faces = [look.judged for look in some if look.judged.faces_known]
        if not some or (title == "all pictures" and len(groups) == len(looks)):
            continue
        there = [face for one in faces for face in one.faces if face.width >= 16]
        wrong = sum(width >= 16 for one in faces for width in one.faces_wrong)
        found = sum(face.found for face in there)
        yield from _share(f"faces ≥ 16 px, {title}: recall", found, len(there), least=least[0])
        yield from _share(f"faces ≥ 16 px, {title}: precision", found, found + wrong, least[1])
    for low, high in _SIZES:
        there = [f for look in looks for f in look.judged.faces if low <= f.width < high]
        yield from _share(
            f"faces {_size(low, high)}: recall", sum(f.found for f in there), len(there)
        )
    scenes = list(dict.fromkeys(look.labelled.scene for look in whole))
    for scene in scenes:
        some = [look for look in whole if look.labelled.scene == scene]
        people = [look.judged for look in some if look.judged.people_known]
        right, there_are = sum(p.people_right for p in people), sum(p.people_there for p in people)
        wrong = sum(p.people_wrong for p in people)
        yield from _share(f"people, {scene}: recall", right, there_are)
        yield from _share(f"people, {scene}: precision", right, right + wrong)
        errors = [e for look in some if (e := look.labelled.error(look.judged.people)) is not None]
        if errors:
            most = {"street": 0.5, "group": 0.3}.get(scene)
            yield _figure(
                f"people, {scene}: mean absolute error of the count",
                float(np.mean(np.abs(errors))),
                "people",
                better="lower",
                target=None if most is None else Target(of="value", most=most),
                details={
                    "bias": round(float(np.mean(errors)), 3),
                    "pictures": len(errors),
                    "exact": sum(error == 0 for error in errors),
                    "furthest off": max(map(abs, errors)),
                },
            )


def _attributes(looks: Sequence[_Look]) -> Iterator[Figure]:
    faces = [face for look in looks for face in look.judged.faces if face.found]
    bare = [face for face in faces if face.mask != "worn" and face.gender]
    masked = [face for face in faces if face.mask == "worn" and face.gender]
    for title, some, least in (("bare", bare, 0.95), ("masked", masked, None)):
        yield from _known_and_right(
            f"gender, {title} faces", some, lambda f: f.gender, lambda f: f.said_gender, 32, least
        )
    for kind in ("worn", "not worn"):
        some = [face for face in faces if face.mask == kind]
        title = f"mask {kind}"
        yield from _known_and_right(title, some, lambda f: f.mask, lambda f: f.said_mask, 20, 0.95)
    for gender in ("female", "male"):
        some = [face for face in bare if face.gender == gender]
        yield from _known_and_right(
            f"gender, bare {gender} faces",
            some,
            lambda f: f.gender,
            lambda f: f.said_gender,
            32,
            None,
            by_size=False,
        )


def _known_and_right(
    title: str,
    faces: Sequence[FaceFound],
    true: Callable[[FaceFound], str],
    said: Callable[[FaceFound], str],
    smallest: int,
    least: float | None,
    *,
    by_size: bool = True,
) -> Iterator[Figure]:
    sizes = [(smallest, 10_000), *(_SIZES if by_size else ())]
    for number, (low, high) in enumerate(sizes):
        some = [face for face in faces if low <= face.width < high]
        known = [face for face in some if said(face) != "unknown"]
        right = sum(said(face) == true(face) for face in known)
        for figure in _share(
            f"{title} {_size(low, high)}: right of those known",
            right,
            len(known),
            least if number == 0 else None,
        ):
            share = round(len(known) / len(some), 3)
            yield msgspec.structs.replace(
                figure,
                details={**figure.details, "known": share},
                note=f"known of {share:.3g} of {len(some)} faces",
            )


def _share(name: str, part: int, whole: int, least: float | None = None) -> Iterable[Figure]:
    """A figure from 0 to 1, or none where there is nothing to tell."""
    if whole:
        target = None if least is None else Target(of="value", least=least)
        yield _figure(name, part / whole, "share", target=target, details={"of": whole})


def _figure(
    name: str,
    value: float,
    unit: str,
    *,
    better: Literal["higher", "lower"] = "higher",
    target: Target | None = None,
    details: dict[str, float],
) -> Figure:
    return Figure(
        name=name,
        value=round(value, 4),
        unit=unit,
        better=better,
        target=target,
        met=None if target is None else target.is_met(value),
        details=details,
        note=", ".join(f"{name} {number:.3g}" for name, number in details.items()),
    )


def _size(low: int, high: int) -> str:
    return f"≥ {low} px" if high >= 10_000 else f"{low} to {high - 1} px"
