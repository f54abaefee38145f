"""``smartpole statistics``: what was released, in each form, and nothing of movement."""

from __future__ import annotations

import argparse
import csv
import json
import time
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from actors.statistics.commands import register
from runtime import SmartpoleError
from tests.example_pole import POLE
from tests.unit.statistics.test_store import devices, of_group, open_store, people

NOW = int(time.time()) // 60 * 60 - 600


@pytest.fixture
def pole(tmp_path: Path) -> Path:
    """A pole that has released four slices."""
    path = tmp_path / "pole.toml"
    path.write_text(POLE + "west-exit = { ja = '西口', en = 'West exit' }\n[actors]\n", "utf-8")
    with closing(open_store(tmp_path / "state" / "public")) as store:
        store.append(people(start=NOW, end=NOW + 60))
        few = {"peak": None, "mean_tenths": None, "groups": (), "coverage_tenths": 3}
        store.append(people(start=NOW + 60, end=NOW + 120, **few))
        noisy = {"noise_thousandths": 250, "groups": ()}
        store.append(people(place="west-exit", start=NOW, end=NOW + 60, **noisy))
        store.append(devices(start=NOW - 3600, end=NOW - 3540))
    return path


def run(*arguments: str | Path) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers(required=True))
    given = parser.parse_args(["statistics", *map(str, arguments)])
    assert given.handler(given) == 0


def shown(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def test_as_csv(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(pole, "--as", "csv")
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 + 3 + 1
    whole, *groups = rows[:4]
    assert whole == {
        "counted": "people", "place": "east-exit", "start": shown(NOW), "end": shown(NOW + 60),
        "coverage": "0.9", "pictures_at_least": "50", "gender": "any", "age": "any", "mask": "any",
        "peak": "22", "mean": "12.1", "fewer_than": "", "noise_epsilon": "",
    }  # fmt: skip
    assert {(one["gender"], one["age"], one["peak"], one["mean"]) for one in groups} == {
        ("female", "0-17|18-39", "11", "6.1"),
        ("female", "40-64|65+|unknown", "6", ""),
        ("male|unknown", "any", "9", "5.2"),
    }
    noisy, few, heard = rows[4:]
    assert (noisy["place"], noisy["noise_epsilon"]) == ("west-exit", "0.25")
    assert (few["peak"], few["mean"], few["fewer_than"], few["coverage"]) == ("", "", "5", "0.3")
    assert (heard["counted"], heard["peak"], heard["coverage"]) == ("devices", "17", "")


def test_as_json(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Counted from now on: the module may have been imported long ago.
    since = f"{int(time.time()) - NOW + 900}s"
    run(pole, "--as", "json", "--since", since, "--place", "east-exit")
    told = json.loads(capsys.readouterr().out)
    assert told["pole"] == "east-exit-01"
    assert told["devices"] == []
    whole, few = told["people"]
    assert (whole["peak"], whole["mean"], whole["coverage"]) == (22, 12.1, 0.9)
    assert whole["groups"][0] == {
        "gender": ["female"], "age": ["0-17", "18-39"], "mask": None, "peak": 11, "mean": 6.1
    }  # fmt: skip
    assert (few["peak"], few["mean"], few["k"], few["groups"]) == (None, None, 5, [])


MOVEMENT = {
    "direction", "averageCrowdSpeed", "averageHeadwayTime", "occupancy", "congested",
    "refRoadSegment",
}  # fmt: skip


def test_as_ngsi_ld_without_movement(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(pole, "--as", "ngsi-ld")
    entities = json.loads(capsys.readouterr().out)
    assert len(entities) == 3
    for entity in entities:
        assert entity["type"] == "CrowdFlowObserved"
        assert not MOVEMENT & set(entity)
        assert set(entity) <= {
            "id", "type", "dateObserved", "dateObservedFrom", "dateObservedTo", "dataProvider",
            "source", "name", "alternateName", "peopleCount", "@context",
        }  # fmt: skip
    first, few = entities[0], entities[2]
    start, end = shown(NOW), shown(NOW + 60)
    assert first["id"] == f"urn:ngsi-ld:CrowdFlowObserved:east-exit-01:east-exit:{start}"
    assert first["dateObserved"]["value"] == f"{start}/{end}"
    assert first["peopleCount"]["value"] == 22
    assert first["peopleCount"]["coverage"]["value"] == 0.9
    assert first["name"]["value"] == "Station plaza, east exit"
    assert first["alternateName"]["value"] == "駅東口広場"
    assert "peopleCount" not in few, "withheld is not zero"
    assert len({entity["id"] for entity in entities}) == 3


def test_as_a_table(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(pole)
    out = " ".join(capsys.readouterr().out.split())
    assert "22 people" in out
    assert "fewer than 5 people" in out
    assert "17 devices" in out
    assert "30 %" in out


def test_while_the_pole_writes(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(pole.parent / "state" / "public")) as store:
        group = of_group("female", "any", "any", 8, None)
        store.append(people(start=NOW + 240, end=NOW + 300, groups=(group,)))
        run(pole, "--as", "csv")
        assert shown(NOW + 240) in capsys.readouterr().out
        store.append(people(start=NOW + 300, end=NOW + 360))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since yesterday: Expected a duration"),
        (["--place", "north"], "no such place. Accepted: east-exit, west-exit"),
    ],
)
def test_what_it_does_not_know(pole: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SmartpoleError, match=message):
        run(pole, *arguments)


def test_before_anything_is_released(tmp_path: Path) -> None:
    path = tmp_path / "pole.toml"
    path.write_text(POLE + "[actors]\n", "utf-8")
    with pytest.raises(SmartpoleError, match="no statistics yet"):
        run(path)
    assert not (tmp_path / "state").exists()
