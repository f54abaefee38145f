"""Looking at one picture, whole: faces, bodies, attributes, and overwriting it all.

Ours is what the crowd actor runs; beside it the same models in plain sessions with their arena and
nothing overwritten. Both count the same people, which is checked.
"""

from __future__ import annotations

__all__ = ["measure_looking"]

import itertools
import os
from collections.abc import Iterator
from statistics import median

import av
import numpy as np
from numpy.typing import NDArray

from actors.crowd.actor import CrowdSettings
from actors.crowd.counting import InferenceModels, PeopleCounter
from bench.accuracy_labels import Labelled, read_labels
from bench.accuracy_pictures import FOLDER, LABELS
from bench.bare import BareLoop
from bench.energy import EnergyMeter
from bench.harness import BenchmarkFailed, Comparison, Effort, Figure, Target, percentile
from bench.pictures import scaled
from bench.pipeline import CLIP, MODELS
from bench.sessions import alternate
from models import Search
from runtime import Authority

_WIDTHS = (512, 768, 1280)
_SECONDS = 6.0
_PICTURES = 5
_CROWD = (1920, 1080)
_COLUMNS, _ROWS = 12, 9
_FACE = 56
"""Pixels: wide enough for all attributes, age too."""
_MOST_FOR_A_CROWD = 1000.0
_SEEN_OF_A_CROWD = 100


def measure_looking(effort: Effort) -> tuple[list[Figure], list[str]]:
    """By width and threads, on the street; and at a picture of a hundred faces."""
    meter = EnergyMeter()
    lacking = [meter.lacking] if meter.lacking else []
    threads = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    figures = []
    for width in (768,) if effort.is_quick else _WIDTHS:
        pictures = list(_street(width))
        # Faces are looked for at the picture's own width: what is asked is what a width costs.
        search = Search(face_width=width)
        name = f"a picture of the street, {width} wide"
        figures += [_measure(name, pictures, width, n, meter, effort, search) for n in threads]
    try:
        crowd = _crowd()
    except BenchmarkFailed as error:
        return figures, [*lacking, f"a picture of a hundred faces: {error}"]
    for n in threads:
        name = "a picture of a hundred faces"
        target = Target(of="value", most=_MOST_FOR_A_CROWD) if n == threads[-1] else None
        figures.append(_measure(name, [crowd], _CROWD[0], n, meter, effort, Search(), target))
    return figures, lacking


def _measure(
    name: str,
    pictures: list[NDArray[np.uint8]],
    width: int,
    threads: int,
    meter: EnergyMeter,
    effort: Effort,
    search: Search,
    target: Target | None = None,
) -> Figure:
    ours = _counter(threads, search)
    bare = BareLoop(MODELS, threads=threads, width=width, search=search)
    # What lies outside a region is made black, so each run has a picture of its own.
    copies = [picture.copy() for picture in pictures]
    seen = [sum(cell.people for cell in ours.count(picture)) for picture in copies]
    if seen != [bare.count(picture) for picture in pictures]:
        raise BenchmarkFailed("the crowd actor's counter and the bare loop see different people")
    if target is not None and seen[0] < _SEEN_OF_A_CROWD:
        raise BenchmarkFailed(f"of the crowd's people only {seen[0]} were seen")
    mine, theirs = itertools.cycle(copies), itertools.cycle(pictures)
    meter.restart()
    own, other = alternate(
        lambda: ours.count(next(mine)),
        lambda: bare.count(next(theirs)),
        effort.seconds(_SECONDS),
    )
    joules = meter.joules()
    p50, p95, p99 = (percentile(own, share) for share in (0.50, 0.95, 0.99))
    a_second = 1000 * len(own) / sum(own)
    people = a_second * sum(seen) / len(seen)
    details = {
        "p50, ms": p50,
        "p95, ms": p95,
        "p99, ms": p99,
        "pictures/s": a_second,
        "people/s": people,
        "people in a picture": sum(seen) / len(seen),
        "runs": len(own),
        "threads": threads,
        "width": width,
    }
    if joules is not None:
        # Both took turns: what each took of the time is what it took of the energy, nearly.
        details["joules a picture"] = joules * sum(own) / (sum(own) + sum(other)) / len(own)
    return Figure(
        name=f"{name}, {'1 thread' if threads == 1 else f'{threads} threads'}",
        value=p50,
        unit="ms",
        better="lower",
        compared=Comparison(
            to="plain sessions, nothing overwritten",
            value=percentile(other, 0.50),
            ratio=median(a / b for a, b in zip(own, other, strict=True)),
            difference=median(a - b for a, b in zip(own, other, strict=True)),
        ),
        target=target,
        met=None if target is None else target.is_met(p50),
        details=details,
        note=f"p95 {p95:.3g}, p99 {p99:.3g} ms of {len(own)} runs; {a_second:.2f} pictures/s, "
        f"{people:.1f} people/s",
    )


def _counter(threads: int, search: Search) -> PeopleCounter:
    settings = CrowdSettings(models=MODELS.resolve(), threads=threads)

    def authority(prepared: object = None) -> Authority:
        return Authority._mint(
            actor="bench", folder=None, settings=settings, facts={}, prepared=prepared
        )

    models = InferenceModels._mint(authority(InferenceModels.prepare(authority())))
    return PeopleCounter(models, providers=("cpu",), threads=threads, search=search)


def _street(width: int) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(CLIP)) as film:
        frames = [frame for number, frame in enumerate(film.decode(video=0)) if not number % 100]
    for frame in frames[:_PICTURES]:
        yield scaled(frame, width)


def _crowd() -> NDArray[np.uint8]:
    """Labelled faces with what is round them, in rows, as on a photograph of a whole school."""
    wide, high = _CROWD[0] // _COLUMNS, _CROWD[1] // _ROWS
    cut = list(_faces(wide, high))
    if not cut:
        raise BenchmarkFailed(
            f"no labelled pictures in {FOLDER}. Fetch them with: python -m bench.accuracy_pictures"
        )
    picture = np.zeros((_CROWD[1], _CROWD[0], 3), np.uint8)
    for number in range(_COLUMNS * _ROWS):
        row, column = divmod(number, _COLUMNS)
        picture[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = cut[
            number % len(cut)
        ]
    return picture


def _faces(wide: int, high: int) -> Iterator[NDArray[np.uint8]]:
    for labels in ("tuning.csv", "reporting.csv"):
        for row in read_labels(LABELS / labels):
            if row.scene not in ("group", "portrait") or row.places is None:
                continue
            yield from _faces_of(row, wide, high)


def _faces_of(row: Labelled, wide: int, high: int) -> Iterator[NDArray[np.uint8]]:
    try:
        with av.open(str(FOLDER / row.file)) as still:
            frame = next(still.decode(video=0))
    except FileNotFoundError:
        return
    for place in row.places or ():
        if place.what != "face" or place.width < _FACE:
            continue
        scale = _FACE / place.width
        picture = scaled(frame, round(frame.width * scale))
        left = round(place.x * scale - wide / 2)
        top = round(place.y * scale - high / 2)
        if (
            left >= 0
            and top >= 0
            and left + wide <= picture.shape[1]
            and top + high <= len(picture)
        ):
            yield picture[top : top + high, left : left + wide]
