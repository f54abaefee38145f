"""What ends of a channel between domains do with a peer that breaks the rules, is too fast, or
begins before the pole's word of it has been heard. In virtual time, over real sockets."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime.channel import BLOCK, DROP_OLDEST, Overflow
from runtime.crossing import MARKER_BYTES, WINDOW, new_marker
from tests.unit.runtime.ends import LENGTH, LIMIT, Border, drain, frame, framed

MARKER = new_marker()

# -- who breaks the rules -------------------------------------------------------------------

BAD = {
    "a length beyond the bound": (LENGTH.pack(LIMIT + 1), "announced a message of 60001 bytes"),
    "the longest length there is": (b"\xff" * 4, "4294967295 bytes, and 60000 pass"),
    "rubbish": (framed(b"\xc1"), "does not fit its declared type"),
    "nothing at all": (framed(b""), "does not fit its declared type"),
    "another type": (framed(b"\x92\x01\x02"), "does not fit its declared type"),
    "a field out of its bounds": (framed(b"\x81\xa6number\xff"), "does not fit its declared type"),
    "a field that is unknown": (
        framed(b"\x82\xa6number\x01\xa5extra\xa9a picture"),
        "does not fit its declared type",
    ),
    "more than one in a frame": (framed(frame(1)[4:] * 2), "does not fit its declared type"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_sender_that_breaks_the_rules_is_cut_off(kind: str) -> None:
    bad, why = BAD[kind]
    with Border.open() as border:
        queue = border.queue(8)
        receiving = border.receiving(queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            border.peer.write(MARKER + frame(1) + bad + frame(2))
            await wait_all_tasks_blocked()
            assert len(border.violations) == 1
            assert why in border.violations[0]
            assert "a picture" not in border.violations[0]
            assert drain(queue) == [1], "what was right before it, and nothing from there on"
            border.peer.write(frame(3) + bad + MARKER + frame(4))
            await wait_all_tasks_blocked()
            assert drain(queue) == []
            assert len(border.violations) == 1, "once is enough"
            # The domain is started again: a new marker, and all is well.
            again = new_marker()
            receiving.begin(again)
            border.peer.write(again + frame(5))
            await wait_all_tasks_blocked()
            assert drain(queue) == [5]
            nursery.cancel_scope.cancel()
    assert len(border.violations) == 1


@pytest.mark.parametrize("overflow", [BLOCK, DROP_OLDEST])
@pytest.mark.parametrize("capacity", [1, 4, 100])
@pytest.mark.parametrize("before", [0, 3])
async def test_a_sender_without_credit_is_cut_off(
    before: int, capacity: int, overflow: Overflow
) -> None:
    """At once, and after so many windows in order."""
    window = min(capacity, WINDOW)
    with Border.open() as border:
        queue = border.queue(capacity, overflow=overflow)
        receiving = border.receiving(queue)
        too_many = b"".join(map(frame, range(window + 1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            border.peer.write(MARKER)
            for _ in range(before):
                border.peer.write(too_many[: -len(frame(window))])
                await wait_all_tasks_blocked()
                assert drain(queue) == list(range(window))
            assert border.violations == []
            border.peer.write(too_many)
            await wait_all_tasks_blocked()
            assert border.violations == ["it sent more messages than it was granted"]
            assert drain(queue) == []
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sent_first", ["another marker", "frames without one", "the last one's"])
async def test_nothing_is_read_before_the_marker(sent_first: str) -> None:
    with Border.open() as border:
        queue = border.queue()
        receiving = border.receiving(queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            last = new_marker()
            receiving.begin(last)
            receiving.begin(MARKER)
            border.peer.write(
                {
                    "another marker": b"?" * MARKER_BYTES + frame(1) + b"\xff" * 100,
                    "frames without one": frame(1) * 3 + frame(1)[:-1],
                    "the last one's": last + frame(1),
                }[sent_first]
            )
            await wait_all_tasks_blocked()
            assert drain(queue) == []
            border.peer.write(MARKER + frame(2))
            await wait_all_tasks_blocked()
            assert drain(queue) == [2]
            nursery.cancel_scope.cancel()
    assert border.violations == [], "one that died half-way left this behind, or one that is silent"


@pytest.mark.parametrize(
    ("given", "granted"),
    [
        ("more than were under way", (3,)),
        ("more, little by little", (1, 1, 1)),
        ("none", (0,)),
        ("very many", (2**32 - 1,)),
    ],
)
async def test_a_receiver_that_grants_what_was_not_under_way_is_cut_off(
    given: str, granted: tuple[int, ...]
) -> None:
    with Border.open() as border:
        sending = border.sending(capacity=4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            assert sending.put(frame(0)[4:])
            assert sending.put(frame(1)[4:])
            border.peer.write(MARKER + b"".join(map(LENGTH.pack, granted)))
            await wait_all_tasks_blocked()
            assert len(border.violations) == 1
            assert "granted more messages than were under way" in border.violations[0]
            assert not sending.put(frame(2)[4:]), "nobody is there any more"
            sending.begin(new_marker())
            assert sending.put(frame(2)[4:]), "until someone is"
            nursery.cancel_scope.cancel()


# -- no faster than the pace ----------------------------------------------------------------


async def test_a_sender_that_is_faster_than_its_pace_is_held_to_it() -> None:
    with Border.open() as border:
        queue = border.queue(100)
        sending = border.sending(capacity=100)
        receiving = border.receiving(queue, end=border.far, per_second=4)
        began = trio.current_time()
        arrivals: list[float] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            sending.begin(MARKER)

            async def flood() -> None:
                for number in range(60):
                    while not sending.put(frame(number)[4:]):
                        await sending.wait_for_room()

            nursery.start_soon(flood)
            for number in range(60):
                assert await queue.wait_for_message()
                assert queue.take().number == number
                arrivals.append(trio.current_time() - began)
            nursery.cancel_scope.cancel()
    # Four in any second, at once where they come at once, whatever the sender does.
    for number, at in enumerate(arrivals):
        assert at == pytest.approx(number // 4)
    assert border.violations == []


async def test_one_that_was_silent_may_send_a_second_s_worth_at_once_and_no_more() -> None:
    with Border.open() as border:
        queue = border.queue(100)
        receiving = border.receiving(queue, per_second=4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            receiving.begin(MARKER)
            border.peer.write(MARKER + frame(0))
            await trio.sleep(1000)
            drain(queue)
            border.peer.write(b"".join(map(frame, range(1, 13))))
            await wait_all_tasks_blocked()
            assert drain(queue) == [1, 2, 3, 4]
            await trio.sleep(1.01)
            assert drain(queue) == [5, 6, 7, 8]
            nursery.cancel_scope.cancel()


# -- a marker that comes before the word of it ----------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, MARKER_BYTES - 1])
async def test_a_receiver_hears_the_pole_out_before_it_looks_at_what_it_read(cut: int) -> None:
    """The pole says Begin to the receiver before the sender may write its marker, but on another
    socket: both may be there at once, and the loop may look at either first."""
    with Border.open() as border:
        queue = border.queue()
        said: list[bytes] = []
        receiving = border.receiving(
            queue, catch_up=lambda: receiving.begin(said.pop()) if said else None
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving.run)
            # The first life, and another that begins in the middle of its frame.
            for number in range(2):
                marker = new_marker()
                said.append(marker)
                border.peer.write(marker[:cut])
                await wait_all_tasks_blocked()
                border.peer.write(marker[cut:] + frame(number) + frame(99)[:-1])
                await wait_all_tasks_blocked()
                assert drain(queue) == [number]
            nursery.cancel_scope.cancel()
    assert border.violations == []


async def test_a_sender_hears_the_pole_out_before_it_looks_at_its_credits() -> None:
    with Border.open() as border:
        said: list[bytes] = []
        sending = border.sending(
            capacity=2, catch_up=lambda: sending.begin(said.pop()) if said else None
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.run)
            sending.begin(MARKER)
            border.peer.write(MARKER)
            await wait_all_tasks_blocked()
            while sending.put(frame(0)[4:]):
                pass
            # Another receiver: its marker, taken for credits, would be very many.
            again = new_marker()
            said.append(again)
            border.peer.write(again)
            await wait_all_tasks_blocked()
            assert border.violations == []
            assert sending.put(frame(1)[4:])
            nursery.cancel_scope.cancel()
        assert border.peer.read() == MARKER + frame(0) * 2 + again + frame(1)
