from __future__ import annotations

import trio

from actors.wifi.clock import SliceClock

MINUTE = 1_700_000_040
"""A multiple of 60."""


class Wall:
    """A wall clock that can be set, over trio's virtual time."""

    def __init__(self, now: float) -> None:
        self.offset = now - trio.current_time()

    def __call__(self) -> float:
        return trio.current_time() + self.offset


async def test_windows_meet_and_end_at_the_multiples() -> None:
    clock = SliceClock(60, Wall(MINUTE + 25.5))
    windows = []
    for _ in range(3):
        await trio.sleep_until(clock.deadline)
        windows.append(clock.close())
    assert windows == [
        (MINUTE + 26, MINUTE + 60),
        (MINUTE + 60, MINUTE + 120),
        (MINUTE + 120, MINUTE + 180),
    ]


async def test_a_window_that_is_ended_early_says_so() -> None:
    clock = SliceClock(60, Wall(MINUTE))
    await trio.sleep(12.25)
    assert clock.close() == (MINUTE, MINUTE + 13)
    assert clock.start == MINUTE + 13


async def test_less_than_a_second_is_no_window() -> None:
    clock = SliceClock(60, Wall(MINUTE + 0.2))
    await trio.sleep(0.5)
    assert clock.close() is None


async def test_being_held_up_is_told() -> None:
    clock = SliceClock(10, Wall(MINUTE))
    await trio.sleep(23.5)
    assert clock.close() == (MINUTE, MINUTE + 23)
    await trio.sleep_until(clock.deadline)
    assert clock.close() == (MINUTE + 23, MINUTE + 30)


async def test_a_window_in_which_the_clock_was_set_is_not_told() -> None:
    wall = Wall(MINUTE)
    clock = SliceClock(60, wall)
    await trio.sleep(10)
    wall.offset += 3600
    await trio.sleep_until(clock.deadline)
    assert clock.close() is None
    assert clock.start == MINUTE + 3660
    wall.offset -= 1_000_000
    assert clock.close() is None
    await trio.sleep_until(clock.deadline)
    window = clock.close()
    assert window is not None
    assert window[1] % 60 == 0


async def test_slewing_does_not_move_the_windows() -> None:
    wall = Wall(MINUTE)
    clock = SliceClock(60, wall)
    wall.offset -= 0.03
    await trio.sleep_until(clock.deadline)
    assert clock.close() == (MINUTE, MINUTE + 60)
    assert abs(clock.deadline - trio.current_time() - 60.03) < 1e-3
