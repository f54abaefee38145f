"""Films and a real RTSP camera for tests."""

from __future__ import annotations

__all__ = ["RtspServer", "make_film", "packets_of", "rtsp_server_lacks"]

import functools
import signal
import struct
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from actors.camera.link import CameraStream
from actors.camera.messages import EncodedPacket
from runtime import SourceAddress

_SYSTEM_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("rtsp_server.py")
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


@functools.cache
def rtsp_server_lacks() -> str:
    """Why no RTSP server can run here, or nothing."""
    asked = "import gi; gi.require_version('GstRtspServer', '1.0')"
    elements = "appsrc h264parse rtph264pay"
    try:
        subprocess.run([_SYSTEM_PYTHON, "-c", asked], check=True, capture_output=True, timeout=30)
        missing = [
            element
            for element in elements.split()
            if subprocess.run(
                [_SYSTEM_PYTHON, _SERVER, "--has", element], capture_output=True, timeout=30
            ).returncode
        ]
    except (OSError, subprocess.SubprocessError):
        return "Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi are not installed"
    return f"GStreamer's plugins lack {', '.join(missing)}" if missing else ""


class RtspServer:
    """A camera on the network: GStreamer's RTSP server in a process of its own.

    ``port`` stays the same over ``kill`` and ``start``, so that it can come back.
    """

    def __init__(
        self,
        film: Path,
        *,
        rate: int = 25,
        at_most: int = 0,
        user: str = "",
        back_every: int = 0,
        change: Callable[[list[bytes]], list[bytes]] = lambda units: units,
    ) -> None:
        """``change`` gets the film's access units and says what is sent instead."""
        self.port = 0
        codec, size, units = _access_units(film)
        self._options = [
            f"--rate={rate}", f"--at-most={at_most}", f"--user={user}", f"--codec={codec}",
            f"--back-every={back_every}", *([f"--size={size}"] if codec == "mjpeg" else []),
        ]  # fmt: skip
        self._folder = tempfile.TemporaryDirectory()
        self._units = Path(self._folder.name) / "film.units"
        self._units.write_bytes(
            b"".join(struct.pack(">I", len(unit)) + unit for unit in change(units))
        )
        self._process: subprocess.Popen[str] | None = None

    def address(self, user: str = "") -> str:
        return f"rtsp://{user + '@' if user else ''}127.0.0.1:{self.port}/street"

    def start(self) -> None:
        """Come up, on the same port as before; ready when it returns."""
        self._process = subprocess.Popen(
            [_SYSTEM_PYTHON, _SERVER, self._units, f"--port={self.port}", *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As if its plug were pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def fall_silent(self) -> None:
        """Keep connections open and send nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.cleanup()


def _access_units(film: Path) -> tuple[str, str, list[bytes]]:
    """The film's codec, its size, and its access units in the form in which RTP carries them."""
    with av.open(film) as container:
        video = container.streams.video[0]
        codec = video.codec_context.name
        size = f"{video.codec_context.width}x{video.codec_context.height}"
        packets = [packet for packet in container.demux(video) if packet.size]
        if codec == "mjpeg":
            return codec, size, [bytes(packet) for packet in packets]
        convert = av.BitStreamFilterContext(f"{codec}_mp4toannexb", video)
        return codec, size, [bytes(unit) for packet in packets for unit in convert.filter(packet)]
