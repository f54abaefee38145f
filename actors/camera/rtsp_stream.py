"""One camera's stream over RTSP, from its opening to its end."""

from __future__ import annotations

__all__ = ["Description", "NoVideo", "RtspStream"]

import heapq
import io
import time
from collections.abc import Sequence
from fractions import Fraction

import av
import av.error

from actors.camera.arrivals import Arrivals
from actors.camera.jpeg import JpegPayload
from actors.camera.messages import EncodedPacket, StreamHeader
from actors.camera.mpeg4 import Mpeg4Payload
from actors.camera.nal_units import H264Payload, H265Payload, parameter_sets
from actors.camera.rtp import AccessUnit, Payload, RtpReceiver
from actors.camera.rtsp import Interleaved, RtspConnection, RtspTrouble
from actors.camera.sdp import VideoMedia, video_in
from runtime.clock import boottime

GATHER = 0.2
"""Seconds for which packets wait in the socket, where they wake nobody."""
_REORDERED = 3
"""Pictures that may be sent before one that is shown earlier, where any are."""
_LONGEST_REORDERED = 2
"""Seconds."""
_WRONG_IN_A_ROW = 50
_JPEG_FRAME = b"\xff\xc0\0\x11\x08"
"""Before the size of a JPEG picture."""
_PAYLOADS: dict[str, type[Payload]] = {
    "h264": H264Payload,
    "hevc": H265Payload,
    "mjpeg": JpegPayload,
    "mpeg4": Mpeg4Payload,
}
_RAW_FORMATS = {"h264": "h264", "hevc": "hevc", "mjpeg": "mjpeg", "mpeg4": "m4v"}


class NoVideo(Exception):
    """The camera describes a session without video."""


class RtspStream:
    """A camera's pictures as they come. Only to set it up and to look at a picture blocks; all
    methods raise OSError and RtspTrouble where the stream breaks."""

    def __init__(self, connection: RtspConnection, url: str) -> None:
        """Set it up and have it sent. Raises NoVideo, UnknownVideo, and as the connection does."""
        media = video_in(connection.describe(url))
        if media is None:
            raise NoVideo
        self._connection = connection
        self.seconds_per_tick = Fraction(1, media.clock_rate)
        self._receiver = RtpReceiver(media.payload_type, _PAYLOADS[media.codec]())
        self._channel = connection.play(media.control)
        self._description = Description(media)
        self._units: list[AccessUnit] = []
        self._arrivals = Arrivals(self.seconds_per_tick, time.monotonic())
        self._emptied = time.monotonic()
        """When everything that had come was read."""
        self._is_first = True
        self.is_over = False
        self._wrong = 0

    @property
    def corrupt(self) -> int:
        """Packets that are missing or could not be used."""
        return self._receiver.damaged

    @property
    def is_unknown(self) -> bool:
        """Whether the next picture must be looked at before it can be taken."""
        return bool(self._units) and self._needs_look(self._units[0])

    @property
    def rest(self) -> float:
        """Seconds until the next of the moments at which all cameras are read, so that whoever gets
        their packets wakes once for all. 0 where pictures come more seldom, or wait here already.
        """
        if self._units or self._arrivals.step >= GATHER:
            return 0.0
        return GATHER - time.monotonic() % GATHER

    def fileno(self) -> int:
        """To wait for what ``fetch`` reads."""
        return self._connection.fileno()

    def fetch(self, at_most: int) -> None:
        """Read what has come, until there are so many pictures."""
        while len(self._units) < at_most and not self.is_over:
            came = self._connection.receive()
            if came is None:
                self._end()
            elif came:
                self._take(came)
            else:
                break

    def look(self) -> None:
        """See what the next picture is like. Blocks."""
        self._description.look(self._units[0])

    def take(self, session: int, sequence: int, at_most: int) -> list[EncodedPacket]:
        """The pictures that have been fetched, as packets, up to one that must be looked at."""
        packets: list[EncodedPacket] = []
        now = time.monotonic()
        clock, since_boot = time.time() - now, boottime() / 1_000_000 - now
        for unit in self._units[:at_most]:
            if self._needs_look(unit):
                break
            came = self._arrivals.note(unit.ticks, earliest=self._emptied, latest=now)
            header = self._description.header if unit.key or self._is_first else None
            self._is_first = False
            packets.append(
                EncodedPacket(
                    session=session,
                    sequence=sequence + len(packets),
                    key=unit.key,
                    pts=unit.ticks,
                    dts=self._description.decoding_time(unit.ticks),
                    duration=0,
                    captured_at=int((clock + came) * 1_000_000),
                    boottime=int((since_boot + came) * 1_000_000),
                    header=header,
                    data=unit.data,
                )
            )
        del self._units[: len(packets)]
        if not self._units:
            self._emptied = now
        return packets

    def close(self) -> None:
        """Blocks for a moment."""
        self._connection.close()

    def _needs_look(self, unit: AccessUnit) -> bool:
        return (unit.key or self._is_first) and not self._description.knows(unit)

    def _take(self, came: Sequence[Interleaved]) -> None:
        receiver, channel, done = self._receiver, self._channel, self._units.append
        for number, data in came:
            if number == channel:
                if receiver.packet(data, done):
                    self._wrong = 0
                else:
                    self._wrong += 1
            elif number == channel + 1:
                receiver.control(data)
        receiver.keep()
        if self._wrong >= _WRONG_IN_A_ROW:
            raise RtspTrouble
        if receiver.has_ended:
            self._end()

    def _end(self) -> None:
        self._receiver.flush(self._units.append)
        self.is_over = True


class Description:
    """What must be known of a stream before its first picture; looked at anew where it changes."""

    def __init__(self, media: VideoMedia) -> None:
        self._media = media
        self._sets = parameter_sets(media.codec, media.parameters)
        if media.codec == "mpeg4":
            self._sets = _from_hex(media.parameters.get("config", ""))
        self.header: StreamHeader | None = None
        """As the latest look showed it."""
        self._mark = b""
        """What would be another one in another stream."""
        self._is_reordered = False
        self._times: list[int] = []
        self._latest = 0

    def knows(self, unit: AccessUnit) -> bool:
        """Whether the header is the picture's, too."""
        return (
            self.header is not None and self.header.width > 0 and self._mark_of(unit) == self._mark
        )

    def look(self, unit: AccessUnit) -> None:
        """See what the picture is like. Blocks."""
        self._sets = unit.sets or self._sets
        self._mark = self._mark_of(unit)
        self.header = self._read(unit)

    def _mark_of(self, unit: AccessUnit) -> bytes:
        if self._media.codec == "mjpeg":
            place = unit.data.find(_JPEG_FRAME)
            return unit.data[place : place + len(_JPEG_FRAME) + 4]
        return unit.sets or self._sets

    def decoding_time(self, ticks: int) -> int:
        """When to decode the picture to be shown then. They come in the order of decoding; where
        that is another, the times are the same ones in their order, some pictures later."""
        second = self._media.clock_rate
        passed, self._latest = ticks - self._latest, ticks
        if abs(passed) > _LONGEST_REORDERED * second:
            self._times.clear()
        elif passed < 0:  # not every camera says beforehand that it does so
            self._is_reordered = True
        if not self._is_reordered:
            return ticks
        if not self._times:  # before the first one is shown
            self._times = [ticks - early for early in range(_REORDERED, 0, -1)]
        heapq.heappush(self._times, ticks)
        return heapq.heappop(self._times)

    def _read(self, unit: AccessUnit) -> StreamHeader:
        width = height = 0
        rate = self._media.frame_rate
        film = io.BytesIO(self._sets + unit.data)
        try:
            with av.open(film, format=_RAW_FORMATS[self._media.codec]) as container:
                video = container.streams.video[0].codec_context
                width, height = video.width, video.height
                self._is_reordered = bool(video.has_b_frames)
        except (av.error.FFmpegError, IndexError, AttributeError):
            pass  # its size is told by a later key picture
        return StreamHeader(
            codec=self._media.codec,
            width=width,
            height=height,
            extradata=self._sets,
            time_base_numerator=1,
            time_base_denominator=self._media.clock_rate,
            frame_rate_numerator=rate.numerator,
            frame_rate_denominator=rate.denominator,
        )


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
