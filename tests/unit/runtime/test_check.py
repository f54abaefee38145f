"""Everything that forbids a blueprint to run: who, what, rule, clause, remedy and line."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from runtime import (
    Actor,
    Capability,
    Count,
    Domain,
    Inlet,
    Message,
    Outlet,
    Sensitivity,
    Storage,
    inlet,
)
from runtime.actor import ActorDeclaration, InletDeclaration, NeedDeclaration, OutletDeclaration
from runtime.blueprint import Blueprint
from runtime.check import Finding, check
from tests.example_pole import (
    CAMERA,
    CONFIGURATION,
    FORBIDDEN,
    POLE,
    Picture,
    example_blueprint,
)
from tests.unit.runtime.test_actor import BY_LEVEL, MAY_EMIT, MAY_TAKE, Fact
from tests.unit.runtime.test_domain import ALLOWED

D, S = Domain, Sensitivity


def line_with(text: str, snippet: str) -> int:
    (line,) = [n for n, one in enumerate(text.split("\n"), start=1) if snippet in one]
    return line


def findings_of(
    folder: Path, text: str, types: dict[str, type[Actor]] | None = None
) -> list[Finding]:
    return check(example_blueprint(folder, text, types))


def only(folder: Path, old: str, new: str) -> Finding:
    assert CONFIGURATION.count(old) == 1, old
    (finding,) = findings_of(folder, CONFIGURATION.replace(old, new))
    return finding


def channel_line(text: str, sender: str) -> int:
    """The line of the [[channels]] header above ``from = ...``."""
    return line_with(text, f'from = "{sender}"') - 1


def test_the_example_may_run(tmp_path: Path) -> None:
    assert findings_of(tmp_path, CONFIGURATION) == []


def test_an_unknown_guideline(tmp_path: Path) -> None:
    finding = only(tmp_path, 'guideline = "1.0"', 'guideline = "0.9"')
    assert finding.who == "pole"
    assert "guideline version '0.9'" in finding.what
    assert finding.clause == "1, 3"
    assert finding.remedy == 'set guideline = "1.0"'


@pytest.mark.parametrize(
    ("old", "label"),
    [
        ('name = "east-exit-01"', "name"),
        ('ja = "見本スマートポール株式会社"', "operator.ja"),
        ('en = "Example Smart Pole Inc."', "operator.en"),
        ('ja = "個人情報相談窓口 03-0000-0000（平日9時〜17時）"', "contact.ja"),
        ('en = "Privacy desk, +81-3-0000-0000, privacy@pole.example"', "contact.en"),
    ],
)
def test_the_operator_has_a_name_and_a_contact(tmp_path: Path, old: str, label: str) -> None:
    key = old.partition(" = ")[0]
    finding = only(tmp_path, old, f'{key} = "  "')
    assert (finding.who, finding.what) == ("pole", f"{label} is empty")
    assert label in finding.remedy


def test_a_state_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    finding = only(tmp_path, 'state = "state"', f'state = "/{"x" * 120}"')
    assert "121 bytes" in finding.what
    assert "at most 90" in finding.rule


def test_unconnected_ports(tmp_path: Path) -> None:
    text = CONFIGURATION.replace(
        '[[channels]]\nfrom = "crowd.counts"\nto = "statistics.counts"\n', ""
    )
    inlet, outlet = sorted(findings_of(tmp_path, text), key=lambda f: f.who, reverse=True)
    assert (inlet.who, inlet.what) == ("statistics.counts", "nothing is connected to this inlet")
    assert inlet.remedy == 'add [[channels]] with to = "statistics.counts"'
    assert inlet.line == line_with(text, "[actors.statistics]")
    assert (outlet.who, outlet.what) == ("crowd.counts", "this outlet leads nowhere")
    assert outlet.remedy == 'add [[channels]] with from = "crowd.counts"'
    assert outlet.line == line_with(text, "[actors.crowd]")


def test_an_optional_outlet_may_lead_nowhere(tmp_path: Path) -> None:
    class Sends(Actor, domain=D.PUBLIC):
        facts: Outlet[Fact] | None

    class MustSend(Actor, domain=D.PUBLIC):
        facts: Outlet[Fact]

    text = f'{CONFIGURATION}\n[actors.sender]\ntype = "sender"\n'
    assert findings_of(tmp_path, text, {"sender": Sends}) == []
    (finding,) = findings_of(tmp_path, text, {"sender": MustSend})
    assert (finding.who, finding.what) == ("sender.facts", "this outlet leads nowhere")


def test_a_channel_written_twice(tmp_path: Path) -> None:
    again = '\n[[channels]]\n# again\nfrom = "crowd.counts"\nto = "statistics.counts"\n'
    findings = findings_of(tmp_path, CONFIGURATION + again)
    twice = [f for f in findings if f.what == "this channel is written twice"]
    assert [f.who for f in twice] == ["crowd.counts → statistics.counts"]
    assert twice[0].line == line_with(CONFIGURATION + again, "# again") - 1


def test_forbidden_channels_name_rule_and_clause(tmp_path: Path) -> None:
    text = CONFIGURATION + FORBIDDEN
    findings = {
        (f.who, f.rule.partition(";")[0].partition(" ")[0]): f for f in findings_of(tmp_path, text)
    }
    flows = [f for f in findings.values() if "would go from domain" in f.what]
    picture, count = sorted(flows, key=lambda f: f.who)
    assert picture.who == "camera.to_crowd → statistics.counts"
    assert (
        "Picture (personal image) would go from domain 'capture' to domain 'public'" in picture.what
    )
    assert "it may send personal image to: crowd, security" in picture.rule
    assert "5.1(1)" in picture.clause
    assert picture.remedy == "remove this channel; there is no setting that allows it"
    assert count.who == "crowd.counts → recorder.pictures"
    assert "it may send aggregate to: public" in count.rule
    assert "6.1(3)" in count.clause
    assert "7.1(1)" in count.clause
    types = [f for f in findings.values() if "the outlet sends" in f.what]
    assert {f.what for f in types} == {
        "the outlet sends Picture, the inlet takes PictureCount",
        "the outlet sends PictureCount, the inlet takes Picture",
    }
    for finding in flows + types:
        assert finding.line is not None
        assert finding.line > line_with(text, "[actors.announcer]")


def pair(folder: Path, sender: Domain, level: Sensitivity, receiver: Domain) -> list[Finding]:
    """A channel between two actors whose classes the class check never saw."""
    message = BY_LEVEL[level]

    class Sends(Actor, domain=sender):
        pass

    class Takes(Actor, domain=receiver):
        pass

    Sends.declaration = ActorDeclaration(sender, outlets={"out": OutletDeclaration(message)})
    Takes.declaration = ActorDeclaration(receiver, inlets={"into": InletDeclaration(message)})
    text = POLE + (
        '[actors.a]\ntype = "sends"\nplace = "east-exit"\n[actors.b]\ntype = "takes"\n'
        '[[channels]]\nfrom = "a.out"\nto = "b.into"\n'
    )
    return check(example_blueprint(folder, text, {"sends": Sends, "takes": Takes}))


@pytest.mark.parametrize(
    ("sender", "level", "receiver"), [*itertools.product(Domain, Sensitivity, Domain)]
)
def test_every_flow_between_domains(
    tmp_path: Path, sender: Domain, level: Sensitivity, receiver: Domain
) -> None:
    findings = pair(tmp_path, sender, level, receiver)
    if (sender, level, receiver) in ALLOWED:
        assert findings == []
        return
    (finding,) = findings
    assert finding.who == "a.out → b.into"
    assert f"({level.value})" in finding.what
    assert repr(sender.value) in finding.what
    assert repr(receiver.value) in finding.what
    assert finding.clause


def test_the_expectations_agree_with_each_other() -> None:
    """What may flow is exactly what one side may emit and the other may take, here and there."""
    for sender, level, receiver in ALLOWED:
        assert level in MAY_EMIT[sender]
        assert level in MAY_TAKE[receiver]


# -- circles --------------------------------------------------------------------------------------


class Note(Message, sensitivity=S.OPERATIONAL):
    number: Count


class Relay(Actor, domain=D.PUBLIC):
    into: Inlet[Note]
    out: Outlet[Note]


class ControlRelay(Actor, domain=D.CONTROL):
    into: Inlet[Note]
    out: Outlet[Note]


class Source(Actor, domain=D.PUBLIC):
    out: Outlet[Note]


class Sink(Actor, domain=D.PUBLIC):
    into: Inlet[Note]


RELAYS: dict[str, type[Actor]] = {
    "relay": Relay,
    "control": ControlRelay,
    "source": Source,
    "sink": Sink,
}


def wired(actors: dict[str, str], *channels: tuple[str, str]) -> str:
    return (
        POLE
        + "".join(f'[actors.{n}]\ntype = "{t}"\n' for n, t in actors.items())
        + "".join(f'[[channels]]\nfrom = "{a}.out"\nto = "{b}.into"\n' for a, b in channels)
    )


class Detailed(Note, sensitivity=S.OPERATIONAL):
    more: Count


class Secret(Note, sensitivity=S.AGGREGATE):
    more: Count


class DetailedSource(Actor, domain=D.PUBLIC):
    out: Outlet[Detailed]


class SecretSource(Actor, domain=D.PUBLIC):
    out: Outlet[Secret]


class DetailedSink(Actor, domain=D.PUBLIC):
    into: Inlet[Detailed]


@pytest.mark.parametrize(
    ("source", "sink", "what"),
    [
        (DetailedSource, Sink, None),
        (DetailedSource, DetailedSink, None),
        (Source, DetailedSink, "the outlet sends Note, the inlet takes Detailed"),
        (SecretSource, Sink, "the outlet sends Secret, the inlet takes Note"),
    ],
)
def test_an_inlet_takes_what_is_derived_from_its_type_and_as_sensitive(
    tmp_path: Path, source: type[Actor], sink: type[Actor], what: str | None
) -> None:
    types = {"source": source, "sink": sink}
    findings = findings_of(tmp_path, wired({"a": "source", "b": "sink"}, ("a", "b")), types)
    assert [finding.what for finding in findings if "carry" in finding.rule] == (
        [] if what is None else [what]
    )


def test_a_circle_is_named_in_the_direction_of_its_messages(tmp_path: Path) -> None:
    text = wired(dict.fromkeys("abc", "relay"), ("a", "b"), ("b", "c"), ("c", "a"))
    (finding,) = findings_of(tmp_path, text, RELAYS)
    names = finding.who.split(" → ")
    assert len(names) == 4
    assert names[0] == names[-1]
    assert all(step in ("ab", "bc", "ca") for step in map("".join, itertools.pairwise(names)))
    assert "in a circle" in finding.what
    assert finding.line is not None


def test_an_actor_that_feeds_itself(tmp_path: Path) -> None:
    (finding,) = findings_of(tmp_path, wired({"a": "relay"}, ("a", "a")), RELAYS)
    assert finding.who == "a → a"


def test_domains_that_feed_each_other_in_a_circle(tmp_path: Path) -> None:
    """No actor does, but each domain would have to stop before the other."""
    text = wired({"a": "source", "b": "control", "c": "sink"}, ("a", "b"), ("b", "c"))
    (finding,) = findings_of(tmp_path, text, RELAYS)
    assert set(finding.who.split(" → ")) == {"public", "control"}
    assert "in a circle" in finding.what


# -- queues ---------------------------------------------------------------------------------------


class Recording(Actor, domain=D.SECURITY):
    packets: Inlet[Picture] = inlet(senders="one")


@pytest.mark.parametrize("overflow", ["latest", "drop-oldest", "block"])
def test_an_encoded_stream_loses_nothing_in_the_middle(tmp_path: Path, overflow: str) -> None:
    text = (
        POLE
        + CAMERA
        + (
            '[actors.a]\ntype = "recording"\n[[channels]]\nfrom = "camera.to_crowd"\n'
            'to = "a.packets"\n[actors.b]\ntype = "recording"\n'
            f'inlets.packets.overflow = "{overflow}"\n'
            '[[channels]]\nfrom = "camera.to_security"\nto = "b.packets"\n'
        )
    )
    findings = findings_of(tmp_path, text, {"recording": Recording})
    if overflow == "block":
        assert findings == []
        return
    (finding,) = findings
    assert (finding.who, finding.clause) == ("b.packets", "")
    assert f"set to '{overflow}' where it is full" in finding.what
    assert "never a packet in the middle" in finding.rule
    assert finding.remedy == 'set overflow = "block", or leave it out'
    assert finding.line == line_with(text, "[actors.b]")


# -- grants and places ----------------------------------------------------------------------------


def test_a_grant_that_is_missing(tmp_path: Path) -> None:
    finding = only(tmp_path, 'grants = ["RecordingStore"]', "grants = []")
    assert finding.who == "recorder"
    assert "it needs RecordingStore (storage:security: append segments), which is not granted" in (
        finding.what
    )
    assert finding.remedy == 'add "RecordingStore" to grants under [actors.recorder]'
    assert finding.line == line_with(CONFIGURATION, "[actors.recorder]")


@pytest.mark.parametrize("superfluous", ["RecordingExpiry", "StatisticsStore", "Everything"])
def test_a_grant_that_nobody_asked_for(tmp_path: Path, superfluous: str) -> None:
    finding = only(
        tmp_path, 'grants = ["RecordingStore"]', f'grants = ["RecordingStore", "{superfluous}"]'
    )
    assert finding.who == "recorder"
    assert (
        f"it is granted {superfluous}, which actor type 'recorder' does not ask for" in finding.what
    )
    assert "accepted here: RecordingStore" in finding.remedy


def test_a_need_that_the_class_check_never_saw(tmp_path: Path) -> None:
    class Store(Capability, kind=Storage("security"), rights="append"):
        pass

    class Sneaky(Actor, domain=D.CROWD):
        pass

    Sneaky.declaration = ActorDeclaration(D.CROWD, needs={"store": NeedDeclaration(Store)})
    text = POLE + '[actors.a]\ntype = "sneaky"\ngrants = ["Store"]\n'
    (finding,) = findings_of(tmp_path, text, {"sneaky": Sneaky})
    assert finding.what == "it needs Store (storage:security) in domain 'crowd'"
    assert "keeps none" in finding.rule
    assert "6.1(3)" in finding.clause
    assert finding.remedy.startswith("no grant can give it this")


def test_crowd_information_needs_a_place(tmp_path: Path) -> None:
    finding = only(tmp_path, 'type = "crowd"\nplace = "east-exit"', 'type = "crowd"')
    assert finding.who == "crowd"
    assert finding.clause == "6.1(3)"
    assert finding.line == line_with(CONFIGURATION, "[actors.crowd]")


def test_a_finding_prints_everything(tmp_path: Path) -> None:
    finding = only(tmp_path, 'type = "crowd"\nplace = "east-exit"', 'type = "crowd"')
    assert str(finding) == (
        f"crowd (line {finding.line}): it produces crowd information and has no place\n"
        "    rule: crowd information is that of a declared place; guideline 6.1(3)\n"
        "    remedy: add place = ... under [actors.crowd]"
    )


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    text = (
        CONFIGURATION.replace('guideline = "1.0"', 'guideline = "2"')
        .replace('grants = ["RecordingStore"]', "grants = []")
        .replace('type = "crowd"\nplace = "east-exit"', 'type = "crowd"')
    )
    assert {f.who for f in findings_of(tmp_path, text + FORBIDDEN)} >= {
        "pole",
        "recorder",
        "crowd",
        "camera.to_crowd → statistics.counts",
    }


# -- order ----------------------------------------------------------------------------------------


def order(blueprint: Blueprint) -> list[str]:
    return [plan.name for plan in blueprint.start_order()]


def test_receivers_start_before_their_senders(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    names = order(blueprint)
    assert sorted(names) == sorted(blueprint.actors)
    for channel in blueprint.channels:
        assert names.index(channel.receiver) < names.index(channel.sender)


class Reporter(Actor, domain=D.SECURITY):
    out: Outlet[Note]


class Idle(Actor, domain=D.SECURITY):
    pass


def test_domains_start_whole_and_receivers_first(tmp_path: Path) -> None:
    """An actor without channels must not pull its domain before those that it sends to."""
    text = wired({"idle": "idle", "sender": "reporter", "receiver": "sink"}, ("sender", "receiver"))
    types = {**RELAYS, "reporter": Reporter, "idle": Idle}
    blueprint = example_blueprint(tmp_path, text, types)
    assert check(blueprint) == []
    assert order(blueprint) == ["receiver", "idle", "sender"]


def test_what_crosses_a_border(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    assert all(blueprint.crosses(channel) for channel in blueprint.channels)
    inside = example_blueprint(
        tmp_path, wired({"a": "source", "b": "sink"}, ("a", "b")), dict[str, Any](RELAYS)
    )
    assert not inside.crosses(inside.channels[0])
