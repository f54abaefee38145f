"""A pattern in the camera's picture must lie nowhere on the pole's disk: neither its pixels nor the
bytes that the camera encoded it to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyrage
import pytest
import trio

from runtime import load_blueprint
from runtime.status import PoleStatus
from tests.demo_pole import ROOT, actor, demo_configuration, wait_for
from tests.recordings import Manager

pytestmark = [pytest.mark.real_time, pytest.mark.models, pytest.mark.footage]

_SIZE = (320, 240)
_NEEDLE = 48
"""Bytes: long enough that none is met by chance."""


def plant(path: Path) -> None:
    """A film of noise, encoded without loss, so that its pixels are known to the last bit."""
    chance = np.random.default_rng(20_261_125)
    with av.open(path, "w") as made:
        options = {"preset": "ultrafast", "tune": "zerolatency", "qp": "0"}
        stream = made.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 5
        for number in range(20):
            luma = chance.integers(16, 236, (_SIZE[1], _SIZE[0]), np.uint8)
            chroma = np.full((_SIZE[1] // 2, _SIZE[0]), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


def encoded_needles(path: Path) -> list[bytes]:
    """From the middle of each packet, where every byte is the picture's."""
    with av.open(path) as film:
        packets = [bytes(packet) for packet in film.demux(video=0) if packet.size]
    return [data[len(data) // 2 :][:_NEEDLE] for data in packets]


def pixel_needles(path: Path) -> list[bytes]:
    """From several rows of each picture: grey, in both orders of colours, and as planes."""
    needles = []
    with av.open(path) as film:
        for frame in film.decode(video=0):
            grey = frame.to_ndarray(format="gray")
            colours = frame.to_ndarray(format="rgb24")
            for row in (3, 119, 200):
                needles.append(grey[row, 40 : 40 + _NEEDLE].tobytes())
                needles.append(colours[row, 40 : 40 + _NEEDLE // 3].tobytes())
                needles.append(colours[row, 40 : 40 + _NEEDLE // 3, ::-1].tobytes())
    return needles


def hay(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


def found(needles: list[bytes], data: bytes) -> bool:
    return any(needle in data for needle in needles)


async def test_a_planted_picture_lies_nowhere_on_the_poles_disk(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    plant(film)
    encoded, pixels = encoded_needles(film), pixel_needles(film)
    assert found(encoded, film.read_bytes()), "the search finds what is there"
    manager = Manager()
    keys = tmp_path / "keys.pub"
    keys.write_text(f"{manager.public}\n", "utf-8")
    configuration = demo_configuration(
        tmp_path,
        ('source = "file:../var/footage/street.mp4"', f'source = "file:{film}"'),
        ('recipients = "../var/demo-manager/manager.key.pub"', f'recipients = "{keys}"'),
        ('segment = "15s"', 'segment = "2s"'),
        ('interval = "1s"', 'interval = "0s"'),
    )
    state = load_blueprint(configuration).pole.state
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    printed = tmp_path / "printed"
    with printed.open("wb") as sink:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "runtime.cli", "run", str(configuration), "--log-level=debug"],
            cwd=work,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:

            def is_through(status: PoleStatus) -> bool:
                return (
                    actor(status, "crowd").readings["pictures_counted"] >= 10
                    and actor(status, "recorder").readings["segments_written"] >= 2
                )

            await wait_for(state, is_through, seconds=40)
            # While it runs, before anything is tidied up.
            before = dict(hay(state, work, temporary))
            process.terminate()
            with trio.fail_after(20):
                await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
    assert process.returncode == 0, printed.read_text("utf-8")
    after = dict(hay(state, work, temporary))
    segments = [path for path in after if path.suffix == ".age"]
    assert segments
    for seen in (before, after):
        for path, data in seen.items():
            assert not found(pixels, data), f"pixels lie in {path}"
            assert not found(encoded, data), f"encoded pictures lie in {path}"
    assert not found(encoded + pixels, printed.read_bytes()), "it was printed"
    # It did go through: whoever has the manager's key finds it again.
    opened = [pyrage.decrypt(path.read_bytes(), [manager.identity]) for path in segments]
    assert any(found(encoded, data) for data in opened)


def test_a_picture_that_is_left_would_be_found(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    plant(film)
    with av.open(film) as opened:
        frame = next(opened.decode(video=0))
        (tmp_path / "left.raw").write_bytes(frame.to_ndarray(format="rgb24").tobytes())
    seen = {path.name: data for path, data in hay(tmp_path)}
    assert found(pixel_needles(film), seen["left.raw"])
    assert not found(pixel_needles(film), seen["film.mp4"])
    assert found(encoded_needles(film), seen["film.mp4"])
