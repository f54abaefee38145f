"""The judge: has hostile actors make their attempts, and says what became of each.

It believes what a hostile actor reports of itself only where that says by which wall an attempt was
stopped; whether it was stopped, it sees from files, sockets, other processes and the pole's own
output.
"""

from __future__ import annotations

__all__ = ["Judge", "attempts_of"]

import errno
import secrets
from collections.abc import Sequence

import actors.escape.attempts
from actors.escape.attempt import REGISTRY, Attempt
from actors.escape.effects import PROBES
from actors.escape.known import KNOWN_IN_THREAD_MODE, STOPPED_WITHOUT_WALLS
from actors.escape.messages import Outcome
from actors.escape.pole import REFUSED
from actors.escape.trial import Trial, TrialResult
from actors.escape.verdict import Column, Person, Verdict

_TRIES = 3

assert actors.escape.attempts.__all__  # imported for what it registers


class Judge:
    """Makes attempts of one suite under one isolation, as one person.

    ``batches`` says which of them share a pole; ``judge`` runs one batch and may be called from
    several threads at once.
    """

    def __init__(self, suite: str, column: Column, person: Person) -> None:
        self.suite = suite
        self.column = column
        self.person = person
        self._trial = Trial(suite, column, person, secrets.token_hex(16))

    def batches(self, attempts: Sequence[Attempt]) -> list[list[Attempt]]:
        """Most in one pole, which is the first batch; some each in its own."""
        together = [one for one in attempts if not one.alone]
        return [*filter(None, [together]), *([one] for one in attempts if one.alone)]

    def end(self) -> None:
        """Have all poles that run end, and begin none."""
        self._trial.ending.set()

    def judge(self, batch: Sequence[Attempt]) -> dict[str, Verdict]:
        """Run poles until each attempt was made once."""
        verdicts = {}
        remaining = []
        for one in batch:
            if one.needs and not PROBES[one.needs]():
                verdicts[one.name] = self._verdict(one, "absent")
            else:
                remaining.append(one)
        verdicts |= self._make(remaining)
        # What is expected to get out gets two chances more, alone: it waits for others to run into
        # it, which a busy machine may have been too slow for.
        for one in remaining:
            for _ in range(_TRIES - 1):
                if verdicts[one.name].result == "stopped" and self._should_get_out(one):
                    verdicts |= self._make([one])
        return verdicts

    def _should_get_out(self, one: Attempt) -> bool:
        """So that its being stopped elsewhere, or its being listed as known, is worth something."""
        if self.column is Column.NO_WALLS:
            return one.name not in STOPPED_WITHOUT_WALLS
        return self.column is Column.THREAD and one.name in KNOWN_IN_THREAD_MODE

    def _make(self, batch: list[Attempt]) -> dict[str, Verdict]:
        """One pole, and after a crash another for what is left."""
        verdicts: dict[str, Verdict] = {}
        while batch and not self._trial.ending.is_set():
            result = self._trial.run(batch)
            for _ in range(_TRIES - 1):
                if result.left.status == REFUSED or self._trial.ending.is_set():
                    break
                if result.begun and result.left.whole:
                    break
                result = self._trial.run(batch)  # a busy machine may have been too slow
            made = [one for one in batch if one.number in result.begun]
            if not made or not result.left.whole:
                return verdicts | {one.name: self._not_run(one, result) for one in batch}
            if result.left.down and len(batch) > 1:
                # Something has ended an actor beside: what was to be stolen from it is tried again.
                lacking = {
                    number
                    for number, (outcome, _) in result.outcomes.items()
                    if outcome is Outcome.NOTHING_THERE
                }
                for one in [one for one in made if one.number in lacking]:
                    verdicts |= self._make([one])
                made = [one for one in made if one.number not in lacking]
                batch = [one for one in batch if one.number not in lacking]
            for one in made:
                verdicts[one.name] = self._judge(one, result)
            batch = [one for one in batch if one not in made]
        return verdicts | {
            one.name: self._verdict(one, "not run", wall="interrupted") for one in batch
        }

    def _judge(self, one: Attempt, result: TrialResult) -> Verdict:
        if one.measured:
            return self._measure(one, result)
        if found := result.found[one.name]:
            return self._verdict(one, "escaped", found=found)
        return self._verdict(one, "stopped", wall=self._wall(one, result))

    def _measure(self, one: Attempt, result: TrialResult) -> Verdict:
        """Of what is allowed: whether it carries more than it may."""
        measured = result.measured[one.name]
        if found := result.found[one.name]:
            return self._verdict(one, "escaped", found=found)
        if measured is None:
            return self._verdict(one, "stopped", wall=self._wall(one, result))
        freely = self.column is Column.NO_WALLS or measured.exceeds
        return self._verdict(one, "escaped" if freely else "allowed", found=str(measured))

    def _wall(self, one: Attempt, result: TrialResult) -> str:
        outcome, code = result.outcomes.get(one.number, (None, 0))
        match outcome:
            case Outcome.SYSTEM_ERROR if code in (errno.EPERM, errno.ENOSYS):
                return "seccomp"
            case Outcome.SYSTEM_ERROR if code == errno.EACCES:
                return "Landlock"
            case Outcome.SYSTEM_ERROR:
                return f"kernel ({errno.errorcode.get(code, code)})"
            case Outcome.REFUSED:
                return "runtime"
            case Outcome.NOTHING_THERE:
                return "not in its memory"
            case Outcome.WENT_THROUGH:
                return "no effect outside"
            case Outcome.OTHER_ERROR:
                return "error in Python"
            case Outcome.TIMED_OUT:
                return "no answer"
            case _:
                return "its own end" if one.ends else "its domain ended"

    def _not_run(self, one: Attempt, result: TrialResult) -> Verdict:
        if one.on_import and result.left.status == REFUSED:
            return self._verdict(one, "stopped", wall="the pole refuses to start")
        if result.begun and result.left.down:
            return self._verdict(one, "not run", wall=f"down: {', '.join(result.left.down)}")
        return self._verdict(one, "not run", wall=_last_line(result.said))

    def _verdict(self, one: Attempt, result: str, *, wall: str = "", found: str = "") -> Verdict:
        return Verdict(
            attempt=one.name,
            category=one.category,
            suite=self.suite,
            isolation=self.column,
            person=self.person,
            result=result,
            wall=wall,
            found=found,
        )


def attempts_of(suite: str) -> list[Attempt]:
    """All attempts of a suite, in the order in which they are made."""
    return [one for one in REGISTRY.values() if suite in one.suites]


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
