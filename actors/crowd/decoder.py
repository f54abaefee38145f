"""From encoded packets to the few pictures that are looked at."""

from __future__ import annotations

__all__ = ["PictureDecoder", "SampledPicture"]

import time
from collections.abc import Iterator
from contextlib import nullcontext
from fractions import Fraction

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.crowd.memory import PictureMemory
from runtime.memory import Lease, overwriting_what_is_freed


class _Unready(Exception):
    """This packet alone gives no picture."""


_UNDECODABLE = (_Unready, av.error.FFmpegError, ValueError, OverflowError, MemoryError)
"""What FFmpeg and PyAV answer to what no decoder understands."""


class SampledPicture:
    """One decoded picture in memory, for as long as it is looked at.

    ``rgb`` (uint8, height × width × 3) is the only copy that this program holds besides the
    decoder's own reference pictures. ``erase`` overwrites it (guideline 5.2(1), 6.2(1)).
    """

    def __init__(
        self,
        frame: av.VideoFrame,
        captured_at: int,
        memory: PictureMemory,
        *,
        shared: bool = False,
    ) -> None:
        """``shared``: the decoder needs this very frame for what follows."""
        self.captured_at = captured_at
        """Microseconds since 1970, when its packet arrived."""
        self.decoded_in = 0.0
        """Seconds from the packet to this picture."""
        self._lease: Lease | None = None
        plane = frame.planes[0]
        shape = (frame.height, frame.width, 3)
        given = np.frombuffer(memoryview(plane), np.uint8)
        rows: NDArray[np.uint8] = np.ndarray(
            shape, np.uint8, buffer=given.data, strides=(plane.line_size, 3, 1)
        )
        self._rgb: NDArray[np.uint8] | None = rows
        if not PictureMemory.erases:
            return
        self._lease = memory.lease(rows.size)
        self._rgb = np.frombuffer(self._lease.memory, np.uint8).reshape(shape)
        np.copyto(self._rgb, rows)
        if not shared:
            # Also what lies behind the end of each line, where scaling may write.
            given.fill(0)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture. Raises ValueError once it has been erased."""
        if self._rgb is None:
            raise ValueError("the picture has been erased")
        return self._rgb

    def erase(self) -> None:
        """Overwrite the picture with zeros, and give its memory back.

        Who has kept ``rgb`` sees zeros from now on, and never the next picture.
        """
        self._rgb = None
        if self._lease is not None:
            self._lease.release()


class PictureDecoder:
    """Decodes every packet (each needs the one before), and hands out one picture an interval.

    ``interval`` is in seconds of the stream's own time; 0 hands out every picture. ``width`` is the
    widest picture handed out, in pixels; wider ones are scaled down.
    """

    def __init__(
        self, *, interval: float, width: int, threads: int, memory: PictureMemory | None = None
    ) -> None:
        self._memory = memory or PictureMemory()
        self._interval = Fraction(interval).limit_denominator(1_000_000)
        self._width = width
        self._threads = threads
        self._decoder: av.VideoCodecContext | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._header: StreamHeader | None = None
        self._tick = Fraction(1, 1)
        self._session = -1
        self._expected = -1
        self._origin: Fraction | None = None
        self._looked_in = -1
        self._shown = self._period = Fraction(0)
        self.skipped = 0
        """Packets passed over: before a key picture, or not decodable."""

    def feed(self, packet: EncodedPacket) -> Iterator[SampledPicture]:
        """Decode one packet. The caller erases what it gets before it asks for more."""
        began = time.perf_counter()
        if packet.session != self._session or packet.sequence != self._expected:
            # Something is missing: what follows makes no sense before the next key picture.
            self._close()
            if packet.session != self._session:
                self._origin = None
        self._session, self._expected = packet.session, packet.sequence + 1
        if packet.key and packet.header not in (None, self._header):
            self._close()
        try:
            frames = self._decode(packet)
        except _UNDECODABLE:
            self._close()
            self.skipped += 1
            return
        for frame in frames:
            picture = None
            if self._is_due(frame):
                try:
                    picture = self._sample(frame, packet.captured_at, began)
                except _UNDECODABLE:
                    self.skipped += 1
            self._forget(frame)
            if picture is not None:
                yield picture
                del picture
                began = time.perf_counter()

    def _close(self) -> None:
        """Have no decoder, nor any of its pictures."""
        if self._decoder is None:
            return
        with overwriting_what_is_freed() if PictureMemory.erases else nullcontext():
            self._decoder = None

    def _decode(self, packet: EncodedPacket) -> list[av.VideoFrame]:
        if self._decoder is None:
            if packet.header is None or not packet.key:
                raise _Unready
            self._decoder = self._open(packet.header)
        if not packet.data:
            raise _Unready  # to FFmpeg, a packet without data says that no more will come
        encoded = av.Packet(packet.data)
        encoded.pts, encoded.dts = packet.pts, packet.dts
        encoded.time_base = self._tick
        return self._decoder.decode(encoded)

    def _open(self, header: StreamHeader) -> av.VideoCodecContext:
        decoder = av.CodecContext.create(header.codec, "r")
        if not isinstance(decoder, av.VideoCodecContext):
            raise _Unready
        decoder.extradata = header.extradata or None
        decoder.thread_count = self._threads
        decoder.width, decoder.height = header.width, header.height
        self._header = header
        self._tick = Fraction(header.time_base_numerator, header.time_base_denominator)
        rate = Fraction(header.frame_rate_numerator, header.frame_rate_denominator)
        self._period = 1 / rate if rate else Fraction(1, 25)
        return decoder

    def _is_due(self, frame: av.VideoFrame) -> bool:
        """Whether it is the first picture in its interval, counted from the session's first.

        Exact, so that no rate of pictures adds a drift; what was missed is not made up for.
        """
        if not self._interval:
            return True
        # A picture without a time follows the one before.
        shown = self._shown + self._period if frame.pts is None else frame.pts * self._tick
        self._shown = shown
        if self._origin is not None:
            number = (shown - self._origin) // self._interval
            if self._looked_in - 2 <= number <= self._looked_in:
                return False
            if number > self._looked_in:
                self._looked_in = number
                return True
        # A new stream, or times that jumped back.
        self._origin, self._looked_in = shown, 0
        return True

    def _forget(self, frame: av.VideoFrame) -> None:
        """Overwrite what a decoder of single pictures keeps for reuse; no later one needs it.

        Other decoders still refer to their pictures, and replace them by and by.
        """
        if PictureMemory.erases and self._decoder is not None and self._decoder.codec.intra_only:
            for plane in frame.planes:
                np.frombuffer(memoryview(plane), np.uint8).fill(0)

    def _sample(self, frame: av.VideoFrame, captured_at: int, began: float) -> SampledPicture:
        width = min(self._width, frame.width)
        height = max(1, round(frame.height * width / frame.width))
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=self._threads,
        )
        picture = SampledPicture(scaled, captured_at, self._memory, shared=scaled is frame)
        picture.decoded_in = time.perf_counter() - began
        return picture
