"""What mypy says of an actor's ports. Read by test_typing.py: ``# E:`` is an expected error."""

from typing import assert_type

import trio

from runtime import Actor, Count, Domain, Inlet, Message, Outlet, Sensitivity, inlet


class Total(Message, sensitivity=Sensitivity.AGGREGATE):
    people: Count


class Fact(Message, sensitivity=Sensitivity.OPERATIONAL):
    text: str


class LongFact(Fact):
    more: str = ""


class Desk(Actor, domain=Domain.PUBLIC):
    totals: Inlet[Total]
    facts: Inlet[Fact] = inlet(capacity=3)
    out: Outlet[Total]

    async def run(self) -> None:
        await self.out.send(Total(people=1))
        self.out.send_nowait(Total(people=1))
        await self.out.send(Fact(text="x"))  # E: arg-type
        self.out.send_nowait(Fact(text="x"))  # E: arg-type
        await self.out.send(None)  # E: arg-type
        await self.out.send({"people": 1})  # E: arg-type
        self.out.send(Total(people=1))  # E: unused-coroutine
        async for total in self.totals:
            assert_type(total, Total)
            assert_type(total.people, int)
            await self.out.send(total)
        async for fact in self.facts:
            assert_type(fact.text, str)
            await self.out.send(fact)  # E: arg-type
        async for batch in self.totals.batches():
            assert_type(batch[0], Total)
            batch.append(Total(people=1))  # E: attr-defined
        for _ in self.totals:  # E: attr-defined
            pass
        self.totals.send(Total(people=1))  # E: attr-defined
        async for _ in self.out:  # E: attr-defined
            pass
        self.totals.acknowledge(keep=2)
        assert_type(self.totals.statistics().poisoned, int)
        assert_type(await self.blocking(len, "abc"), int)
        await trio.lowlevel.checkpoint()


def messages() -> None:
    Total(people=1)
    Total()  # E: call-arg
    Total(people="many")  # E: arg-type
    assert_type(Total.sensitivity, Sensitivity)
    Total(1)  # E: call-arg
    Total(people=1, face=b"")  # E: call-arg


def swapped(outlet: Outlet[Fact], inlet: Inlet[Fact]) -> None:
    facts: Outlet[Fact] = outlet
    totals: Outlet[Total] = outlet  # E: assignment
    long_facts: Inlet[LongFact] = inlet  # E: assignment
    del facts, totals, long_facts
