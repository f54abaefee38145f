"""Several cameras in one crowd domain: one set of models, whoever is granted them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter, CrowdSettings
from actors.crowd.counting import InferenceModels, PeopleCounter
from actors.crowd.decoder import PictureDecoder
from actors.crowd.messages import PictureCount
from runtime import Actor, Authority
from runtime.capability import Commons
from tests.cameras import packets_of
from tests.poles import Gathering, PublicSink, gathering_in, running_pole, sending

pytestmark = [pytest.mark.models, pytest.mark.footage]

_CROWD = """
[actors.source-{name}]
type = "source-{name}"

[actors.crowd-{name}]
type = "crowd"
place = "crossing"
grants = ["InferenceModels"]
settings = {{ models = "{models}", interval = "1s", late = "1d", threads = {threads} }}
supervision = {{ first_delay = "1ms" }}

[[channels]]
from = "source-{name}.packets"
to = "crowd-{name}.packets"
[[channels]]
from = "crowd-{name}.counts"
to = "sink.counts"
"""


def minted(commons: Commons, settings: CrowdSettings) -> InferenceModels:
    """As the host does it, in two steps."""

    def authority(prepared: object) -> Authority:
        return Authority._mint(
            actor="crowd",
            folder=None,
            settings=settings,
            facts={},
            prepared=prepared,
            commons=commons,
        )

    found = InferenceModels._mint(authority(InferenceModels.prepare(authority(None))))
    assert isinstance(found, InferenceModels)
    return found


def test_who_asks_for_the_same_is_given_the_same(models_folder: Path) -> None:
    commons, settings = Commons(), CrowdSettings(models=models_folder)
    first, second = minted(commons, settings), minted(commons, settings)
    sessions = first.sessions(("cpu",), 1)
    assert second.sessions(("cpu",), 1) is sessions
    # Other threads are another pool, and another domain another life.
    assert second.sessions(("cpu",), 2)["gender"] is not sessions["gender"]
    assert minted(Commons(), settings).sessions(("cpu",), 1) is not sessions
    # A new incarnation beside others gets theirs; one alone begins anew.
    first.close()
    third = minted(commons, settings)
    assert third.sessions(("cpu",), 1) is sessions
    second.close()
    third.close()
    assert minted(commons, settings).sessions(("cpu",), 1) is not sessions


@pytest.mark.real_time
async def test_actors_of_a_domain_share_them_and_each_counts_as_one_alone(
    tmp_path: Path, models_folder: Path, street: Path
) -> None:
    film = packets_of(street)[:31]
    expected = counted_alone(film, models_folder)
    assert len(expected) == 4
    counters: list[PeopleCounter] = []

    class Crowd(CrowdCounter):
        def _load(self) -> PeopleCounter:
            counters.append(super()._load())
            return counters[-1]

    counts = Gathering[PictureCount]()
    names = ("one", "two", "other")
    types: dict[str, type[Actor]] = {
        "crowd": Crowd,
        "sink": gathering_in(PublicSink, counts),
        **{f"source-{name}": sending(film) for name in names},
    }
    text = '[actors.sink]\ntype = "sink"\n' + "".join(
        _CROWD.format(name=name, models=models_folder, threads=1 + (name == "other"))
        for name in names
    )
    async with running_pole(tmp_path, text, types):
        await counts.until(lambda counts: len(counts) == 12, within=60)
    assert sorted(count.people for count in counts.messages) == sorted(3 * expected)
    sessions = [counter._finder._faces._session for counter in counters]
    assert len(sessions) == 3
    assert len(set(map(id, sessions))) == 2


def counted_alone(film: Sequence[EncodedPacket], models: Path) -> list[int]:
    settings = CrowdSettings(models=models)
    counter = PeopleCounter(minted(Commons(), settings), providers=("cpu",), threads=1)
    decoder = PictureDecoder(interval=1, width=settings.width, threads=1)
    people = []
    for packet in film:
        for picture in decoder.feed(packet):
            people.append(sum(cell.people for cell in counter.count(picture.rgb)))
            picture.erase()
    return people
