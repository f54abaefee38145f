"""Whatever a camera sends: nothing it does stops another camera, or the recording of itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.camera.messages import EncodedPacket, Interruption, StreamHeader
from actors.recorder.capability import RecordingStore
from actors.recorder.keys import Keys
from actors.recorder.recording import Recording
from actors.recorder.signing import VerifyKey
from actors.recorder.verify import verify
from tests.cameras import make_film, packets_of
from tests.recordings import HEADER, START, Manager, packet_run, storage, stored_packets

MOST = 2**63 - 1


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[list[EncodedPacket]]:
    folder = tmp_path_factory.mktemp("films")
    return [
        packets_of(make_film(folder / f"{codec}.mp4", codec=codec, pictures=15, key_every=5))
        for codec in ("libx264", "libx265", "mjpeg")
    ]


times = st.one_of(st.none(), st.integers(-MOST - 1, MOST), st.integers(-20_000, 20_000), st.just(0))
headers = st.builds(
    StreamHeader,
    codec=st.sampled_from(["h264", "hevc", "mjpeg", "rawvideo", "pcm_s16le", "none", "av1"]),
    width=st.integers(0, 16384),
    height=st.integers(0, 16384),
    extradata=st.one_of(st.just(HEADER.extradata), st.binary(max_size=64)),
    time_base_numerator=st.sampled_from([1, 1001, 2**31 - 1]),
    time_base_denominator=st.sampled_from([1, 25, 90_000, 2**31 - 1]),
    frame_rate_numerator=st.sampled_from([0, 25, 2**31 - 1]),
    frame_rate_denominator=st.sampled_from([1, 1001, 2**31 - 1]),
)


@st.composite
def disturbances(draw: st.DrawFn) -> dict[str, object]:
    """What happens to one packet."""
    changes: dict[str, object] = {}
    for name, values in {
        "key": st.booleans(),
        "pts": times,
        "dts": times,
        "duration": st.integers(-MOST, MOST),
        "captured_at": st.one_of(st.just(0), st.integers(START - 10**13, START + 10**13)),
        "header": st.one_of(st.none(), headers),
        "data": st.one_of(st.just(b""), st.binary(max_size=2000)),
        "session": st.integers(1, 3),
        "sequence": st.integers(0, 100),
        "after": st.sampled_from([None, *Interruption]),
    }.items():
        if draw(st.integers(0, 3)) == 0:
            changes[name] = draw(values)
    return changes


def disturbed(
    packets: Sequence[EncodedPacket], where: dict[int, dict[str, object]]
) -> list[EncodedPacket]:
    return [
        msgspec.structs.replace(packet, **where.get(number, {}))  # type: ignore[arg-type]
        for number, packet in enumerate(packets)
    ]


def recording_of(camera: str, store: RecordingStore, manager: Manager) -> Recording:
    return Recording(
        store, Keys([manager.recipient]), camera=camera, place="crossing",
        length=1, log=structlog.get_logger("recorder"),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    which=st.integers(0, 2),
    where=st.dictionaries(st.integers(0, 14), disturbances(), max_size=8),
    dropped=st.sets(st.integers(0, 14), max_size=6),
    batch=st.integers(1, 6),
)
def test_a_stream_gone_wrong_harms_nobody(
    which: int,
    where: dict[int, dict[str, object]],
    dropped: set[int],
    batch: int,
    real: list[list[EncodedPacket]],
    manager: Manager,
) -> None:
    bad = disturbed(real[which], where)
    bad = [packet for number, packet in enumerate(bad) if number not in dropped]
    good = packet_run([5] * 3)
    with TemporaryDirectory() as name, structlog.testing.capture_logs():
        folder = Path(name)
        store = storage(RecordingStore, folder)
        wild, tame = (recording_of(camera, store, manager) for camera in ("wild", "tame"))
        for at in range(0, 15, batch):
            wild.accept(bad[at : at + batch])
            wild.write()
            tame.accept(good[at : at + batch])
            tame.write()
        # Nothing follows a good stream's good end, whatever came before it.
        well_again = [
            msgspec.structs.replace(packet, session=9, captured_at=START + 10**7)
            for packet in packets_with_numbers(real[which])
        ]
        wild.accept(well_again)
        for one in (wild, tame):
            one.close(for_good=True)
        tally = wild.take_tally()
        assert tally.recorded + tally.skipped == len(bad) + len(well_again)
        assert tally.recorded >= len(well_again)
        assert tame.take_tally().recorded == len(good)
        found = verify(folder, VerifyKey.from_text((folder / "pole.pub").read_text()))
        assert found.findings == []
        stored = [
            data for file in folder.glob("*.age") for _, _, data in readable(manager.open(file))
        ]
        assert {packet.data for packet in good} <= set(stored)
        assert {packet.data for packet in well_again} <= set(stored)


def packets_with_numbers(packets: Sequence[EncodedPacket]) -> list[EncodedPacket]:
    return [
        msgspec.structs.replace(packet, sequence=1000 + number)
        for number, packet in enumerate(packets)
    ]


def readable(film: bytes) -> list[tuple[float, bool, bytes]]:
    """A film of nonsense may be one that no demultiplexer opens; it must do so in order."""
    try:
        with av.open(io.BytesIO(film), "r"):
            pass
        return stored_packets(film)
    except (av.error.FFmpegError, IndexError):
        return []
