"""From packets to fragmented MP4, without transcoding: pictures stay as the camera sent them."""

from __future__ import annotations

__all__ = ["Remultiplexer", "Unmuxable"]

import io
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error
import av.logging

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.recorder.matroska import CODECS, describe
from runtime import SmartpoleError

# FFmpeg would write to standard error what it thinks of a stream.
av.logging.set_level(None)

FRAGMENT = 0.2
"""Seconds of film in one fragment: what is in the muxer's memory only, and lost in a power cut."""
_OPTIONS = {
    # Nothing is written back to: each fragment, once out, can be read without those after it. And
    # no table of places at the end, which would not know of the filler between the fragments.
    "movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer",
    "frag_duration": str(round(FRAGMENT * 1_000_000)),
    "flush_packets": "1",
}
_LONGEST_GAP = 10
"""Seconds between two pictures beyond which the camera's clock must have jumped."""


class Unmuxable(SmartpoleError):
    """A stream that MP4 can't hold, or a packet that makes no sense in it."""


class Remultiplexer:
    """Puts one run of packets with the same header into one fragmented MP4.

    ``mux`` and ``close`` return the bytes that came out: a fragment comes out when the key
    picture after it goes in. Times start at 0; where the camera's jump or run backwards, they go
    on evenly instead, and ``mended`` counts that.
    """

    def __init__(self, header: StreamHeader) -> None:
        """Raises Unmuxable where MP4 can't hold such a stream."""
        self.header = header
        self.produced = 0
        """Bytes that have come out so far."""
        self.mended = 0
        self._tick = Fraction(header.time_base_numerator, header.time_base_denominator)
        self._longest_gap = int(_LONGEST_GAP / self._tick)
        self._shift: int | None = None
        self._last = -1
        self._step = self._usual_step()
        self._output = _Collector()
        self._boxes = _Boxes()
        try:
            self._container = av.open(self._output, "w", format="mp4", options=_OPTIONS)
            self._stream = self._add_stream()
        # Whatever a library makes of what a camera may send must not stop the other cameras.
        except Exception as error:
            raise Unmuxable(
                f"a stream of codec {header.codec} ({header.width}×{header.height}) can't be "
                f"recorded ({type(error).__name__}). Accepted: {', '.join(CODECS)}, with a size"
            ) from None

    @property
    def seconds(self) -> float:
        """How long the film is so far, the latest picture's own time included."""
        return float((self._last + self._step) * self._tick) if self._last >= 0 else 0.0

    def mux(self, packet: EncodedPacket) -> bytes:
        """Add a packet. Raises Unmuxable for one that can't be added; the next one may fit."""
        if not packet.data:
            raise Unmuxable("a packet is empty")
        dts, pts = self._times(packet)
        try:
            encoded = av.Packet(packet.data)
            encoded.stream = self._stream
            encoded.time_base = self._tick
            encoded.dts, encoded.pts = dts, pts
            encoded.duration = min(max(packet.duration, 0), self._longest_gap)
            encoded.is_keyframe = packet.key
            self._container.mux_one(encoded)
        except Exception as error:
            raise Unmuxable(f"a packet can't be recorded ({type(error).__name__})") from None
        return self._take()

    def close(self) -> bytes:
        """End the film: its last fragment and what belongs at the end."""
        # What ends a film is dispensable: each fragment can be read without it.
        with suppress(av.error.FFmpegError, ValueError):
            self._container.close()
        return self._take()

    @property
    def step(self) -> float:
        """Seconds between the latest two pictures."""
        return float(self._step * self._tick)

    @property
    def can_be_filled(self) -> bool:
        """Whether what has come out so far ends where a box of the file format ends."""
        return self._boxes.at_end

    @staticmethod
    def filler(size: int) -> bytes:
        """So many bytes (8 or more) that every player passes over (ISO/IEC 14496-12, "free")."""
        return size.to_bytes(4, "big") + b"free" + bytes(size - 8)

    def _times(self, packet: EncodedPacket) -> tuple[int, int]:
        """When to decode and when to show it, in ticks from the segment's start."""
        given = packet.dts if packet.dts is not None else packet.pts
        if self._shift is None:
            self._shift = given or 0
        if given is None:
            dts = self._last + self._step
        elif self._last < given - self._shift <= self._last + self._longest_gap:
            dts = given - self._shift
        else:
            dts = self._last + self._step
            self._shift = given - dts
            self.mended += 1
        if self._last >= 0:
            self._step = dts - self._last
        self._last = dts
        return dts, dts if packet.pts is None else max(packet.pts - self._shift, dts)

    def _usual_step(self) -> int:
        """Ticks between two pictures, as far as the camera tells."""
        header = self.header
        rate = Fraction(header.frame_rate_numerator, header.frame_rate_denominator)
        return max(1, round(1 / (rate * self._tick))) if rate else 1

    def _add_stream(self) -> Any:
        header = self.header
        if not header.extradata:
            # Some streams carry their parameters in the pictures; PyAV looks for them there.
            return self._container.add_mux_stream(
                header.codec, width=header.width, height=header.height, time_base=self._tick
            )
        codec = av.Codec(header.codec, "r").canonical_name
        if codec not in CODECS:
            raise ValueError(codec)
        description = describe(codec, header.width, header.height, header.extradata)
        with av.open(io.BytesIO(description), format="matroska", options={"probesize": "32"}) as it:
            return self._container.add_stream_from_template(
                it.streams.video[0], opaque=True, time_base=self._tick
            )

    def _take(self) -> bytes:
        data = self._output.take()
        self._boxes.pass_over(data)
        self.produced += len(data)
        return data


class _Boxes:
    """Follows the boxes of which the file format is made, by their sizes."""

    def __init__(self) -> None:
        self._left = 0
        self._header = b""

    @property
    def at_end(self) -> bool:
        return not self._left and not self._header

    def pass_over(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            wanted = 16 if self._header[:4] == b"\0\0\0\1" else 8
            part = data[at : at + wanted - len(self._header)]
            self._header += part
            at += len(part)
            if self._header[:4] == b"\0\0\0\1" and len(self._header) < 16:
                continue  # its size stands behind its name
            if len(self._header) >= 8:
                is_long = len(self._header) == 16
                size = int.from_bytes(self._header[8:] if is_long else self._header[:4], "big")
                self._left, self._header = size - len(self._header), b""


class _Collector:
    """What the muxer writes to: memory, so that no error of a disk has to pass through FFmpeg."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
