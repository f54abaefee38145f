"""From encoded packets to the few pictures that are looked at."""

from __future__ import annotations

__all__ = ["PictureDecoder", "SampledPicture"]

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from actors.camera.messages import EncodedPacket, StreamHeader


class SampledPicture:
    """One decoded picture in memory, for as long as it is looked at.

    ``rgb`` (uint8, height × width × 3) is a view of the only copy that this program holds besides
    the decoder's own reference pictures. ``erase`` overwrites it (guideline 5.2(1), 6.2(1)).
    """

    def __init__(self, frame: av.VideoFrame, captured_at: int) -> None:
        self._frame = frame
        plane = frame.planes[0]
        self.captured_at = captured_at
        """Microseconds since 1970, when its packet arrived."""
        self.rgb: NDArray[np.uint8] = np.ndarray(
            (frame.height, frame.width, 3),
            np.uint8,
            buffer=memoryview(plane),
            strides=(plane.line_size, 3, 1),
        )

    def erase(self) -> None:
        """Overwrite the picture with zeros."""
        self.rgb.fill(0)


class PictureDecoder:
    """Decodes every packet (each needs the one before), and hands out one picture an interval.

    ``interval`` is in seconds of the stream's own time; 0 hands out every picture. ``width`` is the
    widest picture handed out, in pixels; wider ones are scaled down.
    """

    def __init__(self, *, interval: float, width: int, threads: int) -> None:
        self._interval = interval
        self._width = width
        self._threads = threads
        self._decoder: av.VideoCodecContext | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._tick = Fraction(1, 1)
        self._session = -1
        self._expected = -1
        self._next_due: float | None = None
        self.skipped = 0
        """Packets passed over: before a key picture, or not decodable."""

    def feed(self, packet: EncodedPacket) -> Iterator[SampledPicture]:
        """Decode one packet. The caller erases what it gets before it asks for more."""
        if packet.session != self._session or packet.sequence != self._expected:
            # Something is missing: what follows makes no sense before the next key picture.
            self._decoder = None
            if packet.session != self._session:
                self._next_due = None
        self._session, self._expected = packet.session, packet.sequence + 1
        if self._decoder is None:
            if packet.header is None or not packet.key:
                self.skipped += 1
                return
            self._decoder = self._open(packet.header)
        encoded = av.Packet(packet.data)
        encoded.pts, encoded.dts = packet.pts, packet.dts
        encoded.time_base = self._tick
        try:
            frames = self._decoder.decode(encoded)
        except av.error.FFmpegError:
            self.skipped += 1
            return
        for frame in frames:
            if self._is_due(frame):
                yield self._sample(frame, packet.captured_at)

    def _open(self, header: StreamHeader) -> av.VideoCodecContext:
        decoder = av.CodecContext.create(header.codec, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.extradata = header.extradata or None
        decoder.thread_count = self._threads
        decoder.width, decoder.height = header.width, header.height
        self._tick = Fraction(header.time_base_numerator, header.time_base_denominator)
        return decoder

    def _is_due(self, frame: av.VideoFrame) -> bool:
        if not self._interval or frame.pts is None:
            return True
        shown = float(frame.pts * self._tick)
        if self._next_due is None or shown < self._next_due - 2 * self._interval:
            self._next_due = shown  # a new stream, or times that jumped back
        if shown < self._next_due:
            return False
        # Counted on from when it was due, so that a slow rate of pictures adds no drift; but what
        # was missed is not made up for.
        self._next_due = max(self._next_due + self._interval, shown)
        return True

    def _sample(self, frame: av.VideoFrame, captured_at: int) -> SampledPicture:
        width = min(self._width, frame.width)
        height = round(frame.height * width / frame.width)
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
        )
        return SampledPicture(scaled, captured_at)
