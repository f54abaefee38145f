"""What mypy says of declarations. Read by test_typing.py: ``# E:`` is an expected error."""

from typing import assert_type

from runtime import (
    Actor,
    Authority,
    Capability,
    Domain,
    Message,
    Needs,
    Outlet,
    Reading,
    Sensitivity,
    Settings,
    Storage,
    reading,
)


class Store(Capability, kind=Storage("public"), rights="write"):
    def __init__(self, authority: Authority) -> None:
        self.folder = authority.require_folder()

    def write(self, text: str) -> int:
        return len(text)


class DeskSettings(Settings, frozen=True, kw_only=True):
    size: int = 1


class Desk(Actor, domain=Domain.PUBLIC):
    store: Needs[Store]
    settings: DeskSettings
    done: Reading = reading(vital=True)

    async def run(self) -> None:
        assert_type(self.store, Store)
        assert_type(self.store.write("x"), int)
        self.store.write(b"x")  # E: arg-type
        self.store.read()  # E: attr-defined
        assert_type(self.settings.size, int)
        self.settings.size = 2  # E: misc
        print(self.settings.colour)  # E: attr-defined
        self.done.add(2)
        self.done.set("aa:bb:cc")  # E: arg-type
        self.done.value = 3  # E: misc
        assert_type(self.place, str)


class Nowhere(Actor, domain="public"):  # E: arg-type
    pass


class Carries(Actor, domain=Domain.PUBLIC):
    numbers: Outlet[int]  # E: type-var


class Fact(Message, sensitivity=Sensitivity.OPERATIONAL):
    text: str
