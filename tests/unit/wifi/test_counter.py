from __future__ import annotations

import gc
import random

from hypothesis import given
from hypothesis import strategies as st

from actors.wifi.counter import MOST_DEVICES, SliceCounter
from tests.unit.wifi.frames import RANDOMISED, STATION

ADDRESSES = st.binary(min_size=6, max_size=6)


@given(st.lists(st.lists(ADDRESSES, max_size=40), max_size=4))
def test_it_counts_distinct_addresses_of_each_slice(slices: list[list[bytes]]) -> None:
    counter = SliceCounter()
    for addresses in slices:
        for address in addresses:
            counter.add(address)
        assert counter.devices == len(set(addresses))
        assert counter.finish() == len(set(addresses))
        assert counter.devices == 0


def test_the_same_address_is_another_digest_in_the_next_slice() -> None:
    counter = SliceCounter()
    counter.add(STATION)
    first = set(counter._digests)
    counter.finish()
    counter.add(STATION)
    assert len(first) == 1
    assert first.isdisjoint(counter._digests)


def test_another_counter_has_another_key() -> None:
    one, other = SliceCounter(), SliceCounter()
    one.add(STATION)
    other.add(STATION)
    assert one._digests.isdisjoint(other._digests)


def test_nothing_that_it_holds_is_an_address_or_shows_one() -> None:
    counter = SliceCounter()
    for address in (STATION, RANDOMISED):
        counter.add(address)
    held = [counter]
    for _ in range(3):
        held += gc.get_referents(*held)
    for address in (STATION, RANDOMISED):
        assert address not in [one for one in held if isinstance(one, bytes)]
        assert address.hex() not in repr(counter)
    assert repr(counter) == "<SliceCounter: 2 devices>"


def test_what_a_finished_slice_held_is_gone() -> None:
    counter = SliceCounter()
    counter.add(STATION)
    digests, context = counter._digests, counter._context
    counter.finish()
    assert not digests
    assert counter._context is not context


def test_counting_stops_at_its_bound() -> None:
    counter = SliceCounter()
    chance = random.Random(1)
    for _ in range(MOST_DEVICES + 50):
        counter.add(chance.randbytes(6))
    assert counter.devices == len(counter._digests) == MOST_DEVICES
    assert counter.finish() == 9_999
