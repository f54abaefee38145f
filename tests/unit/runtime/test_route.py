"""Routes of personal data: random blueprints, judged by the checker and by brute force.

The oracle below shares no code with the checker: it has a table of its own, written from the
architecture, reads plain data instead of a blueprint, and enumerates every path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtime import (
    Actor,
    Bilingual,
    Blueprint,
    Capability,
    Count,
    Domain,
    Message,
    Network,
    Outlet,
    Sensitivity,
    Storage,
)
from runtime.actor import (
    ActorDeclaration,
    InletDeclaration,
    NeedDeclaration,
    NoSettings,
    OutletDeclaration,
)
from runtime.blueprint import ActorPlan, ChannelPlan, PoleIdentity, _Supervision
from runtime.capability import CapabilityKind
from runtime.check import check
from runtime.errors import DeclarationError
from runtime.route import ends_of, sources_of, trace
from tests.example_pole import CONFIGURATION, CROWD, example_blueprint

S = Sensitivity


class Film(Message, sensitivity=S.PERSONAL_IMAGE):
    data: bytes


class Device(Message, sensitivity=S.PERSONAL_IDENTIFIER):
    mac: bytes


class Total(Message, sensitivity=S.AGGREGATE):
    people: Count


class Bounded(Message, sensitivity=S.OPERATIONAL):
    files: Count


class Text(Message, sensitivity=S.OPERATIONAL):
    text: str


class Wide(Message, sensitivity=S.OPERATIONAL):
    """Wide enough for a MAC address, which is all that is wrong with it."""

    number: Annotated[int, msgspec.Meta(ge=0, le=2**48)]


class Wrapped(Message, sensitivity=S.OPERATIONAL):
    inner: tuple[Text, Count]


MESSAGES = {m.__name__: m for m in (Film, Device, Total, Bounded, Text, Wide, Wrapped)}
KINDS = [
    *("network:cameras", "network:portal", "network:notice", "network:uplink", "network:control"),
    *("sensing:wifi", "models:inference", "facts:blueprint", "storage:security", "storage:consent"),
    *("storage:public", "storage:ledger", "storage:run", "storage:elsewhere"),
]


def capability_of(kind: str) -> type[Capability]:
    word, _, scope = kind.partition(":")
    name = f"{word}_{scope}"
    made: type[Capability] = type(Capability)(
        name, (Capability,), {"__module__": __name__}, kind=CapabilityKind(word, scope), rights="x"
    )
    return made


CAPABILITIES = {kind: capability_of(kind) for kind in KINDS}

# -- a blueprint as plain data ---------------------------------------------------------------------


@dataclass(frozen=True)
class One:
    """An actor: where it lives, and what it needs and is granted."""

    domain: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    actors: tuple[One, ...]
    channels: tuple[tuple[int, int, str], ...]
    """Sender, receiver, message type."""


DOMAINS = [
    *("capture", "crowd", "security", "wifi", "consent", "public", "control"),
    *("security", "consent", "public"),  # where a route alone can be at fault, more often
]


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """What the table allows step by step, with at most one grant and one channel that may be
    anything: of what is random throughout, nearly all is refused for several reasons at once."""
    count = draw(st.integers(1, 6))
    odd_actor = draw(st.sampled_from([None, None, *range(count)]))
    actors = []
    for n in range(count):
        domain = draw(st.sampled_from(DOMAINS))
        may = KINDS if n == odd_actor else sorted(HOLDS[domain])
        few = draw(st.integers(0, 3)) > 0
        kinds = draw(st.lists(st.sampled_from(may), unique=True, min_size=few, max_size=2))
        actors.append(One(domain, tuple(kinds)))
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    lawful = [
        (i, j, message)
        for i, j in pairs
        for message in MESSAGES
        if (actors[i].domain, WORDS[message], actors[j].domain) in MAY_SEND
    ]
    channels = draw(st.lists(st.sampled_from(lawful), max_size=7)) if lawful else []
    if pairs and draw(st.integers(0, 2)) == 0:
        i, j = draw(st.sampled_from(pairs))
        channels.append((i, j, draw(st.sampled_from(sorted(MESSAGES)))))
    return Draft(tuple(actors), tuple(channels))


def blueprint_of(draft: Draft) -> Blueprint:
    """Past the class check: declarations are set from outside, as hostile code could."""
    actors: dict[str, ActorPlan] = {}
    for n, one in enumerate(draft.actors):
        declared = ActorDeclaration(
            Domain(one.domain),
            {f"i{k}": InletDeclaration(MESSAGES[m])
             for k, (_, to, m) in enumerate(draft.channels) if to == n},
            {f"o{k}": OutletDeclaration(MESSAGES[m])
             for k, (sender, _, m) in enumerate(draft.channels) if sender == n},
            {f"n{k}": NeedDeclaration(CAPABILITIES[kind]) for k, kind in enumerate(one.kinds)},
        )  # fmt: skip
        made: Any = type(Actor)("Made", (Actor,), {"__module__": __name__}, domain=declared.domain)
        made.declaration = declared
        actors[f"a{n}"] = ActorPlan(
            name=f"a{n}",
            type_name="made",
            actor_type=made,
            place="square",
            grants=tuple(CAPABILITIES[kind].__name__ for kind in one.kinds),
            settings=NoSettings(),
            inlets=declared.inlets,
            outlets=declared.outlets,
            supervision=_Supervision(),
            line=None,
        )
    words = Bilingual(ja="あ", en="a")
    return Blueprint(
        source="",
        pole=PoleIdentity(
            name="p", operator=words, contact=words, guideline="1.0", state=Path("/nowhere/state")
        ),
        places={"square": words},
        actors=actors,
        channels=tuple(
            ChannelPlan(f"a{i}", f"o{k}", f"a{j}", f"i{k}", MESSAGES[m], None)
            for k, (i, j, m) in enumerate(draft.channels)
        ),
        domains={},
        digest="0" * 64,
    )


# -- the oracle ------------------------------------------------------------------------------------

IMAGE, MAC = "image", "mac"
WORDS = {
    "Film": "image", "Device": "mac", "Total": "aggregate",
    "Bounded": "operational", "Text": "operational", "Wide": "operational",
    "Wrapped": "operational",
}  # fmt: skip
ROOMY = {"Film", "Device", "Text", "Wide", "Wrapped"}
"""What a picture or an address could be put into."""
HOLDS = {
    "capture": {"network:cameras"},
    "crowd": {"models:inference"},
    "security": {"storage:security"},
    "wifi": {"sensing:wifi"},
    "consent": {"storage:consent", "network:portal"},
    "public": {"storage:public", "network:notice", "network:uplink", "facts:blueprint"},
    "control": {"storage:ledger", "storage:run", "network:control", "facts:blueprint"},
}
MAY_SEND = {
    ("capture", "image", "crowd"), ("capture", "image", "security"),
    ("crowd", "aggregate", "public"), ("wifi", "aggregate", "public"),
    ("public", "aggregate", "public"),
    *((a, "operational", b) for a in ("security", "consent", "public", "control")
      for b in ("public", "control")),
}  # fmt: skip
KNOWS = {
    IMAGE: {"capture", "crowd", "security", "network:cameras", "storage:security"},
    MAC: {"wifi", "consent", "network:portal", "storage:consent", "sensing:wifi"},
}
"""Where each may be: domains, and what capabilities lead to."""
SOURCE = {IMAGE: {"network:cameras"}, MAC: {"sensing:wifi", "network:portal"}}


def paths(draft: Draft, what: str) -> Iterator[tuple[str, ...]]:
    """Every path without repetition on which that could move, to its first forbidden end.

    A place is ``a3`` or a kind such as ``storage:run``; recursion, no queue, no visited set.
    """
    domain = {f"a{n}": one.domain for n, one in enumerate(draft.actors)}

    def lawful(place: str) -> bool:
        return domain.get(place, place) in KNOWS[what]

    def steps(place: str) -> Iterator[str]:
        if ":" in place:
            for n, one in enumerate(draft.actors):
                if place in one.kinds and (place.startswith("storage:") or place in SOURCE[what]):
                    yield f"a{n}"
            return
        me = int(place[1:])
        for i, j, message in draft.channels:
            if i == me and message in ROOMY:
                yield f"a{j}"
        for kind in draft.actors[me].kinds:
            if kind.split(":")[0] in ("storage", "network"):
                yield kind
        for n, one in enumerate(draft.actors):
            if n != me and one.domain == draft.actors[me].domain:
                yield f"a{n}"

    def walk(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        if lawful(path[-1]):
            for place in steps(path[-1]):
                if place not in path:
                    yield from walk((*path, place))

    for kind in SOURCE[what]:
        if any(kind in one.kinds for one in draft.actors):
            yield from walk((kind,))
    for i in {i for i, _, message in draft.channels if WORDS[message] == what}:
        if lawful(f"a{i}"):
            yield from walk((f"a{i}",))


def reached(draft: Draft, what: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Places where it may be and is, and the last steps on which it goes where it may not."""
    there, too_far = set(), set()
    for path in paths(draft, what):
        here = path[-1]
        at = draft.actors[int(here[1:])].domain if ":" not in here else here
        if at in KNOWS[what]:
            there.add(here)
        else:
            too_far.add((path[-2], here))
    return there, too_far


def may_run(draft: Draft) -> bool:
    for one in draft.actors:
        if not set(one.kinds) <= HOLDS[one.domain]:
            return False
    for i, j, message in draft.channels:
        if (draft.actors[i].domain, WORDS[message], draft.actors[j].domain) not in MAY_SEND:
            return False
    return not any(reached(draft, what)[1] for what in (IMAGE, MAC))


LEVELS = {IMAGE: S.PERSONAL_IMAGE, MAC: S.PERSONAL_IDENTIFIER}


@settings(max_examples=600, deadline=None)
@given(drafts())
def test_the_checker_and_brute_force_agree(draft: Draft) -> None:
    blueprint = blueprint_of(draft)
    # Rules of the program itself (circles, for one) have no clause and are not about flow.
    refused = [finding for finding in check(blueprint) if finding.clause]
    event(f"may run: {may_run(draft)}")
    assert (not refused) is may_run(draft), refused


@settings(max_examples=600, deadline=None)
@given(drafts())
def test_it_finds_every_place_that_brute_force_finds_and_no_other(draft: Draft) -> None:
    found = trace(blueprint_of(draft))
    for what, level in LEVELS.items():
        there, too_far = reached(draft, what)
        assert {str(place) for one, place in found.reached if one is level} == there
        ways = [route for one, route in found.forbidden if one is level]
        assert {(str(way.hops[-1].source), str(way.end)) for way in ways} == too_far
        possible = set(paths(draft, what))
        for route in [*ways, *(r for (one, _), r in found.reached.items() if one is level)]:
            assert (str(route.start), *(str(hop.target) for hop in route.hops)) in possible


def test_random_blueprints_are_of_both_kinds_and_some_fall_by_routes_alone() -> None:
    """Without which the two tests above would say little."""
    seen: dict[str, int] = {}

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(drafts())
    def look(draft: Draft) -> None:
        far = any(reached(draft, what)[1] for what in LEVELS)
        steps = all(set(one.kinds) <= HOLDS[one.domain] for one in draft.actors) and all(
            (draft.actors[i].domain, WORDS[m], draft.actors[j].domain) in MAY_SEND
            for i, j, m in draft.channels
        )
        kind = "fine" if may_run(draft) else "route alone" if steps and far else "step"
        seen[kind] = seen.get(kind, 0) + 1

    look()
    assert min(seen[kind] for kind in ("fine", "route alone", "step")) >= 10, seen


# -- by hand ---------------------------------------------------------------------------------------


def one_finding(draft: Draft) -> Any:
    (finding,) = [finding for finding in check(blueprint_of(draft)) if finding.clause]
    return finding


CAMERA = One("capture", ("network:cameras",))


def test_a_picture_in_free_text_is_followed_through_a_store_and_shared_memory() -> None:
    """Camera, recorder, store, another reader of it, which says OPERATIONAL and means anything."""
    draft = Draft(
        (CAMERA, One("security", ("storage:security",)), One("security", ()), One("public", ())),
        ((0, 1, "Film"), (2, 3, "Text")),
    )
    finding = one_finding(draft)
    assert finding.who == "a2.o1 → a3.i1"
    assert (
        "personal image could go to domain 'public' in Text (operational): "
        "network:cameras → a0 → a1 → (memory of domain 'security') → a2 → a3; "
        "its field 'text' is of the kind 'str'"
    ) in finding.what
    assert finding.clause.startswith("4.1(1), 4.2(3), 7.1(1)")
    assert finding.remedy.startswith("bound every field of Text")


@pytest.mark.parametrize(("message", "fine"), [("Bounded", True), ("Wide", False), ("Text", False)])
def test_only_what_is_bounded_leaves_the_register_of_consent(message: str, fine: bool) -> None:
    draft = Draft(
        (One("consent", ("network:portal",)), One("control", ("storage:ledger",))),
        ((0, 1, message),),
    )
    assert ([f for f in check(blueprint_of(draft)) if f.clause] == []) is fine


def test_free_text_without_personal_data_behind_it_may_go() -> None:
    draft = Draft((One("public", ()), One("control", ("network:control",))), ((0, 1, "Text"),))
    assert check(blueprint_of(draft)) == []


def test_a_refused_step_shows_the_whole_way() -> None:
    draft = Draft((CAMERA, One("crowd", ()), One("public", ())), ((0, 1, "Film"), (1, 2, "Film")))
    finding = one_finding(draft)
    assert finding.who == "a1.o1 → a2.i1"
    assert finding.what.endswith("personal image: network:cameras → a0 → a1 → a2")


@pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith(("storage:", "network:"))])
def test_no_crowd_actor_holds_storage_or_network(kind: str) -> None:
    draft = Draft((CAMERA, One("crowd", (kind,))), ((0, 1, "Film"),))
    finding = one_finding(draft)
    assert finding.who == "a1"
    way = "network:cameras → a1" if kind == "network:cameras" else "network:cameras → a0 → a1"
    assert f"({kind}) in domain 'crowd'; personal image: {way}" in finding.what
    assert "6.2(1)" in finding.clause


def test_who_reads_what_another_stored_has_it() -> None:
    draft = Draft(
        (CAMERA, One("security", ("storage:security",)), One("public", ("storage:security",))),
        ((0, 1, "Film"),),
    )
    finding = one_finding(draft)
    assert finding.who == "a2"
    assert finding.what.endswith(
        "personal image: network:cameras → a0 → a1 → storage:security → a2"
    )


def test_where_everything_comes_from_and_ends(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    assert {str(way) for way in sources_of(blueprint, "statistics")} == {
        "storage:public → statistics",
        "sensing:wifi → wifi → statistics",
        "network:cameras → camera → crowd → statistics",
    }
    assert {str(way) for way in ends_of(blueprint, "camera")} == {
        "camera → network:cameras",
        "camera → recorder → storage:security",
        "camera → crowd → statistics → storage:public",
    }
    assert ends_of(blueprint, "announcer") == []


def test_what_an_actor_needs_and_is_not_granted_leads_nowhere(tmp_path: Path) -> None:
    text = CONFIGURATION.replace('grants = ["CameraLink"]', "grants = []")
    found = trace(example_blueprint(tmp_path, text))
    assert str(found.reached[S.PERSONAL_IMAGE, "recorder"]) == "camera → recorder"


# -- the class and the capability ------------------------------------------------------------------


@pytest.mark.parametrize("domain", [Domain.SECURITY, Domain.CONSENT])
@pytest.mark.parametrize("message", [Text, Wide, Wrapped])
def test_a_class_may_not_let_out_what_is_unbounded(domain: Domain, message: type[Message]) -> None:
    with pytest.raises(DeclarationError) as caught:
        type(Actor)(
            "Leaky", (Actor,),
            {"__annotations__": {"out": Outlet[message]}, "__module__": __name__},  # type: ignore[valid-type]
            domain=domain,
        )  # fmt: skip
    said = str(caught.value)
    assert f"actor Leaky lives in domain {domain.value!r}, which handles personal data" in said
    assert f"may not emit {message.__name__} [operational] by its outlet 'out'" in said
    assert "guideline 4.2(3)" in said
    assert "Accepted: fields that an AGGREGATE message may have" in said


@pytest.mark.parametrize(
    ("kind", "reach", "says"),
    [
        ("storage:security", {"connect": (443,)}, "reach the network"),
        ("storage:security", {"resolve": True}, "reach the network"),
        ("network:cameras", {"packets": True}, "receive what devices send"),
        ("models:inference", {"listen": (80,)}, "reach the network"),
        ("models:inference", {"read": ("/nowhere/state/security",)}, "kept in storage:security"),
        ("models:inference", {"read": ("/nowhere/state/security/a.age",)}, "storage:security"),
        ("models:inference", {"read": ("/",)}, "read what is kept in storage:consent"),
        ("models:inference", {"read": ("/nowhere/models",)}, None),
        ("network:cameras", {"connect": (554,), "resolve": True}, None),
        ("storage:security", {"read": ("/nowhere/state/security",)}, None),
    ],
)  # fmt: skip
def test_a_capability_reaches_no_more_than_its_kind(
    kind: str, reach: dict[str, Any], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime import Reach

    if "read" in reach:
        reach = {"read": tuple(map(Path, reach["read"]))}
    monkeypatch.setattr(
        CAPABILITIES[kind], "reach", classmethod(lambda cls, settings: Reach(**reach))
    )
    (domain,) = [domain for domain, kinds in HOLDS.items() if kind in kinds]
    findings = check(blueprint_of(Draft((One(domain, (kind,)),), ())))
    if says is None:
        assert findings == []
    else:
        assert any(says in finding.what for finding in findings)
        assert all(finding.clause for finding in findings)


def test_two_capabilities_of_one_name_do_not_hide_each_other(tmp_path: Path) -> None:
    """A grant is a name: the second of a name must not be held unseen (it was, once)."""
    harmless = type(Capability)(
        "Store", (Capability,), {}, kind=CapabilityKind("models", "inference"), rights="x"
    )
    harmful = type(Capability)("Store", (Capability,), {}, kind=Storage("security"), rights="x")
    for needs in ([harmful, harmless], [harmless, harmful]):

        class Sly(Actor, domain=Domain.CROWD):
            pass

        Sly.declaration = ActorDeclaration(
            Domain.CROWD, needs={f"n{k}": NeedDeclaration(n) for k, n in enumerate(needs)}
        )
        text = CONFIGURATION.replace(
            CROWD, CROWD + '[actors.sly]\ntype = "sly"\ngrants = ["Store"]\n'
        )
        findings = check(example_blueprint(tmp_path, text, {"sly": Sly}))
        assert any("it needs Store (storage:security)" in finding.what for finding in findings)
        assert any("2 capabilities of that name" in finding.what for finding in findings)


def test_kinds_are_written_as_the_table_writes_them() -> None:
    assert str(Network("cameras")) == "network:cameras"
