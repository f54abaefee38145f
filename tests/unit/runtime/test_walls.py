"""What a domain's walls are made of; and that a capability which can't say what it reaches is named
together with its actor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import (
    Actor,
    Capability,
    Domain,
    Needs,
    Network,
    Reach,
    Sensing,
    Settings,
    Storage,
    Unrecoverable,
)
from runtime.blueprint import Blueprint, load_blueprint
from runtime.errors import DeclarationError
from runtime.sandbox import Permissions
from runtime.walls import domain_permissions

REACHES: dict[str, Callable[[], object]] = {}
"""What the capability of this kind answers, by its name."""


class Link(Capability, kind=Network("cameras"), rights="connect to the configured camera"):
    @classmethod
    def reach(cls, settings: Settings) -> Reach:
        return REACHES["link"]()  # type: ignore[return-value]


class Receiver(Capability, kind=Sensing("wifi"), rights="listen to what devices send"):
    @classmethod
    def reach(cls, settings: Settings) -> Reach:
        return REACHES["receiver"]()  # type: ignore[return-value]


class Store(Capability, kind=Storage("public"), rights="write"):
    pass


class Camera(Actor, domain=Domain.CAPTURE):
    link: Needs[Link]


class Counter(Actor, domain=Domain.WIFI):
    receiver: Needs[Receiver]


class Keeper(Actor, domain=Domain.PUBLIC):
    store: Needs[Store]


@pytest.fixture
def blueprint(tmp_path: Path) -> Blueprint:
    path = tmp_path / "pole.toml"
    path.write_text(
        """
        [pole]
        name = "p"
        operator = { ja = "運", en = "o" }
        contact = { ja = "連", en = "c" }
        guideline = "1.0"
        state = "state"
        [places]
        [actors.gate]
        type = "camera"
        grants = ["Link"]
        [actors.counter]
        type = "counter"
        grants = ["Receiver"]
        [actors.keeper]
        type = "keeper"
        grants = ["Store"]
        """,
        "utf-8",
    )
    return load_blueprint(path, {"camera": Camera, "counter": Counter, "keeper": Keeper})


def permissions(blueprint: Blueprint, domain: Domain) -> Permissions:
    plans = blueprint.plans_of(domain)
    return domain_permissions(domain, plans, state=blueprint.pole.state, links=(9,))


def raising(error: Exception) -> Callable[[], object]:
    def answer() -> object:
        raise error

    return answer


def test_a_domain_may_do_what_its_capabilities_reach(blueprint: Blueprint) -> None:
    REACHES["link"] = lambda: Reach(connect=(554,))
    REACHES["receiver"] = lambda: Reach(packets=True)
    capture = permissions(blueprint, Domain.CAPTURE)
    assert (capture.connect, capture.listen, capture.write) == ((554,), (), ())
    assert permissions(blueprint, Domain.WIFI) == Permissions(packets=True, links=(9,))
    assert permissions(blueprint, Domain.PUBLIC).write == (blueprint.pole.state / "public",)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (raising(ValueError("rtsp://user:secret@camera/")), "its reach() raised ValueError"),
        (raising(Unrecoverable("the address has no port")), "the address has no port"),
        (lambda: None, "its reach() returned a NoneType. Accepted: a Reach"),
        (lambda: Reach(connect=(0,)), "TCP port 0 can't be granted"),
        (lambda: Reach(packets=True), "reaches for more than domain 'capture' lets it have"),
    ],
)
def test_one_that_cant_say_is_named_with_its_actor(
    blueprint: Blueprint, answer: Callable[[], object], why: str
) -> None:
    REACHES["link"] = answer
    with pytest.raises(DeclarationError) as refused:
        permissions(blueprint, Domain.CAPTURE)
    assert "Link [network:cameras] of actor 'gate'" in str(refused.value)
    assert why in str(refused.value)
    assert "domain 'capture'" in str(refused.value)
    assert "secret" not in str(refused.value)
