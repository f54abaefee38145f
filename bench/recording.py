"""Recording: eight cameras of 4 Mbit/s at once, beside a plain remux of the same streams.

The cameras are one real RTSP server's (GStreamer's, in its own process). The pole receives each
stream, hands it to both systems across borders, and records it: remultiplexed, encrypted, hashed,
synced to the disk within moments, manifests signed. At the same time another process copies the
same eight streams from RTSP into fragmented MP4 files with FFmpeg's libraries alone (by PyAV), a
thread for each: what ``ffmpeg -c copy`` does, less what eight processes of it would cost. It
neither encrypts nor hashes nor syncs.

Processor time is taken from the kernel's account of each thread, so that it can be told which of
the pole's domains took it.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import os
import subprocess
import sys
import threading
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import av
import numpy as np
import trio

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.recorder.actor import Recorder
from bench.configuration import IDENTITY, toml_text
from bench.harness import BenchmarkFailed, Comparison, Effort, Figure, Outcome, Target
from bench.logs import quietly
from bench.process import resident_megabytes
from bench.rtsp_camera import RtspServer, rtsp_server_lacks
from runtime import Actor, Domain, Inlet, Inlets, check, inlet, load_blueprint
from runtime.pole import Pole
from runtime.status import ActorStatus

_CAMERAS = 8
_RATE = 25
_SIZE = (640, 360)
_BITS_PER_SECOND = 4_000_000
_FILM = 10
"""Seconds; the server plays it over and over."""
_WARM_UP = 20.0
"""Two segments of each camera: all that is kept for them has its size then."""
_SECONDS = 60.0
_MOST_RATIO = 1.5
_MOST_GROWTH = 1.1

_RECORDER = """
[actors.recorder]
type = "recorder"
grants = ["RecordingStore"]
settings = {{ recipients = {recipients}, segment = "10s" }}
[actors.sink]
type = "sink"
"""
_CAMERA = """
[actors.camera-{n}]
type = "camera"
place = "bench"
grants = ["CameraLink"]
settings = {{ source = {source} }}
[[channels]]
from = "camera-{n}.for_crowd"
to = "sink.packets"
[[channels]]
from = "camera-{n}.for_security"
to = "recorder.packets"
"""
_BARE = """
import sys, threading, time
import av, av.logging
av.logging.set_level(None)

def copy(address, path):
    with (
        av.open(address, options={"rtsp_transport": "tcp"}) as source,
        av.open(path, "w", format="mp4", options={
            "movflags": "frag_keyframe+empty_moov+default_base_moof"
        }) as target,
    ):
        video = source.streams.video[0]
        copied = target.add_stream_from_template(video, opaque=True)
        for packet in source.demux(video):
            if packet.size:
                packet.stream = copied
                target.mux_one(packet)

for number, address in enumerate(sys.argv[2:]):
    path = f"{sys.argv[1]}/{number}.mp4"
    threading.Thread(target=copy, args=(address, path), daemon=True).start()
time.sleep(3600)
"""


class Sink(Actor, domain=Domain.CROWD):
    """Stands where the crowd actors would, and looks at nothing."""

    packets: Inlets[EncodedPacket] = inlet(capacity=64)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _, packets in self.packets.items():
                nursery.start_soon(self._take, packets)

    async def _take(self, packets: Inlet[EncodedPacket]) -> None:
        async for _ in packets.batches():
            pass


_TYPES: dict[str, type[Actor]] = {"camera": Camera, "recorder": Recorder, "sink": Sink}


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    if missing := rtsp_server_lacks():
        raise BenchmarkFailed(f"no RTSP camera can run here: {missing}")
    seconds = max(15.0, effort.seconds(_SECONDS))
    with quietly(), TemporaryDirectory(prefix="smartpole-") as name:
        folder = Path(name)
        film = _film(folder / "film.mp4")
        with RtspServer(film, rate=_RATE) as server:
            addresses = [server.address()] * _CAMERAS
            bare = subprocess.Popen([sys.executable, "-c", _BARE, name, *addresses])
            try:
                run = trio.run(_measure, _pole(folder, addresses), bare.pid, seconds)
            finally:
                bare.kill()
                bare.wait()
    return Outcome(figures=tuple(_figures(run, seconds)))


class _Run:
    """What was seen between the warm-up and the end."""

    def __init__(self) -> None:
        self.used: dict[str, float] = {}
        """Seconds of processor, by domain; "bare" for the other process."""
        self.took = 0.0
        self.before = self.after = 0.0
        """MB resident."""
        self.received = self.recorded = self.skipped = self.lost = 0
        self.highest = 0
        """The most packets that ever waited for the recorder, of one camera."""


def _figures(run: _Run, seconds: float) -> list[Figure]:
    def per_stream(*names: str) -> float:
        return sum(run.used[name] for name in names) / run.took / _CAMERAS

    bare = per_stream("bare")
    received = per_stream("capture", "security")
    recording = per_stream("security")
    processor, nothing = Target(of="ratio", most=_MOST_RATIO), Target(of="value", most=0)
    flat = Target(of="ratio", most=_MOST_GROWTH)
    missing = run.lost + run.received - run.recorded - run.skipped
    growth = run.after / run.before
    return [
        Figure(
            name="processor for each stream, received and recorded",
            value=received,
            unit="cores",
            better="lower",
            compared=Comparison(
                to="PyAV remux", value=bare, ratio=received / bare, difference=received - bare
            ),
            target=processor,
            met=processor.is_met(received / bare),
            details={
                "capture, cores": per_stream("capture"),
                "security, cores": recording,
                "crowd (takes and drops), cores": per_stream("crowd"),
                "the pole itself, cores": per_stream("pole"),
            },
            note=f"capture {per_stream('capture'):.4f}, security {recording:.4f}, borders included",
        ),
        Figure(
            name="processor for each stream, recorded (the security domain alone)",
            value=recording,
            unit="cores",
            better="lower",
            compared=Comparison(
                to="PyAV remux, receiving included",
                value=bare,
                ratio=recording / bare,
                difference=recording - bare,
            ),
            note="out of its border, remultiplexed, encrypted, hashed, synced",
        ),
        Figure(
            name=f"packets lost of {_CAMERAS} cameras in {seconds:.0f} s",
            value=float(missing),
            unit="packets",
            better="lower",
            target=nothing,
            met=nothing.is_met(missing),
            details={"received": run.received, "waited at most": run.highest},
            note=f"of {run.received:,}; {run.skipped} came before a first key picture",
        ),
        Figure(
            name="memory after the run",
            value=run.after,
            unit="MB",
            better="lower",
            compared=Comparison(
                to="after the warm-up",
                value=run.before,
                ratio=growth,
                difference=run.after - run.before,
            ),
            target=flat,
            met=flat.is_met(growth),
        ),
    ]


def _pole(folder: Path, addresses: list[str]) -> Pole:
    from pyrage import x25519

    (folder / "managers.pub").write_text(f"{x25519.Identity.generate().to_public()}\n")
    text = IDENTITY + _RECORDER.format(recipients=toml_text(str(folder / "managers.pub")))
    for number, address in enumerate(addresses):
        text += _CAMERA.format(n=number, source=toml_text(address))
    path = folder / "bench.toml"
    path.write_text(text, encoding="utf-8")
    blueprint = load_blueprint(path, actor_types=_TYPES)
    if findings := check(blueprint):
        raise BenchmarkFailed("the bench's pole has findings: " + "; ".join(map(str, findings)))
    return Pole(blueprint, log_level="critical")


async def _measure(pole: Pole, bare: int, seconds: float) -> _Run:
    run = _Run()

    def actors() -> list[ActorStatus]:
        return list(pole.status().actors)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await trio.sleep(_WARM_UP)
        began, first = perf_counter(), _used(bare)
        run.before = resident_megabytes()
        await trio.sleep(seconds)
        last = _used(bare)
        run.took = perf_counter() - began
        run.after = resident_megabytes()
        pole.stop()
    run.used = {name: last[name] - first[name] for name in last}
    for actor in actors():
        if actor.type_name == "camera":
            run.received += actor.readings["packets"]
            run.lost += actor.readings["packets_lost"]
        elif actor.type_name == "recorder":
            run.recorded = actor.readings["packets_recorded"]
            run.skipped = actor.readings["packets_skipped"]
            run.lost += sum(queue.dropped + queue.poisoned for queue in actor.inlets)
            run.highest = max(queue.high_water for queue in actor.inlets)
    if pole.crashes() or run.recorded < _CAMERAS * _RATE * seconds / 2:
        raise BenchmarkFailed(
            f"{run.recorded} packets were recorded in {seconds:g} s; crashes: "
            + (", ".join(one.error for one in pole.crashes()) or "none")
        )
    return run


def _used(bare: int) -> dict[str, float]:
    """Seconds of processor so far, by domain: of its loop's thread and of its workers."""
    used: defaultdict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        name = thread.name.removeprefix("domain-").partition("-")[0]
        known = name if name in ("capture", "security", "crowd") else "pole"
        used[known] += _ticks(f"/proc/self/task/{thread.native_id}/stat")
    used["bare"] = _ticks(f"/proc/{bare}/stat")
    return dict(used)


def _ticks(path: str) -> float:
    fields = Path(path).read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _film(path: Path) -> Path:
    """Noise, as many bits of it as such a camera sends."""
    dice = np.random.default_rng(1)
    width, height = _SIZE
    with av.open(str(path), "w") as film:
        stream = film.add_stream(
            "libx264",
            rate=_RATE,
            options={
                "preset": "ultrafast", "tune": "zerolatency", "bf": "0",
                "maxrate": str(_BITS_PER_SECOND), "bufsize": str(_BITS_PER_SECOND // 2),
            },
        )  # fmt: skip
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size, stream.bit_rate = 2 * _RATE, _BITS_PER_SECOND
        for number in range(_FILM * _RATE):
            planes = dice.integers(0, 255, (height * 3 // 2, width), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, _RATE)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path
