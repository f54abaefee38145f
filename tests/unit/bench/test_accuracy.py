"""How accuracy is measured, and that it is what the model cards say."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from bench.accuracy import benchmark
from bench.accuracy_labels import Labelled, Place, read_labels
from bench.accuracy_match import judge
from bench.accuracy_pictures import FOLDER, LABELS
from bench.harness import BenchmarkFailed, Effort
from models import Box, FaceAttributes, Gender, Mask, PersonSeen

_ROOT = Path(__file__).parents[3]
_HEAD = "file,frame_no,persons,faces,faces_male,faces_female,masked,unmasked,persons_max,scene\n"


def _row(places: list[Place] | None, **known: int | None) -> Labelled:
    names = (
        *("persons", "persons_max", "faces", "faces_male", "faces_female"),
        *("masked", "unmasked"),
    )
    return Labelled(
        file="a.jpg",
        frame_no=0,
        scene="all",
        places=None if places is None else tuple(places),
        **{name: known.get(name) for name in names},
    )


def _seen(x: float, *, body: bool = True, gender: Gender = Gender.MALE) -> PersonSeen:
    """Someone whose face of 40 pixels has its middle at (x, 100)."""
    face = Box(x - 20, 74, x + 20, 126)
    return PersonSeen(
        Box(x - 50, 60, x + 50, 300) if body else None,
        FaceAttributes(30, gender, Mask.NOT_WORN),
        face,
    )


def _face(x: float, gender: str = "male") -> Place:
    return Place("face", x, 100, 40, gender, "not worn")


def _person(x: float) -> Place:
    return Place("person", x, 200, 0, "", "")


# -- label files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tuning", "reporting"])
def test_our_labels_agree_with_their_places(name: str) -> None:
    rows = read_labels(_ROOT / LABELS / f"{name}.csv")
    assert len(rows) >= 30
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert row.places is not None
        faces = [place for place in row.places if place.what == "face"]
        kinds = Counter(place.what for place in row.places)
        genders, masks = Counter(f.gender for f in faces), Counter(f.mask for f in faces)
        assert (kinds["person"], kinds["face"]) == (row.persons, row.faces), row.name
        assert (genders["male"], genders["female"]) == (row.faces_male, row.faces_female)
        assert (masks["worn"], masks["not worn"]) == (row.masked, row.unmasked)
        assert row.persons_max is None or row.persons is None or row.persons_max >= row.persons
        assert row.scene in ("street", "group", "portrait")


def test_no_picture_is_in_both_sets_and_none_is_forgotten() -> None:
    both = [
        {(row.file, row.frame_no) for row in read_labels(_ROOT / LABELS / f"{name}.csv")}
        for name in ("tuning", "reporting")
    ]
    assert not both[0] & both[1]
    with (_ROOT / LABELS / "places.csv").open(encoding="utf-8") as file:
        placed = {(row["file"], int(row["frame_no"])) for row in csv.DictReader(file)}
    assert placed <= both[0] | both[1]
    assert len(both[0] | both[1]) >= 60


def test_anyones_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(_HEAD + "a.jpg,,3,2,,,0,2,4,\nfilm.mp4,25,0,,,,,,,street\n")
    first, second = read_labels(path)
    assert (first.persons, first.persons_max, first.faces, first.faces_male) == (3, 4, 2, None)
    assert (first.scene, first.places) == ("all", None)
    assert second.name == "film.mp4 25"
    assert [first.error(number) for number in (1, 3, 4, 6)] == [-2, 0, 0, 2]
    assert second.error(1) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_HEAD, "holds no row"),
        (_HEAD + "a.jpg,0,three,,,,,,,\n", "line 2: persons is 'three'"),
        (_HEAD + "a.jpg,0,-1,,,,,,,\n", "line 2: persons is '-1'"),
        (_HEAD + ",0,1,,,,,,,\n", "line 2: no file is named"),
    ],
)
def test_what_is_no_label_file_is_told_by_its_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(BenchmarkFailed, match=says):
        read_labels(path)


def test_labels_need_their_pictures(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="go together"):
        benchmark(Effort(labels=tmp_path / "mine.csv"))
    with pytest.raises(BenchmarkFailed, match="can't be read"):
        read_labels(tmp_path / "none.csv")


# -- judging ---------------------------------------------------------------------------------------


def test_finds_are_matched_where_they_are() -> None:
    row = _row([_face(100), _face(300), _person(100), _person(300)], persons=2, faces=2)
    found = judge(row, [_seen(104), _seen(500)], 1.0)
    assert [face.found for face in found.faces] == [True, False]
    assert found.faces_wrong == (40,)
    assert (found.people_there, found.people_right, found.people_wrong) == (2, 1, 1)
    assert found.faces[0].said_gender == "male"
    # By numbers alone nothing of this shows.
    blind = judge(_row(None, persons=2, faces=2), [_seen(104), _seen(500)], 1.0)
    assert (blind.people_right, blind.people_wrong, blind.faces_wrong) == (2, 0, ())


def test_labels_scale_with_the_picture() -> None:
    row = _row([Place("face", 200, 200, 80, "female", ""), Place("person", 200, 400, 0, "", "")])
    found = judge(row, [_seen(100)], 0.5)
    assert [(face.found, face.width) for face in found.faces] == [(True, 40)]
    assert found.people_right == 1


def test_one_find_is_one_label() -> None:
    row = _row([_face(100), _face(110), _person(100), _person(110)], persons=2, faces=2)
    found = judge(row, [_seen(105)], 1.0)
    assert sum(face.found for face in found.faces) == 1
    assert found.people_right == 1


def test_a_face_of_another_size_is_no_match() -> None:
    row = _row([Place("face", 100, 100, 150, "male", "")], faces=1)
    found = judge(row, [_seen(100)], 1.0)
    assert not found.faces[0].found
    assert found.faces_wrong == (40,)


def test_a_face_without_a_body_reaches_below() -> None:
    row = _row([_face(100), _person(100)], persons=1, faces=1)
    assert judge(row, [_seen(100, body=False)], 1.0).people_right == 1


def test_what_is_unclear_is_neither_right_nor_wrong() -> None:
    row = _row([Place("unclear", 100, 150, 200, "", "")], persons=0, faces=0)
    found = judge(row, [_seen(100), _seen(400)], 1.0)
    assert found.faces_wrong == (40,)
    assert (found.people_right, found.people_wrong) == (0, 1)


def test_by_number_attributes_are_known_where_all_faces_share_them() -> None:
    seen = [_seen(100), _seen(300, gender=Gender.FEMALE)]
    men = judge(_row(None, faces=2, faces_male=2, faces_female=0, masked=0, unmasked=2), seen, 1)
    assert [(f.gender, f.said_gender) for f in men.faces] == [("male", "male"), ("male", "female")]
    mixed = judge(_row(None, faces=2, faces_male=1, faces_female=1), seen, 1)
    assert {face.gender for face in mixed.faces} == {""}
    fewer = judge(_row(None, faces=3, faces_male=3), seen, 1)
    assert [face.found for face in fewer.faces] == [True, True, False]


# -- what is reached -------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.footage
def test_the_reporting_set_is_counted_as_the_cards_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_ROOT)
    if not FOLDER.exists():
        pytest.fail("var/people is missing; run: python -m bench.accuracy_pictures", pytrace=False)
    monkeypatch.setattr("bench.accuracy.SHEETS", tmp_path)
    outcome = benchmark(Effort())
    missed = [f"{figure.name}: {figure.value}" for figure in outcome.figures if figure.met is False]
    assert missed == []
    assert sum(figure.target is not None for figure in outcome.figures) == 6
    page = (tmp_path / "reporting.html").read_text()
    assert page.count("<figure") >= 40
    assert "data:image/jpeg;base64," in page
    assert str(_ROOT) not in page
