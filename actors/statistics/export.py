"""Released slices in the forms that others read: CSV, JSON and NGSI-LD."""

from __future__ import annotations

__all__ = ["CSV_COLUMNS", "csv_rows", "json_of", "ngsi_ld_of", "spell"]

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from actors.statistics.groups import ANY, EVERYBODY, Group
from actors.statistics.release import Released, ReleasedDevices, ReleasedPeople
from runtime import Blueprint

CSV_COLUMNS = (
    "counted", "place", "start", "end", "coverage", "pictures_at_least", "gender", "age", "mask",
    "peak", "mean", "fewer_than", "noise_epsilon",
)  # fmt: skip

_URN = "urn:ngsi-ld:CrowdFlowObserved"
_CONTEXT = [
    "https://smart-data-models.github.io/dataModel.Transportation/context.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld",
]


def csv_rows(slices: list[Released]) -> Iterator[tuple[object, ...]]:
    """One row for each slice, and one for each group of it. Empty: withheld, or not counted so.

    Where ``peak`` is withheld, ``fewer_than`` says what it is below.
    """
    for one in slices:
        window = (one.place, spell(one.start), spell(one.end))
        if isinstance(one, ReleasedDevices):
            below = one.k if one.devices is None else ""
            yield ("devices", *window, "", "", *EVERYBODY.names, one.devices, "", below, "")
            continue
        seen = (*window, one.coverage_tenths / 10, one.pictures)
        noise = _fraction(one.noise_thousandths, 1000)
        below = one.k if one.peak is None else ""
        mean = _fraction(one.mean_tenths, 10)
        yield ("people", *seen, *EVERYBODY.names, one.peak, mean, below, noise)
        for part in one.groups:
            mean = _fraction(part.mean_tenths, 10)
            names = part.group.names_in(one.age_bands)
            yield ("people", *seen, *names, part.peak, mean, "", "")


def json_of(released: Released) -> dict[str, Any]:
    """A slice as JSON. What is null is withheld."""
    window = {
        "place": released.place,
        "start": spell(released.start),
        "end": spell(released.end),
        "k": released.k,
    }
    if isinstance(released, ReleasedDevices):
        return {**window, "devices": released.devices}
    return {
        **window,
        "coverage": released.coverage_tenths / 10,
        "pictures_at_least": released.pictures,
        "peak": released.peak,
        "mean": _fraction(released.mean_tenths, 10),
        "noise_epsilon": _fraction(released.noise_thousandths, 1000),
        "groups": [
            {
                **_values(one.group, released.age_bands),
                "peak": one.peak,
                "mean": _fraction(one.mean_tenths, 10),
            }
            for one in released.groups
        ],
    }


def ngsi_ld_of(released: ReleasedPeople, blueprint: Blueprint) -> dict[str, Any]:
    """A slice as an entity CrowdFlowObserved (Smart Data Models, Transportation; ETSI GS CIM 009).

    Of that model's attributes only those that say nothing of movement: no direction, no speed, no
    headway (guideline 6.2(3)); no occupancy, which would tell when nobody was there; and nothing on
    congestion, which depends on how wide a way is, and would speak of withheld numbers.
    ``peopleCount`` is the most people in one picture; where it is withheld, it is left out, which
    is not the same as 0. ``coverage``, the share of the time that was observed, belongs to it.
    """
    start, end = spell(released.start), spell(released.end)
    place = blueprint.places.get(released.place)
    entity: dict[str, Any] = {
        "id": f"{_URN}:{quote(blueprint.pole.name)}:{released.place}:{start}",
        "type": "CrowdFlowObserved",
        "dateObserved": _property(f"{start}/{end}"),
        "dateObservedFrom": _property({"@type": "DateTime", "@value": start}),
        "dateObservedTo": _property({"@type": "DateTime", "@value": end}),
        "dataProvider": _property(blueprint.pole.operator.en),
        "source": _property(blueprint.pole.name),
        "name": _property(place.en if place is not None else released.place),
    }
    if place is not None:
        entity["alternateName"] = _property(place.ja)
    if released.peak is not None:
        coverage = _property(released.coverage_tenths / 10)
        entity["peopleCount"] = {**_property(released.peak), "coverage": coverage}
    entity["@context"] = _CONTEXT
    return entity


def spell(moment: int) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _property(value: object) -> dict[str, object]:
    return {"type": "Property", "value": value}


def _values(group: Group, age_bands: tuple[int, ...]) -> dict[str, list[str] | None]:
    """The values of each dimension; None where it is not told."""
    names = zip(("gender", "age", "mask"), group.names_in(age_bands), strict=True)
    return {dimension: None if name == ANY else name.split("|") for dimension, name in names}


def _fraction(number: int | None, parts: int) -> float | None:
    return None if number is None else number / parts
