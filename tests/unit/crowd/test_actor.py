"""The crowd actor under a whole pole: its counts, its outages, its crashes, and its forgetting."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import trio
from numpy.typing import NDArray
from structlog.typing import EventDict

from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter, CrowdSettings
from actors.crowd.messages import AgeBand, AttributeCount, Gender, Mask, PictureCount
from models import ModelError, ModelStore, open_session
from runtime import Actor, Capability, Duration, Models, Needs
from runtime.errors import ConfigurationError
from tests.cameras import make_film, packets_of
from tests.poles import (
    Gathering,
    PublicSink,
    actor_status,
    eventually,
    gathering_in,
    running_pole,
    sending,
)

pytestmark = pytest.mark.real_time

T = TypeVar("T")
Rgb = NDArray[np.uint8]

POLE = """
[actors.source]
type = "source"

[actors.crowd]
type = "crowd"
place = "crossing"
grants = ["{grant}"]
supervision = {{ restarts = 40, first_delay = "1ms", longest_delay = "1ms" }}
inlets = {{ packets = {{ capacity = {room}, overflow = "{overflow}" }} }}
settings = {{ models = "{models}"{more} }}

[actors.sink]
type = "sink"

[[channels]]
from = "source.packets"
to = "crowd.packets"
[[channels]]
from = "crowd.counts"
to = "sink.counts"
"""


def configuration(
    models: Path | str = "none",
    more: str = 'interval = "0s", late = "1d"',
    *,
    room: int = 256,
    overflow: str = "block",
    real: bool = False,
) -> str:
    grant = "InferenceModels" if real else "NoModels"
    more = f", {more}" if more else ""
    return POLE.format(models=models, more=more, room=room, overflow=overflow, grant=grant)


def actor_types(
    counts: Gathering[PictureCount], crowd: type[Actor], supply: Any
) -> dict[str, type[Actor]]:
    return {"source": sending(supply), "crowd": crowd, "sink": gathering_in(PublicSink, counts)}


def now() -> int:
    return time.time_ns() // 1000


# -- with the real models ------------------------------------------------------------------------


def street_packets(street: Path, number: int) -> Iterator[EncodedPacket]:
    """A street's packets, as if they came in just now."""
    for packet in packets_of(street)[:number]:
        yield msgspec.structs.replace(packet, captured_at=now())


@pytest.mark.models
@pytest.mark.footage
async def test_counts_arrive(
    tmp_path: Path, models_folder: Path, street: Path, log: list[EventDict]
) -> None:
    counts = Gathering[PictureCount]()
    types = actor_types(counts, CrowdCounter, street_packets(street, 41))
    text = configuration(models_folder, 'late = "20s"', real=True)
    async with running_pole(tmp_path, text, types) as pole:
        await counts.until(lambda counts: len(counts) == 5, within=30)
        status = actor_status(pole, "crowd")
        assert status.readings["pictures_counted"] == 5
        assert status.readings["packets_skipped"] == 0
        assert status.readings["milliseconds_each"] > 0
        assert status.crashes == 0
    for count in counts.messages:
        assert sum(cell.people for cell in count.cells) == count.people
        assert (count.place, count.interval) == ("crossing", 1)
        assert abs(count.taken_at - time.time()) < 60
        assert 2 <= count.people <= 9
    opened = [event for event in log if event["event"] == "models opened"]
    assert len(opened) == 1
    assert {opened[0][name] for name in ("face", "person", "age", "gender", "mask")} == {"cpu"}


async def crowd_goes_down(folder: Path, text: str, log: list[EventDict]) -> str:
    """Run a pole whose crowd actor cannot start; the message that says why."""
    counts = Gathering[PictureCount]()
    packets = make_film(folder / "film.mp4")
    async with running_pole(
        folder, text, actor_types(counts, CrowdCounter, packets_of(packets))
    ) as pole:
        await pole.ready.wait()
        status = actor_status(pole, "crowd")
        assert (status.state, status.incarnation) == ("down", 1)
        for other in ("source", "sink"):
            assert actor_status(pole, other).state == "running"
        await eventually(lambda: actor_status(pole, "crowd").inlets[0].accepted == 20)
        assert not counts.messages
        assert status.last_crash is not None
        assert status.last_crash.error == "Unrecoverable"
        assert status.last_crash.message in [event.get("message") for event in log]
        return status.last_crash.message


async def test_a_missing_model_is_told_with_the_command_that_brings_it(
    tmp_path: Path, log: list[EventDict]
) -> None:
    folder = tmp_path / "models"
    message = await crowd_goes_down(tmp_path, configuration(folder, "", real=True), log)
    assert f"model 'face': is not in {folder}" in message
    assert f"smartpole models fetch --to {folder}" in message


@pytest.mark.models
async def test_a_wrong_model_is_told(
    tmp_path: Path, models_folder: Path, log: list[EventDict]
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("face", "person", "gender", "mask"):
        (folder / f"{name}.onnx").symlink_to(models_folder / f"{name}.onnx")
    (folder / "age.onnx").write_bytes(b"not a model")
    message = await crowd_goes_down(tmp_path, configuration(folder, "", real=True), log)
    assert "model 'age'" in message
    assert "is not the file the manifest names" in message
    assert "smartpole models fetch --to" in message


def provider_works(models_folder: Path, provider: Any) -> bool:
    try:
        open_session(ModelStore(models_folder).load("gender"), providers=(provider,))
    except ModelError:
        return False
    return True


@pytest.mark.models
async def test_a_provider_that_does_not_load_is_told(
    tmp_path: Path, models_folder: Path, log: list[EventDict]
) -> None:
    if provider_works(models_folder, "cuda"):
        pytest.skip("CUDA works here")
    text = configuration(models_folder, 'providers = ["cuda"]', real=True)
    message = await crowd_goes_down(tmp_path, text, log)
    assert "was asked to run on cuda, and cuda did not load" in message
    assert '"cpu" written last' in message


@pytest.mark.models
async def test_the_fallback_is_used_and_told(
    tmp_path: Path, models_folder: Path, log: list[EventDict]
) -> None:
    expected = "cuda" if provider_works(models_folder, "cuda") else "cpu"
    text = configuration(models_folder, 'providers = ["cuda", "cpu"]', real=True)
    types = actor_types(Gathering(), CrowdCounter, ())
    async with running_pole(tmp_path, text, types) as pole:
        await pole.ready.wait()
        assert actor_status(pole, "crowd").state == "running"
        assert actor_status(pole, "crowd").headline == "a picture each 1s on cuda, cpu"
    (opened,) = (event for event in log if event["event"] == "models opened")
    assert opened["face"] == opened["person"] == expected


@pytest.mark.parametrize(
    ("more", "key", "says"),
    [
        ('providers = ["gpu"]', "providers", "one of cpu, cuda, tensorrt"),
        ("providers = []", "", "at least one provider"),
        ("width = 64", "", "width from 128 to 4096"),
        ("threads = 0", "", "threads from 1 to 64"),
        ('late = "0s"', "", "above 0s for late"),
        ('interval = "-1s"', "interval", "duration"),
        ("face_width = 100", "", "face_width from 128 to 4096"),
        ("person_width = 5000", "", "person_width from 128 to 4096"),
        ("face_score = 1.5", "", "face_score from 0.1 to 0.95"),
        ("person_score = 0", "", "person_score from 0.1 to 0.95"),
        ("tiles = [0, 2]", "", "tiles as [columns, rows], each from 1 to 8"),
        ("tiles = [2]", "tiles", "length 2"),
        ("region = [[0, 0], [1, 1]]", "", "for region a polygon of 3 to 64 corners"),
        ("region = [[0, 0], [768, 0], [768, 576]]", "", "shares of the picture, from 0 to 1"),
        ("masked = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.1]]", "masked", "array"),
        ("masked = [[[0, 0], [0.5, 0.5], [1, 1]]]", "", "polygons, each a polygon that encloses"),
        ("age_bands = [20, 60]", "age_bands", "length 3"),
        ("age_bands = [40, 20, 60]", "", "three rising age_bands from 1 to 80 years"),
        ("age_bands = [20, 40, 90]", "", "three rising age_bands from 1 to 80 years"),
    ],
)
async def test_settings_that_cannot_be_are_refused_with_their_line(
    tmp_path: Path, more: str, key: str, says: str
) -> None:
    types = actor_types(Gathering(), CrowdCounter, ())
    with pytest.raises(ConfigurationError) as refused:
        async with running_pole(tmp_path, configuration("none", more, real=True), types):
            await trio.sleep_forever()
    (problem,) = refused.value.problems
    assert problem.key.startswith("actors.crowd.settings" + (f".{key}" if key else ""))
    assert says in str(problem)
    assert problem.line is not None


@pytest.mark.parametrize(
    "key",
    [
        *("track", "tracking", "line_crossing", "count-line", "dwell", "dwell_time", "direction"),
        *("reidentify", "link_poles", "speed", "people_flow", "Trajectory"),
    ],
)
async def test_what_asks_for_people_flow_is_refused_with_its_clause(
    tmp_path: Path, key: str
) -> None:
    types = actor_types(Gathering(), CrowdCounter, ())
    more = f'interval = "0s", {key} = true'
    with pytest.raises(ConfigurationError) as refused:
        async with running_pole(tmp_path, configuration(more=more, real=True), types):
            pass
    (problem,) = refused.value.problems
    assert problem.key == f"actors.crowd.settings.{key}"
    assert "6.2(3)" in problem.what
    assert "never where anyone goes" in problem.what
    assert problem.line is not None


async def test_a_slip_of_the_pen_is_no_accusation(tmp_path: Path) -> None:
    types = actor_types(Gathering(), CrowdCounter, ())
    with pytest.raises(ConfigurationError) as refused:
        async with running_pole(tmp_path, configuration(more="widht = 640", real=True), types):
            pass
    (problem,) = refused.value.problems
    assert problem.what == "this key is not known here"
    assert "width" in problem.accepted


def test_the_headline_says_how_often() -> None:
    assert CrowdSettings(models=Path("m")).headline() == "a picture each 1s on cpu"
    every = CrowdSettings(models=Path("m"), interval=Duration(0), providers=("cuda", "cpu"))
    assert every.headline() == "every picture on cuda, cpu"


# -- with a stand-in for the models ----------------------------------------------------------------


class NoModels(Capability, kind=Models("inference"), rights="none"):
    pass


class Eyes:
    """Stands for ``PeopleCounter``: sees one person in every picture, and keeps hold of it.

    ``before`` is called with the number of pictures looked at so far, and may raise.
    """

    def __init__(self, before: Callable[[int], None] = lambda _: None) -> None:
        self.providers: dict[str, str] = {}
        self.pictures: list[Rgb] = []
        self.were_dark: list[bool] = []
        self._before = before

    def count(self, rgb: Rgb) -> tuple[AttributeCount, ...]:
        self.pictures.append(rgb)
        self.were_dark.append(not rgb.any())
        self._before(len(self.pictures) - 1)
        one = AttributeCount(
            gender=Gender.UNKNOWN, age=AgeBand.UNKNOWN, mask=Mask.UNKNOWN, people=1
        )
        return (one,)


def crowd_with(eyes: Eyes) -> type[CrowdCounter]:
    class Crowd(CrowdCounter):
        models: Needs[NoModels]

        def _load(self) -> Any:
            return eyes

    return Crowd


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Sequence[EncodedPacket]:
    """Two hundred pictures that can each be decoded alone; ``captured_at`` tells them apart."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    packets = packets_of(make_film(path, codec="mjpeg", pictures=200))
    first = now()
    return [
        msgspec.structs.replace(packet, captured_at=first + number * 1_000_000)
        for number, packet in enumerate(packets)
    ]


def places_in_line(counts: Sequence[PictureCount], packets: Sequence[EncodedPacket]) -> list[int]:
    first = packets[0].captured_at // 1_000_000
    return [count.taken_at - first for count in counts]


async def test_every_picture_is_erased_counted_or_not(
    tmp_path: Path, stills: Sequence[EncodedPacket]
) -> None:
    def stumble(number: int) -> None:
        if number == 10:
            raise RuntimeError("a model failed")

    eyes, counts = Eyes(stumble), Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(eyes), stills)
    async with running_pole(tmp_path, configuration(), types) as pole:
        await counts.until(lambda counts: len(counts) == len(stills))
        assert actor_status(pole, "crowd").crashes == 1
        # What crashed is told by its place only: a foreign message may quote anything.
        crash = actor_status(pole, "crowd").last_crash
        assert crash is not None
        assert crash.message == ""
        # Over incarnations: one for each picture decoded; and one for each that was counted.
        times = actor_status(pole, "crowd").histograms
        assert times["captured_to_erased"].count == len(eyes.pictures)
        assert times["decode_and_inference"].count == len(eyes.pictures) - 1
    assert not any(eyes.were_dark)
    assert len(eyes.pictures) > len(stills)
    assert not any(picture.any() for picture in eyes.pictures)


async def test_late_pictures_are_dropped_unseen(
    tmp_path: Path, stills: Sequence[EncodedPacket]
) -> None:
    old = [msgspec.structs.replace(packet, captured_at=now() - 3_000_000) for packet in stills[:30]]
    fresh = [msgspec.structs.replace(packet, captured_at=now()) for packet in stills[30:40]]
    eyes, counts = Eyes(), Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(eyes), [*old, *fresh])
    async with running_pole(tmp_path, configuration(more='interval = "0s"'), types) as pole:
        await counts.until(lambda counts: len(counts) == 10)
        readings = actor_status(pole, "crowd").readings
        assert readings["pictures_late"] == 30
        assert readings["pictures_counted"] == 10
    assert len(eyes.pictures) == 10


@pytest.mark.parametrize("seed", range(4))
async def test_no_accepted_picture_is_lost_with_an_incarnation(
    tmp_path: Path, stills: Sequence[EncodedPacket], seed: int
) -> None:
    chance = random.Random(seed)
    # Never twice in a row on the same packets: that would be poison, which is tested apart.
    fatal = set(chance.sample(range(0, 2 * len(stills), 40), 4))

    def crash(number: int) -> None:
        if number in fatal:
            raise RuntimeError("pulled")

    eyes, counts = Eyes(crash), Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(eyes), stills)
    async with running_pole(tmp_path, configuration(), types) as pole:
        await counts.until(lambda counts: len(counts) >= len(stills))
        status = actor_status(pole, "crowd")
        assert status.crashes == len([number for number in fatal if number < len(eyes.pictures)])
        assert status.crashes >= 1
        inlet = status.inlets[0]
        assert (inlet.dropped, inlet.poisoned) == (0, 0)
        assert inlet.redelivered >= status.crashes
    assert places_in_line(counts.messages, stills) == list(range(len(stills)))


async def test_a_poisonous_picture_costs_no_other(
    tmp_path: Path, stills: Sequence[EncodedPacket]
) -> None:
    """A packet that crashes one incarnation after another is set aside, alone, and counted."""

    class Poisonable(Eyes):
        def count(self, rgb: Rgb) -> tuple[AttributeCount, ...]:
            if rgb.shape == (64, 64, 3):
                raise RuntimeError("poison")
            return super().count(rgb)

    square = packets_of(make_film(tmp_path / "square.avi", codec="mjpeg", size=(64, 64)))[0]
    poison = msgspec.structs.replace(
        square,
        session=stills[50].session,
        sequence=stills[50].sequence,
        captured_at=stills[50].captured_at,
    )
    packets = [*stills[:50], poison, *stills[51:]]
    eyes, counts = Poisonable(), Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(eyes), packets)
    async with running_pole(tmp_path, configuration(), types) as pole:
        await counts.until(lambda counts: counts and counts[-1].taken_at >= _second(packets[-1]))
        status = actor_status(pole, "crowd")
        inlet = status.inlets[0]
        # Once in its batch, if it came in one; then twice by itself.
        assert status.crashes in (2, 3)
        assert inlet.poisoned == 1
        assert inlet.dropped == 0
    lost = set(range(200)) - set(places_in_line(counts.messages, packets))
    assert lost == {50}
    assert max(Counter(places_in_line(counts.messages, packets)).values()) == 1


def _second(packet: EncodedPacket) -> int:
    return packet.captured_at // 1_000_000


async def test_too_many_packets_drop_the_oldest_and_every_one_is_accounted_for(
    tmp_path: Path, stills: Sequence[EncodedPacket]
) -> None:
    turn = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wait(number: int) -> None:
        if number == 0:
            trio.from_thread.run(turn.wait, trio_token=token)

    eyes, counts = Eyes(wait), Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(eyes), stills)
    # The check refuses this queue for a stream. Here the inlet itself is looked at.
    refused = (
        "an encoded stream loses whole groups of pictures, at its source, and never a packet in "
        "the middle"
    )
    async with running_pole(
        tmp_path, configuration(room=20, overflow="drop-oldest"), types, findings=[refused]
    ) as pole:
        try:
            await eventually(lambda: actor_status(pole, "crowd").inlets[0].accepted == len(stills))
        finally:
            turn.set()
        await counts.until(lambda counts: counts and counts[-1].taken_at == _second(stills[-1]))
        inlet = actor_status(pole, "crowd").inlets[0]
        readings = actor_status(pole, "crowd").readings
    found = places_in_line(counts.messages, stills)
    assert inlet.dropped == len(stills) - len(found) > 0
    assert found == sorted(found)
    assert found[-20:] == list(range(180, 200))
    assert readings["pictures_counted"] == len(found)
    # In MJPEG each picture stands alone, so that a gap costs no more than what is missing.
    assert readings["packets_skipped"] == 0


async def test_stopping_counts_what_has_been_accepted(
    tmp_path: Path, stills: Sequence[EncodedPacket]
) -> None:
    counts = Gathering[PictureCount]()
    types = actor_types(counts, crowd_with(Eyes()), itertools.islice(stills, 100))
    async with running_pole(tmp_path, configuration(), types) as pole:
        await eventually(lambda: actor_status(pole, "crowd").inlets[0].accepted == 100)
    assert places_in_line(counts.messages, stills) == list(range(100))
