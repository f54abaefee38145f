"""The notice as an ASGI application. It runs on trio and on asyncio alike, so anyio it is."""

from __future__ import annotations

__all__ = ["FigurePages", "Limits", "Pages", "RequestLimits", "create_application"]

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # The page needs its own style sheet and nothing else: no script, no form, no other site.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_RETRY_SECONDS = "2"
_HTML, _JSON = "text/html; charset=utf-8", "application/json"


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served, rendered beforehand: it does not change while the pole runs."""

    html: bytes
    json: bytes
    style: bytes
    icon: bytes


@dataclass(frozen=True, slots=True)
class FigurePages:
    """The figures as they are now, rendered beforehand as well."""

    html: bytes
    json: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the pole its readers may use."""

    requests: int = 16
    """At the same time; more are asked to come back."""
    seconds: float = 5.0
    """For one request."""


def create_application(
    pages: Pages,
    figures: Callable[[], FigurePages] | None = None,
    *,
    limits: Limits | None = None,
    page_served: Callable[[], None] = lambda: None,
) -> Starlette:
    """The application: ``/``, ``/notice.json``, ``/healthz``, the style sheet and the icon; and
    ``/statistics`` with ``/statistics.json`` where there are ``figures``.

    ``page_served`` is called for each page that was sent.
    """
    routes = [
        Route("/", _page(lambda: pages.html, _HTML, page_served)),
        Route("/notice.json", _page(lambda: pages.json, _JSON)),
        Route("/notice.css", _page(lambda: pages.style, "text/css; charset=utf-8")),
        Route("/icon.svg", _page(lambda: pages.icon, "image/svg+xml")),
        Route("/healthz", _page(lambda: b"ok\n", "text/plain; charset=utf-8")),
    ]
    if figures is not None:
        routes += [
            Route("/statistics", _page(lambda: figures().html, _HTML, page_served)),
            Route("/statistics.json", _page(lambda: figures().json, _JSON)),
        ]
    middleware = [
        Middleware(_SecurityHeaders),
        Middleware(RequestLimits, limits=limits or Limits()),
    ]
    return Starlette(routes=routes, middleware=middleware)


def _page(
    current: Callable[[], bytes], media_type: str, served: Callable[[], None] = lambda: None
) -> Callable[[Request], Response]:
    async def answer(request: Request) -> Response:
        body = current()
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        served()
        return Response(body, media_type=media_type, headers={"ETag": tag})

    # Starlette would run a plain function in a worker thread.
    return answer  # type: ignore[return-value]


class _SecurityHeaders:
    """Adds the headers to every response, refusals included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)


class RequestLimits:
    """Bounds how many requests run at once and how long each may take."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._seconds = limits.seconds
        self._limiter = anyio.CapacityLimiter(limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A full house is healthy: whoever watches the pole gets an answer all the same.
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        borrower = object()
        try:
            self._limiter.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:
            await _come_back(scope, receive, send, "too many readers at the moment")
            return
        try:
            await self._within_time(scope, receive, send)
        finally:
            self._limiter.release_on_behalf_of(borrower)

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def remember(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            with anyio.fail_after(self._seconds):
                await self._app(scope, receive, remember)
        except TimeoutError:
            # Of an answer that has begun, nothing better can be made than a cut one.
            if not begun:
                await _come_back(scope, receive, send, "this took too long")


async def _come_back(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    response = PlainTextResponse(
        f"{why}; please try again\n", status_code=503, headers={"Retry-After": _RETRY_SECONDS}
    )
    await response(scope, receive, send)
