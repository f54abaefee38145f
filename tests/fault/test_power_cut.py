"""The recorder's process killed at random moments of real recordings from RTSP cameras."""

from __future__ import annotations

import io
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import av
import pytest

from actors.recorder.chain import Begun, chain_files, lines_of, segment_name
from actors.recorder.files import stored_names
from actors.recorder.index import PART
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import Verification, verify
from bench.rtsp_camera import RtspServer, rtsp_server_lacks
from tests.cameras import make_film
from tests.recording_pole import RecordingPole, configuration
from tests.recordings import Manager

pytestmark = [pytest.mark.rtsp, pytest.mark.real_time]

CAMERAS = 4
LEAST = 2.5
"""Seconds from which on every camera is recorded, on a machine at rest."""
MOST_LOST = 2.0
FILMS = (
    {"size": (64, 48), "key_every": 25},
    {"size": (64, 48), "key_every": 250},  # one key picture in ten seconds
    {"size": (640, 480), "key_every": 50},
    {"size": (320, 240), "key_every": 25},
)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RtspServer]]:
    if missing := rtsp_server_lacks():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("films")
    with ExitStack() as servers:
        yield [
            servers.enter_context(
                RtspServer(
                    make_film(folder / f"{number}.mp4", pictures=250, rate=25, **film),  # type: ignore[arg-type]
                    rate=25,
                )
            )
            for number, film in enumerate(FILMS)
        ]


def pictures(film: bytes) -> tuple[int, float]:
    """How many can be decoded, and the time of the last one's end in seconds."""
    count, end = 0, 0.0
    with av.open(io.BytesIO(film), "r") as container:
        try:
            for frame in container.decode(video=0):
                count += 1
                end = float(frame.time or 0) + 0.04
        except av.error.FFmpegError:
            pass  # it breaks off in the middle of a fragment
    return count, end


def opened(file: Path, identity: Path) -> bytes:
    """What the standard program makes of a segment, as far as it goes."""
    if shutil.which("age") is None:
        pytest.skip("Debian's age is not installed")
    command = ["age", "--decrypt", "--identity", str(identity), str(file)]
    return subprocess.run(command, capture_output=True, check=False).stdout


def look(folder: Path) -> Verification:
    return verify(folder, VerifyKey.from_text((folder / "pole.pub").read_text()))


def begun(folder: Path) -> list[Begun]:
    lines = (line for path in chain_files(folder).values() for line in lines_of(path))
    return [line.record for line in lines if isinstance(line.record, Begun)]


def begun_by_all(folder: Path) -> bool:
    return folder.exists() and len({record.camera for record in begun(folder)}) == CAMERAS


def kill_at_random_moments(
    folder: Path, cameras: list[RtspServer], rounds: int, seed: int
) -> list[float]:
    """Seconds that were lost of each camera in each round."""
    manager = Manager()
    identity = folder / "manager.key"
    identity.write_text(f"{manager.identity}\n")
    path = configuration(folder, [camera.address() for camera in cameras], manager.public)
    recordings = folder / "state" / "security"
    chance = random.Random(seed)
    lost: list[float] = []
    checked: set[str] = set()
    for _ in range(rounds):
        known = len(begun(recordings)) if recordings.exists() else 0
        with RecordingPole(path) as pole:
            deadline = time.monotonic() + 30
            while not recordings.exists() or len(
                {record.camera for record in begun(recordings)[known:]}
            ) < len(cameras):
                assert time.monotonic() < deadline, pole.log
                time.sleep(0.05)
            time.sleep(LEAST + chance.uniform(0, 3))
            killed = time.time()
            pole.kill()
        lost += lost_of_each(recordings, identity, known, killed, checked)
    # The next start signs what was left open; then all is in order, index included.
    known = len(begun(recordings))
    with RecordingPole(path) as pole:
        deadline = time.monotonic() + 30
        while len(begun(recordings)) == known:
            assert time.monotonic() < deadline, pole.log
            time.sleep(0.05)
        assert pole.stop() == 0
    found = look(recordings)
    assert found.findings == []
    assert found.open == 0
    names = stored_names(recordings)
    assert checked <= names
    with closing(sqlite3.connect(recordings / "index.db")) as index:
        rows = {name: (size, state) for name, size, state in index.execute(
            "select name, bytes, state from segments"
        )}  # fmt: skip
    assert rows.keys() == names
    for name, (size, state) in rows.items():
        assert size == os.stat(recordings / name).st_size
        assert state in ("complete", "cut")
    return lost


def lost_of_each(
    recordings: Path, identity: Path, known: int, killed: float, checked: set[str]
) -> list[float]:
    ends: dict[str, float] = {}
    for record in begun(recordings)[known:]:
        name = segment_name(record)
        file = recordings / name
        if not file.exists():
            file = file.with_name(name + PART)
        if not file.exists():  # begun, and killed before there was a file
            continue
        checked.add(name)
        film = opened(file, identity)
        if not film and file.name.endswith(PART):
            continue
        count, end = pictures(film)
        assert count or file.name.endswith(PART), f"{name}: nothing in it plays"
        if count:
            ends[record.camera] = record.start / 1e6 + end
    # Nothing earlier is changed by what comes later.
    assert not {finding.kind for finding in look(recordings).findings} - {"missing"}
    assert len(ends) == CAMERAS
    return [killed - end for end in ends.values()]


def test_a_kill_loses_less_than_two_seconds(tmp_path: Path, cameras: list[RtspServer]) -> None:
    lost = kill_at_random_moments(tmp_path, cameras, rounds=5, seed=1)
    assert len(lost) == 20
    print("lost:", sorted(round(seconds, 2) for seconds in lost))
    assert max(lost) <= MOST_LOST


@pytest.mark.long
def test_two_hundred_kills(tmp_path: Path, cameras: list[RtspServer]) -> None:
    lost = kill_at_random_moments(tmp_path, cameras, rounds=50, seed=2)
    assert len(lost) == 200
    print("lost:", sorted(round(seconds, 2) for seconds in lost))
    assert max(lost) <= MOST_LOST
