"""OTP's semantics, by tables, in virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from runtime.errors import RestartBudgetExceeded, StartTimeout, Unrecoverable
from runtime.specification import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Exhausted,
    Restart,
    RestartIntensity,
    Strategy,
    SupervisorSpec,
)
from runtime.supervisor import CrashRecord, Supervisor
from tests.unit.runtime.stage import FOREVER, NO_DELAY, SURE, Event, Life, Player, Stage, direct

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
PERMANENT, TRANSIENT, TEMPORARY = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY

ENDINGS = {
    "returns": Life(run=1),
    "crashes": Life(run=1, error=RuntimeError("secret")),
    "unrecoverable": Life(run=1, error=Unrecoverable("no key")),
    "crashes in start": Life(start_error=OSError("secret")),
    "start timeout": Life(start=60),
}

# How often each of a, b, c was started after b ended so in its first life, and how b is then.
TABLE: dict[tuple[Strategy, str, str], str] = {}
for _ending in ENDINGS:
    _at_boot = _ending in ("crashes in start", "start timeout")
    for _restart in Restart:
        if _ending == "unrecoverable":
            _fate = "down"
        elif _restart is TEMPORARY:
            _fate = "finished" if _ending == "returns" else "down"
        elif _restart is TRANSIENT and _ending == "returns":
            _fate = "finished"
        else:
            _fate = "running"
        TABLE[ONE, _restart.value, _ending] = {
            "running": "a1 running, b2 running, c1 running",
            "down": "a1 running, b1 down, c1 running",
            "finished": "a1 running, b1 finished, c1 running",
        }[_fate]
        # Taken down for good, b takes those along which its strategy ties to it, except where
        # it is temporary: then nobody waits for it.
        _tied_down = _fate == "down" and _restart is not TEMPORARY
        TABLE[ALL, _restart.value, _ending] = (
            # At boot, c had not been started yet, so its second start is its first.
            f"a2 running, b2 running, c{1 if _at_boot else 2} running"
            if _fate == "running"
            else f"a1 down, b1 down, c{0 if _at_boot else 1} down"
            if _tied_down
            else f"a1 running, b1 {_fate}, c1 running"
        )
        TABLE[REST, _restart.value, _ending] = (
            f"a1 running, b2 running, c{1 if _at_boot else 2} running"
            if _fate == "running"
            else f"a1 running, b1 down, c{0 if _at_boot else 1} down"
            if _tied_down
            else f"a1 running, b1 {_fate}, c1 running"
        )


@pytest.mark.parametrize(("strategy", "restart", "ending"), TABLE)
async def test_who_is_started_again(strategy: Strategy, restart: str, ending: str) -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec("b", ENDINGS[ending], restart=Restart(restart), backoff=SURE),
        stage.spec("c"),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    seen: list[str] = []

    def look() -> None:
        seen.append(
            ", ".join(f"{s.name}{s.incarnation} {s.state}" for s in supervisor.statistics())
        )

    await direct(stage, supervisor, at=[(30, look)], until=31)
    assert seen == [TABLE[strategy, restart, ending]]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("cancel", [False, True])
async def test_starts_in_order_and_stops_in_reverse(strategy: Strategy, cancel: bool) -> None:
    stage = Stage()
    specs = tuple(stage.spec(name, Life(start=2, cleanup=1, heeds=name != "b")) for name in "abcd")
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    await direct(stage, supervisor, until=20, cancel=cancel)
    assert stage.times("begin", "d") == [6.0]  # each waits for the one before
    assert stage.names("begin") == ["a1", "b1", "c1", "d1"]
    assert stage.names("end") == ["d1", "c1", "b1", "a1"]
    assert [e.at for e in stage.trace if e.what == "end"] == [21, 22, 23, 24]
    assert [e.how for e in stage.trace if e.what == "end"] == [
        "finished", "finished", "cancelled", "finished",
    ]  # fmt: skip
    assert [s.state for s in supervisor.statistics()] == ["stopped"] * 4


async def test_a_child_that_ignores_finish_is_cancelled_after_its_stop_timeout() -> None:
    stage = Stage()
    specs = (stage.spec("a", Life(heeds=True, linger=100), stop_timeout=7),)
    await direct(stage, Supervisor(SupervisorSpec("top", specs)), until=10)
    assert [(e.at, e.how) for e in stage.trace if e.what == "end"] == [(17.0, "cancelled")]


# -- restart intensity ------------------------------------------------------------------------


def crashing(times: int, run: float) -> list[Life]:
    return [Life(run=run, error=RuntimeError())] * times


@pytest.mark.parametrize(
    ("restarts", "period", "run", "crashes", "state"),
    [
        # Crashes every 10 s. Three restarts within 20 s are three crashes at 0, 10 and 20: the
        # window is inclusive, as in OTP (Now =< Then + Period).
        (2, 20.0, 10.0, 2, "running"),
        (2, 20.0, 10.0, 3, "down"),
        (2, 19.0, 10.0, 9, "running"),
        (3, 30.0, 10.0, 3, "running"),
        (3, 30.0, 10.0, 4, "down"),
        (3, 29.0, 10.0, 9, "running"),
        (0, 1.0, 10.0, 1, "down"),
        (1, 9.0, 10.0, 50, "running"),
        (1, 10.0, 10.0, 2, "down"),
    ],
)
async def test_intensity(
    restarts: int, period: float, run: float, crashes: int, state: str
) -> None:
    stage = Stage()
    spec = stage.spec(
        "a",
        *crashing(crashes, run),
        intensity=RestartIntensity(restarts, period),
        backoff=NO_DELAY,
        when_exhausted=Exhausted.LEAVE_DOWN,
    )
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    seen: list[str] = []
    await direct(
        stage,
        supervisor,
        at=[(599, lambda: seen.append(supervisor.statistics()[0].state))],
        until=600,
    )
    assert seen == [state]
    status = supervisor.statistics()[0]
    assert status.crashes == crashes
    assert status.restarts == (crashes if state == "running" else crashes - 1)


async def test_the_window_slides() -> None:
    """Two, a pause, two: never three within 10 s, though many in all."""
    stage = Stage()
    boom = RuntimeError()
    lives = [Life(run=1, error=boom), Life(run=10, error=boom)]
    spec = stage.spec(
        "a",
        *(lives * 4),
        intensity=RestartIntensity(2, 10.0),
        backoff=NO_DELAY,
        when_exhausted=Exhausted.LEAVE_DOWN,
    )
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    await direct(stage, supervisor, until=100)
    assert supervisor.statistics()[0].state == "stopped"
    assert supervisor.statistics()[0].crashes == 8


async def test_only_what_has_left_the_window_is_forgotten() -> None:
    """Crashes at 0, 5, 11 and 14: at 11 the first is out of the 10 s, the second is not."""
    stage = Stage()
    boom = RuntimeError()
    spec = stage.spec(
        "a",
        *(Life(run=run, error=boom) for run in (0, 5, 6, 3)),
        intensity=RestartIntensity(2, 10.0),
        backoff=NO_DELAY,
        when_exhausted=Exhausted.LEAVE_DOWN,
    )
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    await direct(stage, supervisor, until=100)
    assert stage.times("begin", "a") == [0, 0, 5, 11]
    assert supervisor.statistics()[0].state == "down"


async def test_after_a_rest_that_is_shorter_than_the_period_the_budget_is_whole() -> None:
    stage = Stage()
    spec = stage.spec(
        "a",
        *crashing(5, 1),
        intensity=RestartIntensity(1, 1000.0),
        backoff=NO_DELAY,
        rest=10.0,
    )
    await direct(stage, Supervisor(SupervisorSpec("top", (spec,))), until=500)
    assert stage.times("begin", "a") == [0, 1, 12, 13, 24, 25]


async def test_intensity_is_counted_per_child() -> None:
    stage = Stage()
    options: dict[str, Any] = {
        "intensity": RestartIntensity(2, 1000.0),
        "backoff": NO_DELAY,
        "when_exhausted": Exhausted.LEAVE_DOWN,
    }
    specs = tuple(stage.spec(name, *crashing(2, 5), **options) for name in "abc")
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=100)
    assert [(s.crashes, s.restarts, s.state) for s in supervisor.statistics()] == [
        (2, 2, "stopped")
    ] * 3


async def test_being_taken_along_costs_no_restart_of_ones_own() -> None:
    stage = Stage()
    tight = RestartIntensity(1, 1000.0)
    specs = (
        stage.spec("a", *crashing(4, 5), backoff=NO_DELAY, intensity=RestartIntensity(4, 1000)),
        stage.spec("b", intensity=tight, when_exhausted=Exhausted.LEAVE_DOWN),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, ALL))
    await direct(stage, supervisor, until=100)
    assert [(s.incarnation, s.crashes, s.state) for s in supervisor.statistics()] == [
        (5, 4, "stopped"),
        (5, 0, "stopped"),
    ]


async def test_backoff_grows_and_starts_anew_after_a_quiet_period() -> None:
    stage = Stage()
    boom = RuntimeError()
    spec = stage.spec(
        "a",
        *crashing(4, 1),  # at 1, 3, 6, 11: after delays 1, 2, 4 each
        Life(run=100, error=boom),
        intensity=RestartIntensity(5, 30.0),
        backoff=SURE,
    )
    await direct(stage, Supervisor(SupervisorSpec("top", (spec,))), until=500)
    ends, begins = stage.times("end", "a"), stage.times("begin", "a")
    delays = [begin - end for end, begin in zip(ends, begins[1:], strict=False)]
    assert delays == [1, 2, 4, 4, 1]


async def test_jitter_comes_from_the_given_chance() -> None:
    stage = Stage()
    spec = stage.spec("a", *crashing(1, 1), backoff=Backoff(first=2.0, jitter=0.5))
    supervisor = Supervisor(SupervisorSpec("top", (spec,)), chance=random.Random(3))
    await direct(stage, supervisor, until=50)
    expected = Backoff(first=2.0, jitter=0.5).delay(1, random.Random(3))
    assert stage.times("begin", "a")[1] == pytest.approx(1 + expected)


# -- what happens then ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "tied"), [(ONE, ""), (ALL, "ac"), (REST, "c")], ids=lambda v: str(v)
)
async def test_an_exhausted_child_rests_and_comes_back_with_a_fresh_budget(
    strategy: Strategy, tied: str
) -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec(
            "b",
            *crashing(4, 1),
            intensity=RestartIntensity(1, 10.0),
            backoff=NO_DELAY,
            rest=100.0,
        ),
        stage.spec("c"),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    seen: list[list[str]] = []
    await direct(
        stage,
        supervisor,
        at=[(50, lambda: seen.append([s.state for s in supervisor.statistics()]))],
        until=1000,
    )
    resting = "resting after too many crashes"
    assert seen == [[resting if n in tied or n == "b" else "running" for n in "abc"]]
    # Crash at 1 and 2: exhausted; rest until 102; crash at 103 and 104; rest until 204.
    assert stage.times("begin", "b") == [0, 1, 102, 103, 204]
    for name in "ac":
        assert stage.times("begin", name) == ([0, 1, 102, 103, 204] if name in tied else [0])


@pytest.mark.parametrize("error", [RuntimeError("secret"), Unrecoverable("no key")])
async def test_escalation_stops_all_in_reverse_and_names_the_culprit(error: Exception) -> None:
    stage = Stage()
    specs = (
        stage.spec("a", Life(cleanup=1)),
        stage.spec(
            "b",
            Life(run=5, error=error),
            intensity=RestartIntensity(0, 10.0),
            when_exhausted=Exhausted.ESCALATE,
        ),
        stage.spec("c", Life(cleanup=1)),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs))
    with pytest.raises(RestartBudgetExceeded) as caught:
        await direct(stage, supervisor)
    assert "'b'" in str(caught.value)
    assert "'top'" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is error
    assert [(e.child, e.at) for e in stage.trace if e.what == "end"] == [
        ("b", 5),
        ("c", 6),
        ("a", 7),
    ]


async def test_escalation_during_boot_starts_nobody_else_and_never_reports_started() -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec(
            "b",
            Life(start_error=OSError()),
            intensity=RestartIntensity(0, 10.0),
            when_exhausted=Exhausted.ESCALATE,
        ),
        stage.spec("c"),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs))
    stage.began = trio.current_time()
    reported: list[bool] = []
    with pytest.raises(RestartBudgetExceeded):
        await supervisor.serve(lambda: reported.append(True))
    assert stage.names("begin") == ["a1", "b1"]
    assert stage.names("end") == ["b1", "a1"]
    assert reported == []


# -- unrecoverable, also when wrapped -----------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        Unrecoverable("the model is missing"),
        ExceptionGroup("from a nursery", [Unrecoverable("the model is missing")]),
        ExceptionGroup(
            "two", [ExceptionGroup("inner", [Unrecoverable("the model is missing")]), OSError("x")]
        ),
    ],
    ids=["plain", "grouped", "among others"],
)
@pytest.mark.parametrize("where", ["start", "run"])
async def test_unrecoverable_is_not_tried_again(error: Exception, where: str) -> None:
    stage = Stage()
    life = Life(start_error=error) if where == "start" else Life(run=1, error=error)
    supervisor = Supervisor(SupervisorSpec("top", (stage.spec("a", life), stage.spec("b"))))
    seen: list[tuple[str, ...]] = []
    await direct(
        stage,
        supervisor,
        at=[(50, lambda: seen.append(tuple(s.state for s in supervisor.statistics())))],
        until=100,
    )
    assert seen == [("down", "running")]
    assert stage.names("begin") == ["a1", "b1"]
    crash = supervisor.statistics()[0].last_crash
    assert crash is not None
    assert crash.message == "the model is missing"
    assert crash.error == "Unrecoverable"


# -- starting -----------------------------------------------------------------------------------


async def test_start_timeout_is_a_crash_that_says_so() -> None:
    stage = Stage()
    spec = stage.spec("a", Life(start=60), start_timeout=7, backoff=SURE)
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    await direct(stage, supervisor, until=50)
    assert stage.times("begin", "a") == [0, 8]
    crash = supervisor.crashes[0]
    assert (crash.error, crash.phase) == (StartTimeout.__name__, "starting")
    assert crash.message == "child 'a' did not start within 7 s."


@pytest.mark.parametrize("restart", [PERMANENT, TRANSIENT])
async def test_starting_at_the_very_moment_of_the_timeout_is_no_quiet_end(
    restart: Restart,
) -> None:
    """Whichever comes first: a child that was cancelled by its deadline did not finish its work."""
    stage = Stage()

    class Tardy(Player):
        async def serve(self, started: Any) -> None:
            if self.number > 1:
                await super().serve(started)
                return
            try:
                await trio.sleep_forever()
            finally:
                started()

    spec = ChildSpec(
        "a", lambda n: Tardy(stage, "a", n), restart=restart, start_timeout=5, backoff=SURE
    )
    stage.usual["a"], stage.lives["a"] = Life(), []
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    await direct(stage, supervisor, until=50)
    assert [crash.error for crash in supervisor.crashes] == ["StartTimeout"]
    assert stage.names("begin") == ["a2"]


async def test_no_start_timeout_once_started() -> None:
    stage = Stage()
    supervisor = Supervisor(
        SupervisorSpec("top", (stage.spec("a", Life(start=4), start_timeout=5),))
    )
    await direct(stage, supervisor, until=500)
    assert stage.names("begin") == ["a1"]
    assert not supervisor.crashes


async def test_a_build_that_fails_is_a_crash_in_start() -> None:
    stage = Stage()
    attempts: list[int] = []

    def build(number: int) -> Player:
        attempts.append(number)
        if number < 3:
            raise KeyError("secret")
        return Player(stage, "a", number)

    stage.lives["a"], stage.usual["a"] = [], Life()
    supervisor = Supervisor(SupervisorSpec("top", (ChildSpec("a", build, backoff=SURE),)))
    await direct(stage, supervisor, until=50)
    assert attempts == [1, 2, 3]
    assert [c.phase for c in supervisor.crashes] == ["starting"] * 2


async def test_one_that_fails_at_boot_holds_nobody_up() -> None:
    stage = Stage()
    specs = (
        stage.spec("a", *[Life(start_error=OSError())] * 3, backoff=SURE),
        stage.spec("b", Life(start=1)),
        stage.spec("c"),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=50)
    assert stage.times("begin", "a") == [0, 1, 3, 7]
    assert stage.times("begin", "c") == [1]


@pytest.mark.parametrize("strategy", [ALL, REST])
@pytest.mark.parametrize("cleanup", [0.0, 9.0])
@pytest.mark.parametrize("backoff", [NO_DELAY, SURE])
async def test_a_crash_at_boot_of_a_tied_group_keeps_the_order(
    strategy: Strategy, cleanup: float, backoff: Backoff
) -> None:
    """Also where nothing is waited for, or where taking down takes longer than the backoff."""
    stage = Stage()
    specs = (
        stage.spec("a", Life(cleanup=cleanup)),
        stage.spec("b", Life(start_error=OSError(), cleanup=cleanup), backoff=backoff),
        stage.spec("c"),
        stage.spec("d"),
    )
    await direct(stage, Supervisor(SupervisorSpec("top", specs, strategy)), until=50)
    again = ["a2", "b2"] if strategy is ALL else ["b2"]
    assert stage.names("begin") == ["a1", "b1", *again, "c1", "d1"]


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_a_crash_while_the_group_is_restarted_keeps_the_order(strategy: Strategy) -> None:
    stage = Stage()
    specs = (
        stage.spec("a", Life(run=1, error=OSError()), backoff=NO_DELAY),
        stage.spec("b", Life(cleanup=3), Life(start_error=OSError()), backoff=NO_DELAY),
        stage.spec("c", Life(cleanup=3)),
        stage.spec("d"),
    )
    await direct(stage, Supervisor(SupervisorSpec("top", specs, strategy)), until=50)
    boot = ["a1", "b1", "c1", "d1"]
    again = ["a3", "b3"] if strategy is ALL else ["b3"]
    assert stage.names("begin") == [*boot, "a2", "b2", *again, "c2", "d2"]


async def test_the_order_of_ending_in_a_tied_group_is_reverse() -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec("b", Life(run=5, error=OSError()), backoff=SURE),
        stage.spec("c", Life(cleanup=1)),
        stage.spec("d", Life(cleanup=1)),
    )
    await direct(stage, Supervisor(SupervisorSpec("top", specs, ALL)), until=50)
    ends = [(e.child, e.at) for e in stage.trace if e.what == "end" and e.at < 50]
    assert ends == [("b", 5), ("d", 6), ("c", 7), ("a", 7)]


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_temporary_children_taken_along_do_not_come_back(strategy: Strategy) -> None:
    stage = Stage()
    specs = (
        stage.spec("a", restart=TEMPORARY),
        stage.spec("b", Life(run=5, error=OSError()), backoff=SURE),
        stage.spec("c", restart=TEMPORARY),
        stage.spec("d", restart=TRANSIENT),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    await direct(stage, supervisor, until=50)
    states = {s.name: (s.incarnation, s.state) for s in supervisor.statistics()}
    assert states["c"] == (1, "finished")
    assert states["d"] == (2, "stopped")
    assert states["a"] == ((1, "finished") if strategy is ALL else (1, "stopped"))


# -- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel", [False, True])
async def test_stop_during_start(cancel: bool) -> None:
    stage = Stage()
    specs = (stage.spec("a"), stage.spec("b", Life(start=10, cleanup=2)), stage.spec("c"))
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=5, cancel=cancel)
    assert stage.names("begin") == ["a1", "b1"]
    assert [(e.child, e.at) for e in stage.trace if e.what == "end"] == [("b", 7), ("a", 7)]
    assert [s.state for s in supervisor.statistics()] == ["stopped", "stopped", "not started"]
    assert not supervisor.crashes


async def test_a_supervisor_stopped_during_start_never_says_that_it_has_started() -> None:
    stage = Stage()
    supervisor = Supervisor(SupervisorSpec("top", (stage.spec("a", Life(start=10)),)))
    reported: list[bool] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.serve, lambda: reported.append(True))
        await trio.sleep(5)
        supervisor.finish()
    assert reported == []


async def test_finish_before_serve_starts_nothing() -> None:
    stage = Stage()
    supervisor = Supervisor(SupervisorSpec("top", (stage.spec("a"),)))
    assert supervisor.finish() is True
    await direct(stage, supervisor)
    assert stage.trace == []


@pytest.mark.parametrize("cancel", [False, True])
async def test_stop_during_backoff(cancel: bool) -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec("b", Life(run=4, error=OSError()), backoff=Backoff(first=9, jitter=0)),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=6, cancel=cancel)
    assert stage.names("begin") == ["a1", "b1"]
    assert stage.times("end", "a") == [6]
    assert [s.state for s in supervisor.statistics()] == ["stopped", "stopped"]


async def test_a_crash_while_stopping_is_recorded_and_stops_nobody_from_stopping() -> None:
    stage = Stage()
    specs = (
        stage.spec("a"),
        stage.spec("b", Life(cleanup_error=OSError("secret"))),
        stage.spec("c", Life(heeds=True, run=12, error=OSError("secret"), linger=50)),
    )
    records: list[CrashRecord] = []
    supervisor = Supervisor(SupervisorSpec("top", specs), on_crash=records.append)
    await direct(stage, supervisor, until=10)
    assert stage.names("end") == ["c1", "b1", "a1"]
    assert [(r.child, r.error, r.phase) for r in records] == [
        ("c", "OSError", "stopping"),
        ("b", "OSError", "stopping"),
    ]
    assert list(supervisor.crashes) == records
    assert [s.crashes for s in supervisor.statistics()] == [0, 1, 1]


async def test_a_crash_while_taken_along_is_recorded_and_costs_nothing() -> None:
    stage = Stage()
    specs = (
        stage.spec("a", Life(run=5, error=OSError()), backoff=SURE),
        stage.spec("b", Life(cleanup_error=ValueError()), intensity=RestartIntensity(0, 10)),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, ALL))
    await direct(stage, supervisor, until=50)
    assert [(c.child, c.phase) for c in supervisor.crashes] == [("a", "running"), ("b", "stopping")]
    assert stage.names("begin") == ["a1", "b1", "a2", "b2"]


async def test_two_children_that_crash_at_once_are_both_handled() -> None:
    stage = Stage()
    specs = tuple(stage.spec(n, Life(run=5, error=OSError()), backoff=SURE) for n in "ab")
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=50)
    assert [(s.incarnation, s.crashes) for s in supervisor.statistics()] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("cancel", [False, True])
async def test_until_its_turn_to_stop_comes_a_child_is_restarted_as_ever(
    strategy: Strategy, cancel: bool
) -> None:
    """The later one may still be sending to it what it has left."""
    stage = Stage()
    specs = (
        stage.spec("a", Life(run=15, error=OSError()), Life(run=2, error=OSError()), backoff=SURE),
        stage.spec("b", Life(heeds=True, linger=20), stop_timeout=100),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, strategy))
    await direct(stage, supervisor, until=10, cancel=cancel)
    assert stage.names("begin") == ["a1", "b1", "a2", "a3"]
    assert stage.times("begin", "a") == [0, 16, 20]
    assert [(e.child, e.at, e.how) for e in stage.trace if e.what == "end"] == [
        ("a", 15, "crashed"),
        ("a", 18, "crashed"),
        ("b", 30, "finished"),
        ("a", 30, "cancelled"),
    ]


# -- nested -------------------------------------------------------------------------------------


def nested(stage: Stage, inner: tuple[ChildSpec, ...], **options: Any) -> Supervisor:
    def build(_: int) -> Supervisor:
        return Supervisor(SupervisorSpec("inner", inner))

    return Supervisor(
        SupervisorSpec(
            "outer", (stage.spec("a"), ChildSpec("inner", build, **options), stage.spec("z"))
        )
    )


@pytest.mark.parametrize("cancel", [False, True])
async def test_nested_supervisors_start_and_stop_as_one_order(cancel: bool) -> None:
    stage = Stage()
    inner = tuple(stage.spec(name, Life(start=1, cleanup=1)) for name in "bc")
    await direct(stage, nested(stage, inner, stop_timeout=30), until=10, cancel=cancel)
    assert stage.names("begin") == ["a1", "b1", "c1", "z1"]
    assert stage.names("end") == ["z1", "c1", "b1", "a1"]


async def test_a_nested_supervisor_that_overruns_its_stop_timeout_still_stops_in_order() -> None:
    stage = Stage()
    inner = tuple(
        stage.spec(name, Life(heeds=True, linger=9, cleanup=1), stop_timeout=3) for name in "bc"
    )
    await direct(stage, nested(stage, inner, stop_timeout=2), until=10)
    assert stage.names("end") == ["z1", "c1", "b1", "a1"]


async def test_escalation_restarts_the_nested_supervisor() -> None:
    stage = Stage()
    options: dict[str, Any] = {
        "intensity": RestartIntensity(0, 10),
        "when_exhausted": Exhausted.ESCALATE,
    }
    inner = (stage.spec("b"), stage.spec("c", Life(run=5, error=OSError()), **options))
    lives = {"c": 0}
    real = stage.life

    def life(name: str, incarnation: int) -> Life:
        if name == "c":
            lives["c"] += 1
            return real("c", lives["c"])
        return real(name, incarnation)

    stage.life = life  # type: ignore[method-assign]
    supervisor = nested(stage, inner, backoff=SURE)
    await direct(stage, supervisor, until=50)
    assert stage.names("begin") == ["a1", "b1", "c1", "z1", "b1", "c1"]
    assert stage.times("begin", "c") == [0, 6]
    assert [c.error for c in supervisor.crashes] == ["RestartBudgetExceeded"]
    assert "'c'" in supervisor.crashes[0].message


# -- significant children -----------------------------------------------------------------------

ANY, EVERY = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT


@pytest.mark.parametrize(
    ("auto", "lives", "restart", "ends_at"),
    [
        (ANY, {"a": Life(run=5), "b": Life(run=9)}, TRANSIENT, 5),
        (EVERY, {"a": Life(run=5), "b": Life(run=9)}, TRANSIENT, 9),
        (EVERY, {"a": Life(run=5), "b": Life()}, TRANSIENT, None),
        # A crash of a transient child is no end of it; of a temporary one it is.
        (ANY, {"a": Life(run=5, error=OSError()), "b": Life()}, TRANSIENT, None),
        (ANY, {"a": Life(run=5, error=OSError()), "b": Life()}, TEMPORARY, 5),
        (EVERY, {"a": Life(run=5, error=OSError()), "b": Life(run=7)}, TEMPORARY, 7),
        # One that is left down for good has ended, whichever comes last.
        (ANY, {"a": Life(run=5, error=Unrecoverable("x")), "b": Life()}, TRANSIENT, 5),
        (EVERY, {"a": Life(run=5, error=Unrecoverable("x")), "b": Life(run=7)}, TRANSIENT, 7),
        (EVERY, {"a": Life(run=9, error=Unrecoverable("x")), "b": Life(run=7)}, TRANSIENT, 9),
        (ANY, {"a": Life(), "b": Life(start_error=Unrecoverable("x"))}, TRANSIENT, 0),
    ],
)
async def test_automatic_shutdown(
    auto: AutoShutdown, lives: dict[str, Life], restart: Restart, ends_at: float | None
) -> None:
    stage = Stage()
    specs = (
        *(stage.spec(n, life, restart=restart, significant=True) for n, life in lives.items()),
        stage.spec("z"),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, auto_shutdown=auto))
    await direct(stage, supervisor, until=100)
    ended = [e.at for e in stage.trace if e.what == "end" and e.child == "z"]
    if ends_at == 0:
        assert stage.names("begin") == ["a1", "b1"]
        assert stage.times("end", "a") == [0]
    else:
        assert ended == [100 if ends_at is None else ends_at]


async def test_the_supervisors_own_stopping_of_a_significant_child_ends_nothing() -> None:
    """As in OTP: a sibling's crash took it down, it did not end by itself."""
    stage = Stage()
    specs = (
        stage.spec("a", Life(run=5, error=OSError()), backoff=SURE),
        stage.spec("b", restart=TEMPORARY, significant=True),
        stage.spec("c", restart=TRANSIENT, significant=True),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs, ALL, auto_shutdown=ANY))
    await direct(stage, supervisor, until=100)
    assert stage.names("begin") == ["a1", "b1", "c1", "a2", "c2"]
    assert stage.times("end", "a") == [5, 100]


# -- telling ------------------------------------------------------------------------------------


async def test_crash_records_name_the_place_and_never_quote_a_foreign_message() -> None:
    stage = Stage()
    specs = (
        stage.spec("a", Life(run=1, error=ValueError("face of Ms. Sato")), backoff=SURE),
        stage.spec(
            "b",
            Life(run=2, error=ExceptionGroup("group", [ValueError("face of Ms. Sato")])),
            backoff=SURE,
        ),
        stage.spec(
            "c",
            Life(run=3, error=ExceptionGroup("face", [OSError("x"), KeyError("Ms. Sato")])),
            backoff=SURE,
        ),
        stage.spec("d", Life(run=4, error=Unrecoverable("no key at keys/manager.pub"))),
    )
    supervisor = Supervisor(SupervisorSpec("top", specs))
    await direct(stage, supervisor, until=30)
    a, b, c, d = supervisor.crashes
    assert (a.child, a.incarnation, a.error, a.message) == ("a", 1, "ValueError", "")
    assert (b.error, c.error) == ("ValueError", "ExceptionGroup")
    assert (d.error, d.message) == ("Unrecoverable", "no key at keys/manager.pub")
    assert "stage.py:" in a.where
    assert a.where.endswith(" serve")
    for record in supervisor.crashes:
        assert "Sato" not in repr(record)
        assert "face" not in repr(record)


async def test_the_crash_log_is_bounded() -> None:
    stage = Stage()
    spec = stage.spec(
        "a",
        *crashing(200, 1),
        backoff=Backoff(first=0, jitter=0),
        intensity=RestartIntensity(500, 1000),
    )
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    await direct(stage, supervisor, until=500)
    assert supervisor.statistics()[0].crashes == 200
    assert len(supervisor.crashes) == 64
    assert supervisor.crashes[-1].incarnation == 200


async def test_statistics_through_a_life() -> None:
    stage = Stage()
    spec = stage.spec(
        "a", Life(start=2, run=2, error=OSError(), cleanup=2), backoff=Backoff(first=2, jitter=0)
    )
    supervisor = Supervisor(SupervisorSpec("top", (spec,)))
    assert supervisor.statistics()[0].state == "not started"
    seen: list[tuple[str, int, int, int]] = []

    def look() -> None:
        (s,) = supervisor.statistics()
        seen.append((s.state, s.incarnation, s.restarts, s.crashes))

    await direct(stage, supervisor, at=[(t, look) for t in (1, 3, 7, 9)], until=10)
    assert seen == [
        ("starting", 1, 0, 0),
        ("running", 1, 0, 0),
        ("waiting to restart", 1, 0, 1),
        ("running", 2, 1, 1),
    ]


def test_the_stage_itself_notices_two_live_incarnations() -> None:
    """The assertion that the other tests lean on can fail."""

    async def run() -> None:
        stage = Stage()
        stage.lives["a"], stage.usual["a"] = [], Life(run=FOREVER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Player(stage, "a", 1).serve, lambda: None)
            nursery.start_soon(Player(stage, "a", 2).serve, lambda: None)

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(run)
    assert isinstance(caught.value.exceptions[0], AssertionError)


def test_events_are_data() -> None:
    assert Event(0, "begin", "a", 1) == Event(0, "begin", "a", 1)
