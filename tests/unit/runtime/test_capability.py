"""Nobody can make a handle but the host."""

import ast
import threading
from pathlib import Path

import pytest

import runtime
from runtime.capability import (
    Authority,
    Capability,
    Commons,
    Facts,
    Models,
    Network,
    NoPublicConstructor,
    Sensing,
    Storage,
)
from runtime.channel import Inlet, Outlet
from runtime.errors import CapabilityForged, DeclarationError


class Store(Capability, kind=Storage("public"), rights="write"):
    def __init__(self, authority: Authority) -> None:
        self.folder = authority.require_folder()


@pytest.mark.parametrize("handle", [Authority, Capability, Store, Inlet, Outlet])
@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3)])
def test_no_handle_has_a_public_constructor(handle: type, arguments: tuple[int, ...]) -> None:
    with pytest.raises(CapabilityForged) as caught:
        handle(*arguments)
    assert f"{handle.__name__} has no public constructor" in str(caught.value)
    assert "grant it in the configuration" in str(caught.value)


def test_every_handle_of_the_public_names_refuses_to_be_made() -> None:
    handles = {
        name for name in runtime.__all__ if isinstance(getattr(runtime, name), NoPublicConstructor)
    }
    assert handles == {
        "Authority",
        "BlueprintView",
        "Capability",
        "Inlet",
        "Inlets",
        "Ledger",
        "Outlet",
    }


def test_only_the_host_mints() -> None:
    """A word in the source is what stands between an actor and a handle in thread mode."""
    package = Path(runtime.__file__).parent
    minting = {
        path.name
        for path in package.glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "_mint"
    }
    assert minting == {"cell.py"}
    actors = package.parent / "actors"
    assert not [p for p in actors.glob("**/*.py") if "_mint" in p.read_text(encoding="utf-8")]


def test_a_capability_says_what_it_reaches() -> None:
    with pytest.raises(DeclarationError) as caught:

        class Silent(Capability):
            pass

    assert "capability Silent does not say what it reaches" in str(caught.value)
    with pytest.raises(DeclarationError):

        class WithoutRights(Capability, kind=Storage("public")):
            pass


def test_a_subclass_inherits_and_may_narrow() -> None:
    class Reader(Store, rights="read"):
        pass

    assert (Reader.kind, Reader.rights) == (Storage("public"), "read")
    assert Store.rights == "write"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Storage("security"), "storage:security"),
        (Network("cameras"), "network:cameras"),
        (Sensing("wifi"), "sensing:wifi"),
        (Models("inference"), "models:inference"),
        (Facts("blueprint"), "facts:blueprint"),
    ],
)
def test_kinds_compare_and_print(kind: object, text: str) -> None:
    assert str(kind) == text
    assert Storage("a") == Storage("a")
    assert Storage("a") != Storage("b")
    assert Storage("a") != Network("a")


def test_an_authority_makes_its_folder_private(tmp_path: Path) -> None:
    folder = tmp_path / "public"
    authority = Authority._mint(actor="a", folder=folder, settings=None, facts={})
    store = Store._mint(authority)
    assert store.folder == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert authority.require_folder() == folder
    with pytest.raises(DeclarationError, match="granted to a has no folder"):
        Authority._mint(actor="a", folder=None, settings=None, facts={}).require_folder()
    with pytest.raises(AttributeError):
        authority.extra = 1


def test_commons_hold_a_thing_once_for_all_who_take_it() -> None:
    commons, made = Commons(), list[object]()

    def make() -> object:
        made.append(object())
        return made[-1]

    first = commons.take("a", make)
    assert commons.take("a", make) is first
    assert commons.take("b", make) is not first
    commons.give_back("a")
    assert commons.take("a", make) is first
    commons.give_back("a")
    commons.give_back("a")
    assert commons.take("a", make) is made[2]
    assert len(made) == 3


def test_what_could_not_be_made_for_the_commons_is_tried_anew() -> None:
    commons = Commons()
    with pytest.raises(OSError, match="gone"):
        commons.take("a", _fail)
    assert commons.take("a", lambda: 1) == 1
    with pytest.raises(KeyError):
        commons.give_back("b")


def _fail() -> int:
    raise OSError("gone")


def test_commons_make_a_thing_once_for_threads_that_ask_together() -> None:
    commons, together = Commons(), threading.Barrier(4)
    found: list[object] = []

    def ask() -> None:
        together.wait()
        found.append(commons.take("a", object))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
