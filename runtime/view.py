"""A running pole as people see it in a terminal: live, asked for once, and summed up at the end."""

from __future__ import annotations

__all__ = ["LiveView", "render_status", "render_summary"]

import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from runtime.channel import ChannelStatistics
from runtime.status import ActorStatus, DomainStatus, FolderStatus, PoleStatus
from runtime.supervisor import CrashRecord

_PLAIN_EVERY = 5.0
"""Seconds between two lines where nobody watches a terminal: a log should stay readable."""

_STATES = {
    "running": ("●", "green"),
    "starting": ("◐", "yellow"),
    "stopping": ("◐", "yellow"),
    "waiting to restart": ("◐", "yellow"),
    "resting after too many crashes": ("✗", "bold red"),
    "down": ("✗", "bold red"),
    "finished": ("○", "dim"),
    "stopped": ("○", "dim"),
    "not started": ("○", "dim"),
}
_SHORT_STATES = {"waiting to restart": "waiting", "resting after too many crashes": "resting"}


class LiveView:
    """Shows a pole while it runs, refreshed by whoever calls ``update``; it starts no thread.

        with LiveView() as view:
            view.update(status)

    Where the output is no terminal, it prints one plain line each five seconds instead.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._last_line_at: float | None = None

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            # auto_refresh would start a thread, which a domain under a sandbox may not.
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, status: PoleStatus) -> None:
        """Show this status now."""
        if self._live is not None:
            for brief, compact in ((False, False), (True, False), (True, True)):
                view = render_status(status, compact=compact, brief=brief)
                # What is taller than the terminal can't be redrawn in place.
                if len(self._console.render_lines(view)) < self._console.height:
                    break
            self._live.update(view, refresh=True)
        elif self._last_line_at is None or not (
            0 <= status.uptime - self._last_line_at < _PLAIN_EVERY
        ):
            self._last_line_at = status.uptime
            self._console.print(Text(_plain_line(status)), soft_wrap=True)


def render_status(status: PoleStatus, *, compact: bool = False, brief: bool = False) -> Group:
    """A pole at one moment: its domains and their walls, every actor's life, queues and readings,
    and the last crashes.

    ``compact`` gives each actor one line; ``brief`` gives the domains one line for what they have
    in common, and one to each that has something of its own to tell.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        header_style="dim",
        border_style="dim",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("actor", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("↻", justify="right", no_wrap=True)
    table.add_column("queue", no_wrap=True)
    table.add_column(
        "readings", overflow="ellipsis", no_wrap=compact, ratio=1 if compact else 2, min_width=24
    )
    separator = "  " if compact else "\n"
    for actor in status.actors:
        table.add_row(
            _name(actor, headline=not compact),
            _state(actor),
            Text(str(actor.restarts), style="yellow" if actor.restarts else "dim"),
            Text(separator).join(_queue(inlet) for inlet in actor.inlets),
            _readings(actor),
        )
    panel = Panel(
        Group(*_separation(status, brief=brief), *_ledger(status, brief=brief), table),
        title=_title(status),
        title_align="left",
        subtitle=Text("↻ restarts   queue: waiting/size, ↑ at most, ✗ lost", style="dim"),
        subtitle_align="right",
        border_style="dim",
    )
    crashes = [actor.last_crash for actor in status.actors if actor.last_crash is not None]
    latest = sorted(crashes, key=lambda crash: crash.unix_time)[-1 if compact else -3 :]
    return Group(panel, *(_crash(crash) for crash in latest))


def render_summary(status: PoleStatus) -> Group:
    """At the end: who did what, what was stored where and what was not, what crashed, and whether
    all worked."""
    done = Table.grid(padding=(0, 2), expand=True)
    done.add_column(no_wrap=True)
    done.add_column(ratio=2)
    done.add_column(ratio=3)
    for actor in status.actors:
        done.add_row(Text(actor.name, style="cyan"), Text(actor.headline), _readings(actor))
    folders = Table(
        box=box.ROUNDED,
        title=Text("What was stored", style="bold"),
        title_justify="left",
        border_style="dim",
        header_style="dim",
        expand=True,
    )
    folders.add_column("folder", no_wrap=True)
    folders.add_column("files", justify="right", no_wrap=True)
    folders.add_column("size", justify="right", no_wrap=True)
    folders.add_column("who may do what there", ratio=1, overflow="fold")
    for folder in status.folders:
        _add_folder(folders, folder)
    parts: list[Table | Text | Padding] = [Text("How it was kept apart", style="bold")]
    kept = (*_separation(status, brief=False), *_ledger(status, brief=False))
    parts += [Padding(part, (0, 0, 0, 2)) for part in kept]
    parts += [Text(), Text("Who did what", style="bold"), Padding(done, (0, 0, 1, 2)), folders]
    if not status.folders:
        parts[-1] = Text("What was stored: nothing. No actor holds a storage capability.")
    if status.without_storage:
        parts.append(Text("What was not stored", style="bold"))
        grid = Table.grid(padding=(0, 2))
        for name in status.without_storage:
            why = Text("stored nothing: holds no storage capability", style="dim")
            grid.add_row(Text(name, style="cyan"), why)
        parts.append(Padding(grid, (0, 0, 0, 2)))
    crashed = [actor for actor in status.actors if actor.crashes]
    if crashed:
        parts.append(Text("What crashed", style="bold"))
        for actor in crashed:
            times = "once" if actor.crashes == 1 else f"{actor.crashes} times"
            lives = f"  {actor.name} {times}, restarted {actor.restarts} ×; the last time:"
            parts.append(Text(lives))
            if actor.last_crash is not None:
                parts.append(Padding(_crash(actor.last_crash), (0, 0, 0, 2)))
    return Group(*parts, Text(), _verdict(status))


# -- domains and their walls ---------------------------------------------------------------------


def _separation(status: PoleStatus, *, brief: bool) -> Iterator[Text | Table]:
    """How the domains are kept apart. What is missing is never left out."""
    lacking = _missing_walls(status)
    if lacking:
        yield Text("✗ WALLS ARE MISSING", style="bold red")
        for wall, names in lacking.items():
            yield Text(f"  round {', '.join(names)}: {wall}", style="red")
    if brief and status.domains:
        yield from _brief_domains(status)
        return
    if not lacking:
        yield Text(status.isolation, style="dim")
    if status.domains:
        yield _domain_table(status)


def _ledger(status: PoleStatus, *, brief: bool) -> Iterator[Text]:
    """How the ledger is, where the pole keeps one. Trouble is never left out."""
    if (ledger := status.ledger) is None:
        return
    if not brief:
        yield Text(f"ledger: {ledger.size:,} entries, signed", style="dim")
    if ledger.trouble:
        yield Text(f"✗ {ledger.waiting:,} entries wait to be written: {ledger.trouble}", "bold red")
    if ledger.dropped:
        yield Text(f"✗ {ledger.dropped:,} entries of the pole are lost", style="bold red")


def _missing_walls(status: PoleStatus) -> dict[str, list[str]]:
    """Each wall that does not stand, and round which domains."""
    walls: dict[str, list[str]] = {}
    for domain in status.domains:
        for wall in domain.missing:
            walls.setdefault(wall, []).append(domain.name)
    return walls


def _domain_table(status: PoleStatus) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        border_style="dim",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("domain", no_wrap=True)
    table.add_column("lives in", no_wrap=True)
    table.add_column("walls", no_wrap=True, overflow="ellipsis")
    table.add_column("↻", justify="right", no_wrap=True)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("unheard", justify="right", no_wrap=True)
    for domain in status.domains:
        mark, style = _STATES.get(domain.state, ("?", "magenta"))
        table.add_row(
            Text.assemble((f"{mark} ", style), (domain.name, "cyan")),
            Text(_home(domain)),
            _walls(domain),
            Text(str(domain.restarts), style="yellow" if domain.restarts else "dim"),
            Text(f"{domain.attempts:,}", style="bold red" if domain.attempts else "dim"),
            Text(
                f"{domain.reports_dropped:,}", style="yellow" if domain.reports_dropped else "dim"
            ),
        )
    return table


def _brief_domains(status: PoleStatus) -> Iterator[Text]:
    """What most domains have in common, once; then those that differ, or have a story."""
    (usual, _), *_ = Counter(_walls(domain).plain for domain in status.domains).most_common(1)
    homes = {domain.thread is None for domain in status.domains if domain.process}
    where = {True: "each in its own process", False: "each in its own thread"}
    apart = where[homes.pop()] if len(homes) == 1 else "starting"
    alike = [domain for domain in status.domains if _walls(domain).plain == usual]
    line = Text(f"{len(status.domains)} domains, {apart} · ", style="dim")
    if len(alike) < len(status.domains):
        line.append(f"{len(alike)} of them ", style="dim")
    yield line.append(_walls(alike[0]))
    for domain in status.domains:
        runs = domain.state in ("running", "finished", "stopped")
        if runs and domain in alike and not _has_story(domain):
            continue
        mark, style = _STATES.get(domain.state, ("?", "magenta"))
        line = Text.assemble((f"{mark} ", style), (domain.name, "cyan"), (f" · {_home(domain)}"))
        if domain not in alike:
            line.append(" · ").append(_walls(domain))
        if domain.restarts:
            line.append(f" · restarted {domain.restarts} ×", style="yellow")
        if domain.attempts:
            line.append(f" · attempts seen: {domain.attempts:,}", style="bold red")
        if domain.reports_dropped:
            line.append(f" · reports unheard: {domain.reports_dropped:,}", style="yellow")
        yield line


def _has_story(domain: DomainStatus) -> bool:
    return bool(domain.restarts or domain.attempts or domain.reports_dropped)


def _home(domain: DomainStatus) -> str:
    if not domain.process:
        return "nowhere yet"
    return f"process {domain.process}" if domain.thread is None else f"thread {domain.thread}"


def _walls(domain: DomainStatus) -> Text:
    """What stands round it, green only where nothing is missing."""
    standing = [f"Landlock {domain.landlock_abi}"] if domain.landlock_abi else []
    standing += ["seccomp"] if domain.seccomp else []
    if not domain.missing:
        return Text(" + ".join(standing) or "none yet", style="green" if standing else "yellow")
    absent = len(domain.missing)
    words = f"✗ {absent} wall{'s' if absent > 1 else ''} missing"
    return Text(" · ".join([words, *standing]), style="bold red")


# -- actors --------------------------------------------------------------------------------------


def _add_folder(table: Table, folder: FolderStatus) -> None:
    table.add_row(
        Text(f"{folder.scope}/", style="bold cyan"),
        str(folder.files),
        _size(folder.size),
        Text("\n".join(folder.holders)),
    )


def _verdict(status: PoleStatus) -> Text:
    if status.working:
        return Text("✓ Every actor worked.", style="bold green")
    verdict = Text("✗ Not every actor worked:", style="bold red")
    for actor in status.actors:
        if actor.crashes:
            verdict.append(f"\n  {actor.name} crashed", style="not bold")
        if actor.state not in ("running", "stopped"):
            verdict.append(f"\n  {actor.name} is {actor.state}", style="not bold")
        for name in actor.idle:
            verdict.append(
                f"\n  {actor.name} did none of its work: {_words(name)} is still 0",
                style="not bold",
            )
    return verdict


def _title(status: PoleStatus) -> Text:
    return Text.assemble(
        (status.name, "bold"),
        f" · up {_span(status.uptime)}",
        (f" · process {status.process} · blueprint {status.blueprint[:12]}", "dim"),
    )


def _name(actor: ActorStatus, *, headline: bool) -> Text:
    name = Text.assemble((actor.name, "bold"), (" · ", "dim"), (actor.domain, "cyan"))
    if headline and actor.headline:
        name.append(f"\n{actor.headline}", style="dim")
    return name


def _state(actor: ActorStatus) -> Text:
    mark, style = _STATES.get(actor.state, ("?", "magenta"))
    return Text(f"{mark} {_SHORT_STATES.get(actor.state, actor.state)}", style=style)


def _queue(inlet: ChannelStatistics) -> Text:
    full = inlet.waiting >= inlet.capacity > 1
    text = Text(f"{inlet.waiting}/{inlet.capacity}", style="yellow" if full else "")
    text.append(f" ↑{inlet.high_water}", style="dim")
    # What "latest" replaces is meant to be replaced; it is no loss.
    lost = inlet.dropped + inlet.poisoned
    if lost:
        text.append(f" ✗{lost}", style="bold red" if inlet.poisoned else "yellow")
    return text


def _shown(actor: ActorStatus) -> dict[str, int]:
    """Readings that say something: what is above zero, and what should be by the end."""
    return {name: value for name, value in actor.readings.items() if value or name in actor.idle}


def _readings(actor: ActorStatus) -> Text:
    """``people_now`` reads "people now 4"; what a vital one has not done yet is dim."""
    numbers = [
        Text.assemble(
            (f"{_words(name)} ", "dim"),
            (f"{value:,}", "dim" if name in actor.idle else "bold"),
        )
        for name, value in _shown(actor).items()
    ]
    durations = [
        Text.assemble(
            (f"{_words(name)} ", "dim"),
            (f"{_milliseconds(found.p50)} ms", "bold"),
            (f" p99 {_milliseconds(found.p99)} max {_milliseconds(found.maximum)}", "dim"),
        )
        for name, found in actor.histograms.items()
        if found.count
    ]
    return Text("   ").join([*numbers, *durations])


def _milliseconds(microseconds: int) -> str:
    """Three digits of it, as people read it."""
    value = microseconds / 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _crash(crash: CrashRecord) -> Text:
    moment = time.strftime("%H:%M:%S", time.localtime(crash.unix_time))
    text = Text.assemble(
        (f"✗ {moment} ", "red"),
        (f"{crash.child} #{crash.incarnation}", "bold red"),
        (f" {crash.error}", "red"),
        (f" while {crash.phase}" + (f", {crash.where}" if crash.where else ""), "dim"),
    )
    if crash.message:
        text.append(f"\n  {crash.message}")
    return text


def _plain_line(status: PoleStatus) -> str:
    parts = [
        f"WALL MISSING round {', '.join(names)}: {wall}"
        for wall, names in _missing_walls(status).items()
    ]
    for domain in status.domains:
        if _has_story(domain):
            words = [f"domain {domain.name}"]
            words += [f"(restarts: {domain.restarts})"] if domain.restarts else []
            words += [f"(attempts seen: {domain.attempts})"] if domain.attempts else []
            unheard = domain.reports_dropped
            words += [f"(reports unheard: {unheard})"] if unheard else []
            parts.append(" ".join(words))
    for actor in status.actors:
        words = [actor.name]
        if actor.state != "running":
            words.append(f"({actor.state})")
        if actor.crashes:
            words.append(f"(crashes: {actor.crashes})")
        readings = ", ".join(f"{_words(name)} {value}" for name, value in _shown(actor).items())
        parts.append(" ".join([*words, readings]))
    return f"{_span(status.uptime)}: {' · '.join(parts)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
