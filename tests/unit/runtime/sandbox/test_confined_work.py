"""What must still work inside the walls, and round whom they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.runtime.sandbox import jobs
from tests.unit.runtime.sandbox.child import in_child, users

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("user", users())
def test_pictures_are_decoded_and_counted_with_nothing_but_a_link(user: int | None) -> None:
    done = in_child(jobs.do_jobs, user=user)
    milliseconds = done.pop("milliseconds")
    print(f"walls built in {milliseconds:.2f} ms")
    assert milliseconds < 20  # about 1.3; a busy machine takes its time
    assert done == {
        "numpy": True,
        "inference on 1": [1, 16, 254, 254],
        "inference on 2": [1, 16, 254, 254],
        "pictures on 1": 10,
        "pictures on 2": 10,
        "hmac": 32,
        "received": "packets",
        "timed out": True,
        "woken from outside": True,
        "ended": "done",
        "at the far end": "counts",
        "missing": [],
    }


@pytest.mark.parametrize("user", users())
def test_walls_stand_round_one_thread_and_those_it_starts(user: int | None, folder: Path) -> None:
    assert in_child(jobs.attempts_of_other_threads, user=user, folder=folder) == {
        "before": "done",
        "after": "done",
        "main": "done",
        "inside": "PermissionError",
        "confined": "PermissionError",
        "files": ["after", "before", "main"],
    }


@pytest.mark.parametrize("user", users())
def test_a_thread_started_within_the_walls_is_known_to_be(user: int | None, folder: Path) -> None:
    assert in_child(jobs.recognise_threads, user=user, folder=folder) == {
        "main, before": False,
        "nothing": True,
        "files": True,
        "sockets": True,
        "packets": True,
        "devices": True,
        "main, after": False,
    }


@pytest.mark.parametrize("user", users())
def test_kernel_tells_who_is_confined(user: int | None) -> None:
    assert in_child(jobs.mark_and_verify, user=user) == {
        "of the confined": [],
        "main is found": True,
        "confined are found": False,
        "one that is gone": [],
    }


def test_a_domains_thread_can_be_restarted_without_leaving_descriptors() -> None:
    counts = in_child(jobs.loops_one_after_another)["open"]
    assert counts == [counts[0]] * 4
