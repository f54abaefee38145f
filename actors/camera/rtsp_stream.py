"""One camera's stream over RTSP, from its opening to its end."""

from __future__ import annotations

__all__ = ["NoVideo", "RtspStream"]

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

GATHER = 0.2
"""Seconds for which packets wait in the socket, where they wake nobody."""
_REORDERED = 3
"""Pictures that may be sent before one that is shown earlier, where any are."""
_LONGEST_REORDERED = 2
"""Seconds."""
_WRONG_IN_A_ROW = 50
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
    """Reads a camera's pictures as they come; the same as ``CameraStream`` to who uses it."""

    def __init__(self, connection: RtspConnection, url: str, timeout: float) -> None:
        """Set it up and have it sent. Raises NoVideo, UnknownVideo, and as the connection does."""
        media = video_in(connection.describe(url))
        if media is None:
            raise NoVideo
        self._connection = connection
        self._timeout = timeout
        self._media = media
        self.seconds_per_tick = Fraction(1, media.clock_rate)
        self._receiver = RtpReceiver(media.payload_type, _PAYLOADS[media.codec]())
        self._channel = connection.play(media.control)
        self._description = _Description(media)
        self._units: list[AccessUnit] = []
        self._arrivals = Arrivals(self.seconds_per_tick, time.monotonic())
        self._emptied = time.monotonic()
        """When everything that had come was read."""
        self._is_first = True
        self._is_over = False
        self._wrong = 0

    @property
    def corrupt(self) -> int:
        """Packets that are missing or could not be used."""
        return self._receiver.damaged

    def read(self, session: int, sequence: int, at_most: int) -> list[EncodedPacket]:
        """See ``CameraStream.read``. Raises OSError and RtspTrouble where the stream breaks."""
        if not self._units and not self._is_over:
            self._sleep()
            self._fetch(at_most)
        now = time.monotonic()
        clock = time.time() - now
        units, self._units = self._units[:at_most], self._units[at_most:]
        packets = []
        for number, unit in enumerate(units, sequence):
            came = self._arrivals.note(unit.ticks, earliest=self._emptied, latest=now)
            header = None
            if unit.key or self._is_first:
                header, self._is_first = self._description.of(unit), False
            packets.append(
                EncodedPacket(
                    session=session,
                    sequence=number,
                    key=unit.key,
                    pts=unit.ticks,
                    dts=self._description.decoding_time(unit.ticks),
                    duration=0,
                    captured_at=int((clock + came) * 1_000_000),
                    header=header,
                    data=unit.data,
                )
            )
        if not self._units:
            self._emptied = now
        return packets

    def close(self) -> None:
        self._connection.close()

    def _sleep(self) -> None:
        """Until the next of the moments at which all cameras are read, so that whoever gets their
        packets wakes once for all of them. Not for pictures that come more seldom than that."""
        if self._arrivals.step < GATHER:
            time.sleep(GATHER - time.monotonic() % GATHER)

    def _fetch(self, at_most: int) -> None:
        """Read what has come; wait where no picture is complete."""
        until = time.monotonic() + self._timeout
        while len(self._units) < at_most and not self._is_over:
            came = self._connection.receive(wait_until=None if self._units else until)
            if came is None:
                self._end()
            elif came:
                self._take(came)
            elif self._units:
                break

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
        self._is_over = True


class _Description:
    """What must be known of a stream before its first picture; read anew where it changes."""

    def __init__(self, media: VideoMedia) -> None:
        self._media = media
        self._sets = parameter_sets(media.codec, media.parameters)
        if media.codec == "mpeg4":
            self._sets = _from_hex(media.parameters.get("config", ""))
        self._header: StreamHeader | None = None
        self._looked_at = b""
        self._is_reordered = False
        self._times: list[int] = []
        self._latest = 0

    def of(self, unit: AccessUnit) -> StreamHeader:
        """The header for the picture."""
        self._sets = unit.sets or self._sets
        looked_at = self._sets or unit.data[:1024]
        if self._header is None or looked_at != self._looked_at:
            self._header, self._looked_at = self._read(unit), looked_at
        return self._header

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
