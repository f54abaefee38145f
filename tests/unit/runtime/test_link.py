"""The control link: what a domain and its pole say to each other arrives, or is rubbish."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from runtime.channel import Queue
from runtime.crossing import ReceivingEnd, new_marker
from runtime.errors import BorderRefused
from runtime.link import (
    Attempted,
    Beat,
    Begin,
    Confined,
    ControlLink,
    Crashed,
    Ended,
    Failed,
    Finish,
    FromDomain,
    Go,
    Logged,
    Started,
    Stop,
    ToDomain,
    Violated,
    sayable,
)
from runtime.status import ActorStatus
from tests.unit.runtime.ends import LENGTH, Border, Numbered, drain, frame, framed

ACTOR = ActorStatus(
    name="crowd",
    type_name="crowd",
    domain="crowd",
    headline="",
    state="running",
    incarnation=1,
    restarts=0,
    crashes=0,
    last_crash=None,
    inlets=(),
    readings={"people_now": 3},
    idle=(),
)
REPORTS: list[FromDomain] = [
    Confined(thread=7, landlock_abi=6, seccomp=True, missing=("no Landlock",)),
    Started(),
    Beat(actors=(ACTOR,)),
    Crashed(
        child="crowd",
        incarnation=2,
        error="ValueError",
        message="",
        where="crowd/actor.py:1 run",
        phase="running",
    ),
    Logged(level="info", logger="crowd", event="群集", fields={"n": 1, "x": 0.5, "y": None}),
    Attempted(actor="crowd", event="open", times=3),
    Violated(channel=2, why="rubbish"),
    Failed(error="DomainDied", message="why"),
    Ended(actors=(ACTOR, ACTOR)),
]
ORDERS: list[ToDomain] = [
    Go(markers={0: b"m" * 16, 3: b"n" * 16}),
    Begin(channel=1, marker=b"m" * 16),
    Finish(),
    Stop(),
]


@contextmanager
def linked() -> Iterator[tuple[ControlLink[ToDomain], ControlLink[FromDomain], socket.socket]]:
    """The domain's end, the pole's end, and the bare socket of the domain's."""
    near, far = socket.socketpair()
    with near, far:
        for end in (near, far):
            end.setblocking(False)
        yield ControlLink(near, ToDomain), ControlLink(far, FromDomain), near


async def test_everything_that_there_is_to_say_arrives_both_ways_and_in_order() -> None:
    heard: list[FromDomain] = []
    ordered: list[ToDomain] = []
    with linked() as (domain, pole, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(domain.run, ordered.append)
            nursery.start_soon(pole.run, heard.append)
            for report in REPORTS:
                domain.post(report)
            for order in ORDERS:
                pole.post(order)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert heard == REPORTS
    assert ordered == ORDERS


async def test_a_domain_can_t_order_and_the_pole_reports_nothing() -> None:
    for said in ORDERS:
        with linked() as (domain, pole, _):
            domain.post(said)  # nothing keeps a hostile domain from saying it
            with trio.fail_after(1), pytest.raises(BorderRefused, match="what no domain says"):
                await pole.run(_never)
    for report in REPORTS:
        with linked() as (domain, pole, _):
            pole.post(report)
            with trio.fail_after(1), pytest.raises(BorderRefused):
                await domain.run(_never)


def _never(said: object) -> None:
    raise AssertionError(f"heard {said}")


def _tagged(kind: str, **fields: Any) -> bytes:
    return framed(msgspec.msgpack.encode({"type": kind, **fields}))


RUBBISH = {
    "no code at all": framed(b"\xc1"),
    "nothing": framed(b""),
    "unknown words": _tagged("Picture", data=b"x"),
    "an unknown field": _tagged("Started", picture=b"x"),
    "a long text": _tagged("Failed", error="E", message="x" * 2001),
    "a number that is too large": _tagged("Attempted", actor="a", event="e", times=2**53 + 1),
    "bytes in a log line": _tagged(
        "Logged", level="info", logger="crowd", event="e", fields={"picture": b"x"}
    ),
    "a list in a log line": _tagged(
        "Logged", level="info", logger="crowd", event="e", fields={"picture": [1, 2]}
    ),
    "a reading that is no number": _tagged(
        "Beat", actors=[{**msgspec.to_builtins(ACTOR), "readings": {"people_now": "x"}}]
    ),
    "nested very deep": framed(b"\x91" * 60_000),
    "more bytes than pass": LENGTH.pack(256 * 1024 + 1),
}


@pytest.mark.parametrize("kind", RUBBISH)
async def test_rubbish_is_refused_and_never_heard_nor_quoted(kind: str) -> None:
    heard: list[FromDomain] = []
    with linked() as (domain, pole, bare):
        domain.post(Started())
        bare.sendall(RUBBISH[kind])
        domain.post(Started())
        with trio.fail_after(1), pytest.raises(BorderRefused) as caught:
            await pole.run(heard.append)
    assert heard == [Started()]
    assert "Picture" not in str(caught.value)
    assert "xxx" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(REPORTS), max_size=8),
    st.lists(st.integers(1, 200), max_size=60),
)
async def test_in_whatever_pieces_words_come_they_are_heard_whole(
    reports: list[FromDomain], cuts: list[int]
) -> None:
    stream = b"".join(framed(msgspec.msgpack.encode(report)) for report in reports)
    heard: list[FromDomain] = []
    with linked() as (_, pole, bare):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run, heard.append)
            for cut in [*cuts, len(stream)]:
                bare.sendall(stream[:cut])
                stream = stream[cut:]
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert heard == reports


# -- an end that does not read, and one that is gone ----------------------------------------

LONG = Failed(error="e", message="x" * 2000)


async def test_to_one_who_does_not_read_a_bounded_number_waits_and_the_rest_is_dropped() -> None:
    heard: list[FromDomain] = []
    with linked() as (domain, pole, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(domain.run, _never)
            await wait_all_tasks_blocked()
            for _ in range(2000):
                domain.post(LONG)
            await wait_all_tasks_blocked()
            assert 0 < domain.lost < 2000
            nursery.start_soon(pole.run, heard.append)
            await domain.flushed()
            await wait_all_tasks_blocked()
            assert heard == [LONG] * (2000 - domain.lost), "what was kept is whole"
            assert len(heard) * 2000 <= 2 * 1024 * 1024
            lost = domain.lost
            domain.post(Started())
            await wait_all_tasks_blocked()
            assert heard[-1] == Started(), "and there is room again"
            assert domain.lost == lost
            nursery.cancel_scope.cancel()


async def test_words_that_the_other_end_would_refuse_are_not_sent() -> None:
    heard: list[FromDomain] = []
    with linked() as (domain, pole, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pole.run, heard.append)
            domain.post(Beat(actors=(ACTOR,) * 3000))
            domain.post(Started())
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert heard == [Started()]
    assert domain.lost == 1


async def test_flushed_waits_for_what_was_said_meanwhile() -> None:
    heard: list[FromDomain] = []
    with linked() as (domain, pole, _), trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(domain.run, _never)
            await domain.flushed()  # nothing was said
            for _ in range(400):  # more than the socket takes
                domain.post(LONG)
            flushed = trio.Event()

            async def flush() -> None:
                await domain.flushed()
                flushed.set()

            nursery.start_soon(flush)
            await wait_all_tasks_blocked()
            assert not flushed.is_set()
            domain.post(Started())
            nursery.start_soon(pole.run, heard.append)
            await flushed.wait()
            await wait_all_tasks_blocked()
            assert heard[-1] == Started()
            nursery.cancel_scope.cancel()


async def test_where_the_other_end_is_gone_listening_ends_and_words_are_for_nobody() -> None:
    with linked() as (domain, pole, bare):
        domain.post(Started())
        bare.close()
        heard: list[FromDomain] = []
        with trio.fail_after(1):
            await pole.run(heard.append)
            assert heard == [Started()], "its last words are heard"
            for order in ORDERS:
                pole.post(order)
            await pole.flushed()


# -- catching up ----------------------------------------------------------------------------


async def test_before_anyone_listens_there_is_nothing_to_catch_up_with() -> None:
    heard: list[ToDomain] = []
    with linked() as (domain, pole, _):
        pole.post(Stop())
        domain.catch_up()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(domain.run, heard.append)
            await wait_all_tasks_blocked()
            assert heard == [Stop()]
            pole.post(Finish())
            domain.catch_up()
            assert heard == [Stop(), Finish()], "at once"
            domain.catch_up()
            await wait_all_tasks_blocked()
            assert heard == [Stop(), Finish()], "and once"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("link_first", [True, False])
async def test_a_marker_that_comes_with_the_word_of_it_is_known(link_first: bool) -> None:
    """Both sockets can be read when the loop looks; it may look at the channel's first."""
    with Border.open() as border, linked() as (domain, pole, _):
        queue: Queue[Numbered] = border.queue(40)
        end: ReceivingEnd[Numbered] = border.receiving(queue, catch_up=domain.catch_up)

        def heard(order: ToDomain) -> None:
            assert isinstance(order, Begin)
            end.begin(order.marker)

        received = []
        async with trio.open_nursery() as nursery:
            for start in (True, False) if link_first else (False, True):
                if start:
                    nursery.start_soon(domain.run, heard)
                else:
                    nursery.start_soon(end.run)
                await wait_all_tasks_blocked()
            # In one batch the loop runs its tasks in any order.
            for number in range(30):
                marker = new_marker()
                pole.post(Begin(channel=0, marker=marker))
                border.peer.write(marker + frame(number) + frame(99)[:-1])
                await wait_all_tasks_blocked()
                received += drain(queue)
            nursery.cancel_scope.cancel()
    assert received == list(range(30))
    assert border.violations == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("群集", "群集"),
        ("x" * 3000, "x" * 2000),
        ("half a character: \udc80", "half a character: ?"),
    ],
)
def test_whatever_text_is_made_sayable(text: str, said: str) -> None:
    assert sayable(text) == said
    msgspec.msgpack.encode(sayable(text))
