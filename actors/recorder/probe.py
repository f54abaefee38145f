"""Opening a segment as its manager does, to see that it can be opened. Not for use on a pole."""

from __future__ import annotations

__all__ = ["ProbeError", "SegmentReport", "newest_segment", "probe"]

import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import av.logging
import pyrage

from actors.recorder.index import PART, start_of
from runtime import SmartpoleError

# FFmpeg would write to standard error what it thinks of a stream that breaks off.
av.logging.set_level(None)


class ProbeError(SmartpoleError):
    """A segment that can't be found, decrypted or understood."""


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What a segment holds. ``seconds`` is the film's length."""

    path: Path
    opened_with: str
    codec: str
    width: int
    height: int
    pictures: int
    seconds: float
    broken_off: bool
    """Whether it ends before its end: its recorder or its disk failed."""

    def __str__(self) -> str:
        return (
            f"  {self.path.name}: opened with {self.opened_with}; video {self.codec} "
            f"{self.width}×{self.height}, {self.pictures} pictures, {self.seconds:.1f} s"
            + (", broken off there" if self.broken_off else "")
        )


def newest_segment(path: Path) -> Path:
    """The file itself, or the newest finished segment in a folder."""
    if not path.is_dir():
        return path
    try:
        names = sorted(
            (start, entry.name)
            for entry in path.iterdir()
            if (start := start_of(entry.name)) is not None
        )
    except OSError as error:
        raise ProbeError(f"{path} can't be read: {error.strerror}") from None
    if not names:
        waiting = any(entry.name.endswith(PART) for entry in path.iterdir())
        raise ProbeError(
            f"there is no finished segment in {path}"
            + (", but one that is still being written" if waiting else "")
        )
    return path / names[-1][1]


def probe(segment: Path, identity: Path) -> SegmentReport:
    """Decrypt a segment with a private key and look at its video, all in memory.

    It takes Debian's ``age`` where there is one, because that is the program that a manager
    would use, and pyrage elsewhere. Raises ProbeError with one line for a person.
    """
    for path, what in ((segment, "segment"), (identity, "private key")):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise ProbeError(f"the {what} {path} can't be read: {error.strerror}") from None
    program = shutil.which("age")
    if program is not None:
        film, complaint = _decrypt_with_age(program, segment, identity)
        opened_with = "age"
    else:
        film, complaint = _decrypt_with_pyrage(segment, identity)
        opened_with = "pyrage"
    if not film:
        raise ProbeError(f"{segment.name} can't be opened with {identity}: {complaint}")
    try:
        container = av.open(io.BytesIO(film), "r")
    except av.error.FFmpegError as error:
        raise ProbeError(_no_video(segment, error)) from None
    with container:
        if not container.streams.video:
            raise ProbeError(_no_video(segment, None))
        stream = container.streams.video[0]
        tick = float(stream.time_base or 0)
        shown: list[tuple[float, float]] = []
        try:
            for packet in container.demux(stream):
                if packet.size:
                    begin = (packet.pts or 0) * tick
                    shown.append((begin, begin + (packet.duration or 0) * tick))
        except av.error.FFmpegError as error:  # where a film breaks off, what came before counts
            if not shown:
                raise ProbeError(_no_video(segment, error)) from None
        return SegmentReport(
            path=segment,
            opened_with=opened_with,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            pictures=len(shown),
            seconds=max(end for _, end in shown) - min(begin for begin, _ in shown)
            if shown
            else 0.0,
            broken_off=bool(complaint),
        )


def _no_video(segment: Path, error: Exception | None) -> str:
    why = f" ({type(error).__name__})" if error else ""
    return f"{segment.name} was decrypted, but holds no video that can be read{why}"


def _decrypt_with_age(program: str, segment: Path, identity: Path) -> tuple[bytes, str]:
    """Plaintext as far as it goes, and what age complains of ("" if nothing)."""
    finished = subprocess.run(
        [program, "--decrypt", "--identity", str(identity), str(segment)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    if finished.returncode == 0:
        return finished.stdout, ""
    lines = finished.stderr.decode("utf-8", "replace").splitlines()
    complaint = lines[0].removeprefix("age: error: ") if lines else "age failed"
    return finished.stdout, complaint


def _decrypt_with_pyrage(segment: Path, identity: Path) -> tuple[bytes, str]:
    try:
        keys = [
            pyrage.x25519.Identity.from_str(line.strip())
            for line in identity.read_text("utf-8").splitlines()
            if line.strip() and not line.startswith("#")
        ]
    except (pyrage.IdentityError, UnicodeDecodeError):
        keys = []
    if not keys:
        return b"", "the private key's file holds no key that begins with AGE-SECRET-KEY-1"
    film = io.BytesIO()
    try:
        with segment.open("rb") as file:
            pyrage.decrypt_io(file, film, keys)
    except (pyrage.DecryptError, OSError, ValueError) as error:
        return film.getvalue(), str(error)
    return film.getvalue(), ""
