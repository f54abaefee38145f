"""Decoding and pre-processing with stand-in sessions, whose outputs are written down by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from models import (
    AttributeEstimator,
    Box,
    Face,
    FaceAttributes,
    FaceDetector,
    Gender,
    Mask,
    ModelError,
    PersonDetector,
)
from models.attributes import AGES, chip, is_turned_away
from models.crop import crop_square
from models.picture import PictureInput


class _Session:
    """Answers with what `outputs` makes of the input, and keeps a copy of the inputs."""

    def __init__(self, **outputs: Callable[[np.ndarray], np.ndarray]) -> None:
        self._made = outputs
        self.inputs: list[np.ndarray] = []

    @property
    def outputs(self) -> list[str]:
        return list(self._made)

    def run(self, tensor: np.ndarray) -> list[np.ndarray]:
        self.inputs.append(tensor.copy())
        return [make(tensor) for make in self._made.values()]


def _picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 255, (height, width, 3), np.uint8)


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


# The picture buffer


@pytest.mark.parametrize("size", [(64, 96), (50, 70), (1, 1)])
def test_rgb_is_copied_and_padded_with_zeros(size: tuple[int, int]) -> None:
    picture = _picture(*size)
    tensor = PictureInput().load(picture)
    assert tensor.shape[2] % 32 == tensor.shape[3] % 32 == 0
    assert np.array_equal(tensor[0, :, : size[0], : size[1]], picture.transpose(2, 0, 1))
    assert not tensor[0, :, size[0] :].any()
    assert not tensor[0, :, :, size[1] :].any()


def test_bgr_is_normalised() -> None:
    picture = _picture(50, 70)
    mean, scale = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    tensor = PictureInput(bgr=True, mean=mean, scale=scale).load(picture)
    expected = (picture[:, :, ::-1].astype(float) - mean) / scale
    assert np.allclose(tensor[0, :, :50, :70], expected.transpose(2, 0, 1), atol=1e-5)
    assert not tensor[0, :, 50:].any()


def test_one_memory_for_all_pictures_of_a_size() -> None:
    buffer = PictureInput(size=(70, 50))
    first = buffer.load(_picture(50, 70))
    assert buffer.load(_picture(50, 70)) is first
    buffer.erase()
    assert not first.any()


def test_another_size_erases_the_old_memory() -> None:
    buffer = PictureInput()
    first = buffer.load(_picture(50, 70))
    second = buffer.load(_picture(40, 90))  # padded to the same memory
    assert second is first
    assert not second[0, :, 40:].any()
    buffer.load(_picture(100, 100))
    assert not first.any()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        np.zeros((0, 32, 3), np.uint8),
    ],
)
def test_what_is_no_picture(wrong: np.ndarray) -> None:
    with pytest.raises(ModelError, match="got an array") as raised:
        PictureInput().load(wrong)
    assert "uint8, shape (height, width, 3)" in raised.value.accepted


# Faces


def _face_session(peaks: dict[tuple[int, int], float]) -> _Session:
    """Maps with these peaks: 40 high, 20 wide, centre at a quarter cell right of the middle."""

    def maps(channels: int, fill: Callable[[np.ndarray], None]) -> Callable[..., np.ndarray]:
        def make(tensor: np.ndarray) -> np.ndarray:
            shape = (1, channels, tensor.shape[2] // 4, tensor.shape[3] // 4)
            made = np.zeros(shape, np.float32)
            fill(made)
            return made

        return make

    def heat(made: np.ndarray) -> None:
        for (row, column), score in peaks.items():
            made[0, 0, row, column] = score

    def scale(made: np.ndarray) -> None:
        made[0, 0], made[0, 1] = np.log(10), np.log(5)

    def offset(made: np.ndarray) -> None:
        made[0, 1] = 0.25

    def landmarks(made: np.ndarray) -> None:
        made[0, 0::2], made[0, 1::2] = 0.5, 0.25

    return _Session(
        landmarks=maps(10, landmarks),
        offset=maps(2, offset),
        scale=maps(2, scale),
        heatmap=maps(1, heat),
    )


def test_faces_are_decoded() -> None:
    session = _face_session({(10, 12): 0.9, (10, 13): 0.8, (4, 4): 0.3})
    detector = FaceDetector(session)
    (face,) = detector.detect(_picture(96, 96))
    # Row 10, column 12: centre (12.75 * 4, 10.5 * 4) = (51, 42).
    assert _sides(face.box) == pytest.approx((41, 22, 61, 62), abs=1e-4)
    assert face.score == pytest.approx(0.9)
    assert face.points == ((46, 42),) * 5
    assert [kept.any() for kept in session.inputs] == [True]
    detector.erase()
    assert not detector._input._tensor.any()


def test_face_boxes_end_at_the_picture_not_at_the_padding() -> None:
    detector = FaceDetector(_face_session({(0, 0): 0.9, (23, 23): 0.7}))
    boxes = [face.box for face in detector.detect(_picture(94, 92))]
    assert _sides(boxes[0]) == pytest.approx((0, 0, 13, 22), abs=1e-4)
    assert (boxes[1].right, boxes[1].bottom) == (92, 94)


def test_no_face_no_box() -> None:
    assert FaceDetector(_face_session({})).detect(_picture(64, 64)) == []


# People


def _person_session(cells: dict[int, float], distance: int) -> _Session:
    def scores(tensor: np.ndarray) -> np.ndarray:
        height, width = tensor.shape[2:]
        count = sum((height // s) * (width // s) for s in (8, 16, 32))
        made = np.zeros((1, count, 1), np.float32)
        for cell, score in cells.items():
            made[0, cell, 0] = score
        return made

    def distances(tensor: np.ndarray) -> np.ndarray:
        made = np.zeros((1, scores(tensor).shape[1], 4, 11), np.float32)
        made[..., distance] = 50
        return made.reshape(1, -1, 44)

    return _Session(distances=distances, scores=scores)


@pytest.mark.parametrize(
    ("cell", "centre", "stride"),
    [
        (8 * 8 - 1, (60, 60), 8),
        (1, (12, 4), 8),
        (8 * 8, (8, 8), 16),
        (8 * 8 + 16 + 1, (48, 16), 32),
    ],
)
def test_people_are_decoded(cell: int, centre: tuple[int, int], stride: int) -> None:
    (person,) = PersonDetector(_person_session({cell: 0.9}, 2)).detect(_picture(64, 64))
    x, y = centre
    reach = 2 * stride
    expected = [x - reach, y - reach, x + reach, y + reach]
    assert _sides(person.box) == pytest.approx(np.clip(expected, 0, 64).tolist(), abs=1e-3)


def test_people_scores_and_suppression() -> None:
    detector = PersonDetector(_person_session({0: 0.6, 1: 0.9, 2: 0.2, 60: 0.7}, 3))
    assert [person.score for person in detector.detect(_picture(64, 64))] == pytest.approx(
        [0.9, 0.7]
    )
    assert PersonDetector(_person_session({}, 3)).detect(_picture(64, 64)) == []


def test_another_picture_size_gets_its_own_grid() -> None:
    detector = PersonDetector(_person_session({0: 0.9}, 1))
    for size in ((64, 64), (32, 96), (50, 40)):
        (person,) = detector.detect(_picture(*size))
        assert person.box.left == 0


# Attributes


def _face(width: float, x: float = 100) -> Face:
    box = Box(x, 100, x + width, 100 + width * 1.3)
    eye, mouth = 100 + width * 0.5, 100 + width
    left, middle, right = x + width * 0.3, x + width * 0.5, x + width * 0.7
    return Face(box, 0.9, ((left, eye), (right, eye), (middle, eye), (left, mouth), (right, mouth)))


def _estimator(
    ages: int = 30, female: float = 0.9, worn: float = 0.04
) -> tuple[AttributeEstimator, dict[str, _Session]]:
    def answer(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda tensor: np.tile(values.astype(np.float32), (len(tensor), 1))

    sessions = {
        "age": _Session(probabilities=answer(np.eye(81)[ages])),
        "gender": _Session(probabilities=answer(np.array([female, 1 - female]))),
        "mask": _Session(probabilities=answer(np.array([worn, 1 - worn]))),
    }
    return AttributeEstimator(**sessions), sessions


@pytest.mark.parametrize(
    ("width", "female", "worn", "age", "gender", "mask"),
    [
        (60, 0.9, 0.04, 30, Gender.FEMALE, Mask.NOT_WORN),
        (60, 0.1, 0.04, 30, Gender.MALE, Mask.NOT_WORN),
        (60, 0.75, 0.04, 30, Gender.UNKNOWN, Mask.NOT_WORN),
        (60, 0.85, 0.04, 30, Gender.FEMALE, Mask.NOT_WORN),
        (60, 0.85, 0.9, None, Gender.UNKNOWN, Mask.WORN),  # surer it must be where a mask is worn
        (60, 0.95, 0.9, None, Gender.FEMALE, Mask.WORN),
        (60, 0.95, 0.51, None, Gender.FEMALE, Mask.WORN),
        (60, 0.95, 0.49, None, Gender.FEMALE, Mask.UNKNOWN),
        (60, 0.95, 0.06, None, Gender.FEMALE, Mask.UNKNOWN),
        (60, 0.85, 0.06, None, Gender.UNKNOWN, Mask.UNKNOWN),
        (48, 0.9, 0.04, 30, Gender.FEMALE, Mask.NOT_WORN),
        (47, 0.9, 0.04, None, Gender.FEMALE, Mask.NOT_WORN),
        (32, 0.95, 0.9, None, Gender.FEMALE, Mask.WORN),
        (31, 0.95, 0.9, None, Gender.UNKNOWN, Mask.WORN),
        (24, 0.9, 0.04, None, Gender.FEMALE, Mask.NOT_WORN),
        (23, 0.9, 0.04, None, Gender.UNKNOWN, Mask.NOT_WORN),
        (20, 0.9, 0.04, None, Gender.UNKNOWN, Mask.NOT_WORN),
        (19, 0.9, 0.9, None, Gender.UNKNOWN, Mask.UNKNOWN),
    ],
)
def test_what_is_known_of_a_face(
    width: float, female: float, worn: float, age: float | None, gender: Gender, mask: Mask
) -> None:
    estimator, _ = _estimator(30, female, worn)
    (found,) = estimator.estimate(_picture(300, 300), [_face(width)])
    assert (found.age, found.gender, found.mask) == (age, gender, mask)


def test_faces_go_in_batches_and_keep_their_order() -> None:
    estimator, sessions = _estimator()
    widths = [60, 22, 60, 30] * 5
    faces = [_face(width, 20 + index) for index, width in enumerate(widths)]
    found = estimator.estimate(_picture(300, 300), faces)
    assert [attributes.age for attributes in found] == [30, None, 30, None] * 5
    assert [len(tensor) for tensor in sessions["mask"].inputs] == [8, 8, 4]
    # Each face as it is and mirrored; those of 22 pixels are too small.
    assert [len(tensor) for tensor in sessions["gender"].inputs] == [16, 14]
    assert [len(tensor) for tensor in sessions["age"].inputs] == [6, 4]
    assert estimator.estimate(_picture(300, 300), []) == []


def test_gender_is_read_off_the_face_and_its_mirror_image() -> None:
    estimator, sessions = _estimator()
    picture = np.random.default_rng(5).integers(0, 256, (300, 300, 3), np.uint8)
    # Upright, and with a chip of 64 pixels: four of its pixels are one of the gender model's.
    points = ((100, 100), (124, 100), (112, 112), (102, 125), (122, 125))
    face = Face(Box(90, 80, 140, 140), 0.9, points)
    assert chip(face).side == pytest.approx(64)
    estimator.estimate(picture, [face, face])
    (looked,) = sessions["gender"].inputs
    assert np.array_equal(looked[1], looked[0][:, :, ::-1])
    assert np.array_equal(looked[2:], looked[:2])
    expected = np.zeros((3, 64, 64), np.float32)
    crop_square(picture, chip(face), expected)
    expected = expected.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    expected = (expected - np.array([122.782, 117.001, 104.298])[:, None, None]) / 256
    assert np.allclose(looked[0], expected, atol=1e-5)


def test_inputs_are_normalised_and_erased() -> None:
    estimator, sessions = _estimator()
    picture = np.full((300, 300, 3), (200, 100, 50), np.uint8)
    estimator.estimate(picture, [_face(60)])
    colours = {name: session.inputs[0][0, :, 16, 16] for name, session in sessions.items()}
    assert colours["mask"] == pytest.approx(np.array([200, 100, 50]) / 127.5 - 1, abs=1e-4)
    expected = (np.array([200, 100, 50]) - (122.782, 117.001, 104.298)) / 256
    for name in ("age", "gender"):
        assert colours[name] == pytest.approx(expected, abs=1e-4)
    estimator.erase()
    for batch in (estimator._age, estimator._gender, estimator._mask):
        assert not batch._tensor.any()


def test_ages_have_a_first_year() -> None:
    assert AGES[0] == 0.25
    assert AGES[1:].tolist() == list(range(1, 81))


def test_the_chip_holds_eyes_where_the_models_expect_them() -> None:
    face = Face(Box(0, 0, 1, 1), 1, ((40, 50), (60, 50), (50, 60), (42, 70), (58, 70)))
    square = chip(face)
    assert (square.side, square.angle) == pytest.approx((20 / 0.375, 0))
    assert (50 - square.box.left) / square.side == pytest.approx(0.493)
    assert (50 - square.box.top) / square.side == pytest.approx(0.301)
    turned = Face(Box(0, 0, 1, 1), 1, ((48, 50), (52, 50), (50, 60), (48, 70), (52, 70)))
    assert chip(turned).side == pytest.approx(20 / 0.40)


@pytest.mark.parametrize("degrees", [-40, -5, 12, 60])
def test_a_tilted_head_is_cut_out_upright(degrees: float) -> None:
    """Marks where the eyes are lie where they would without the tilt, whatever it is."""
    upright = np.array([(80, 90), (120, 90), (100, 110), (85, 132), (115, 132)], float)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (upright - 100) @ turn.T + 100
    picture = np.zeros((200, 200, 3), np.uint8)
    for x, y in points[:2]:
        picture[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 255
    face = Face(Box(60, 60, 140, 160), 1, tuple(map(tuple, points.tolist())))
    out = np.zeros((3, 64, 64), np.float32)
    crop_square(picture, chip(face), out)
    rows, columns = np.nonzero(out[0] > 100)
    left, right = columns < 32, columns >= 32
    # The eyes are 0.375 of the side apart, in one row at 0.301 of it.
    for side, expected in ((left, 0.493 - 0.1875), (right, 0.493 + 0.1875)):
        assert columns[side].mean() + 0.5 == pytest.approx(64 * expected, abs=1.5)
        assert rows[side].mean() + 0.5 == pytest.approx(64 * 0.301, abs=1.5)


@pytest.mark.parametrize(
    ("nose", "turned"), [(100, False), (88, False), (111, False), (74, True), (126, True)]
)
def test_who_looks_away_has_no_attributes(nose: float, turned: bool) -> None:
    points = ((80, 100), (120, 100), (nose, 115), (85, 140), (115, 140))
    face = Face(Box(60, 60, 140, 160), 0.9, points)
    assert is_turned_away(face) is turned
    estimator, sessions = _estimator()
    (found,) = estimator.estimate(_picture(300, 300), [face])
    assert (found == FaceAttributes()) is turned
    assert bool(sessions["gender"].inputs) is not turned
