"""The control link: what the pole and one of its domains say to each other.

A socket pair with length-prefixed frames, as at the border, but for orders and reports: it carries
no actor's message. The pole believes nothing that it hears here: names are looked up, numbers are
bounded, words are held against the program's own (``runtime.words``).
"""

from __future__ import annotations

__all__ = [
    "BEAT",
    "Attempted",
    "Beat",
    "Begin",
    "Confined",
    "ControlLink",
    "Crashed",
    "Ended",
    "Failed",
    "Finish",
    "FromDomain",
    "Go",
    "Logged",
    "Started",
    "Stop",
    "ToDomain",
    "Violated",
    "sayable",
]

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import trio

from runtime.errors import BorderRefused
from runtime.outgoing import Outgoing
from runtime.status import ActorStatus

In = TypeVar("In")
_Text = Annotated[str, msgspec.Meta(max_length=2_000)]
_Short = Annotated[str, msgspec.Meta(max_length=200)]
_Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]

BEAT = 0.5
"""Seconds between two signs of life of a domain."""

_LENGTH = struct.Struct(">I")
_LONGEST = 256 * 1024
_MOST_WAITING = 1024 * 1024
"""Bytes of reports that wait for a pole that does not read; beyond it they are dropped."""


def sayable(text: str, longest: int = 2_000) -> str:
    """The text as the link takes it: not too long, and of characters that can be encoded."""
    return text[:longest].encode("utf-8", "replace").decode("utf-8")


class _Said(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of what is said on the link."""


# -- what a domain reports ----------------------------------------------------------------------


class Confined(_Said, frozen=True):
    """Its walls stand; nothing personal has come in yet, and nothing will before ``Go``."""

    thread: int
    """The kernel's id of the thread that its loop runs in."""
    landlock_abi: int
    seccomp: bool
    missing: tuple[_Text, ...]


class Started(_Said, frozen=True):
    """Every actor has been started once."""


class Beat(_Said, frozen=True):
    """It is alive, and this is how its actors are."""

    actors: tuple[ActorStatus, ...]
    lost: int = 0
    """Reports dropped since the last one that the pole heard, because it did not read."""


class Crashed(_Said, frozen=True):
    """One of its actors crashed."""

    child: _Short
    incarnation: _Whole
    error: _Short
    message: _Text
    where: _Text
    phase: _Short


class Logged(_Said, frozen=True):
    """A line for the log."""

    level: _Short
    logger: _Short
    event: _Text
    fields: dict[_Short, _Text | _Whole | float | bool | None]


class Attempted(_Said, frozen=True):
    """An actor tried what its domain may not do; seen by the audit hook, which is not the wall."""

    actor: _Short
    event: _Short
    times: _Whole


class Violated(_Said, frozen=True):
    """The domain at the other end of a channel broke the border's rules, and was cut off."""

    channel: int
    why: _Text


class Failed(_Said, frozen=True):
    """Its last words: why it can't go on."""

    error: _Short
    message: _Text


class Ended(_Said, frozen=True):
    """Its last words after an orderly stop."""

    actors: tuple[ActorStatus, ...]


FromDomain = Confined | Started | Beat | Crashed | Logged | Attempted | Violated | Failed | Ended


# -- what the pole orders -----------------------------------------------------------------------


class Go(_Said, frozen=True):
    """Start the actors. ``markers`` begin the channels whose other end is there, by number."""

    markers: dict[int, bytes]


class Begin(_Said, frozen=True):
    """The domain at the other end of a channel has started (again)."""

    channel: int
    marker: bytes


class Finish(_Said, frozen=True):
    """Receive what is there, then stop in order. Whoever sends here has ended."""


class Stop(_Said, frozen=True):
    """Stop now."""


ToDomain = Go | Begin | Finish | Stop


class ControlLink(Generic[In]):
    """One end of the link, in one loop. ``incoming`` is the union that the other end may say."""

    def __init__(self, end: socket.socket, incoming: Any) -> None:
        self._socket = end
        self._decode: Callable[[bytes], In] = msgspec.msgpack.Decoder(incoming).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._outgoing = Outgoing(end)
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._incoming = bytearray()
        self._heard: Callable[[In], None] | None = None
        self.lost = 0
        """Reports that were dropped because the other end did not read."""

    def post(self, said: _Said) -> bool:
        """Say it, now or as soon as the socket takes it; False where it was dropped. Never
        blocks."""
        frame = self._encode(said)
        if self._outgoing.size > _MOST_WAITING or len(frame) > _LONGEST:
            self.lost += 1
            return False
        self._outgoing.add(_LENGTH.pack(len(frame)) + frame)
        self._flush()
        if self._outgoing:
            if self._idle.is_set():  # or who waits for the one before would wait for ever
                self._idle = trio.Event()
            self._wake.set()
        return True

    async def run(self, heard: Callable[[In], None]) -> None:
        """Listen until the other end is gone. Raises BorderRefused where it says rubbish."""
        self._heard = heard
        refusal: BorderRefused | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read()
            except BorderRefused as error:
                refusal = error  # raised below, where no nursery wraps it into a group
            nursery.cancel_scope.cancel()
        if refusal is not None:
            raise refusal

    def catch_up(self) -> None:
        """Hear now what has arrived already, while ``run`` is running. Raises as it does."""
        while self._heard is not None:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            self._take(data)

    async def flushed(self) -> None:
        """Return when all that was said is in the socket."""
        await self._idle.wait()

    async def ignore(self) -> None:
        """Hear nothing more, and return when the other end is gone."""
        while await self._receive():
            await trio.lowlevel.checkpoint()

    async def _read(self) -> None:
        while data := await self._receive():
            self._take(data)
            await trio.lowlevel.checkpoint()

    async def _receive(self) -> bytes:
        """What comes next; nothing where the other end is gone."""
        while True:
            try:
                return self._socket.recv(65536)
            except (BlockingIOError, InterruptedError):
                await trio.lowlevel.wait_readable(self._socket)
            except ConnectionError:
                return b""

    def _take(self, data: bytes) -> None:
        assert self._heard is not None
        buffer = self._incoming
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > _LONGEST:
                raise BorderRefused(
                    f"the control link announced {length} bytes, and {_LONGEST} pass at most."
                )
            if len(buffer) < _LENGTH.size + length:
                break
            frame = bytes(buffer[_LENGTH.size : _LENGTH.size + length])
            del buffer[: _LENGTH.size + length]
            try:
                said = self._decode(frame)
            except (msgspec.MsgspecError, RecursionError, ValueError):
                raise BorderRefused(
                    "the control link said what no domain says to its pole."
                ) from None
            self._heard(said)

    async def _write(self) -> None:
        while True:
            while self._outgoing:
                await trio.lowlevel.wait_writable(self._socket)
                self._flush()
            self._idle.set()
            self._wake = trio.Event()
            await self._wake.wait()

    def _flush(self) -> None:
        with suppress(OSError):  # the other end has gone
            self._outgoing.flush()
        if not self._outgoing:
            self._idle.set()
