"""What the notice says: words for people, facts from the running blueprint (guideline 9.1(1))."""

from __future__ import annotations

__all__ = [
    "ActorEntry",
    "Answer",
    "Content",
    "SeparationEntry",
    "SystemEntry",
    "WallsEntry",
    "describe",
    "spell_moment",
]

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from msgspec import inspect as shape

from actors.notice.premises import NoticeOutOfDate, require_premises
from actors.notice.wording import Item, System, Wording, choose
from runtime import (
    TABLE,
    Bilingual,
    Blueprint,
    Domain,
    DomainRule,
    Duration,
    Message,
    Sensitivity,
    Separation,
)
from runtime.blueprint import ActorPlan

_JAPAN = timezone(timedelta(hours=9), "JST")
_UNITS = ((86400, "日", "day"), (3600, "時間", "hour"), (60, "分", "minute"), (1, "秒", "second"))
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_PERIODS = ("interval", "slice")
_LONGEST = ("keep",)
"""Of several values, the one that says least of our caution."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of the notice."""


class Answer(_Entry, frozen=True):
    label: Bilingual
    text: Bilingual
    points: tuple[Bilingual, ...]


class SystemEntry(_Entry, frozen=True):
    """One system that this pole really runs."""

    key: str
    title: Bilingual
    term: Bilingual
    summary: Bilingual
    places: tuple[Bilingual, ...]
    answers: tuple[Answer, ...]


class SeparationEntry(_Entry, frozen=True):
    """How the parts of the program are kept apart, for people."""

    title: Bilingual
    text: Bilingual | None
    """None where one camera doesn't serve two systems, and only missing walls are to be told."""
    walls: Bilingual
    missing: tuple[Bilingual, ...]
    """Walls that this pole lacks."""
    limits: Bilingual


class WallsEntry(_Entry, frozen=True):
    """The same for those who check, and for machines."""

    isolation: str
    """``thread`` or ``process``."""
    sandbox: str
    """What the configuration asks for where a wall is missing: ``required`` or ``best-effort``."""
    landlock_abi: int
    """The kernel's level of Landlock; 0 for none."""
    seccomp: bool
    missing: tuple[str, ...]
    """Each wall that does not stand, and what that means."""


class ActorEntry(_Entry, frozen=True):
    """For those who check: one part of the program, what it may do, how it is set."""

    domain: str
    name: str
    type: str
    place: str
    holds: tuple[str, ...]
    settings: dict[str, str]


class Content(_Entry, frozen=True):
    """The whole notice, and the form of ``/notice.json``."""

    pole: str
    operator: Bilingual
    contact: Bilingual
    guideline: str
    guideline_title: Bilingual
    places: tuple[Bilingual, ...]
    title: Bilingual
    intro: Bilingual
    lead: tuple[Bilingual, ...]
    systems: tuple[SystemEntry, ...]
    separation: SeparationEntry | None
    """None where one camera doesn't serve two systems, and every wall stands."""
    contact_title: Bilingual
    contact_text: Bilingual
    walls: WallsEntry
    actors: tuple[ActorEntry, ...]
    generated: str
    """ISO 8601, UTC."""
    generated_words: Bilingual
    blueprint: str
    """SHA-256 of the configuration that runs."""


def describe(
    blueprint: Blueprint,
    separation: Separation,
    wording: Wording,
    *,
    now: float,
    table: Mapping[Domain, DomainRule] = TABLE,
) -> Content:
    """Say what runs. Raises NoticeOutOfDate where the words would not be true of it."""
    domains = {plan.domain for plan in blueprint.actors.values()}
    require_premises(domains, table)
    systems = tuple(_describe_systems(blueprint, wording))
    keys = {system.key for system in systems}
    moment = datetime.fromtimestamp(int(now), UTC)
    guideline = blueprint.pole.guideline
    return Content(
        pole=blueprint.pole.name,
        operator=blueprint.pole.operator,
        contact=blueprint.pole.contact,
        guideline=guideline,
        guideline_title=Bilingual(
            ja=f"東京都スマートポール プライバシーガイドライン 第{guideline}版",
            en=f"Tokyo Smart Pole Privacy Guideline, version {guideline}",
        ),
        places=tuple(_places(blueprint, blueprint.actors.values())),
        title=wording.page.title,
        intro=wording.page.intro,
        lead=tuple(_lead(keys, wording)),
        systems=systems,
        separation=_describe_separation(separation, keys, wording),
        contact_title=wording.contact.title,
        contact_text=wording.contact.text,
        walls=WallsEntry(
            isolation=_home(separation),
            sandbox=blueprint.pole.sandbox.value,
            landlock_abi=separation.landlock_abi,
            seccomp=separation.seccomp,
            missing=separation.missing,
        ),
        actors=tuple(_describe_actor(plan) for plan in blueprint.actors.values()),
        generated=moment.isoformat(),
        generated_words=spell_moment(moment),
        blueprint=blueprint.digest,
    )


def _describe_systems(blueprint: Blueprint, wording: Wording) -> Iterator[SystemEntry]:
    """The systems that have actors, and no others."""
    plans = blueprint.actors.values()
    for key, members in (
        ("crowd", [plan for plan in plans if plan.domain is Domain.CROWD]),
        ("security", [plan for plan in plans if plan.domain is Domain.SECURITY]),
        ("wifi", [plan for plan in plans if plan.domain is Domain.WIFI]),
        ("statistics", [plan for plan in plans if _keeps_statistics(plan)]),
    ):
        if members:
            yield _describe_system(blueprint, key, wording.systems[key], members, wording)


def _keeps_statistics(plan: ActorPlan) -> bool:
    takes = {declared.message.sensitivity for declared in plan.inlets.values()}
    stores = any(need.kind.kind == "storage" for need in plan.needs.values())
    return plan.domain is Domain.PUBLIC and Sensitivity.AGGREGATE in takes and stores


def _describe_system(
    blueprint: Blueprint, key: str, words: System, members: list[ActorPlan], wording: Wording
) -> SystemEntry:
    facts = _facts(members, wording)
    summary = choose(words.summary, facts)
    if summary is None:
        raise _no_variant(key, "its summary", facts)
    places = tuple(_places(blueprint, _with_senders(blueprint, members)))
    answers = tuple(
        answer for item in words.items if (answer := _answer(key, item, facts)) is not None
    )
    return SystemEntry(
        key=key,
        title=words.title,
        term=words.term,
        summary=summary,
        places=places,
        answers=answers,
    )


def _answer(key: str, item: Item, facts: Mapping[str, Bilingual]) -> Answer | None:
    text = choose(item.texts, facts)
    if text is not None:
        return Answer(label=item.label, text=text, points=item.points)
    if item.optional:
        return None
    raise _no_variant(key, item.label.en, facts)


def _no_variant(key: str, what: str, facts: Mapping[str, Bilingual]) -> NoticeOutOfDate:
    known = ", ".join(sorted(facts)) or "none"
    return NoticeOutOfDate(
        f"the notice has no words for {key!r}, {what}: each variant names a setting that no actor "
        f"publishes. Published: {known}."
    )


def _with_senders(blueprint: Blueprint, members: list[ActorPlan]) -> list[ActorPlan]:
    """A recorder has no place of its own: it is where its camera is."""
    names = {plan.name for plan in members}
    senders = [c.sender for c in blueprint.channels if c.receiver in names]
    return [*members, *(blueprint.actors[name] for name in senders)]


def _places(blueprint: Blueprint, plans: Iterable[ActorPlan]) -> Iterator[Bilingual]:
    names = dict.fromkeys(plan.place for plan in plans if plan.place)
    return (blueprint.places[name] for name in names)


def _lead(keys: set[str], wording: Wording) -> Iterator[Bilingual]:
    lead = wording.lead
    yield {
        (True, True): lead.both,
        (True, False): lead.crowd,
        (False, True): lead.security,
        (False, False): lead.neither,
    }["crowd" in keys, "security" in keys]
    if "wifi" in keys:
        yield lead.wifi


def _describe_separation(
    separation: Separation, keys: set[str], wording: Wording
) -> SeparationEntry | None:
    """How the parts are kept apart, where two systems are; what is missing, always."""
    words = wording.separation
    missing = separation.missing_walls
    if bool(separation.missing) != bool(missing):
        raise NoticeOutOfDate(
            "a wall is missing on this pole of which the notice has nothing to say: "
            f"{'; '.join(separation.missing)}. Add it to runtime.Wall, and words for it to "
            "[separation.missing] of actors.notice's wording.toml."
        )
    both = {"crowd", "security"} <= keys
    if not both and not missing:
        return None
    home = words.homes[_home(separation)]
    return SeparationEntry(
        title=words.title if both else words.missing_title,
        text=words.text if both else None,
        walls=home.bare if missing else home.walled,
        missing=tuple(words.missing[wall.value] for wall in missing),
        limits=home.limits,
    )


def _home(separation: Separation) -> str:
    return separation.isolation.value if separation.isolation is not None else "one-loop"


def _describe_actor(plan: ActorPlan) -> ActorEntry:
    return ActorEntry(
        domain=plan.domain.value,
        name=plan.name,
        type=plan.type_name,
        place=plan.place,
        holds=tuple(f"{need.__name__}: {need.rights}" for need in plan.needs.values()),
        settings={name: str(value) for name, value in _published(plan)},
    )


# -- facts --------------------------------------------------------------------------------------


def _published(plan: ActorPlan) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(plan.settings, name)) for name in plan.settings.published)


def _facts(members: list[ActorPlan], wording: Wording) -> dict[str, Bilingual]:
    """Published settings by name, in words, and what is estimated of people."""
    values: dict[str, list[Any]] = {}
    for plan in members:
        for name, value in _published(plan):
            if value not in values.setdefault(name, []):
                values[name].append(value)
    facts = {
        name: _spell_all(name, found)
        for name, found in values.items()
        # Every picture ("0s") is no period that could be put in words.
        if not any(isinstance(value, Duration) and value <= 0 for value in found)
    }
    attributes = [
        wording.attributes.get(name, Bilingual(ja=name, en=name))
        for name in dict.fromkeys(_enumerations(members))
    ]
    if attributes:
        facts["attributes"] = _join(attributes, "・", "and")
    return facts


def _enumerations(members: list[ActorPlan]) -> Iterator[str]:
    """Names of the enumerations in what these actors send: all they say of people but numbers."""
    for plan in members:
        for outlet in plan.actor_type.declaration.outlets.values():
            yield from _enumerations_in(outlet.message)


def _enumerations_in(message: type[Message]) -> Iterator[str]:
    pending = [shape.type_info(message)]
    while pending:
        kind = pending.pop(0)
        if isinstance(kind, shape.EnumType):
            yield kind.cls.__name__
        elif isinstance(kind, shape.StructType):
            pending += [field.type for field in kind.fields]
        elif isinstance(kind, shape.VarTupleType):
            pending.append(kind.item_type)
        elif isinstance(kind, shape.TupleType):
            pending += kind.item_types
        elif isinstance(kind, shape.UnionType):
            pending += kind.types


def _spell_all(name: str, values: list[Any]) -> Bilingual:
    if name in _LONGEST:
        values = [max(values)]
    spelled = [
        _spell_duration(value, period=name in _PERIODS)
        if isinstance(value, Duration)
        else Bilingual(ja=str(value), en=str(value))
        for value in sorted(values, key=_by_size)
    ]
    return _join(spelled, "または", "or")


def _by_size(value: Any) -> tuple[float, str]:
    return (value if isinstance(value, int | float) else math.inf, str(value))


def _join(texts: list[Bilingual], japanese: str, english: str) -> Bilingual:
    first, last = [text.en for text in texts[:-1]], texts[-1].en
    return Bilingual(
        ja=japanese.join(text.ja for text in texts),
        en=f"{', '.join(first)} {english} {last}" if first else last,
    )


def _spell_duration(seconds: float, *, period: bool) -> Bilingual:
    """ "14 days"; as a period, "every second" instead of "every 1 second"."""
    size, japanese, english = next(
        (unit for unit in _UNITS if seconds >= unit[0] and math.isclose(seconds % unit[0], 0)),
        _UNITS[-1],
    )
    count = seconds / size
    if count == 1:
        return Bilingual(ja=f"1{japanese}", en=english if period else f"1 {english}")
    return Bilingual(ja=f"{count:g}{japanese}", en=f"{count:g} {english}s")


def spell_moment(moment: datetime) -> Bilingual:
    """A moment in Japan's time, for people."""
    local = moment.astimezone(_JAPAN)
    return Bilingual(
        ja=f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}（日本時間）",
        en=f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M} Japan time",
    )
