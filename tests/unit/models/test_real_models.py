"""The fetched models: the originals' numbers, and real people on real footage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from models import (
    AttributeEstimator,
    FaceDetector,
    Mask,
    ModelStore,
    PersonDetector,
    Session,
    fuse,
    shipped_manifest,
)

pytestmark = pytest.mark.models

Opened = Callable[[str], Session]
Footage = Callable[..., Iterator[np.ndarray]]

# cell, score, every ninth distance logit; as TensorFlow.js 4.22 (CPU back end) computes them from
# the package's own files for the picture of `_waves`.
_NANODET = [
    (2415, 0.0849005, (-3.06844, -1.86334, -0.39060, 1.99479, 1.84861)),
    (2131, 0.0841765, (2.96265, -2.41910, 0.41650, -1.48650, -0.69000)),
    (1352, 0.0178271, (4.43132, -2.17559, 0.04871, -1.12747, -0.18346)),
    (3273, 0.1293537, (-0.55734, -2.28663, 0.78498, -0.56826, 1.09973)),
    (3272, 0.1132445, (-0.58618, -2.46905, 0.70225, 0.67493, 1.17830)),
    (3042, 0.0200749, (3.15848, -1.93711, 1.03283, 1.12743, 0.85078)),
    (3477, 0.1301161, (-1.69221, -2.11987, 2.38215, 1.12897, 0.22880)),
    (3464, 0.1008708, (-1.73973, -2.03814, 2.42843, 1.28492, -0.03735)),
]
# Probability of a mask, as Keras 2 on TensorFlow 2.21 computes it from the package's own file.
_MASK = [0.1919094, 0.1511973, 0.1388253, 0.2408512, 0.1897120, 0.1010373]


def _waves(side: int, more: int = 0, weight: float = 1.0) -> np.ndarray:
    """A picture that any machine can make again: crossing waves, channels first."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    return np.stack(
        [
            np.sin(x / (7 + 3 * c + more))
            + np.cos(y / (11 + 2 * c)) * weight
            + np.sin((x + y) / (23 + c + more))
            for c in range(3)
        ]
    )


def test_nanodet_computes_what_tensorflow_js_does(opened: Opened) -> None:
    scores, distances = opened("person").run(_waves(416)[None].astype(np.float32))
    for cell, score, logits in _NANODET:
        assert scores[0, cell, 0] == pytest.approx(score, abs=2e-6)
        assert distances[0, cell, ::9] == pytest.approx(logits, abs=1e-4)
    best = [cell for cell, _, _ in _NANODET]
    assert scores[0, :, 0].argmax() in best


def test_mask_computes_what_keras_does(opened: Opened) -> None:
    pictures = np.stack([_waves(224, more, 0.5) / 2.5 for more in range(6)])
    tensor = np.clip(pictures, -1, 1).astype(np.float32)
    found = opened("mask").run(tensor)[0]
    assert found[:, 0] == pytest.approx(_MASK, abs=5e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_every_model_takes_and_gives_what_the_manifest_says(opened: Opened) -> None:
    sizes = {"N": 2, "H": 64, "W": 96, "H/4": 16, "W/4": 24, "CELLS": 8 * 12 + 4 * 6 + 2 * 3}
    for name, spec in shipped_manifest().models.items():
        session = opened(name)
        shape = [sizes.get(side) or int(side) for side in spec.input.shape]
        results = dict(zip(session.outputs, session.run(np.zeros(shape, np.float32)), strict=True))
        for output, said in spec.outputs.items():
            expected = [sizes.get(side) or int(side) for side in said.shape]
            assert list(results[output].shape) == expected, (name, output)
            assert np.isfinite(results[output]).all()


def test_store_holds_what_the_manifest_names(store: ModelStore) -> None:
    assert [state.name for state in store.verify()] == list(shipped_manifest().models)
    assert all(state.size > 100_000 for state in store.states())


@pytest.mark.footage
def test_people_on_a_street_seen_from_a_pole(opened: Opened, footage: Footage) -> None:
    faces, people = FaceDetector(opened("face")), PersonDetector(opened("person"))
    counts = []
    for rgb in footage("street.mp4", every=160):
        assert rgb.shape == (576, 768, 3)
        found = faces.detect(rgb)
        bodies = people.detect(rgb)
        assert all(0 <= p.box.left < p.box.right <= 768 for p in bodies)
        assert all(0 <= p.box.top < p.box.bottom <= 576 for p in bodies)
        assert all(15 < p.box.height < 250 for p in bodies)
        unknown = AttributeEstimator(
            age=opened("age"), gender=opened("gender"), mask=opened("mask")
        ).estimate(rgb, found)
        counts.append(len(fuse(found, unknown, bodies)))
        faces.erase()
        people.erase()
    # By eye 3 to 8 people are there; one false box (a signpost) comes and goes.
    assert len(counts) == 5
    assert all(2 <= count <= 9 for count in counts)
    assert 4 <= sum(counts) / len(counts) <= 8


@pytest.mark.footage
def test_one_face_and_its_body_are_one_person(opened: Opened, footage: Footage) -> None:
    faces, people = FaceDetector(opened("face")), PersonDetector(opened("person"))
    estimator = AttributeEstimator(age=opened("age"), gender=opened("gender"), mask=opened("mask"))
    masks = []
    for rgb in footage("carphone_pristine.mp4", every=20):
        found = faces.detect(rgb)
        assert len(found) == 1
        assert 35 < found[0].box.width < 65
        left_eye, right_eye, nose, *mouth = found[0].points
        assert left_eye[0] < right_eye[0]
        assert left_eye[1] < nose[1] < mouth[0][1]
        attributes = estimator.estimate(rgb, found)
        assert attributes[0].age is None or 18 <= attributes[0].age <= 65
        masks.append(attributes[0].mask)
        assert len(fuse(found, attributes, people.detect(rgb))) == 1
    assert len(masks) == 6
    assert Mask.WORN not in masks


@pytest.mark.footage
def test_a_picture_keeps_its_people_when_padded(opened: Opened, footage: Footage) -> None:
    people = PersonDetector(opened("person"))
    rgb = next(footage("street.mp4", every=160))
    whole = people.detect(rgb)
    odd = people.detect(np.ascontiguousarray(rgb[:570, :760]))
    assert abs(len(whole) - len(odd)) <= 1
    best = [person.box.left for person in (whole[0], odd[0])]
    assert best[0] == pytest.approx(best[1], abs=8)
