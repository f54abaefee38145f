"""RTSP as cameras speak it, well and badly; a scripted one stands at the other end."""

from __future__ import annotations

import hashlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.camera.rtsp import Credentials, RtspConnection, RtspRefused, RtspTrouble

Answer = Callable[[str, dict[str, str]], bytes]
URL = "rtsp://camera/1"


def answer(number: str, *headers: str, status: int = 200, body: bytes = b"") -> bytes:
    lines = [f"RTSP/1.0 {status} Whatever", f"CSeq: {number}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Scripted:
    """A camera that answers as it is told to, and remembers what it was asked."""

    def __init__(self, answers: Answer) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self.connection, _ = self._listening.accept()
            buffer = b""
            while data := self.connection.recv(65536):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    self._asked(head.decode())
        except OSError:
            pass

    def _asked(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        method, url, *_ = first.split(" ")
        self.asked.append((method, url, headers))
        assert self.connection is not None
        self.connection.sendall(self._answers(method, headers))

    def close(self) -> None:
        for one in (self.connection, self._listening):
            if one is not None:
                one.close()
        self._thread.join(5)


def usual(method: str, headers: dict[str, str]) -> bytes:
    number = headers["cseq"]
    match method:
        case "OPTIONS":
            return answer(number, "Public: DESCRIBE, SETUP, PLAY, GET_PARAMETER")
        case "DESCRIBE":
            return answer(
                number, "Content-Base: rtsp://camera/1/", body=b"v=0\r\nm=video 0 RTP/AVP 26"
            )
        case "SETUP":
            given = "Transport: RTP/AVP/TCP;unicast;interleaved=4-5"
            return answer(number, "Session: 0123;timeout=3", given)
        case _:
            return answer(number)


@contextmanager
def camera(answers: Answer = usual) -> Iterator[Scripted]:
    scripted = Scripted(answers)
    try:
        yield scripted
    finally:
        scripted.close()


@contextmanager
def connected(
    scripted: Scripted, *, credentials: Credentials | None = None, timeout: float = 1.0
) -> Iterator[RtspConnection]:
    connection = RtspConnection(
        "127.0.0.1", scripted.port, secure=False, credentials=credentials, timeout=timeout
    )
    try:
        yield connection
    finally:
        connection.close()


def received(connection: RtspConnection, count: int) -> list[tuple[int, bytes]]:
    got: list[tuple[int, bytes]] = []
    while len(got) < count:
        came = connection.receive()
        assert came is not None
        got += [(channel, bytes(data)) for channel, data in came]
        assert came or select.select([connection], [], [], 1)[0]
    return got


def test_a_session_from_its_description_to_its_end() -> None:
    with camera() as scripted, connected(scripted) as connection:
        assert connection.describe(URL).startswith("v=0")
        assert connection.play("track1") == 4
        assert scripted.connection is not None
        scripted.connection.sendall(b"$\4\0\3abc$\5\0\0$\4")
        assert received(connection, 2) == [(4, b"abc"), (5, b"")]
        assert connection.receive() == []
        scripted.connection.sendall(b"\0\1d")
        assert received(connection, 1) == [(4, b"d")]
        connection.close()
        time.sleep(0.05)
        assert [(method, url) for method, url, _ in scripted.asked] == [
            ("OPTIONS", URL),
            ("DESCRIBE", URL),
            ("SETUP", "rtsp://camera/1/track1"),
            ("PLAY", "rtsp://camera/1/"),
            ("TEARDOWN", "rtsp://camera/1/"),
        ]
        assert scripted.asked[-1][2]["session"] == "0123"
        assert [asked["cseq"] for _, _, asked in scripted.asked] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("control", "url"),
    [("", "rtsp://camera/1/"), ("*", "rtsp://camera/1/"), ("rtsp://b/2", "rtsp://b/2")],
)
def test_where_a_medium_is_set_up(control: str, url: str) -> None:
    with camera() as scripted, connected(scripted) as connection:
        connection.describe(URL)
        connection.play(control)
        assert scripted.asked[2][1] == url


def test_packets_may_come_before_the_answer_that_promises_them() -> None:
    def early(method: str, headers: dict[str, str]) -> bytes:
        return (b"$\4\0\2hi" if method == "PLAY" else b"") + usual(method, headers)

    with camera(early) as scripted, connected(scripted) as connection:
        connection.describe(URL)
        connection.play("")
        assert received(connection, 1) == [(4, b"hi")]


def test_the_session_is_kept_alive_and_what_the_camera_asks_is_answered() -> None:
    with camera() as scripted, connected(scripted) as connection:
        connection.describe(URL)
        connection.play("")
        time.sleep(1.1)  # a third of what the camera allows
        assert connection.receive() == []
        time.sleep(0.1)
        assert scripted.asked[-1][0] == "GET_PARAMETER"
        assert scripted.connection is not None
        scripted.connection.sendall(b"\r\nSET_PARAMETER * RTSP/1.0\r\nCSeq: 77\r\n\r\n$\4\0\1x")
        assert received(connection, 1) == [(4, b"x")]
        connection.close()
        time.sleep(0.05)
        # "method" and "url" are the first two words of what it got.
        assert ("RTSP/1.0", "501") in [(method, url) for method, url, _ in scripted.asked]


# -- credentials ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenge", "name"),
    [
        ('Digest realm="a, b", nonce="n0nce"', "md5"),
        (
            'Digest realm="a, b", nonce="n0nce", algorithm=MD5, qop="auth,auth-int", opaque="o"',
            "md5",
        ),
        ('Digest realm="a, b", nonce="n0nce", algorithm=SHA-256, qop="auth"', "sha256"),
    ],
)
def test_digests_prove_the_password_and_hide_it(challenge: str, name: str) -> None:
    """RFC 2069, RFC 2617 and RFC 7616, computed here as they write it."""

    def digest(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode()).hexdigest()

    def asks(method: str, headers: dict[str, str]) -> bytes:
        refusal = answer(
            headers["cseq"], 'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: " + challenge,
            status=401,
        )  # fmt: skip
        given = headers.get("authorization", "")
        if not given.startswith("Digest "):
            return refusal
        field = dict(re.findall(r'(\w+)="?((?<=")[^"]*|[^",]*)', given))
        middle = [field["nc"], field["cnonce"], "auth"] if "qop" in challenge else []
        wanted = digest(
            digest("viewer", "a, b", 'pass"word:'), "n0nce", *middle, digest(method, field["uri"])
        )
        assert ("opaque" in field) == ("opaque" in challenge)
        return usual(method, headers) if field["response"] == wanted else refusal

    right, wrong = Credentials("viewer", 'pass"word:'), Credentials("viewer", "wrong")
    with camera(asks) as scripted, connected(scripted, credentials=right) as connection:
        connection.describe(URL)
        connection.play("track1")
        assert [method for method, _, _ in scripted.asked][:3] == ["OPTIONS", "OPTIONS", "DESCRIBE"]
        assert "pass" not in repr(scripted.asked)
    with camera(asks) as scripted, connected(scripted, credentials=wrong) as connection:
        with pytest.raises(RtspRefused) as refusal:
            connection.describe(URL)
        assert refusal.value.status == 401
        assert len(scripted.asked) == 3, "it is not tried again and again"


def test_a_password_is_shown_only_where_the_camera_knows_no_digest() -> None:
    def asks(method: str, headers: dict[str, str]) -> bytes:
        if headers.get("authorization") == "Basic dmlld2VyOnNlY3JldA==":
            return usual(method, headers)
        return answer(headers["cseq"], 'WWW-Authenticate: Basic realm="x"', status=401)

    given = Credentials.from_address("viewer:secret@")
    with camera(asks) as scripted, connected(scripted, credentials=given) as connection:
        assert connection.describe(URL)


def test_without_credentials_nothing_is_shown() -> None:
    def asks(method: str, headers: dict[str, str]) -> bytes:
        return answer(headers["cseq"], 'WWW-Authenticate: Basic realm="x"', status=401)

    with camera(asks) as scripted, connected(scripted) as connection, pytest.raises(RtspRefused):
        connection.describe(URL)
    assert not any("authorization" in headers for _, _, headers in scripted.asked)


# -- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 403, 404, 454, 503])
def test_a_refusal_has_its_status(status: int) -> None:
    def refuses(_: str, headers: dict[str, str]) -> bytes:
        return answer(headers["cseq"], status=status)

    with camera(refuses) as scripted, connected(scripted) as connection:
        with pytest.raises(RtspRefused) as refusal:
            connection.describe(URL)
        assert refusal.value.status == status


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"220 mail ready\r\n\r\n",
        b"x" * 40_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"$\0\0\0" * 20_000,
    ],
    ids=["web", "mail", "endless", "large", "negative", "flood"],
)
def test_what_is_no_rtsp_is_refused(said: bytes) -> None:
    scripted = camera(lambda *_: said)
    with scripted as it, connected(it) as connection, pytest.raises(RtspTrouble):
        connection.describe(URL)


@pytest.mark.parametrize("said", [b"", b"RTSP/1.0 200 OK\r\n", b"$\0\xff\xff"])
def test_one_that_does_not_finish_is_silent(said: bytes) -> None:
    with camera(lambda *_: said) as scripted, connected(scripted, timeout=0.2) as connection:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.describe(URL)
        assert 0.15 < time.monotonic() - began < 1


def test_all_that_comes_before_the_first_picture_has_one_time_limit() -> None:
    def slow(method: str, headers: dict[str, str]) -> bytes:
        time.sleep(0.2)
        return usual(method, headers)

    with camera(slow) as scripted, connected(scripted, timeout=0.3) as connection:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.describe(URL)
            connection.play("")
        assert time.monotonic() - began < 0.6


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    said=st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [b"$\0\0\4abcd", b"$", b"\r\n", b"RTSP/1.0 200 OK\r\n", b"CSeq: 1\r\n"]
            ),
            st.sampled_from([b"PLAY x RTSP/1.0\r\n\r\n", b"Content-Length: 3\r\n", b"\xff\xfe"]),
        ),
        max_size=12,
    )
)
def test_whatever_it_says_is_taken_or_refused(said: list[bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = RtspConnection(
            "127.0.0.1", server.getsockname()[1], secure=False, credentials=None, timeout=0.01
        )
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"".join(said))
            peer.shutdown(socket.SHUT_WR)
            try:
                while connection.receive() is not None:
                    select.select([connection], [], [], 1)
            except (RtspTrouble, ConnectionError, TimeoutError):
                pass
        connection.close()
