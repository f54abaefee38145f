"""The link to one camera: opened, read packet by packet, never decoded."""

from __future__ import annotations

__all__ = ["CameraLink", "CameraOutage", "CameraStream"]

import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import av
import av.error
import av.logging
import trio

from actors.camera.credentials import CredentialFile, CredentialTrouble
from actors.camera.messages import EncodedPacket, Interruption, StreamHeader
from actors.camera.rtsp import Credentials, RtspConnection, RtspRefused, RtspTrouble
from actors.camera.rtsp_stream import NoVideo, RtspStream
from actors.camera.sdp import UnknownVideo
from runtime import Authority, Capability, Network, Reach, SmartpoleError, SourceAddress
from runtime.clock import boottime

# FFmpeg would write addresses, with their passwords, to standard error.
av.logging.set_level(None)

_CORRUPT_IN_A_ROW = 50
_GATHER = 0.2
"""Seconds: handing over each packet by itself costs more than receiving it."""
_PORTS = {"rtsp": 554, "rtsps": 322}
"""RFC 7826, 19.1."""
_FORMATS = {"v4l2": "v4l2"}
_OPTIONS = {
    # A playlist posing as a film must not reach the network.
    "file": {"protocol_whitelist": "file"},
}

Blocking: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]


class CameraOutage(SmartpoleError):
    """The camera cannot be reached, or its stream ended or broke."""

    def __init__(self, text: str, kind: Interruption = Interruption.UNREACHABLE) -> None:
        super().__init__(text)
        self.kind = kind


class _LinkSettings(Protocol):
    @property
    def source(self) -> SourceAddress: ...
    @property
    def credentials(self) -> CredentialFile | None: ...
    @property
    def timeout(self) -> float: ...


class CameraLink(Capability, kind=Network("cameras"), rights="connect to the configured camera"):
    """Reaches the one camera that its actor's settings name, and no other."""

    @classmethod
    def reach(cls, settings: _LinkSettings) -> Reach:
        """The file, the device, or the TCP port of the camera; its name, if it has one."""
        source = settings.source
        if source.scheme == "file":
            return Reach(read=(Path(source.rest),))
        if source.scheme == "v4l2":
            return Reach(devices=(Path(source.rest),))
        address = urlsplit(source)
        return Reach(
            connect=(address.port or _PORTS[source.scheme],),
            resolve=not _is_number(address.hostname or ""),
            read=(settings.credentials.path,) if settings.credentials is not None else (),
        )

    def __init__(self, authority: Authority) -> None:
        settings: _LinkSettings = authority.settings  # type: ignore[assignment]
        self._source = settings.source
        self._credentials = settings.credentials
        self._timeout = float(settings.timeout)

    def open(self) -> CameraStream | LiveStream:
        """Connect. Blocks for as long as the timeout; raises CameraOutage."""
        if self._source.scheme.startswith("rtsp"):
            return self._connect()
        source = self._source
        began = time.monotonic()
        try:
            container = av.open(
                source.rest,
                format=_FORMATS.get(source.scheme),
                options=_OPTIONS.get(source.scheme, {}),
                timeout=(self._timeout, self._timeout),
                metadata_errors="replace",  # a title in another encoding is no outage
            )
        except (av.error.FFmpegError, OSError) as error:
            # The message of FFmpeg's error quotes the address and is left out. Where a camera is
            # silent, FFmpeg sometimes complains of what it said instead.
            silent = time.monotonic() - began >= self._timeout
            why = "it did not answer in time" if silent else _reason(error)
            raise CameraOutage(f"the camera ({source.public}) can't be opened: {why}") from None
        if not container.streams.video:
            container.close()
            raise CameraOutage(
                f"the camera ({source.public}) sends no video", Interruption.UNREADABLE
            )
        if container.streams.video[0].codec_context is None:
            container.close()
            raise CameraOutage(
                f"the camera ({source.public}) sends a kind of video that is not known here",
                Interruption.UNREADABLE,
            )
        return CameraStream(container, source)

    def _connect(self) -> LiveStream:
        source = self._source
        credentials = None
        if self._credentials is not None:
            try:
                credentials = Credentials.from_address(self._credentials.read())
            except CredentialTrouble as trouble:
                raise CameraOutage(str(trouble), Interruption.REFUSED) from None
        address = urlsplit(source)
        try:
            connection = RtspConnection(
                address.hostname or "",
                address.port or _PORTS[source.scheme],
                secure=source.scheme == "rtsps",
                credentials=credentials,
                timeout=self._timeout,
            )
            try:
                stream = RtspStream(connection, str(source))
            except BaseException:
                connection.close()
                raise
            return LiveStream(stream, source, self._timeout)
        except NoVideo:
            what, kind = "sends no video", Interruption.UNREADABLE
        except UnknownVideo:
            what, kind = "sends a kind of video that is not known here", Interruption.UNREADABLE
        except (OSError, UnicodeError, RtspRefused, RtspTrouble) as error:
            what = f"can't be opened: {_reason(error)}"
            is_refused = isinstance(error, RtspRefused) and error.status in (401, 403)
            kind = Interruption.REFUSED if is_refused else Interruption.UNREACHABLE
        raise CameraOutage(f"the camera ({source.public}) {what}", kind)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class LiveStream:
    """A camera's on the network, from opening to its end: read where everything else waits, too."""

    def __init__(self, stream: RtspStream, source: SourceAddress, timeout: float) -> None:
        self._stream = stream
        self._source = source
        self._timeout = timeout
        self.seconds_per_tick = stream.seconds_per_tick

    @property
    def corrupt(self) -> int:
        """Packets that are missing or could not be used."""
        return self._stream.corrupt

    async def receive(
        self, session: int, sequence: int, at_most: int, blocking: Blocking
    ) -> list[EncodedPacket]:
        """The next packets, numbered from ``sequence``; an empty list at the end of the stream.

        Waits until there is one, and no longer than a fifth of a second for more; ``blocking`` runs
        what takes longer than a loop may. Raises CameraOutage where the stream breaks.
        """
        stream = self._stream
        silent_at = trio.current_time() + self._timeout
        await trio.sleep(stream.rest)
        try:
            while True:
                stream.fetch(at_most)
                if stream.is_unknown:
                    await blocking(stream.look)
                packets = stream.take(session, sequence, at_most)
                if packets or stream.is_over:
                    return packets
                with trio.move_on_at(silent_at) as waiting:
                    await trio.lowlevel.wait_readable(stream.fileno())
                if waiting.cancelled_caught:
                    raise TimeoutError
        except RtspTrouble:
            raise CameraOutage(
                f"the camera ({self._source.public}) sends nothing that can be read",
                Interruption.UNREADABLE,
            ) from None
        except OSError as error:
            is_silent = isinstance(error, TimeoutError)
            raise CameraOutage(
                f"the camera ({self._source.public}) broke off: {_reason(error)}",
                Interruption.SILENT if is_silent else Interruption.BROKE_OFF,
            ) from None

    def close(self) -> None:
        """Blocks for a moment."""
        self._stream.close()


class CameraStream:
    """A film's or a device's, from opening to its end."""

    def __init__(self, container: av.container.InputContainer, source: SourceAddress) -> None:
        self._container = container
        self._source = source
        self._video = container.streams.video[0]
        self._packets = self._demultiplex()
        self._is_first = True
        self._failure: CameraOutage | None = None
        """What ended the stream while packets were gathered that came before."""
        self.corrupt = 0
        """Packets that could not be read and were passed over."""

    @property
    def seconds_per_tick(self) -> Fraction:
        """The unit of the packets' times."""
        return self._video.time_base or Fraction(1, 90_000)

    def read(self, session: int, sequence: int, at_most: int) -> list[EncodedPacket]:
        """The next packets, numbered from ``sequence``; an empty list at the end of the stream.

        Blocks until there is one, and then no longer than a fifth of a second: those that come
        until then are gathered. Raises CameraOutage where the stream breaks.
        """
        if self._failure is not None:
            raise self._failure
        packets: list[EncodedPacket] = []
        try:
            self._gather(packets, session, sequence, at_most)
        except CameraOutage as outage:
            if not packets:
                raise
            self._failure = outage
        return packets

    def _gather(
        self, packets: list[EncodedPacket], session: int, sequence: int, at_most: int
    ) -> None:
        corrupt_in_a_row = 0
        began = latest = 0.0
        while len(packets) < at_most:
            now = time.monotonic()
            if packets:
                began = began or now
                # The next one may well take as long as the last one took.
                if now - began + (now - latest) > _GATHER:
                    break
            latest = now
            try:
                packet = next(self._packets)
            except StopIteration:
                break
            except av.error.InvalidDataError:
                self._packets = self._demultiplex()  # PyAV's iterator ends with its first error
                self.corrupt += 1
                corrupt_in_a_row += 1
                if corrupt_in_a_row >= _CORRUPT_IN_A_ROW:
                    raise CameraOutage(
                        f"the camera ({self._source.public}) sends nothing that can be read",
                        Interruption.UNREADABLE,
                    ) from None
                continue
            except (av.error.FFmpegError, OSError) as error:
                why = _reason(error)
                silent = isinstance(error, (av.error.ExitError, TimeoutError))
                raise CameraOutage(
                    f"the camera ({self._source.public}) broke off: {why}",
                    Interruption.SILENT if silent else Interruption.BROKE_OFF,
                ) from None
            if packet.size == 0:  # how PyAV marks the end before it ends
                continue
            if packet.is_corrupt:
                self.corrupt += 1
            packets.append(self._translate(packet, session, sequence + len(packets)))

    def close(self) -> None:
        self._container.close()

    def _demultiplex(self) -> Iterator[av.Packet[av.VideoStream]]:
        return self._container.demux(self._video)

    def _translate(
        self, packet: av.Packet[av.VideoStream], session: int, sequence: int
    ) -> EncodedPacket:
        is_key = bool(packet.is_keyframe)
        header = self._header() if is_key or self._is_first else None
        self._is_first = False
        return EncodedPacket(
            session=session,
            sequence=sequence,
            key=is_key,
            pts=packet.pts,
            dts=packet.dts,
            duration=packet.duration or 0,
            captured_at=time.time_ns() // 1000,
            boottime=boottime(),
            header=header,
            data=bytes(packet),
        )

    def _header(self) -> StreamHeader:
        codec = self._video.codec_context
        rate = self._video.average_rate or Fraction(0, 1)
        return StreamHeader(
            codec=codec.name,
            width=codec.width,
            height=codec.height,
            extradata=bytes(codec.extradata or b""),
            time_base_numerator=self.seconds_per_tick.numerator,
            time_base_denominator=self.seconds_per_tick.denominator,
            frame_rate_numerator=rate.numerator,
            frame_rate_denominator=rate.denominator,
        )


_BY_ERROR: tuple[tuple[type[Exception], str], ...] = (
    (av.error.ExitError, "it did not answer in time"),
    (av.error.EOFError, "its stream ended"),
    (socket.gaierror, "its name is not known, or there is no network"),
    (UnicodeError, "its name is not known, or there is no network"),
    (ssl.SSLError, "it speaks no TLS that is known here"),
    (FileNotFoundError, "there is no such file or device"),
    (IsADirectoryError, "it is a folder"),
    (PermissionError, "this user may not open it"),
    (ConnectionRefusedError, "nothing listens there"),
    (ConnectionError, "it hung up"),
    (TimeoutError, "it did not answer in time"),
)
_BY_STATUS = {
    401: "it refuses these credentials",
    403: "it refuses these credentials",
    404: "it has no stream under this path",
}
_BY_NUMBER = {
    errno.EBUSY: "another program uses it",
    errno.EHOSTUNREACH: "there is no way to this host",
    errno.ENETUNREACH: "there is no way to this host",
    errno.ENODEV: "it is no camera",
    errno.ENOTTY: "it is no camera",
}


def _reason(error: Exception) -> str:
    """Why, in words that hold no address."""
    if isinstance(error, RtspRefused):
        return _BY_STATUS.get(error.status, f"it answers with status {error.status}")
    if isinstance(error, RtspTrouble):
        return "what it answers is no video stream"
    for kind, text in _BY_ERROR:
        if isinstance(error, kind):
            return text
    number = getattr(error, "errno", None)
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    if isinstance(error, av.error.InvalidDataError):
        return "it holds no video"
    return type(error).__name__
