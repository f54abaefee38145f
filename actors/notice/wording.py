"""The notice's words, read from ``wording.toml``: Japanese first, English beside it."""

from __future__ import annotations

__all__ = ["FigureWords", "Item", "System", "Wording", "choose", "load_wording"]

import string
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources

import msgspec

from runtime import Bilingual

_FORMATTER = string.Formatter()


class _Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of ``wording.toml``."""


class Item(_Closed, frozen=True):
    """One question that a passer-by may have about a system, and its answer."""

    label: Bilingual
    texts: tuple[Bilingual, ...]
    """Variants: the first one whose facts are all known is shown."""
    points: tuple[Bilingual, ...] = ()
    optional: bool = False
    """Left out where no variant's facts are known; other items must always have an answer."""


class System(_Closed, frozen=True):
    """What is said of one system."""

    title: Bilingual
    term: Bilingual
    """Its name in the guideline."""
    summary: tuple[Bilingual, ...]
    items: tuple[Item, ...]


class Page(_Closed, frozen=True):
    title: Bilingual
    intro: Bilingual


class Lead(_Closed, frozen=True):
    """The first sentences, by what the cameras are used for (guideline 9.1(1))."""

    both: Bilingual
    crowd: Bilingual
    security: Bilingual
    neither: Bilingual
    wifi: Bilingual


class Home(_Closed, frozen=True):
    """What is said of where the parts of the program live."""

    walled: Bilingual
    """Where every wall stands."""
    bare: Bilingual
    """Where walls are missing; which, is listed behind it."""
    limits: Bilingual
    """What it does not stop."""


class Apart(_Closed, frozen=True):
    """What is said of how the parts are kept apart."""

    title: Bilingual
    text: Bilingual
    homes: dict[str, Home]
    """By isolation; "one-loop" where there is none."""
    missing_title: Bilingual
    missing: dict[str, Bilingual]
    """By wall."""


class Contact(_Closed, frozen=True):
    title: Bilingual
    text: Bilingual


class Legend(_Closed, frozen=True):
    """What the bars of a chart mean."""

    most: Bilingual
    partly: Bilingual
    few: Bilingual
    none: Bilingual


class FigureWords(_Closed, frozen=True):
    """What the page of figures says."""

    title: Bilingual
    intro: Bilingual
    link: Bilingual
    back: Bilingual
    nothing: Bilingual
    unavailable: Bilingual
    people: Bilingual
    devices: Bilingual
    today: Bilingual
    week: Bilingual
    legend: Legend
    devices_note: Bilingual
    busiest: Bilingual
    busiest_note: Bilingual
    table: Bilingual
    columns: tuple[Bilingual, Bilingual, Bilingual]
    fewer: Bilingual
    unknown_number: Bilingual
    noise: Bilingual
    data: Bilingual
    values: dict[str, dict[str, Bilingual]]
    """By dimension and value, as the statistics name them."""
    ages: Bilingual
    """From one age to another."""
    oldest: Bilingual

    def group(self, names: tuple[str, str, str]) -> Bilingual:
        """A group of people, by the names that the statistics give it."""
        parts = [
            _join([self._value(dimension, value) for value in name.split("|")])
            for dimension, name in zip(("gender", "age", "mask"), names, strict=True)
            if name != "any"
        ]
        return Bilingual(
            ja="・".join(part.ja for part in parts), en=", ".join(part.en for part in parts)
        )

    def _value(self, dimension: str, value: str) -> Bilingual:
        known = self.values.get(dimension, {}).get(value)
        if known is not None:
            return known
        if dimension == "age":
            low, _, high = value.removesuffix("+").partition("-")
            text = self.ages if high else self.oldest
            return Bilingual(
                ja=text.ja.format(low=low, high=high), en=text.en.format(low=low, high=high)
            )
        return Bilingual(ja=value, en=value)


def _join(texts: Sequence[Bilingual]) -> Bilingual:
    return Bilingual(
        ja="または".join(text.ja for text in texts), en=" or ".join(text.en for text in texts)
    )


class Wording(_Closed, frozen=True):
    """All of it."""

    page: Page
    lead: Lead
    systems: dict[str, System]
    separation: Apart
    contact: Contact
    attributes: dict[str, Bilingual]
    figures: FigureWords


def load_wording() -> Wording:
    """Read the words that this package carries."""
    text = resources.files("actors.notice").joinpath("wording.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Wording)


def choose(texts: Sequence[Bilingual], facts: Mapping[str, Bilingual]) -> Bilingual | None:
    """The first of several texts whose facts are all known, with the facts filled in."""
    for text in texts:
        if _names(text) <= facts.keys():
            english = text.en.format_map({name: fact.en for name, fact in facts.items()})
            return Bilingual(
                ja=text.ja.format_map({name: fact.ja for name, fact in facts.items()}),
                en=english[:1].upper() + english[1:],
            )
    return None


def _names(text: Bilingual) -> set[str]:
    return {name for part in (text.ja, text.en) for _, name, _, _ in _FORMATTER.parse(part) if name}
