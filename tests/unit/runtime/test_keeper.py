"""The pole's side of a domain, against domains that lie."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from runtime.domain import Domain
from runtime.errors import BorderViolated, DomainDied, SandboxUnavailable, SmartpoleError
from runtime.host import DomainOrder
from runtime.keeper import LINES_AT_ONCE, DomainKeeper, KeeperOrders
from runtime.link import Beat, Confined, ControlLink, FromDomain, Logged, Started, Stop, ToDomain
from runtime.words import Vocabulary
from tests.example_pole import NOTICE, POLE, example_blueprint

pytestmark = pytest.mark.real_time

Script = Callable[[ControlLink[ToDomain]], None]


class Liar:
    """A domain that says what the test has it say. It ends when it is killed."""

    process, thread = 1, None

    def __init__(self, order: DomainOrder, free: tuple[int, ...] | SandboxUnavailable) -> None:
        self.link: ControlLink[ToDomain] = ControlLink(order.control.dup(), ToDomain)
        self._free = free
        self._over = trio.Event()

    def unconfined_threads(self) -> tuple[int, ...]:
        if isinstance(self._free, SandboxUnavailable):
            raise self._free
        return self._free

    def hung_up(self) -> None:
        pass

    async def ended(self) -> None:
        await self._over.wait()

    def kill(self) -> bool:
        self._over.set()
        self.link._socket.close()
        return True


def confined(*, seccomp: bool = True, missing: tuple[str, ...] = ()) -> Confined:
    return Confined(thread=1, landlock_abi=7, seccomp=seccomp, missing=missing)


async def life(
    folder: Path,
    script: Script,
    *,
    free: tuple[int, ...] | SandboxUnavailable = (),
    best_effort: bool = False,
    domain: Domain = Domain.PUBLIC,
) -> tuple[DomainKeeper, int, SmartpoleError | None]:
    """One life of a domain that follows the script: its keeper, how often the pole let it begin,
    and how it ended."""
    began: list[Domain] = []

    async def begin(order: DomainOrder) -> Liar:
        await trio.lowlevel.checkpoint()
        liar = Liar(order, free)
        script(liar.link)
        return liar

    def domain_began(domain: Domain, markers: dict[int, bytes]) -> set[int]:
        began.append(domain)
        return set()

    orders = KeeperOrders(
        blueprint=example_blueprint(folder, POLE + NOTICE),
        begin=begin,
        best_effort=best_effort,
        confined=True,
        vocabulary=Vocabulary(()),
        report_violation=lambda *_: None,
        domain_began=domain_began,
        pole_must_end=lambda why: keeper.condemn(why),
    )
    keeper = DomainKeeper(domain, orders, {})
    failure: SmartpoleError | None = None
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def serve() -> None:
            nonlocal failure
            try:
                await keeper.serve(done.set)
            except SmartpoleError as error:
                failure = error
            done.set()

        nursery.start_soon(serve)
        with trio.fail_after(10):
            await done.wait()
        keeper.condemn(SmartpoleError("over"))
    return keeper, len(began), failure


async def test_a_domain_that_is_confined_may_begin(tmp_path: Path) -> None:
    _, began, failure = await life(tmp_path, functools.partial(_say, (confined(), Started())))
    assert (began, str(failure)) == (1, "over")


@pytest.mark.parametrize("seccomp", [True, False])
async def test_the_kernel_is_believed_and_not_the_domain(tmp_path: Path, seccomp: bool) -> None:
    words = (confined(seccomp=seccomp), Started())
    _, began, failure = await life(tmp_path, functools.partial(_say, words), free=(1, 2))
    assert began == 0
    assert isinstance(failure, DomainDied)
    assert "2 thread(s) of it that are not confined" in str(failure)


async def test_where_walls_may_be_missing_one_without_them_may_begin(tmp_path: Path) -> None:
    words = (confined(seccomp=False, missing=("no seccomp",)), Started())
    keeper, began, _ = await life(
        tmp_path, functools.partial(_say, words), free=(1,), best_effort=True
    )
    assert began == 1
    assert keeper.report.missing == ("no seccomp",)


async def test_where_nobody_can_see_its_walls_the_pole_ends(tmp_path: Path) -> None:
    hidden = SandboxUnavailable("/proc shows nothing of it")
    say = functools.partial(_say, (confined(), Started()))
    _, began, failure = await life(tmp_path, say, free=hidden)
    assert (began, failure) == (0, hidden)
    keeper, began, _ = await life(tmp_path, say, free=hidden, best_effort=True)
    assert began == 1
    assert keeper.report.missing == ("/proc shows nothing of it",)


async def test_what_it_says_of_its_walls_later_is_not_heard(tmp_path: Path) -> None:
    words = (confined(), confined(missing=("a picture, in letters",)), Started())
    keeper, began, _ = await life(tmp_path, functools.partial(_say, words))
    assert began == 1
    assert keeper.report.missing == ()


async def test_what_is_too_much_to_be_written_is_counted(tmp_path: Path) -> None:
    lines = tuple(
        Logged(level="info", logger="crowd", event=f"{number}", fields={}) for number in range(60)
    )
    words = (confined(), *lines, Beat(actors=(), lost=5), Started())
    keeper, _, _ = await life(tmp_path, functools.partial(_say, words), domain=Domain.CROWD)
    # All but those that may come at once, and what the domain itself had to drop.
    assert keeper.report.reports_dropped == 60 - LINES_AT_ONCE + 5
    assert keeper.status("running", 1, 0).reports_dropped == keeper.report.reports_dropped


@pytest.mark.parametrize("before", [(), (confined(),)])
async def test_one_that_says_what_no_domain_says_is_ended(
    before: tuple[FromDomain, ...], tmp_path: Path
) -> None:
    """At once: the grace that others have to stop in is for those that keep the rules."""
    with trio.fail_after(1):
        _, began, failure = await life(tmp_path, functools.partial(_say, (*before, Stop())))
    assert began == (1 if before else 0)
    assert isinstance(failure, BorderViolated)
    assert str(failure).startswith("domain 'public' was ended: the control link said what")


def _say(words: tuple[FromDomain | Stop, ...], link: ControlLink[ToDomain]) -> None:
    for one in words:
        link.post(one)
