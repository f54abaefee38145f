"""Films for tests."""

from __future__ import annotations

__all__ = ["make_film", "packets_of"]

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from actors.camera.link import CameraStream
from actors.camera.messages import EncodedPacket
from runtime import SourceAddress

_OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "sliced-threads=0"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
}


def make_film(
    path: Path,
    *,
    codec: str = "libx264",
    pictures: int = 20,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    key_every: int = 10,
) -> Path:
    """A film of a square that moves, without B-frames, as a camera would encode it."""
    width, height = size
    with av.open(path, "w") as made:
        stream = made.add_stream(codec, rate=rate, options=_OPTIONS.get(codec, {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = key_every
        for number in range(pictures):
            picture = np.full((height, width, 3), 60, np.uint8)
            left = number % (width - 16)
            picture[8 : height // 2, left : left + 16] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


def packets_of(film: Path, *, session: int = 1) -> list[EncodedPacket]:
    """A film's packets, as the camera actor sends them."""
    stream = CameraStream(av.open(film), SourceAddress(f"file:{film}"))
    try:
        return stream.read(session, 0, 1_000_000)
    finally:
        stream.close()
