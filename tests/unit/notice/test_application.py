"""The notice's application on both loops: pages, headers, and limits that hold."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.notice.application import Limits, Pages, RequestLimits, create_application

PAGES = Pages(html="<p>ポール</p>".encode(), json=b"{}", style=b"p{}", icon=b"<svg/>")

pytestmark = pytest.mark.parametrize("backend", ["trio", "asyncio"])


def on(backend: str, test: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    anyio.run(functools.partial(test, *arguments), backend=backend)


def a_client(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://pole.example")


def test_pages(backend: str) -> None:
    async def test() -> None:
        served = []
        app = create_application(PAGES, page_served=lambda: served.append(1))
        async with a_client(app) as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.text == "<p>ポール</p>"
            assert (await client.get("/notice.json")).json() == {}
            assert (await client.get("/notice.css")).headers["content-type"].startswith("text/css")
            assert (await client.get("/icon.svg")).headers["content-type"] == "image/svg+xml"
            assert (await client.get("/healthz")).text == "ok\n"
            assert (await client.get("/nowhere")).status_code == 404
            assert (await client.post("/")).status_code == 405
            assert len(served) == 1

    on(backend, test)


def test_a_page_that_is_known_already_is_not_sent_again(backend: str) -> None:
    async def test() -> None:
        async with a_client(create_application(PAGES)) as client:
            tag = (await client.get("/")).headers["etag"]
            again = await client.get("/", headers={"If-None-Match": tag})
            assert again.status_code == 304
            assert again.content == b""

    on(backend, test)


@pytest.mark.parametrize("path", ["/", "/notice.json", "/healthz", "/nowhere"])
def test_security_headers_are_on_every_answer(backend: str, path: str) -> None:
    async def test() -> None:
        async with a_client(create_application(PAGES)) as client:
            headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"

    on(backend, test)


def test_beyond_the_limit_readers_are_asked_to_come_back(backend: str) -> None:
    async def test() -> None:
        full, release = anyio.Event(), anyio.Event()
        running = 0

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal running
            if scope["path"] == "/":
                running += 1
                if running == 2:
                    full.set()
                await release.wait()
            await PlainTextResponse("done")(scope, receive, send)

        answers: list[int] = []

        async def read() -> None:
            answers.append((await client.get("/")).status_code)

        limited = RequestLimits(slow, Limits(requests=2, seconds=60))
        async with a_client(limited) as client:
            async with anyio.create_task_group() as readers:
                readers.start_soon(read)
                readers.start_soon(read)
                await full.wait()
                refused = await client.get("/")
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "2"
                # Whoever watches the pole is answered even so.
                assert (await client.get("/healthz")).text == "done"
                release.set()
            assert answers == [200, 200]
            assert (await client.get("/")).status_code == 200

    on(backend, test)


def test_a_request_that_takes_too_long_is_ended(backend: str) -> None:
    async def test() -> None:
        async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep_forever()

        async with a_client(RequestLimits(stuck, Limits(requests=1, seconds=0))) as client:
            for _ in range(2):  # the second would be refused if the first still held its place
                answer = await client.get("/")
                assert answer.status_code == 503
                assert answer.text.startswith("this took too long")

    on(backend, test)


def test_an_answer_that_has_begun_is_cut_and_not_begun_again(backend: str) -> None:
    async def test() -> None:
        async def half(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await anyio.sleep_forever()

        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])

        async def receive() -> Any:
            return {"type": "http.request"}

        limited = RequestLimits(half, Limits(requests=1, seconds=0))
        await limited({"type": "http", "path": "/"}, receive, send)
        assert sent == ["http.response.start"]

    on(backend, test)


def test_a_crash_gives_its_place_back(backend: str) -> None:
    async def test() -> None:
        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            raise LookupError("within the application")

        async with a_client(RequestLimits(broken, Limits(requests=1))) as client:
            for _ in range(2):
                with pytest.raises(LookupError):
                    await client.get("/")

    on(backend, test)
