"""Everything that is to be tried, by several poles at a time."""

from __future__ import annotations

__all__ = ["run_campaign"]

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from actors.escape.attempt import Attempt
from actors.escape.judge import Judge, attempts_of
from actors.escape.verdict import Column, Person, Verdict


def run_campaign(
    suites: Sequence[str],
    columns: Sequence[Column],
    people: Sequence[Person],
    *,
    names: Collection[str] = (),
    jobs: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> list[Verdict]:
    """Make the attempts of these suites under each of these isolations as each of these people; the
    control group as the last of them.

    ``names`` are those to make, all where it is empty; ``jobs`` is how many poles run at a time,
    by itself two for each processor: half of what a pole does is to wait. ``say`` is told what has
    been done, a line now and then.
    """
    judges = [
        (Judge(suite, column, person), [one for one in attempts_of(suite) if _wanted(one, names)])
        for person in people
        for suite in suites
        for column in columns
        # The control group needs one person only: what a user can do, root can.
        if column is not Column.NO_WALLS or person is people[-1]
    ]
    verdicts: dict[tuple[Judge, str], Verdict] = {}
    # The longest first, so that none is left over in the end.
    batches = sorted(
        ((judge, batch) for judge, attempts in judges for batch in judge.batches(attempts)),
        key=lambda one: -len(one[1]),
    )
    waiting = {judge: len(attempts) for judge, attempts in judges}
    with ThreadPoolExecutor(jobs or 2 * (os.cpu_count() or 1)) as pool:
        made: dict[Future[dict[str, Verdict]], Judge] = {
            pool.submit(judge.judge, batch): judge for judge, batch in batches
        }
        try:
            for future in as_completed(made):
                judge, given = made[future], future.result()
                verdicts |= {(judge, name): verdict for name, verdict in given.items()}
                waiting[judge] -= len(given)
                if not waiting[judge]:
                    say(f"{judge.suite}, {judge.column.value}, as {judge.person.value}: done")
        except BaseException:
            # Interrupted: each pole that runs is ended, and none begun.
            pool.shutdown(wait=False, cancel_futures=True)
            for judge, _ in judges:
                judge.end()
            raise
    return [verdicts[judge, one.name] for judge, attempts in judges for one in attempts]


def _wanted(one: Attempt, names: Collection[str]) -> bool:
    return not names or one.name in names
