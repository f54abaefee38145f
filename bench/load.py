"""What the crowd pipeline takes of a processor, beside a usual camera: 1080p, 25 pictures a second.

The pole reads the camera's packets in their own time and looks at one picture each two seconds.
Beside it a bare loop does the same with the same models: it decodes every packet, as one does who
reads a camera with a library. What decoding and looking cost alone is measured in the same run;
what is left is the runtime, the borders, and the camera's reading.
"""

from __future__ import annotations

__all__ = ["benchmark"]

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from actors.camera.link import CameraStream
from actors.camera.messages import EncodedPacket
from actors.crowd.decoder import PictureDecoder
from bench.bare import BareLoop
from bench.harness import Comparison, Effort, Figure, Outcome, Target
from bench.logs import quietly
from bench.pipeline import CLIP, MODELS, require_material
from bench.small_pole import run_small_pole
from runtime import SourceAddress

_RATE = 25
_SIZE = (1920, 1080)
_BITS_PER_SECOND = 4_000_000
_INTERVAL = 2.0
_WIDTH = 768
_GROUPS = ((50, "a key picture each 2 s"), (250, "a key picture each 10 s"))
"""As cameras usually have it, and the longest that they offer: there every packet is decoded."""
_SECONDS = 40.0
_MOST = 0.35
_NOISE = 2.0
"""Standard deviation of a sensor's noise, of 255 steps."""


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    seconds = max(16, round(effort.seconds(_SECONDS)))
    bare = BareLoop(MODELS, threads=1, width=_WIDTH)
    with quietly(), TemporaryDirectory(prefix="smartpole-") as folder:
        figures = []
        for group, name in _GROUPS:
            film = _film(Path(folder) / f"{group}.mp4", group, seconds)
            figures.append(_measure(film, name, bare, seconds))
    return Outcome(figures=tuple(figures))


def _measure(film: Path, name: str, bare: BareLoop, seconds: int) -> Figure:
    pictures = round(seconds / _INTERVAL) - 1
    run = run_small_pole(
        film,
        MODELS,
        interval=_INTERVAL,
        width=_WIDTH,
        threads=1,
        enough=pictures,
        patience=seconds * 3,
        paced=True,
    )
    began, used = perf_counter(), process_time()
    looks = bare.run(film, interval=_INTERVAL, paced=True)
    other = (process_time() - used) / (perf_counter() - began)
    decoding, looking = _parts(film, bare)
    decoding_share, looking_share = decoding / seconds, looking / _INTERVAL
    share = run.processor_share
    target = Target(of="value", most=_MOST)
    return Figure(
        name=f"of one core, {name}",
        value=share,
        unit="cores",
        better="lower",
        compared=Comparison(
            to="bare loop", value=other, ratio=share / other, difference=share - other
        ),
        target=target,
        met=target.is_met(share),
        details={
            "decoding and scaling, cores": decoding_share,
            "looking, cores": looking_share,
            "the rest, cores": share - decoding_share - looking_share,
            "looking at a picture, ms": looking * 1000,
            "pictures": len(looks),
            "seconds": seconds,
        },
        note=(
            f"{film.stat().st_size * 8 / seconds / 1e6:.1f} Mbit/s; "
            f"decoding and scaling {decoding_share:.3f}, looking {looking_share:.3f}, "
            f"the rest {share - decoding_share - looking_share:.3f}"
        ),
    )


def _parts(film: Path, bare: BareLoop) -> tuple[float, float]:
    """Seconds of processor for decoding the whole film as the crowd actor does, and for looking at
    one picture. In the film's own time, because a processor that has slept is slower."""
    decoder = PictureDecoder(interval=_INTERVAL, width=_WIDTH, threads=1)
    looked, looking, decoding = 0, 0.0, 0.0
    packets = _packets(film)
    began = perf_counter()
    for number, packet in enumerate(packets):
        sleep(max(0.0, began + number / _RATE - perf_counter()))
        start = process_time()
        for picture in decoder.feed(packet):
            decoded = process_time()
            bare.count(picture.rgb)
            counted = process_time()
            picture.erase()
            decoding, looking = decoding + decoded - start, looking + counted - decoded
            looked += 1
            start = process_time()
        decoding += process_time() - start
    return decoding, looking / looked


def _packets(film: Path) -> list[EncodedPacket]:
    stream = CameraStream(av.open(str(film)), SourceAddress(f"file:{film}"))
    try:
        return stream.read(1, 0, 1_000_000)
    finally:
        stream.close()


def _film(path: Path, group: int, seconds: int) -> Path:
    """The street clip as such a camera would send it, over and over until it is long enough.

    No two pictures are alike: a sensor's noise is what a camera's bits are mostly spent on.
    """
    scaler = VideoReformatter()
    dice = np.random.default_rng(1)
    noise = [dice.normal(0, _NOISE, _SIZE[::-1]).round().astype(np.int16) for _ in range(7)]
    with av.open(str(path), "w") as film:
        stream = film.add_stream(
            "libx264",
            rate=_RATE,
            options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0"},
        )
        stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
        stream.gop_size, stream.bit_rate = group, _BITS_PER_SECOND
        number = 0
        while number < seconds * _RATE:
            with av.open(str(CLIP)) as source:
                for frame in source.decode(video=0):
                    large = scaler.reformat(
                        frame,
                        width=_SIZE[0],
                        height=_SIZE[1],
                        format="yuv420p",
                        interpolation=Interpolation.BILINEAR,
                    )
                    # Ten pictures a second become twenty-five.
                    planes = large.to_ndarray()
                    for _ in range(2 + number % 2):
                        noisy = planes.copy()
                        light = noisy[: _SIZE[1]]
                        light[:] = np.clip(light + noise[number % len(noise)], 0, 255)
                        picture = av.VideoFrame.from_ndarray(noisy, format="yuv420p")
                        picture.pts, picture.time_base = number, Fraction(1, _RATE)
                        film.mux(stream.encode(picture))
                        number += 1
                    if number >= seconds * _RATE:
                        break
        film.mux(stream.encode(None))
    return path
