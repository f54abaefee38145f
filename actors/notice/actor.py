"""The notice: pages for people who pass by, generated from what runs (guideline 9.1(1))."""

from __future__ import annotations

__all__ = ["Notice"]

import functools
import time
from hashlib import sha256

import hypercorn.trio
import trio

from actors.ledger.receipts import NoticePublished
from actors.notice.application import FigurePages, create_application
from actors.notice.content import describe
from actors.notice.figures import Figures, gather, week_begins
from actors.notice.port import NoticePort, NoticeSettings
from actors.notice.rendering import render, render_figures
from actors.notice.server import server_configuration
from actors.notice.wording import load_wording
from actors.statistics.errors import StoreFailed
from actors.statistics.reading import StatisticsView
from runtime import (
    Actor,
    BlueprintView,
    Domain,
    Needs,
    Outlet,
    Reading,
    SmartpoleError,
    reading,
)


class Notice(Actor, domain=Domain.PUBLIC):
    """Serves the notice, and the figures that the pole has released, until the pole stops.

    The notice is made once, when the actor starts: what it describes cannot change while it runs.
    Where its words would not be true of this pole, it does not start (``NoticeOutOfDate``). The
    page of figures is made anew each ``figures_every``, from released slices only; while these
    can't be read, it stays as it was.

    Each notice that comes into force is reported for the ledger, where ``published`` leads there.
    """

    port: Needs[NoticePort]
    pole: Needs[BlueprintView]
    statistics: Needs[StatisticsView]
    published: Outlet[NoticePublished] | None
    settings: NoticeSettings
    pages_served: Reading
    notice_ready: Reading = reading(vital=True)

    async def start(self) -> None:
        wording = load_wording()
        self._words = wording.figures
        self._content = describe(
            self.pole.blueprint, self.pole.separation, wording, now=self._wall()
        )
        self._has_figures = any(system.key == "statistics" for system in self._content.systems)
        self._is_failing = False
        unavailable = Figures(generated=self._content.generated, is_available=False)
        self._figures = render_figures(unavailable, self._content)
        if self._has_figures:
            await self._make_figures()
        pages = render(self._content)
        self._receipt = NoticePublished(
            digest=sha256(pages.json).hexdigest(), configuration=self._content.blueprint
        )
        self._application = create_application(
            pages,
            (lambda: self._figures) if self._has_figures else None,
            page_served=self.pages_served.add,
        )

    async def run(self) -> None:
        ready, stop = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, ready, stop)
            nursery.start_soon(self._report, ready)
            if self._has_figures:
                nursery.start_soon(self._refresh)
            try:
                await ready.wait()
                self.notice_ready.set(1)
                self.log.info("the notice is served", address=self.settings.address)
                await trio.sleep_forever()
            finally:
                # Readers get the rest of their page; the server's grace bounds the wait.
                stop.set()

    async def _report(self, ready: trio.Event) -> None:
        """Once it is served. It says when it was made, so that each one is another."""
        if self.published is None:
            return
        await ready.wait()
        await self.published.send(self._receipt)

    async def _refresh(self) -> None:
        while True:
            await trio.sleep(self.settings.figures_every)
            await self._make_figures()

    async def _make_figures(self) -> None:
        try:
            self._figures = await self.blocking(self._render_figures)
        except StoreFailed as failure:
            if not self._is_failing:
                self.log.error("the page of figures is not up to date", reason=str(failure))
            self._is_failing = True
        else:
            self._is_failing = False

    def _render_figures(self) -> FigurePages:
        now = self._wall()
        since = week_begins(now)
        figures = gather(
            self.statistics.people(since),
            self.statistics.devices(since),
            self.pole.blueprint.places,
            self._words,
            now=now,
        )
        return render_figures(figures, self._content)

    def _wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def _serve(self, ready: trio.Event, stop: trio.Event) -> None:
        serve = functools.partial(
            hypercorn.trio.serve,
            self._application,  # type: ignore[arg-type]
            server_configuration(self.port.hand_over(), self.log),
            shutdown_trigger=stop.wait,
            mode="asgi",
        )
        # Shielded, because the server is stopped by its trigger. So is its start: were that
        # cancelled alone, nobody would be left to pull the trigger.
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as server:
                await server.start(serve)
                ready.set()
        if not stop.is_set():
            raise SmartpoleError("the notice's web server ended by itself. It is started again.")
