"""The link to one camera: opened, read packet by packet, never decoded."""

from __future__ import annotations

__all__ = ["CameraLink", "CameraOutage", "CameraStream"]

import errno
import ipaddress
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import av
import av.error
import av.logging

from actors.camera.arrivals import Arrivals
from actors.camera.credentials import CredentialFile, CredentialTrouble
from actors.camera.messages import EncodedPacket, Interruption, StreamHeader
from runtime import Authority, Capability, Network, Reach, SmartpoleError, SourceAddress

# FFmpeg would write addresses, with their passwords, to standard error.
av.logging.set_level(None)

_CORRUPT_IN_A_ROW = 50
_GATHER = 0.2
"""Seconds: handing over each packet by itself costs more than receiving it."""
_CATCH_UP_EVERY = 10
"""Of so many times that a live stream is read, one goes on until there is nothing to be read."""
_PORTS = {"rtsp": 554, "rtsps": 322}
"""RFC 7826, 19.1."""
_FORMATS = {"v4l2": "v4l2"}
_OPTIONS = {
    # One connection for everything, so that no packet is lost on the way; and no second of waiting
    # at each connection for a frame rate that nobody needs.
    "rtsp": {"rtsp_transport": "tcp", "fpsprobesize": "0"},
    "rtsps": {"rtsp_transport": "tcp", "fpsprobesize": "0"},
    # A playlist posing as a film must not reach the network.
    "file": {"protocol_whitelist": "file"},
}

_Packet: TypeAlias = "av.Packet[av.VideoStream]"


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

    def open(self) -> CameraStream:
        """Connect. Blocks for as long as the timeout; raises CameraOutage."""
        source = self._source
        address = self._address()
        began = time.monotonic()
        try:
            container = av.open(
                address,
                format=_FORMATS.get(source.scheme),
                options=_OPTIONS.get(source.scheme, {}),
                timeout=(self._timeout, self._timeout),
                metadata_errors="replace",  # a title in another encoding is no outage
            )
        except (av.error.FFmpegError, OSError) as error:
            # The message of FFmpeg's error quotes the address and is left out. Where a camera is
            # silent, FFmpeg sometimes complains of what it said instead.
            silent = time.monotonic() - began >= self._timeout
            why = "it did not answer in time" if silent else _reason(error, source.scheme)
            refused = isinstance(
                error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
            )
            raise CameraOutage(
                f"the camera ({source.public}) can't be opened: {why}",
                Interruption.REFUSED if refused else Interruption.UNREACHABLE,
            ) from None
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

    def _address(self) -> str:
        """What FFmpeg is given, credentials and all."""
        source = self._source
        if not source.scheme.startswith("rtsp"):
            return source.rest
        if self._credentials is None:
            return str(source)
        try:
            credentials = self._credentials.read()
        except CredentialTrouble as trouble:
            raise CameraOutage(str(trouble), Interruption.REFUSED) from None
        return f"{source.scheme}://{credentials}{source.rest.removeprefix('//')}"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class CameraStream:
    """One connection, from opening to its end."""

    def __init__(self, container: av.container.InputContainer, source: SourceAddress) -> None:
        self._container = container
        self._source = source
        self._video = container.streams.video[0]
        self._packets = self._demultiplex()
        self._is_first = True
        # A device has few buffers, and a film is there already: only a network's packets may wait.
        self._may_sleep = source.scheme.startswith("rtsp")
        self._arrivals = Arrivals(self.seconds_per_tick, time.monotonic())
        self._times_read = 0
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

        Blocks until there is one, and no longer than a fifth of a second for more: those that come
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
        has_slept = self._sleep()
        catches_up = self._times_read % _CATCH_UP_EVERY == 0
        self._times_read += 1
        arrivals = self._arrivals
        began = time.monotonic()
        while len(packets) < at_most:
            asked = time.monotonic()
            packet = self._next()
            if packet is None:
                break
            now = time.monotonic()
            waited_for = arrivals.was_waited_for(now - asked)
            came = arrivals.note(packet.dts, now, waited_for=waited_for)
            captured_at = int((time.time() - now + came) * 1_000_000)
            packets.append(self._translate(packet, session, sequence + len(packets), captured_at))
            if has_slept and (waited_for or (arrivals.next > now and not catches_up)):
                break
            # The next one may well take as long as this one took.
            if now - began + (now - asked) > _GATHER:
                break

    def _sleep(self) -> bool:
        """Let a live stream's packets wait in the socket, where they wake nobody, until it is time
        to read them: at the same moment for all cameras, so that whoever gets them wakes once for
        all. False where they come too seldom, or are behind already."""
        now = time.monotonic()
        if not self._may_sleep or self._arrivals.step >= _GATHER:
            return False
        if self._arrivals.next <= now - _GATHER:
            return False
        time.sleep(_GATHER - now % _GATHER)
        return True

    def _next(self) -> _Packet | None:
        """The next packet that can be read; None at the stream's end."""
        for _ in range(_CORRUPT_IN_A_ROW):
            try:
                packet = next(self._packets)
            except StopIteration:
                return None
            except av.error.InvalidDataError:
                self._packets = self._demultiplex()  # PyAV's iterator ends with its first error
                self.corrupt += 1
                continue
            except (av.error.FFmpegError, OSError) as error:
                why = _reason(error, self._source.scheme)
                silent = isinstance(error, (av.error.ExitError, TimeoutError))
                raise CameraOutage(
                    f"the camera ({self._source.public}) broke off: {why}",
                    Interruption.SILENT if silent else Interruption.BROKE_OFF,
                ) from None
            if packet.size == 0:  # how PyAV marks the end before it ends
                continue
            if packet.is_corrupt:
                self.corrupt += 1
            return packet
        raise CameraOutage(
            f"the camera ({self._source.public}) sends nothing that can be read",
            Interruption.UNREADABLE,
        )

    def close(self) -> None:
        self._container.close()

    def _demultiplex(self) -> Iterator[_Packet]:
        return self._container.demux(self._video)

    def _translate(
        self, packet: _Packet, session: int, sequence: int, captured_at: int
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
            captured_at=captured_at,
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
    (av.error.HTTPUnauthorizedError, "it refuses these credentials"),
    (av.error.HTTPForbiddenError, "it refuses these credentials"),
    (av.error.HTTPNotFoundError, "it has no stream under this path"),
    (av.error.ExitError, "it did not answer in time"),
    (av.error.EOFError, "its stream ended"),
    (FileNotFoundError, "there is no such file or device"),
    (IsADirectoryError, "it is a folder"),
    (PermissionError, "this user may not open it"),
    (ConnectionRefusedError, "nothing listens there"),
    (ConnectionError, "it hung up"),
    (TimeoutError, "it did not answer in time"),
)
_BY_NUMBER = {
    errno.EBUSY: "another program uses it",
    errno.EHOSTUNREACH: "there is no way to this host",
    errno.ENETUNREACH: "there is no way to this host",
    errno.ENODEV: "it is no camera",
    errno.ENOTTY: "it is no camera",
}


def _reason(error: Exception, scheme: str) -> str:
    """Why, in words that hold no address."""
    for kind, text in _BY_ERROR:
        if isinstance(error, kind):
            return text
    number = getattr(error, "errno", None)
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    if number == errno.EIO and scheme.startswith("rtsp"):
        return "its name is not known, or there is no network"
    if isinstance(error, av.error.InvalidDataError):
        is_live = scheme.startswith("rtsp")
        return "what it answers is no video stream" if is_live else "it holds no video"
    return type(error).__name__
