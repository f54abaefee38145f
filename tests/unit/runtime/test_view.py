"""The terminal view: everything on it, at any width, without a thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console, RenderableType

from runtime.channel import ChannelStatistics
from runtime.graph.measure import cells
from runtime.histogram import HistogramStatistics
from runtime.status import ActorStatus, DomainStatus, FolderStatus, LedgerStatus, PoleStatus
from runtime.supervisor import CrashRecord
from runtime.view import LiveView, _readings, render_status, render_summary

CRASH = CrashRecord(
    child="recorder",
    incarnation=1,
    unix_time=1_800_000_000.0,
    error="DiskFull",
    message="the disk below security/ is full. Free space; recording goes on by itself.",
    where="actors/recorder/segment.py:120 write",
    phase="running",
)


def a_queue(**changes: object) -> ChannelStatistics:
    queue = ChannelStatistics(
        name="crowd.packets",
        message="EncodedPacket",
        overflow="drop-oldest",
        capacity=128,
        waiting=3,
        in_hand=1,
        high_water=17,
        accepted=100,
        acknowledged=84,
        dropped=12,
        replaced=0,
        redelivered=0,
        poisoned=0,
    )
    return msgspec.structs.replace(queue, **changes)


def an_actor(name: str, domain: str, **changes: object) -> ActorStatus:
    actor = ActorStatus(
        name=name,
        type_name=name,
        domain=domain,
        headline="",
        state="running",
        incarnation=1,
        restarts=0,
        crashes=0,
        last_crash=None,
        inlets=(),
        readings={},
        idle=(),
    )
    return msgspec.structs.replace(actor, **changes)


def a_pole(*actors: ActorStatus, uptime: float = 65) -> PoleStatus:
    return PoleStatus(
        name="east-exit-01",
        process=4242,
        unix_time=1_800_000_065.0,
        uptime=uptime,
        isolation="one process; what crosses between domains is checked",
        blueprint="ab12cd34" * 8,
        actors=actors
        or (
            an_actor("camera", "capture", headline="[::1]:554 [bold]street", readings={"n": 12345}),
            an_actor("crowd", "crowd", inlets=(a_queue(),), readings={"people_now": 4}),
            an_actor("recorder", "security", readings={"segments_written": 2}),
        ),
        folders=(
            FolderStatus(
                scope="security",
                holders=("recorder: RecordingStore (append segments)",),
                files=4,
                size=12_345_678,
            ),
        ),
        without_storage=("camera", "crowd"),
    )


def a_domain(name: str, **changes: object) -> DomainStatus:
    domain = DomainStatus(
        name=name,
        state="running",
        incarnation=1,
        restarts=0,
        process=4242,
        thread=4250,
        landlock_abi=7,
        seccomp=True,
        missing=(),
        attempts=0,
        reports_dropped=0,
    )
    return msgspec.structs.replace(domain, **changes)


def a_housed_pole(*domains: DomainStatus) -> PoleStatus:
    return msgspec.structs.replace(a_pole(), domains=domains)


NO_PORTS = "no Landlock rules for TCP ports (Linux 6.7): any port can be used"
APART = a_housed_pole(
    a_domain("capture", thread=4251),
    a_domain("crowd", thread=4252, restarts=2, attempts=1234, reports_dropped=3_210),
    a_domain("security", thread=4253),
)
PROCESSES = a_housed_pole(
    a_domain("capture", process=4300, thread=None),
    a_domain("crowd", process=0, thread=None, landlock_abi=0, seccomp=False, state="starting"),
)
LACKING = a_housed_pole(
    a_domain("capture", landlock_abi=3, missing=(NO_PORTS,)),
    a_domain("crowd", landlock_abi=3),
    a_domain("public", landlock_abi=3, missing=(NO_PORTS,)),
)

FAILED = a_pole(
    an_actor(
        "recorder",
        "security",
        state="resting after too many crashes",
        incarnation=3,
        restarts=2,
        crashes=3,
        last_crash=CRASH,
        inlets=(a_queue(waiting=128, poisoned=2),),
        readings={"segments_written": 0},
        idle=("segments_written",),
    ),
)


def printed(renderable: RenderableType, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_status_shows_lives_queues_and_readings() -> None:
    text = printed(render_status(a_pole()))
    assert "east-exit-01 · up 1 min 05 s · process 4242 · blueprint ab12cd34ab12" in text
    assert "one process; what crosses between domains is checked" in text
    assert "crowd · crowd" in text
    assert "● running" in text
    assert "3/128 ↑17 ✗12" in text
    assert "people now 4" in text
    assert "n 12,345" in text


def test_what_an_actor_says_is_never_taken_for_markup() -> None:
    assert "[::1]:554 [bold]street" in printed(render_status(a_pole()))


def test_status_shows_the_last_crashes() -> None:
    text = printed(render_status(FAILED))
    assert "✗ resting" in text
    assert "recorder #1 DiskFull while running, actors/recorder/segment.py:120 write" in text
    assert "the disk below security/ is full." in text
    assert "128/128 ↑17 ✗14" in text


def test_what_latest_replaces_is_no_loss() -> None:
    queue = a_queue(overflow="latest", capacity=1, waiting=1, dropped=0, replaced=40)
    text = printed(render_status(a_pole(an_actor("crowd", "crowd", inlets=(queue,)))))
    assert "1/1 ↑17 " in text
    assert "✗" not in text.split("restarts")[0]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("status", [a_pole(), FAILED, APART, PROCESSES, LACKING])
@pytest.mark.parametrize("compact", [False, True])
def test_everything_keeps_to_the_width(width: int, status: PoleStatus, compact: bool) -> None:
    text = printed(render_status(status, compact=compact), width)
    text += printed(render_status(status, compact=compact, brief=True), width)
    text += printed(render_summary(status), width)
    assert max(cells(line.rstrip()) for line in text.splitlines()) <= width


def test_summary_says_what_was_stored_and_what_was_not() -> None:
    text = printed(render_summary(a_pole()))
    assert "security/" in text
    assert "12.3 MB" in text
    assert "recorder: RecordingStore (append segments)" in text
    assert "camera  stored nothing: holds no storage capability" in text
    assert "✓ Every actor worked." in text


def test_summary_says_why_not_every_actor_worked() -> None:
    text = printed(render_summary(FAILED))
    assert "recorder 3 times, restarted 2 ×" in text
    assert "✗ Not every actor worked:" in text
    assert "recorder crashed\n" in text
    assert "recorder is resting after too many crashes" in text
    assert "recorder did none of its work: segments written is still 0" in text


def test_summary_of_a_pole_that_stores_nothing() -> None:
    status = msgspec.structs.replace(a_pole(), folders=(), without_storage=())
    assert "No actor holds a storage capability." in printed(render_summary(status))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (65, "1 min 05 s"), (7380, "2 h 03 min"), (90_000, "1 d 1 h")],
)
def test_uptime_in_words(seconds: float, words: str) -> None:
    assert f"up {words} ·" in printed(render_status(a_pole(uptime=seconds)))


def test_without_a_terminal_there_is_one_plain_line_each_five_seconds() -> None:
    output = io.StringIO()
    with LiveView(Console(file=output, width=40)) as view:
        for uptime in (0.0, 2.5, 4.9, 5.0, 7.0, 12.0, 1.0):
            view.update(a_pole(uptime=uptime))
    lines = output.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["0 s", "5 s", "12 s", "1 s"]
    assert "crowd people now 4" in lines[0]
    assert "\x1b" not in output.getvalue()


def test_the_live_view_starts_no_thread_and_redraws_in_place() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, height=40, force_terminal=True)
    before = threading.active_count()
    with LiveView(console) as view:
        view.update(a_pole())
        assert threading.active_count() == before
        view.update(a_pole(uptime=66))
    assert "up 1 min 06 s" in output.getvalue()
    assert "\x1b[1A" in output.getvalue()


def test_a_low_terminal_gets_one_line_for_each_actor() -> None:
    output = io.StringIO()
    actors = [
        an_actor(f"crowd-{n}", "crowd", headline="HEADLINE", readings={"a": 1, "b": 2})
        for n in range(8)
    ]
    with LiveView(Console(file=output, width=100, height=20, force_terminal=True)) as view:
        view.update(a_pole(*actors))
    assert "HEADLINE" not in output.getvalue()
    assert "crowd-7" in output.getvalue()


def test_durations_are_shown_in_milliseconds_once_there_are_some() -> None:
    actor = an_actor(
        "crowd",
        "crowd",
        histograms={
            "captured_to_erased": HistogramStatistics(13, 153_200, 187_000, 201_400),
            "never": HistogramStatistics(0, 0, 0, 0),
            "hop": HistogramStatistics(2, 100, 4_440, 4_440),
        },
    )
    text = _readings(actor).plain
    assert "captured to erased 153 ms p99 187 max 201" in text
    assert "hop 0.1 ms p99 4.44 max 4.44" in text
    assert "never" not in text


def with_ledger(**changes: object) -> PoleStatus:
    ledger = LedgerStatus(size=12345, waiting=0, dropped=0, trouble="")
    return msgspec.structs.replace(a_pole(), ledger=msgspec.structs.replace(ledger, **changes))


def test_a_pole_that_keeps_a_ledger_says_how_it_is() -> None:
    for render in (render_status, render_summary):
        assert "ledger: 12,345 entries, signed" in printed(render(with_ledger()))
        assert "ledger" not in printed(render(a_pole()))


@pytest.mark.parametrize("brief", [False, True])
def test_a_ledger_that_cannot_be_written_is_never_left_out(brief: bool) -> None:
    trouble = with_ledger(waiting=7, dropped=2, trouble="no space is left.")
    text = printed(render_status(trouble, compact=brief, brief=brief))
    assert "✗ 7 entries wait to be written: no space is left." in text
    assert "✗ 2 entries of the pole are lost" in text


def row(text: str, name: str) -> str:
    """The line that tells of a domain, one space between its words."""
    line = next(line for line in text.splitlines() if f"● {name} " in line)
    return " ".join(line.strip("│ ").split())


@pytest.mark.parametrize("render", [render_status, render_summary])
def test_each_domain_has_its_home_its_walls_and_its_story(
    render: Callable[[PoleStatus], RenderableType],
) -> None:
    text = printed(render(APART))
    assert row(text, "capture") == "● capture thread 4251 Landlock 7 + seccomp 0 0 0"
    assert row(text, "crowd") == "● crowd thread 4252 Landlock 7 + seccomp 2 1,234 3,210"
    assert "MISSING" not in text
    text = printed(render(PROCESSES))
    assert row(text, "capture").startswith("● capture process 4300 ")
    assert "◐ crowd    nowhere yet   none yet" in text


def test_in_brief_only_domains_with_a_story_have_a_line() -> None:
    text = printed(render_status(APART, brief=True))
    assert "3 domains, each in its own thread · Landlock 7 + seccomp" in text
    assert (
        "● crowd · thread 4252 · restarted 2 × · attempts seen: 1,234 · reports unheard: 3,210"
        in text
    )
    assert "4251" not in text
    assert "2 domains, each in its own process" in printed(render_status(PROCESSES, brief=True))
    none_yet = a_housed_pole(a_domain("crowd", process=0, landlock_abi=0, seccomp=False))
    assert "1 domains, starting · none yet" in printed(render_status(none_yet, brief=True))


@pytest.mark.parametrize(
    "text",
    [
        printed(render_status(LACKING)),
        printed(render_status(LACKING, brief=True)),
        printed(render_status(LACKING, compact=True, brief=True)),
        printed(render_summary(LACKING)),
    ],
)
def test_a_missing_wall_is_said_loudly_everywhere(text: str) -> None:
    assert "✗ WALLS ARE MISSING" in text
    assert f"round capture, public: {NO_PORTS}" in text
    assert "✗ 1 wall missing · Landlock 3 · seccomp" in text


def test_a_missing_wall_is_never_green() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    bare = a_housed_pole(a_domain("crowd", missing=(NO_PORTS,)))
    console.print(render_status(bare))
    assert isinstance(console.file, io.StringIO)
    line = next(one for one in console.file.getvalue().splitlines() if "wall missing" in one)
    assert "\x1b[1;31m✗ 1 wall missing" in line


def test_plain_lines_tell_of_missing_walls_and_attempts() -> None:
    output = io.StringIO()
    with LiveView(Console(file=output, width=40)) as view:
        view.update(LACKING)
        view.update(msgspec.structs.replace(APART, uptime=80))
    first, second = output.getvalue().splitlines()
    assert first.startswith(f"1 min 05 s: WALL MISSING round capture, public: {NO_PORTS} · ")
    assert second.startswith(
        "1 min 20 s: domain crowd (restarts: 2) (attempts seen: 1234) (reports unheard: 3210) · "
    )


@pytest.mark.parametrize(
    ("height", "shown", "left_out"),
    [(40, "thread 4251", "3 domains"), (18, "HEADLINE", "4251"), (15, "3 domains", "HEADLINE")],
)
def test_the_lower_the_terminal_the_briefer_the_view(
    height: int, shown: str, left_out: str
) -> None:
    output = io.StringIO()
    actors = tuple(an_actor(f"crowd-{n}", "crowd", headline="HEADLINE") for n in range(4))
    with LiveView(Console(file=output, width=100, height=height, force_terminal=True)) as view:
        view.update(msgspec.structs.replace(APART, actors=actors))
    assert shown in output.getvalue()
    assert left_out not in output.getvalue()
