"""An actor class that asks for what its domain may not have fails where it is defined."""

import itertools
from typing import Any, Optional

import pytest

from runtime import (
    DROP_OLDEST,
    LATEST,
    Actor,
    Capability,
    Domain,
    Facts,
    Inlet,
    Message,
    Models,
    Needs,
    Network,
    Outlet,
    PlaceName,
    Reading,
    Sensing,
    Sensitivity,
    Settings,
    Storage,
    inlet,
    outlet,
    reading,
)
from runtime.capability import CapabilityKind
from runtime.channel import BLOCK
from runtime.errors import DeclarationError

S, D = Sensitivity, Domain


class Picture(Message, sensitivity=S.PERSONAL_IMAGE):
    data: bytes


class Address(Message, sensitivity=S.PERSONAL_IDENTIFIER):
    mac: bytes


class Total(Message, sensitivity=S.AGGREGATE):
    few: bool


class Fact(Message, sensitivity=S.OPERATIONAL):
    place: PlaceName


BY_LEVEL: dict[Sensitivity, type[Message]] = {
    m.sensitivity: m for m in (Picture, Address, Total, Fact)
}

# Written from docs (the architecture's table of domains), not from runtime/domain.py.
MAY_TAKE: dict[Domain, set[Sensitivity]] = {
    D.CAPTURE: set(),
    D.CROWD: {S.PERSONAL_IMAGE},
    D.SECURITY: {S.PERSONAL_IMAGE},
    D.WIFI: set(),
    D.CONSENT: set(),
    D.PUBLIC: {S.AGGREGATE, S.OPERATIONAL},
    D.CONTROL: {S.OPERATIONAL},
}
MAY_EMIT: dict[Domain, set[Sensitivity]] = {
    D.CAPTURE: {S.PERSONAL_IMAGE},
    D.CROWD: {S.AGGREGATE},
    D.SECURITY: {S.OPERATIONAL},
    D.WIFI: {S.AGGREGATE},
    D.CONSENT: {S.OPERATIONAL},
    D.PUBLIC: {S.AGGREGATE, S.OPERATIONAL},
    D.CONTROL: {S.OPERATIONAL},
}
MAY_HOLD: dict[Domain, set[CapabilityKind]] = {
    D.CAPTURE: {Network("cameras")},
    D.CROWD: {Models("inference")},
    D.SECURITY: {Storage("security")},
    D.WIFI: {Sensing("wifi")},
    D.CONSENT: {Storage("consent"), Network("portal")},
    D.PUBLIC: {Storage("public"), Network("notice"), Network("uplink"), Facts("blueprint")},
    D.CONTROL: {Storage("ledger"), Storage("run"), Network("control"), Facts("blueprint")},
}
EVERY_KIND = sorted({*set().union(*MAY_HOLD.values()), Storage("elsewhere")}, key=str)


def define(domain: Domain, hint: Any, default: Any = None) -> type[Actor]:
    """``class Made(Actor, domain=...): port: hint = default``"""
    namespace: dict[str, Any] = {"__annotations__": {"port": hint}, "__module__": __name__}
    if default is not None:
        namespace["port"] = default
    return type(Actor)("Made", (Actor,), namespace, domain=domain)


def refusal(domain: Domain, hint: Any) -> str | None:
    try:
        define(domain, hint)
    except DeclarationError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("domain", "level"), [*itertools.product(Domain, Sensitivity)])
def test_what_may_be_emitted(domain: Domain, level: Sensitivity) -> None:
    message = BY_LEVEL[level]
    said = refusal(domain, Outlet[message])  # type: ignore[valid-type]
    if level in MAY_EMIT[domain]:
        assert said is None
        return
    assert said is not None
    assert f"actor Made lives in domain {domain.value!r}" in said
    assert f"may not emit {message.__name__} [{level.value}] by its outlet 'port'" in said
    assert "guideline" in said
    accepted = ", ".join(sorted(s.value for s in MAY_EMIT[domain])) or "nothing"
    assert f"This domain may emit: {accepted}." in said


@pytest.mark.parametrize(("domain", "level"), [*itertools.product(Domain, Sensitivity)])
def test_what_may_be_taken(domain: Domain, level: Sensitivity) -> None:
    message = BY_LEVEL[level]
    said = refusal(domain, Inlet[message])  # type: ignore[valid-type]
    if level in MAY_TAKE[domain]:
        assert said is None
        return
    assert said is not None
    assert f"may not take {message.__name__} [{level.value}] by its inlet 'port'" in said
    accepted = ", ".join(sorted(s.value for s in MAY_TAKE[domain])) or "nothing"
    assert f"This domain may take: {accepted}." in said


@pytest.mark.parametrize(("domain", "kind"), [*itertools.product(Domain, EVERY_KIND)], ids=str)
def test_what_may_be_held(domain: Domain, kind: CapabilityKind) -> None:
    class Handle(Capability, kind=kind, rights="something"):
        pass

    said = refusal(domain, Needs[Handle])
    if kind in MAY_HOLD[domain]:
        assert said is None
        return
    assert said is not None
    assert f"actor Made lives in domain {domain.value!r} and may not need Handle [{kind}]" in said
    assert "declares as 'port'" in said
    assert "guideline" in said
    mine = ", ".join(sorted(map(str, MAY_HOLD[domain])))
    assert f"This domain may hold: {mine}." in said
    others = ", ".join(sorted(d.value for d, kinds in MAY_HOLD.items() if kind in kinds))
    assert f"{kind} may be held in: {others or 'nothing'}." in said


def test_an_actor_says_where_it_lives() -> None:
    with pytest.raises(DeclarationError) as caught:

        class Homeless(Actor):
            pass

    assert "actor Homeless does not say in which domain it lives" in str(caught.value)
    assert "CAPTURE, CROWD, SECURITY, WIFI, CONSENT, PUBLIC, CONTROL" in str(caught.value)


def test_a_subclass_in_another_domain_is_judged_there() -> None:
    counter = define(D.CROWD, Outlet[Total])
    with pytest.raises(
        DeclarationError, match=r"Moved lives in domain 'security' and may not emit"
    ):

        class Moved(counter, domain=D.SECURITY):  # type: ignore[misc, valid-type]
            pass

    class Same(counter):  # type: ignore[misc, valid-type]
        pass

    assert Same.declaration.domain is D.CROWD
    assert set(Same.declaration.outlets) == {"port"}


@pytest.mark.parametrize("port", [Inlet, Outlet])
@pytest.mark.parametrize("wrong", [int, str, "Total | None"])
def test_ports_carry_messages(port: Any, wrong: Any) -> None:
    carried = Total | None if wrong == "Total | None" else wrong
    with pytest.raises(DeclarationError) as caught:
        define(D.PUBLIC, port[carried])
    assert "actor Made: port port carries" in str(caught.value)
    assert "which is no message type" in str(caught.value)


@pytest.mark.parametrize("wrong", [int, Picture, None])
def test_needs_are_capabilities(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match="which is no capability"):
        define(D.PUBLIC, Needs[wrong])


def test_settings_that_are_no_settings_are_refused() -> None:
    namespace = {"__annotations__": {"settings": dict}, "__module__": __name__}
    with pytest.raises(DeclarationError, match=r"actor Made: settings .* a subclass of Settings"):
        type(Actor)("Made", (Actor,), namespace, domain=D.PUBLIC)


class Everything(Actor, domain=D.PUBLIC):
    class Chosen(Settings, frozen=True, kw_only=True):
        size: int = 1

    plain: Inlet[Total]
    tuned: Inlet[Fact] = inlet(capacity=3, overflow=DROP_OLDEST)
    careful: Inlet[Fact] = inlet(overflow=LATEST, acknowledge="manual")
    out: Outlet[Total]
    settings: Chosen
    seen: Reading
    done: Reading = reading(vital=True)


def test_a_declaration_is_read_from_annotations() -> None:
    told = Everything.declaration
    assert {
        name: (port.message, port.capacity, port.overflow, port.manual_acknowledge)
        for name, port in told.inlets.items()
    } == {
        "plain": (Total, 64, BLOCK, False),
        "tuned": (Fact, 3, DROP_OLDEST, False),
        "careful": (Fact, 64, LATEST, True),
    }  # fmt: skip
    assert {n: o.message for n, o in told.outlets.items()} == {"out": Total}
    assert told.readings == {"seen": False, "done": True}
    assert told.settings is Everything.Chosen
    assert told.needs == {}


def test_readings_are_bounded_whole_numbers() -> None:
    shown = Reading()
    assert shown.value == 0
    shown.add()
    shown.add(4)
    assert shown.value == 5
    shown.set(-3)
    assert shown.value == 0
    shown.set(10**30)
    assert shown.value == 2**53
    shown.set(2.9)  # type: ignore[arg-type]
    assert shown.value == 2
    with pytest.raises((TypeError, ValueError)):
        shown.set("aa:bb:cc")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        shown.note = "aa:bb"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("domain", "message", "given", "rate"),
    [
        (D.CROWD, Total, None, 32),
        (D.WIFI, Total, None, 32),
        (D.CROWD, Total, outlet(per_second=2), 2),
        (D.CROWD, Total, outlet(per_second=0.25), 0.25),
        (D.SECURITY, Fact, None, 32),
        (D.SECURITY, Fact, outlet(per_second=1), 1),
        # Pictures to those who handle them, machine facts of others, and what is released already.
        (D.CAPTURE, Picture, None, None),
        (D.PUBLIC, Fact, None, None),
        (D.PUBLIC, Total, None, None),
    ],
)
def test_how_often_an_outlet_may_send(
    domain: Domain, message: type[Message], given: Any, rate: float | None
) -> None:
    declared = define(domain, Outlet[message], given).declaration.outlets  # type: ignore[valid-type]
    assert declared["port"].message is message
    assert declared["port"].per_second == rate


def test_an_outlet_may_be_optional() -> None:
    declared = define(D.PUBLIC, Outlet[Total] | None).declaration.outlets["port"]
    assert (declared.message, declared.optional) == (Total, True)
    assert not define(D.PUBLIC, Outlet[Total]).declaration.outlets["port"].optional
    rate = define(D.CROWD, Optional[Outlet[Total]], outlet(per_second=2))  # noqa: UP045
    declared = rate.declaration.outlets["port"]
    assert (declared.per_second, declared.optional) == (2, True)
    with pytest.raises(DeclarationError, match="may not emit"):
        define(D.CROWD, Outlet[Picture] | None)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(DeclarationError, match=r"actor Made: outlet port sends .* a second"):
        define(D.CROWD, Outlet[Total], outlet(per_second=rate))
