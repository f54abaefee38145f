"""Counting people on real pictures with the real models; and nothing is left of a picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.camera.footage import CARPHONE
from actors.crowd.actor import CrowdSettings
from actors.crowd.bands import band_of
from actors.crowd.counting import InferenceModels, PeopleCounter
from actors.crowd.decoder import PictureDecoder
from actors.crowd.messages import AgeBand, AttributeCount, Mask
from actors.crowd.preparation import PreparedModels
from actors.crowd.region import Region
from models import ModelError, PeopleFinder, Search
from runtime import Authority, Reach, Unrecoverable
from tests.cameras import packets_of

Rgb = NDArray[np.uint8]

pytestmark = [pytest.mark.models, pytest.mark.footage]


@pytest.fixture(scope="module")
def counter(models_folder: Path) -> PeopleCounter:
    settings = CrowdSettings(models=models_folder)
    return PeopleCounter(minted(settings), providers=("cpu",), threads=1)


def minted(settings: CrowdSettings) -> InferenceModels:
    """As the host does it, in two steps."""

    def authority(prepared: object) -> Authority:
        return Authority._mint(
            actor="crowd", folder=None, settings=settings, facts={}, prepared=prepared
        )

    found = InferenceModels._mint(authority(InferenceModels.prepare(authority(None))))
    assert isinstance(found, InferenceModels)
    return found


def pictures(film: Path, interval: float, at_most: int) -> list[Rgb]:
    """Copies of some of a film's pictures."""
    decoder = PictureDecoder(interval=interval, width=768, threads=2)
    found: list[Rgb] = []
    for packet in packets_of(film):
        found += [picture.rgb.copy() for picture in decoder.feed(packet)]
        if len(found) >= at_most:
            break
    return found


@pytest.fixture(scope="module")
def on_the_street(street: Path) -> list[Rgb]:
    return pictures(street, 10, 5)


def people(cells: tuple[AttributeCount, ...]) -> int:
    return sum(cell.people for cell in cells)


def test_a_street_has_a_few_people(counter: PeopleCounter, on_the_street: list[Rgb]) -> None:
    seen = [people(counter.count(rgb)) for rgb in on_the_street]
    assert len(seen) == 5
    assert all(2 <= number <= 9 for number in seen), seen
    assert counter.providers == dict.fromkeys(("face", "person", "age", "gender", "mask"), "cpu")


def test_a_face_has_attributes(counter: PeopleCounter, street: Path) -> None:
    (rgb, *_) = pictures(street.parent / CARPHONE.name, 0, 1)
    cells = counter.count(rgb)
    assert people(cells) == 1
    assert cells[0].mask is not Mask.WORN


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("shape", [(576, 768), (48, 64), (1, 100), (333, 501)])
def test_nobody_is_seen_where_nothing_is(
    counter: PeopleCounter, grey: int, shape: tuple[int, int]
) -> None:
    assert counter.count(np.full((*shape, 3), grey, np.uint8)) == ()


def test_nothing_links_one_picture_to_the_next(
    counter: PeopleCounter, on_the_street: list[Rgb], street: Path, models_folder: Path
) -> None:
    """The same pictures in another order, or twice, give the same counts (guideline 6.2(3))."""
    forth = [counter.count(rgb) for rgb in on_the_street]
    back = [counter.count(rgb) for rgb in reversed(on_the_street)]
    assert forth == back[::-1]
    assert counter.count(on_the_street[0]) == forth[0]
    # A counter that has seen nothing yet, and pictures of one size among those of another.
    another = PeopleCounter(
        minted(CrowdSettings(models=models_folder)), providers=("cpu",), threads=1
    )
    (face, *_) = pictures(street.parent / CARPHONE.name, 0, 1)
    mixed = [on_the_street[3], face, on_the_street[0], on_the_street[4], face, on_the_street[1]]
    seen = [another.count(rgb) for rgb in mixed]
    assert [seen[0], seen[2], seen[3], seen[5]] == [forth[3], forth[0], forth[4], forth[1]]
    assert seen[1] == seen[4] == counter.count(face)


def test_what_lies_outside_the_region_is_not_counted(
    counter: PeopleCounter, on_the_street: list[Rgb], models_folder: Path
) -> None:
    granted = minted(CrowdSettings(models=models_folder))
    all_masked = Region(masked=[((0, 0), (1, 0), (1, 1), (0, 1))])
    blind = PeopleCounter(granted, providers=("cpu",), threads=1, region=all_masked)
    rgb = on_the_street[2].copy()
    assert people(counter.count(rgb)) > 0
    assert blind.count(rgb) == ()
    assert not rgb.any()
    assert leftovers(blind) == []


def test_tiles_see_much_the_same_street(
    counter: PeopleCounter, on_the_street: list[Rgb], models_folder: Path
) -> None:
    granted = minted(CrowdSettings(models=models_folder))
    tiled = PeopleCounter(granted, providers=("cpu",), threads=1, search=Search(tiles=(2, 2)))
    for rgb in on_the_street[:3]:
        assert abs(people(tiled.count(rgb)) - people(counter.count(rgb))) <= 1
        assert leftovers(tiled) == []


def test_cells_are_apart_and_in_an_order_that_says_nothing(
    counter: PeopleCounter, on_the_street: list[Rgb]
) -> None:
    for rgb in on_the_street:
        keys = [(c.gender.value, c.age.value, c.mask.value) for c in counter.count(rgb)]
        assert keys == sorted(set(keys))


CONSTANTS = {"_grid", "_mean", "_factor", "_factors", "_shifts", "_black"}
"""Arrays that hold what a model wants to know, and nothing of a picture."""


def arrays_within(owner: object, seen: set[int], path: str = "") -> Iterator[tuple[str, Rgb]]:
    """Every array that can be reached from an object of ours."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, np.ndarray):
        yield path, owner
    elif isinstance(owner, dict):
        for name, part in owner.items():
            yield from arrays_within(part, seen, f"{path}.{name}")
    elif isinstance(owner, (list, tuple)):
        for number, part in enumerate(owner):
            yield from arrays_within(part, seen, f"{path}[{number}]")
    elif type(owner).__module__.startswith(("models", "actors")):
        yield from arrays_within(getattr(owner, "__dict__", {}), seen, path)


def leftovers(counter: PeopleCounter) -> list[str]:
    found = dict(arrays_within(counter, set()))
    assert len(found) >= 5  # two detectors, three attribute models
    return [
        path
        for path, array in found.items()
        if path.rpartition(".")[2] not in CONSTANTS and array.any()
    ]


def test_nothing_of_a_picture_is_left(
    counter: PeopleCounter, on_the_street: list[Rgb], street: Path
) -> None:
    (face, *_) = pictures(street.parent / CARPHONE.name, 0, 1)
    for rgb in (face, on_the_street[0]):
        assert counter.count(rgb)
        assert leftovers(counter) == []


def test_nothing_is_left_when_a_model_fails(
    counter: PeopleCounter, on_the_street: list[Rgb], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tensor: object) -> None:
        raise MemoryError

    monkeypatch.setattr(counter._finder._persons._session, "run", fail)
    with pytest.raises(MemoryError):
        counter.count(on_the_street[0])
    assert leftovers(counter) == []


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (None, AgeBand.UNKNOWN),
        (0, AgeBand.UP_TO_19),
        (19.99, AgeBand.UP_TO_19),
        (20, AgeBand.FROM_20),
        (39.99, AgeBand.FROM_20),
        (40, AgeBand.FROM_40),
        (59.99, AgeBand.FROM_40),
        (60, AgeBand.FROM_60),
        (80, AgeBand.FROM_60),
    ],
)
def test_age_bands(age: float | None, band: AgeBand) -> None:
    assert band_of(age) is band


def test_age_bands_begin_where_they_are_configured() -> None:
    edges = (7, 18, 65)
    found = [band_of(age, edges) for age in (6.9, 7, 17.9, 18, 64.9, 65, None)]
    assert [band.name for band in found] == [
        "UP_TO_19",
        *("FROM_20", "FROM_20", "FROM_40", "FROM_40", "FROM_60"),
        "UNKNOWN",
    ]


# -- before the walls stand ------------------------------------------------------------------------


def test_models_changed_after_they_were_verified_are_refused(
    tmp_path: Path, models_folder: Path
) -> None:
    for file in models_folder.glob("*.onnx"):
        shutil.copy(file, tmp_path)
    models = PreparedModels(tmp_path, PeopleFinder.MODELS)
    assert models.take("gender") == (models_folder / "gender.onnx").read_bytes()
    with (tmp_path / "gender.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"another byte")
    with pytest.raises(ModelError, match="was changed on disk"):
        models.take("gender")


def test_models_that_are_missing_are_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(Unrecoverable, match="smartpole models fetch"):
        minted(CrowdSettings(models=tmp_path))


def test_verified_models_take_no_memory(models_folder: Path) -> None:
    """Four times 43 MB would show."""
    several = [PreparedModels(models_folder, PeopleFinder.MODELS) for _ in range(2)]
    before = resident_megabytes()
    several += [PreparedModels(models_folder, PeopleFinder.MODELS) for _ in range(4)]
    for models in several:
        assert len(models.take("person")) > 10_000_000
    assert resident_megabytes() - before < 43


def resident_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def test_without_preparation_there_are_no_models(models_folder: Path) -> None:
    settings = CrowdSettings(models=models_folder)
    with pytest.raises(Unrecoverable, match="not been prepared"):
        InferenceModels._mint(
            Authority._mint(actor="crowd", folder=None, settings=settings, facts={})
        )


def test_only_a_gpu_reaches_anything(models_folder: Path) -> None:
    assert InferenceModels.reach(CrowdSettings(models=models_folder)) == Reach()
    gpu = InferenceModels.reach(CrowdSettings(models=models_folder, providers=("cuda", "cpu")))
    assert all(path.exists() for path in gpu.read)
    assert all(path.name.startswith("nvidia") for path in gpu.devices)
    assert gpu == Reach(read=gpu.read, devices=gpu.devices)
