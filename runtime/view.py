"""A running pole as people see it in a terminal: live, asked for once, and summed up at the end."""

from __future__ import annotations

__all__ = ["LiveView", "render_status", "render_summary"]

import time
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runtime.channel import ChannelStatistics
from runtime.status import ActorStatus, FolderStatus, PoleStatus
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
            # Two lines an actor where they fit: a view taller than the terminal cannot be redrawn.
            roomy = self._console.height >= 2 * len(status.actors) + 9
            self._live.update(render_status(status, headlines=roomy), refresh=True)
        elif self._last_line_at is None or not (
            0 <= status.uptime - self._last_line_at < _PLAIN_EVERY
        ):
            self._last_line_at = status.uptime
            self._console.print(_plain_line(status), soft_wrap=True, highlight=False)


def render_status(status: PoleStatus, *, headlines: bool = True) -> Group:
    """A pole at one moment: every actor's life, queues and readings, and the last crashes."""
    table = Table(
        box=box.ROUNDED,
        expand=True,
        title=_title(status),
        title_justify="left",
        title_style="",
        caption=Text("queue: waiting/size, ↑ most that ever waited, ✗ lost", style="dim"),
        caption_justify="right",
        caption_style="",
        border_style="dim",
        header_style="dim",
        padding=(0, 1),
    )
    table.add_column("domain", no_wrap=True)
    table.add_column("actor", ratio=4, overflow="ellipsis", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("restarts", justify="right", no_wrap=True)
    table.add_column("queue", no_wrap=True)
    table.add_column("readings", ratio=5, overflow="fold")
    previous = None
    for actor in status.actors:
        if previous not in (None, actor.domain):
            table.add_section()
        table.add_row(
            Text("" if previous == actor.domain else actor.domain, style="bold cyan"),
            _name(actor, headline=headlines),
            _state(actor),
            Text(str(actor.restarts), style="yellow" if actor.restarts else "dim"),
            _queues(actor),
            _readings(actor),
        )
        previous = actor.domain
    crashes = [actor.last_crash for actor in status.actors if actor.last_crash is not None]
    latest = sorted(crashes, key=lambda crash: crash.unix_time)[-3:]
    return Group(table, *(_crash(crash) for crash in latest))


def render_summary(status: PoleStatus) -> Group:
    """At the end: what was stored where and what was not, what crashed, and whether all worked."""
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
    parts: list[Table | Text | Padding] = [folders]
    if not status.folders:
        parts = [Text("What was stored: nothing. No actor holds a storage capability.")]
    if status.without_storage:
        parts.append(Text("What was not stored", style="bold"))
        names = Text("stored nothing: holds no storage capability", style="dim")
        for name in status.without_storage:
            parts.append(Text.assemble("  ", (name, "cyan"), "  ", names))
    crashed = [actor for actor in status.actors if actor.crashes]
    if crashed:
        parts.append(Text("What crashed", style="bold"))
        for actor in crashed:
            times = "once" if actor.crashes == 1 else f"{actor.crashes} times"
            parts.append(
                Text(f"  {actor.name} {times}, restarted {actor.restarts} ×", style="yellow")
            )
            if actor.last_crash is not None:
                parts.append(Padding(_crash(actor.last_crash), (0, 0, 0, 2)))
    return Group(*parts, Text(), _verdict(status))


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
    reasons = []
    for actor in status.actors:
        if actor.crashes:
            reasons.append(f"{actor.name} crashed")
        if actor.state != "running":
            reasons.append(f"{actor.name} is {actor.state}")
        if actor.idle:
            words = ", ".join(_words(name) for name in actor.idle)
            reasons.append(f"{actor.name} did none of its work ({words}: 0)")
    return Text(f"✗ Not every actor worked: {'; '.join(reasons)}.", style="bold red")


def _title(status: PoleStatus) -> Text:
    return Text.assemble(
        (status.name, "bold"),
        (f"  up {_span(status.uptime)}", ""),
        (f"  process {status.process}  blueprint {status.blueprint[:12]}\n", "dim"),
        (status.isolation, "dim"),
    )


def _name(actor: ActorStatus, *, headline: bool) -> Text:
    name = Text(actor.name, style="bold")
    if headline and actor.headline:
        name.append(f"\n{actor.headline}", style="not bold dim")
    return name


def _state(actor: ActorStatus) -> Text:
    mark, style = _STATES.get(actor.state, ("?", "magenta"))
    return Text(f"{mark} {_SHORT_STATES.get(actor.state, actor.state)}", style=style)


def _queues(actor: ActorStatus) -> Text:
    lines = [_queue(inlet) for inlet in actor.inlets]
    return Text("\n").join(lines) if lines else Text("–", style="dim")


def _queue(inlet: ChannelStatistics) -> Text:
    full = inlet.waiting >= inlet.capacity > 1
    text = Text(f"{inlet.waiting}/{inlet.capacity}", style="yellow" if full else "")
    text.append(f" ↑{inlet.high_water}", style="dim")
    # What "latest" replaces is meant to be replaced; it is no loss.
    lost = inlet.dropped + inlet.poisoned
    if lost:
        text.append(f" ✗{lost}", style="bold red" if inlet.poisoned else "yellow")
    return text


def _readings(actor: ActorStatus) -> Text:
    parts = []
    for name, value in actor.readings.items():
        waited_for = name in actor.idle
        part = Text(f"{_words(name)} ", style="dim")
        part.append(f"{value:,}".replace(",", " "), style="not dim " + ("dim" if waited_for else "bold"))
        parts.append(part)
    return Text("\n").join(parts) if parts else Text("–", style="dim")


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
    parts = []
    for actor in status.actors:
        words = [actor.name]
        if actor.state != "running":
            words.append(f"({actor.state})")
        if actor.crashes:
            words.append(f"(crashes: {actor.crashes})")
        words += [f"{_words(name)} {value}" for name, value in actor.readings.items()]
        parts.append(" ".join(words))
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
