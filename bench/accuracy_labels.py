"""What people have seen in pictures: reading label files, ours and anyone's.

A label file is CSV with a row for each picture: ``file`` (below the root), ``frame_no`` (counted
from 0; for stills 0), ``persons``, ``faces``, ``faces_male``, ``faces_female``, ``masked``,
``unmasked``, and if wished ``persons_max`` (as many may be told without a mistake) and ``scene``.
An empty number is not known. Beside it may lie ``places.csv`` with a row for each thing: ``file``,
``frame_no``, ``what`` (face, person or unclear), ``x`` and ``y`` of its middle and ``width`` in
pixels of the picture as it is, ``gender`` and ``mask``. With it, finds are matched to labels.
"""

from __future__ import annotations

__all__ = ["Labelled", "Place", "read_labels"]

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from bench.harness import BenchmarkFailed

PLACES = "places.csv"

_NUMBERS = ("persons", "faces", "faces_male", "faces_female", "masked", "unmasked")


class Place(msgspec.Struct, frozen=True):
    """Where something is in a picture, in its pixels."""

    what: str
    """``face``, ``person`` (a point on the body), or ``unclear``: a circle in which finds are
    neither right nor wrong."""
    x: float
    y: float
    width: float
    """Of a face, or of the circle; 0 for a person."""
    gender: str
    """``male``, ``female`` or nothing."""
    mask: str
    """``worn``, ``not worn`` or nothing."""


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """One picture and what is to be seen in it. None is not known."""

    file: str
    frame_no: int
    persons: int | None
    persons_max: int | None
    faces: int | None
    faces_male: int | None
    faces_female: int | None
    masked: int | None
    unmasked: int | None
    scene: str
    places: tuple[Place, ...] | None
    """None where nobody wrote down places."""

    @property
    def name(self) -> str:
        return f"{self.file} {self.frame_no}" if self.frame_no else self.file

    def error(self, counted: int) -> int | None:
        """By how many people a count is too high (or, below 0, too low)."""
        if self.persons is None:
            return None
        most = self.persons if self.persons_max is None else self.persons_max
        return min(0, counted - self.persons) or max(0, counted - most)


def read_labels(path: Path) -> list[Labelled]:
    """The rows of a label file. Raises BenchmarkFailed, naming the line, for what is none."""
    places = _read_places(path.with_name(PLACES))
    rows = []
    for number, row in _rows(path):
        key = row.get("file", ""), _number(path, number, row, "frame_no") or 0
        if not key[0]:
            raise BenchmarkFailed(f"{path}, line {number}: no file is named")
        counts = {name: _number(path, number, row, name) for name in (*_NUMBERS, "persons_max")}
        rows.append(
            Labelled(
                file=key[0],
                frame_no=key[1],
                scene=row.get("scene") or "all",
                places=None if places is None else tuple(places[key]),
                **counts,
            )
        )
    if not rows:
        raise BenchmarkFailed(f"{path} holds no row. Its first line is: file,frame_no,persons,…")
    return rows


def _read_places(path: Path) -> Mapping[tuple[str, int], list[Place]] | None:
    if not path.exists():
        return None
    places: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for number, row in _rows(path):
        try:
            x, y, width = (float(row[name] or 0) for name in ("x", "y", "width"))
            key = row["file"], int(row["frame_no"] or 0)
            place = Place(row["what"], x, y, width, row.get("gender", ""), row.get("mask", ""))
        except (KeyError, ValueError) as error:
            raise BenchmarkFailed(f"{path}, line {number}: {error}") from None
        places[key].append(place)
    return places


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                yield number, {name: value or "" for name, value in row.items() if name}
    except OSError as error:
        raise BenchmarkFailed(f"{path} can't be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BenchmarkFailed(f"{path} is no CSV file in UTF-8: {error}") from None


def _number(path: Path, line: int, row: Mapping[str, str], name: str) -> int | None:
    text = row.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise BenchmarkFailed(
            f"{path}, line {line}: {name} is {text!r}, and must be a whole number"
        )
    return int(text)
