"""From encoded packets to the few pictures that are looked at."""

from __future__ import annotations

__all__ = ["PictureDecoder", "SampledPicture"]

import math
import time
from collections import deque
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

_UNEVEN = Fraction(11, 10)
"""How much longer than the interval a group of pictures may be to count as one interval: cameras'
clocks are a little uneven."""


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


class _Groups:
    """How far apart key pictures are, as far as the last few tell."""

    def __init__(self) -> None:
        self.have_others = False
        """Whether any picture is no key picture."""
        self._began: Fraction | None = None
        self._lengths: deque[Fraction] = deque(maxlen=4)

    def begin(self, shown: Fraction) -> None:
        """A key picture."""
        self.stretch(shown)
        self._began = shown

    def stretch(self, shown: Fraction) -> None:
        """The latest group lasts until now, at least."""
        if self._began is None:
            return
        if shown <= self._began:
            self._lengths.clear()
        else:
            self._lengths.append(shown - self._began)

    def lasts(self, shown: Fraction, longer_than: Fraction) -> bool:
        """Whether the latest group has gone on for longer than that."""
        return self._began is not None and shown - self._began > longer_than

    @property
    def longest(self) -> Fraction | None:
        """None: not known."""
        return max(self._lengths) if len(self._lengths) > 1 else None


class PictureDecoder:
    """Decodes what is needed to hand out one picture an interval.

    ``interval`` is in seconds of the stream's own time; 0 hands out every picture. ``width`` is the
    widest picture handed out, in pixels; wider ones are scaled down.

    A picture needs all since the last key picture. So where key pictures come at least once an
    interval, it is they that are handed out, and nothing else is decoded: a fraction of the work,
    and no picture need stay in the decoder. Otherwise every packet is decoded. Where a camera
    stretches its groups beyond the interval, this is noticed at the end of one, and until then no
    picture is handed out.
    """

    def __init__(
        self, *, interval: float, width: int, threads: int, memory: PictureMemory | None = None
    ) -> None:
        self._memory = memory or PictureMemory()
        self._interval = Fraction(interval).limit_denominator(1_000_000)
        self._longest_group = self._interval * _UNEVEN
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
        self._groups = _Groups()
        self._only_keys = False
        self._shift = Fraction(0)
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
                self._groups = _Groups()
        self._session, self._expected = packet.session, packet.sequence + 1
        if packet.key and packet.header not in (None, self._header):
            self._close()
        if self._may_pass_over(packet):
            return
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

    def _may_pass_over(self, packet: EncodedPacket) -> bool:
        """Whether this packet is needed neither for itself nor for what follows."""
        if not self._interval or packet.pts is None:
            self._only_keys = False
            return False
        shown = packet.pts * self._tick_of(packet)
        if not packet.key:
            self._groups.have_others = True
            if self._only_keys and self._groups.lasts(shown, longer_than=self._longest_group):
                self._groups.stretch(shown)
            return self._only_keys
        self._groups.begin(shown)
        length = self._groups.longest
        self._only_keys = length is not None and length <= self._longest_group
        # Where there is about one key picture an interval, a little unevenness must not leave an
        # interval without: it is taken for the interval whose beginning it is nearest to.
        near = (
            self._only_keys
            and self._groups.have_others
            and length is not None
            and 2 * length > self._interval
        )
        self._shift = Fraction(1, 2) if near else Fraction(0)
        return self._only_keys and not self._is_new(shown)

    def _tick_of(self, packet: EncodedPacket) -> Fraction:
        header = packet.header
        if header is None:
            return self._tick
        return Fraction(header.time_base_numerator, header.time_base_denominator)

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
        frames = self._decoder.decode(encoded)
        if self._only_keys:
            # It comes now, and not only with the packets that are passed over.
            frames += self._decoder.decode(None)
            self._decoder.flush_buffers()
        return frames

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
        if not self._is_new(shown):
            return False
        number = self._number(shown)
        if number is not None and number > self._looked_in:
            self._looked_in = number
        else:  # a new stream, or times that jumped back
            self._origin, self._looked_in = shown, 0
        return True

    def _number(self, shown: Fraction) -> int | None:
        """Of the interval that this time belongs to."""
        if self._origin is None:
            return None
        return math.floor((shown - self._origin) / self._interval + self._shift)

    def _is_new(self, shown: Fraction) -> bool:
        """Whether no picture of that interval has been handed out."""
        number = self._number(shown)
        return number is None or not self._looked_in - 2 <= number <= self._looked_in

    def _forget(self, frame: av.VideoFrame) -> None:
        """Overwrite what the decoder keeps for reuse, where no later picture needs it.

        Otherwise it still refers to its pictures, and replaces them by and by.
        """
        if self._decoder is None or not PictureMemory.erases:
            return
        if self._only_keys or self._decoder.codec.intra_only:
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
