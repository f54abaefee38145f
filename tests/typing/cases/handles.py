"""What mypy says of handles and bounds. Read by test_typing.py: ``# E:`` is an expected error."""

from typing import assert_type

from runtime import (
    Actor,
    Capability,
    Count,
    Domain,
    Inlet,
    Message,
    Models,
    Needs,
    Network,
    Outlet,
    Reach,
    Sensitivity,
    Storage,
    inlet,
    outlet,
)


class Film(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    data: bytes


class Total(Message, sensitivity=Sensitivity.AGGREGATE):
    people: Count


class Store(Capability, kind=Storage("security"), rights="append"):
    pass


class Weights(Capability, kind=Models("inference"), rights="read"):
    pass


class Eyes(Actor, domain=Domain.CROWD):
    films: Inlet[Film] = inlet(senders="many")  # E: arg-type
    totals: Outlet[Total] = outlet(per_second=2)
    often: Outlet[Total] = outlet(per_second="2 a second")  # E: arg-type
    always: Outlet[Total] = outlet()  # E: call-arg
    weights: Needs[Weights]
    number: Needs[int]  # E: type-var

    async def run(self) -> None:
        async for film in self.films:
            assert_type(film.data, bytes)
            await self.totals.send(film)  # E: arg-type
            await self.totals.send(Total(people=film.data))  # E: arg-type
            film.data = b""  # E: misc
            self.films.put(film)  # E: attr-defined
            self.weights.write(film.data)  # E: attr-defined
        self.totals = self.films  # E: assignment


def in_disguise(films: Outlet[Film], totals: Inlet[Total], store: Store) -> None:
    any_outlet: Outlet[Message] = films  # E: assignment
    film_inlet: Inlet[Film] = totals  # E: assignment
    weights: Weights = store  # E: assignment
    Reach(connect="camera")  # E: arg-type
    Network(80)  # E: arg-type
    del any_outlet, film_inlet, weights
