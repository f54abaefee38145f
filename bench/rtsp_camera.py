"""A real camera on the network, for benchmarks and tests: GStreamer's RTSP server."""

from __future__ import annotations

__all__ = ["RtspServer", "rtsp_server_lacks"]

import functools
import signal
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import av

_SYSTEM_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("rtsp_server.py")


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
        digest: bool = False,
        back_every: int = 0,
        change: Callable[[list[bytes]], list[bytes]] = lambda units: units,
    ) -> None:
        """``change`` gets the film's access units and says what is sent instead."""
        self.port = 0
        codec, size, units = _access_units(film)
        self._options = [
            f"--rate={rate}", f"--at-most={at_most}", f"--user={user}", f"--codec={codec}",
            f"--back-every={back_every}", *([f"--size={size}"] if codec == "mjpeg" else []),
            *(["--digest"] if digest else []),
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
