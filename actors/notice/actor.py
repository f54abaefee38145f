"""The notice: a page for people who pass by, generated from what runs (guideline 9.1(1))."""

from __future__ import annotations

__all__ = ["Notice"]

import functools
import time

import hypercorn.trio
import trio

from actors.notice.application import create_application
from actors.notice.content import describe
from actors.notice.port import NoticePort, NoticeSettings
from actors.notice.rendering import render
from actors.notice.server import server_configuration
from actors.notice.wording import load_wording
from runtime import Actor, BlueprintView, Domain, Needs, Reading, SmartpoleError, reading


class Notice(Actor, domain=Domain.PUBLIC):
    """Serves the notice until the pole stops.

    The page is made once, when the actor starts: what it describes cannot change while it runs.
    Where its words would not be true of this pole, it does not start (``NoticeOutOfDate``).
    """

    port: Needs[NoticePort]
    pole: Needs[BlueprintView]
    settings: NoticeSettings
    pages_served: Reading
    notice_ready: Reading = reading(vital=True)

    async def start(self) -> None:
        content = describe(
            self.pole.blueprint, self.pole.separation, load_wording(), now=time.time()
        )
        self._application = create_application(render(content), page_served=self.pages_served.add)

    async def run(self) -> None:
        ready, stop = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, ready, stop)
            try:
                await ready.wait()
                self.notice_ready.set(1)
                self.log.info("the notice is served", address=self.settings.address)
                await trio.sleep_forever()
            finally:
                # Readers get the rest of their page; the server's grace bounds the wait.
                stop.set()

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
