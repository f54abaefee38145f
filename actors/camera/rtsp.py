"""The Real Time Streaming Protocol 1.0 (RFC 2326), over one TCP connection that carries all."""

from __future__ import annotations

__all__ = ["Credentials", "Interleaved", "RtspConnection", "RtspRefused", "RtspTrouble"]

import hashlib
import os
import re
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

_AT_ONCE = 256 * 1024
_LONGEST_HEAD = 32 * 1024
_LONGEST_BODY = 256 * 1024
_MOST_EARLY = 16_384
"""Packets that may come before the answer to the request that starts them."""
_KEEP_ALIVE = 60
"""Seconds; RFC 2326, 12.37."""
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"([^"]*)"|([^",\s]+))')
_HASHES = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}
_GOODBYE = 0.2


class RtspTrouble(ValueError):
    """What the camera says is no RTSP."""


class RtspRefused(Exception):
    """The camera answers with a status that is no success."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Credentials(NamedTuple):
    """As the camera knows them."""

    user: str
    password: str

    @classmethod
    def from_address(cls, text: str) -> Credentials:
        """``USER:PASSWORD@``, quoted as in an address."""
        user, _, password = text.removesuffix("@").partition(":")
        return cls(unquote(user), unquote(password))


Interleaved: TypeAlias = tuple[int, "memoryview[int]"]
"""A channel, and a packet that came on it (RFC 2326, 10.12)."""


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, list[str]]
    body: bytes


class RtspConnection:
    """A connection to one camera. All that comes before the first packet blocks, for at most
    ``timeout`` seconds in all. Its methods raise OSError (TimeoutError where the camera is silent),
    RtspRefused and RtspTrouble. No error holds an address or credentials.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        secure: bool,
        credentials: Credentials | None,
        timeout: float,
    ) -> None:
        self._timeout = timeout
        self._credentials = credentials
        self._challenge: dict[str, str] = {}
        self._times = 0
        self._number = 0
        self._session = ""
        self._base = ""
        self._keeps_alive = "OPTIONS"
        self._keep_alive = _KEEP_ALIVE / 3
        self._said = time.monotonic()
        self._scratch = bytearray(_AT_ONCE)
        self._buffer = b""
        self._early: list[Interleaved] = []
        self._answers: list[_Answer] = []
        self._deadline = time.monotonic() + timeout
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setblocking(False)
        self._poll = select.poll()
        try:
            self._tls = _Tls(host) if secure else None
            if self._tls is not None:
                self._shake_hands(self._tls)
        except BaseException:
            self._socket.close()
            raise

    # -- a session --------------------------------------------------------------------------

    def describe(self, url: str) -> str:
        """The session's description (SDP)."""
        self._base = url
        with suppress(RtspRefused):  # what it is asked next tells the same
            answer = self._request("OPTIONS", url, {})
            if "GET_PARAMETER" in ",".join(answer.headers.get("public", [])):
                self._keeps_alive = "GET_PARAMETER"
        answer = self._request("DESCRIBE", url, {"Accept": "application/sdp"})
        for name in ("content-base", "content-location"):
            if given := answer.headers.get(name):
                self._base = given[0]
                break
        return answer.body.decode("utf-8", "replace")

    def play(self, control: str) -> int:
        """Have one medium sent, and say on which channel it comes; its RTCP is on the next."""
        base = self._base
        if not control or control == "*":
            url = base
        else:
            url = control if "://" in control else base.rstrip("/") + "/" + control
        transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        answer = self._request("SETUP", url, transport)
        session, _, options = ",".join(answer.headers.get("session", [])).partition(";")
        self._session = session.strip()
        if not self._session:
            raise RtspTrouble
        if match := re.search(r"timeout\s*=\s*(\d{1,6})", options):
            self._keep_alive = max(1.0, int(match[1]) / 3)
        match = re.search(r"interleaved=(\d{1,3})", ",".join(answer.headers.get("transport", [])))
        self._request("PLAY", base, {"Range": "npt=0.000-"})
        return int(match[1]) if match else 0

    def fileno(self) -> int:
        """To wait for what ``receive`` gives."""
        return self._socket.fileno()

    def receive(self) -> list[Interleaved] | None:
        """The packets that have come; None at the end of the connection. Never blocks."""
        if self._early:
            early, self._early = self._early, []
            return early
        self._deadline = now = time.monotonic()  # what can't be sent at once has not been heard
        if now - self._said > self._keep_alive:
            self._send(self._keeps_alive, self._base, {})
        if (data := self._read()) is None:
            return []
        if not data:
            return None
        self._buffer += data
        self._take()
        for answer in self._answers:  # to what keeps the session alive
            if answer.status == 401:
                self._learn(answer)
        self._answers.clear()
        early, self._early = self._early, []
        return early

    def close(self) -> None:
        """Say goodbye, if it goes at once."""
        if self._session:
            with suppress(OSError):
                self._deadline = time.monotonic() + _GOODBYE
                self._send("TEARDOWN", self._base, {})
        self._socket.close()

    # -- requests ---------------------------------------------------------------------------

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> _Answer:
        for has_learned in (False, True):
            self._send(method, url, headers)
            answer = self._await_answer()
            if answer.status != 401 or has_learned or not self._learn(answer):
                break
        if not 200 <= answer.status < 300:
            raise RtspRefused(answer.status)
        return answer

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: smartpole"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._session:
            lines.append(f"Session: {self._session}")
        if proof := self._prove(method, url):
            lines.append(f"Authorization: {proof}")
        self._said = time.monotonic()
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _await_answer(self) -> _Answer:
        while not self._answers:
            while (data := self._read()) is None:
                self._wait(select.POLLIN, self._deadline)
            if not data:
                raise ConnectionResetError
            self._buffer += data
            self._take()
        return self._answers.pop(0)

    def _take(self) -> None:
        """Take from the buffer what is whole."""
        data, at = self._buffer, 0
        view, size = memoryview(data), len(data)
        early = self._early
        while at + 4 <= size:
            if data[at] == 0x24:
                end = at + 4 + (data[at + 2] << 8 | data[at + 3])
                if end > size:
                    break
                early.append((data[at + 1], view[at + 4 : end]))
                at = end
                continue
            if (end := self._take_words(data, at)) == at:
                break
            at = end
        self._buffer = data[at:]
        if len(early) > _MOST_EARLY:
            raise RtspTrouble

    def _take_words(self, data: bytes, at: int) -> int:
        """An answer, or a request of the camera's own, from there on: where it ends."""
        if data[at] in b"\r\n":  # some cameras send a line's end too many
            return at + 1
        end = data.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
        if end < 0:
            if len(data) - at >= _LONGEST_HEAD:
                raise RtspTrouble
            return at
        first, *lines = data[at:end].decode("utf-8", "replace").split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        length = (headers.get("content-length") or ["0"])[-1]
        if not length.isdecimal() or int(length) > _LONGEST_BODY:
            raise RtspTrouble
        begin, end = end + 4, end + 4 + int(length)
        if end > len(data):
            return at
        if match := re.match(r"RTSP/\d\.\d (\d{3})", first):
            self._answers.append(_Answer(int(match[1]), headers, data[begin:end]))
        elif re.match(r"[A-Z_]{3,20} \S+ RTSP/\d\.\d$", first):
            number = (headers.get("cseq") or ["0"])[0]
            if not number.isdecimal():
                raise RtspTrouble
            self._write(f"RTSP/1.0 501 Not Implemented\r\nCSeq: {number}\r\n\r\n".encode())
        else:
            raise RtspTrouble
        return end

    # -- credentials (RFC 2617, RFC 7616) ---------------------------------------------------

    def _learn(self, answer: _Answer) -> bool:
        """How the camera wants to be shown that one knows the password. False where that can't be,
        or has been refused already."""
        if self._credentials is None:
            return False
        before = self._challenge
        for wanted in ("digest", "basic"):
            for text in answer.headers.get("www-authenticate", []):
                scheme, _, rest = text.partition(" ")
                given = {
                    name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)
                }
                given["scheme"] = scheme.lower()
                if given["scheme"] != wanted or given.get("algorithm", "") not in _HASHES:
                    continue
                if before and given.get("stale", "").lower() != "true":
                    return False
                self._challenge, self._times = given, 0
                return True
        return False

    def _prove(self, method: str, url: str) -> str:
        given, credentials = self._challenge, self._credentials
        if not given or credentials is None:
            return ""
        if given["scheme"] == "basic":
            return "Basic " + b64encode(":".join(credentials).encode()).decode()
        name = _HASHES[given.get("algorithm", "")]

        def digest(*parts: str) -> str:
            return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

        realm, nonce = given.get("realm", ""), given.get("nonce", "")
        secret = digest(credentials.user, realm, credentials.password)
        what = digest(method, url)
        fields = {"username": credentials.user, "realm": realm, "nonce": nonce, "uri": url}
        bare = {}
        if "auth" in re.split(r"[\s,]+", given.get("qop", "")):
            self._times += 1
            count, own = f"{self._times:08x}", os.urandom(8).hex()
            fields["response"] = digest(secret, nonce, count, own, "auth", what)
            fields["cnonce"] = own
            bare = {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(secret, nonce, what)
        fields |= {key: given[key] for key in ("opaque",) if key in given}
        bare |= {key: given[key] for key in ("algorithm",) if key in given}
        written = [f'{key}="{_escaped(value)}"' for key, value in fields.items()]
        return "Digest " + ", ".join(written + [f"{key}={value}" for key, value in bare.items()])

    # -- bytes ------------------------------------------------------------------------------

    def _read(self) -> bytes | None:
        """What has come; None where nothing has, and nothing at all at the end."""
        try:
            size = self._socket.recv_into(self._scratch)
        except (BlockingIOError, InterruptedError):
            return None
        data = bytes(memoryview(self._scratch)[:size])
        if self._tls is None or not data:
            return data
        opened = self._tls.open(data)
        self._write_raw(self._tls.waiting())
        return opened or None

    def _write(self, data: bytes) -> None:
        self._write_raw(data if self._tls is None else self._tls.seal(data))

    def _write_raw(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest, socket.MSG_NOSIGNAL) :]
            except (BlockingIOError, InterruptedError):
                self._wait(select.POLLOUT, self._deadline)

    def _wait(self, events: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left > 0:
            self._poll.register(self._socket, events)
            if self._poll.poll(left * 1000):
                return
        raise TimeoutError

    def _shake_hands(self, tls: _Tls) -> None:
        while not tls.shake_hands():
            self._write_raw(tls.waiting())
            while not (data := self._socket_read()):
                self._wait(select.POLLIN, self._deadline)
            tls.feed(data)
        self._write_raw(tls.waiting())

    def _socket_read(self) -> bytes | None:
        try:
            data = self._socket.recv(_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return None
        if not data:
            raise ConnectionResetError
        return data


class _Tls:
    """TLS in memory: the walls know which calls go to a socket, and OpenSSL's own are others.

    Cameras have certificates that nobody signed, so none is checked, as everywhere with them.
    """

    def __init__(self, host: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)

    def waiting(self) -> bytes:
        return self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def open(self, data: bytes) -> bytes:
        self._incoming.write(data)
        parts = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self._tls.read(_AT_ONCE):
                parts.append(part)
        return b"".join(parts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
