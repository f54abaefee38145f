"""After a picture has been looked at, it is nowhere in the process's memory.

A process of its own looks at a film; this one knows what its pictures are, in each form that the
code gives them, and searches the other's memory for pieces of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.camera.footage import CARPHONE
from actors.crowd.decoder import PictureDecoder
from models import FaceDetector, ModelStore, Search, open_session
from models.attributes import MASK_SIDE, MASK_SQUARE, MEAN, SCALE, chip
from models.crop import crop_square
from models.geometry import Square
from models.person import MEAN as PERSON_MEAN
from models.person import SCALE as PERSON_SCALE
from models.picture import PictureInput
from tests.cameras import packets_of
from tests.memory_scan import find_in_process

pytestmark = [pytest.mark.models, pytest.mark.footage, pytest.mark.real_time]

ROOT = Path(__file__).parents[3]
PICTURES = 6
Patterns = dict[str, list[bytes]]


def make_film(path: Path, codec: str, face: Path) -> Path:
    """A face, and beside it noise that is another in each picture."""
    with av.open(face) as source:
        shown = next(source.decode(video=0)).reformat(640, 480, "rgb24").to_ndarray()
    noise = np.random.default_rng(7)
    with av.open(path, "w") as made:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "8"}
        stream = made.add_stream(codec, rate=10, options=options if codec == "libx264" else {})
        stream.width, stream.height = 640, 480
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(PICTURES):
            picture = shown.copy()
            blocks = noise.integers(0, 256, (120, 80, 3), np.uint8)
            picture[:, 480:] = blocks.repeat(4, axis=0).repeat(2, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module", params=["mjpeg", "libx264"])
def film(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, street: Path
) -> Path:
    codec: str = request.param
    path = tmp_path_factory.mktemp("film") / ("film.avi" if codec == "mjpeg" else "film.mp4")
    return make_film(path, codec, street.parent / CARPHONE.name)


def pieces(rows: NDArray[np.uint8] | NDArray[np.float32]) -> list[bytes]:
    """Some of an array's rows: of each a piece of 48 bytes that is not monotonous."""
    found = []
    flat = rows.reshape(-1, rows.shape[-1])
    length = 48 // flat.itemsize
    for row in flat[:: max(1, len(flat) // 6)]:
        for start in (len(row) // 8, len(row) - length - 8):
            piece = row[start : start + length]
            if len(np.unique(piece)) >= 6:
                found.append(piece.tobytes())
    return found


@pytest.fixture(scope="module")
def patterns(film: Path, models_folder: Path) -> Patterns:
    """Pieces of the film's first and last picture, by form."""
    faces = FaceDetector(open_session(ModelStore(models_folder).load("face")))
    person = PictureInput(bgr=True, mean=PERSON_MEAN, scale=PERSON_SCALE)
    plain = PictureInput()
    found: Patterns = {"rgb": [], "face input": [], "person input": [], "crops": []}
    decoder = PictureDecoder(interval=0, width=768, threads=1)
    for number, packet in enumerate(packets_of(film)):
        for picture in decoder.feed(packet):
            if number not in (0, PICTURES - 1):
                continue
            rgb = picture.rgb
            found["rgb"] += pieces(rgb.reshape(rgb.shape[0], -1))
            found["face input"] += pieces(plain.load(rgb)[0])
            reduced = min(1.0, Search().person_width / rgb.shape[1])
            found["person input"] += pieces(person.load(rgb, reduced)[0])
            (face, *_) = faces.detect(rgb)
            around = Square(*face.box.centre, max(face.box.width, face.box.height) * MASK_SQUARE)
            for side, cut in ((64, chip(face)), (MASK_SIDE, around)):
                crop = np.zeros((3, side, side), np.float32)
                crop_square(rgb, cut, crop)
                found["crops"] += pieces(crop)
                if side == 64:  # what the gender model gets, and its mirror image
                    half = crop.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4), dtype=np.float32)
                    half -= np.array(MEAN, np.float32)[:, None, None]
                    half *= np.float32(1 / SCALE)
                    found["crops"] += pieces(half) + pieces(half[:, :, ::-1])
                means, scale = (MEAN, SCALE) if side == 64 else ((127.5,) * 3, 127.5)
                crop -= np.array(means, np.float32)[:, None, None]
                crop *= np.float32(1 / scale)
                found["crops"] += pieces(crop)
    assert min(map(len, found.values())) > 10
    return found


@pytest.fixture(scope="module")
def brightness(film: Path) -> Patterns:
    """Pieces of the last pictures as the decoder has them: brightness apart from colours."""
    found = []
    with av.open(film) as source:
        for frame in source.decode(video=0):
            plane = frame.planes[0]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            found += pieces(rows[:480, :640])
    return {"brightness": found[-40:]}


@contextmanager
def looked(film: Path, models: Path, *how: str) -> Iterator[int]:
    """The number of a process that has looked at the film, and waits."""
    command = [sys.executable, Path(__file__).with_name("looking_process.py"), film, models, *how]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert int(process.stdout.readline()) == PICTURES, "one person in each picture"
            yield process.pid
        finally:
            process.communicate("\n", timeout=30)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def in_passing(film: Path) -> Patterns:
    """Pieces of a form that no call of ours lets outlive itself, erasing or not: what is scaled
    down goes through numbers of the whole picture."""
    (*_, last) = PictureDecoder(interval=0, width=768, threads=1).feed(packets_of(film)[0])
    rows = last.rgb.astype(np.float32)
    return {"numbers": pieces(rows.reshape(rows.shape[0], -1))}


def test_no_form_of_a_picture_is_left(
    film: Path, models_folder: Path, patterns: Patterns, in_passing: Patterns
) -> None:
    with looked(film, models_folder, "erase") as process:
        assert find_in_process(process, patterns | in_passing) == Counter()


def test_the_search_finds_what_was_not_erased(
    film: Path, models_folder: Path, patterns: Patterns
) -> None:
    """Without erasing, each form is there: so finding none means something."""
    with looked(film, models_folder, "keep") as process:
        found = find_in_process(process, patterns)
    assert {kind.split(" in ")[0] for kind in found} == set(patterns)


def test_a_decoder_keeps_what_the_next_picture_refers_to_and_no_longer_than_itself(
    film: Path, models_folder: Path, brightness: Patterns
) -> None:
    """This is what remains: a decoder's own pictures, until others replace them or it is closed.

    Where each picture stands alone (MJPEG), not even that.
    """
    with looked(film, models_folder, "erase") as process:
        kept = find_in_process(process, brightness)
    with looked(film, models_folder, "erase", "drop") as process:
        after = find_in_process(process, brightness)
    assert bool(kept) == (film.suffix == ".mp4")
    assert after == Counter()
