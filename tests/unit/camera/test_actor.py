"""The camera actor in virtual time: pace, backoff, numbering, and films that are damaged."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import msgspec
import pytest
import structlog
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from actors.camera.actor import Camera, CameraSettings
from actors.camera.link import CameraLink, CameraOutage, CameraStream
from actors.camera.messages import EncodedPacket, Interruption, StreamHeader
from actors.crowd.decoder import PictureDecoder
from runtime import DROP_OLDEST, Authority, Duration, Outlet, Reading, SourceAddress
from runtime.border import BorderCodec
from runtime.channel import Link, Queue
from runtime.errors import BorderRefused
from tests.cameras import make_film, packets_of

T = TypeVar("T")
Sent = list[tuple[float, EncodedPacket]]


class InlineCamera(Camera):
    """Blocks the loop instead of using threads, so that virtual time applies."""

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        return function(*args)


class FakeLink:
    """Opens what it is given, one after another; an exception is raised instead."""

    def __init__(self, *openings: FakeStream | Exception) -> None:
        self._openings = iter(openings)
        self.opened = 0

    def open(self) -> FakeStream:
        opening = next(self._openings)
        if isinstance(opening, Exception):
            raise opening
        self.opened += 1
        return opening


class FakeStream:
    seconds_per_tick = Fraction(1, 1000)
    corrupt = 0

    def __init__(self, *packets: EncodedPacket, then: Exception | None = None) -> None:
        self._packets = iter(packets)
        self._then = then
        self.closed = False

    def read(self, session: int, sequence: int, at_most: int) -> list[EncodedPacket]:
        packets = [
            msgspec.structs.replace(packet, session=session, sequence=sequence + index)
            for index, packet in enumerate(itertools.islice(self._packets, at_most))
        ]
        if not packets and self._then is not None:
            raise self._then
        return packets

    def close(self) -> None:
        self.closed = True


def packet(
    dts: int | None = 0, *, duration: int = 100, size: int = 3, key: bool = True
) -> EncodedPacket:
    return EncodedPacket(
        session=0,
        sequence=0,
        key=key,
        pts=dts,
        dts=dts,
        duration=duration,
        captured_at=0,
        header=None,
        data=b"x" * size,
    )


class Bench:
    """A camera actor on its own, with everything that it sends."""

    def __init__(
        self, configured: CameraSettings, link: object = None, *, security_room: int = 0
    ) -> None:
        self.sent: Sent = []
        self.crowd = Queue("crowd", EncodedPacket, capacity=100_000, overflow=DROP_OLDEST)
        self.security = Queue("security", EncodedPacket, capacity=security_room or 100_000)
        codec = BorderCodec(EncodedPacket, places=())
        self.camera = InlineCamera(
            {
                "place": "",
                "settings": configured,
                "log": structlog.get_logger(),
                "link": link or link_of(configured),
                **{
                    f"for_{queue.name}": Outlet._mint(
                        f"camera.for_{queue.name}", EncodedPacket, [Link(queue, codec)]
                    )
                    for queue in (self.crowd, self.security)
                },
                **{name: Reading() for name in Camera.declaration.readings},
            }
        )

    async def watch(self) -> None:
        while await self.security.wait_for_message():
            self.sent.append((trio.current_time(), self.security.take()))

    async def run(self, seconds: float) -> Sent:
        """Let the camera work for so long, in virtual time, or until it ends."""
        began = trio.current_time()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.watch)
                await self.camera.start()
                await self.camera.run()
                self.security.finish()
        return [(round(at - began, 3), packet) for at, packet in self.sent]

    @property
    def packets(self) -> list[EncodedPacket]:
        return [packet for _, packet in self.sent]


def configure(source: str, **others: object) -> CameraSettings:
    return CameraSettings(source=SourceAddress(source), **others)  # type: ignore[arg-type]


def link_of(configured: CameraSettings) -> CameraLink:
    return CameraLink._mint(
        Authority._mint(actor="camera", folder=None, settings=configured, facts={})
    )


def outages(log: Sequence[EventDict]) -> list[str]:
    return [event["reason"] for event in log if event["event"] == "camera outage"]


# -- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "rtsp:street",
        "rtsp:/etc/passwd",
        "rtsp://",
        "rtsp://viewer:pa/ss@camera/1",
        "rtsp://viewer:12/ss@camera/1",
        "rtsp://viewer:12?s@camera/1",
        "rtsp://viewer:12#s@camera/1",
        "rtsp://viewer:p%40ss@192.0.2.7:8554/a/b",
        "rtsp://viewer:p@[2001:db8::1]:554/a",
        "rtsp://viewer@camera/1",
        "rtsp://camera:99999/1",
        "rtsp://camera:port/1",
        "rtsp://[camera/1",
        "rtsps://viewer:p@[::/1",
        "v4l2:video0",
        "v4l2:/etc/passwd",
        "http://camera/1",
        "udp://239.0.0.1:1234",
    ],
)
def test_an_address_that_would_be_misread_is_refused_unquoted(source: str) -> None:
    with pytest.raises(ValueError, match="Expected") as refused:
        configure(source)
    assert "ss@" not in str(refused.value)
    assert "12" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("rtsp://camera/1", "rtsp camera"),
        ("rtsps://camera:322/1?user=a&password=b", "rtsps camera:322"),
        ("rtsp://192.0.2.7:8554/a/b", "rtsp 192.0.2.7:8554"),
        ("rtsp://[2001:db8::1]:554/a", "rtsp 2001:db8::1:554"),
        ("v4l2:/dev/video0", "v4l2 /dev/video0"),
        ("file:/films/street.mp4", "file street.mp4"),
    ],
)
def test_what_is_shown_of_an_address(source: str, public: str) -> None:
    assert configure(source).headline() == public


@pytest.mark.parametrize(
    "others",
    [
        {"timeout": Duration(0)},
        {"timeout": Duration(31)},
        {"first_delay": Duration(0)},
        {"first_delay": Duration(2), "longest_delay": Duration(1)},
    ],
)
def test_impatience_is_refused(others: dict[str, Duration]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        configure("file:/street.mp4", **others)


# -- outages -----------------------------------------------------------------------------------


async def test_each_try_waits_longer_until_the_longest(log: list[EventDict]) -> None:
    gone = [CameraOutage("nothing there")] * 10
    link = FakeLink(*gone, FakeStream(packet()), *gone)
    limits = {"first_delay": Duration(1), "longest_delay": Duration(30)}
    await Bench(configure("rtsp://camera/1", **limits), link).run(230)
    delays = [event["retry_in"] for event in log if event["event"] == "camera outage"]
    plain = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert all(abs(d - p) <= 0.2 * p + 0.05 for d, p in zip(delays[:10], plain, strict=True))
    assert delays[10] <= 1.2  # a packet came: begin anew


async def test_every_connection_is_a_session_and_numbers_go_on(log: list[EventDict]) -> None:
    streams = [
        FakeStream(packet(0), packet(100)),
        FakeStream(packet(0), then=CameraOutage("broke off")),
        FakeStream(),
        FakeStream(packet(0)),
    ]
    bench = Bench(configure("rtsp://camera/1"), FakeLink(*streams, *[CameraOutage("gone")] * 99))
    await bench.run(30)
    assert all(stream.closed for stream in streams)
    assert [packet.sequence for packet in bench.packets] == [0, 1, 2, 3]
    first = bench.packets[0].session
    assert [packet.session - first for packet in bench.packets] == [0, 0, 1, 3]
    assert outages(log)[:4] == [
        "the camera (rtsp camera) ended its stream",
        "broke off",
        "the camera (rtsp camera) shows no pictures",
        "the camera (rtsp camera) ended its stream",
    ]
    assert bench.camera.outages.value == len(outages(log))


async def test_a_later_incarnation_has_other_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    sessions: list[int] = []
    for _ in range(2):
        link = FakeLink(*[FakeStream(packet()) for _ in range(5)], *[CameraOutage("gone")] * 99)
        bench = Bench(configure("rtsp://camera/1"), link)
        await bench.run(30)
        sessions += [packet.session for packet in bench.packets]
        now += 1_000_000_000
    assert sessions == sorted(set(sessions))
    assert len(sessions) == 10


async def test_what_no_channel_carries_is_an_outage_not_a_crash(log: list[EventDict]) -> None:
    too_large = packet(100, size=8 * 1024 * 1024 + 1)
    streams = FakeStream(packet(), too_large), FakeStream(packet())
    bench = Bench(configure("rtsp://camera/1"), FakeLink(*streams, *[CameraOutage("gone")] * 99))
    await bench.run(5)
    assert [packet.sequence for packet in bench.packets] == [0, 1]
    assert "cannot be handed on" in outages(log)[0]
    assert bench.crowd.statistics().accepted == bench.security.statistics().accepted == 2


async def test_what_was_read_with_what_no_channel_carries_is_handed_on(
    log: list[EventDict],
) -> None:
    too_large = packet(300, size=8 * 1024 * 1024 + 1)
    stream = FakeStream(packet(), packet(100), packet(200), too_large, packet(400))
    bench = Bench(configure("rtsp://camera/1"), FakeLink(stream, *[CameraOutage("gone")] * 99))
    await bench.run(5)
    assert [packet.dts for packet in bench.packets] == [0, 100, 200]
    assert "cannot be handed on" in outages(log)[0]
    assert bench.crowd.statistics().accepted == bench.camera.packets.value == 3
    assert bench.camera.packets_lost.value == 0


async def test_corrupt_packets_add_up_over_connections() -> None:
    class Damaged(FakeStream):
        corrupt = 3

    streams = [Damaged(packet()), Damaged(packet()), Damaged(then=CameraOutage("broke off"))]
    bench = Bench(configure("rtsp://camera/1"), FakeLink(*streams, *[CameraOutage("gone")] * 99))
    await bench.run(20)
    assert bench.camera.corrupt_packets.value == 9


# -- two ways ----------------------------------------------------------------------------------


def taken(queue: Queue[EncodedPacket]) -> list[int]:
    return [queue.take().sequence for _ in range(queue.statistics().waiting)]


async def test_a_stuck_recorder_does_not_hold_up_the_crowd_system() -> None:
    groups = [packet(100 * number, key=number % 10 == 0) for number in range(40)]
    link = FakeLink(FakeStream(*groups, then=CameraOutage("gone")), *[CameraOutage("gone")] * 99)
    bench = Bench(configure("rtsp://camera/1"), link, security_room=15)
    with trio.move_on_after(10):
        await bench.camera.start()
        await bench.camera.run()
    assert taken(bench.crowd) == list(range(40))
    assert taken(bench.security) == list(range(15))
    assert bench.camera.packets_lost.value == 25
    assert bench.camera.packets.value == 40


class Street(FakeStream):
    """A live stream that is read in batches, and a recorder that takes some after each."""

    bench: Bench

    def __init__(self, keys: list[bool], reads: list[tuple[int, int]]) -> None:
        super().__init__(*(packet(number, key=key) for number, key in enumerate(keys)))
        self._reads = iter(reads)
        self.read_so_far = 0
        self.recorded: list[int] = []
        self.expected: list[int] = []
        self._is_broken = False

    def read(self, session: int, sequence: int, at_most: int) -> list[EncodedPacket]:
        queue = self.bench.security
        size, takes = next(self._reads, (0, 0))
        self.recorded += [queue.take().sequence for _ in range(min(takes, len(queue._waiting)))]
        queue.acknowledge()
        room = queue.capacity - len(queue._waiting)
        packets = super().read(session, sequence, min(size, at_most)) if size else []
        for one in packets:  # what is to be let go by, one packet after the other
            self._is_broken = self._is_broken and not one.key
            if not self._is_broken:
                if room:
                    room -= 1
                    self.expected.append(one.sequence)
                else:
                    self._is_broken = True
        self.read_so_far += len(packets)
        return packets


@given(
    keys=st.lists(st.booleans(), max_size=80),
    reads=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 12)), max_size=20),
    room=st.integers(1, 10),
)
def test_however_packets_are_gathered_the_same_ones_are_let_go_by(
    keys: list[bool], reads: list[tuple[int, int]], room: int
) -> None:
    async def play() -> None:
        street = Street(keys, reads)
        link = FakeLink(street, *[CameraOutage("gone")] * 99)
        street.bench = bench = Bench(configure("rtsp://camera/1"), link, security_room=room)
        with trio.move_on_after(100):
            await bench.camera.start()
            await bench.camera.run()
        assert street.recorded + taken(bench.security) == street.expected
        assert taken(bench.crowd) == list(range(street.read_so_far))
        lost = street.read_so_far - len(street.expected)
        assert bench.camera.packets_lost.value == lost
        assert bench.camera.packets.value == street.read_so_far

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_recorder_with_room_again_goes_on_at_a_key_picture(film: Path) -> None:
    bench = Bench(configure(f"file:{film}", loop=True), security_room=15)
    with trio.move_on_after(5.05):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.camera.start)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(bench.camera.run)
            await trio.sleep(1.75)
            early = taken(bench.security)
            await trio.sleep_forever()
    assert early == list(range(15))
    later = [bench.security.take() for _ in range(bench.security.statistics().waiting)]
    assert (later[0].sequence, later[0].key) == (20, True)
    assert len(taken(bench.crowd)) == bench.camera.packets.value > 50


async def test_a_fast_film_waits_for_its_receivers(film: Path) -> None:
    bench = Bench(configure(f"file:{film}", pace="fast"), security_room=2)
    await bench.run(60)
    assert [packet.sequence for packet in bench.packets] == list(range(20))
    assert bench.camera.packets_lost.value == 0


# -- pace --------------------------------------------------------------------------------------


async def test_a_film_plays_at_its_own_speed(film: Path) -> None:
    sent = await Bench(configure(f"file:{film}")).run(60)
    assert [at for at, _ in sent] == [number / 10 for number in range(20)]


async def test_a_looped_film_goes_on_without_a_break(film: Path) -> None:
    bench = Bench(configure(f"file:{film}", loop=True))
    sent = await bench.run(11.05)
    # The last picture's own time is not waited for, so each round is a tenth of a second short.
    assert 110 <= len(sent) <= 120
    numbers = [packet.sequence for packet in bench.packets]
    assert numbers == list(range(len(numbers)))
    rounds = [list(group) for _, group in itertools.groupby(bench.packets, lambda p: p.session)]
    assert all(one[0].key and one[0].header and len(one) == 20 for one in rounds[:-1])
    assert bench.camera.outages.value == 0


async def test_fast_means_no_waiting(film: Path) -> None:
    bench = Bench(configure(f"file:{film}", pace="fast"))
    sent = await bench.run(60)
    assert [at for at, _ in sent] == [0.0] * 20
    assert bench.packets == [
        msgspec.structs.replace(
            theirs,
            session=ours.session,
            captured_at=ours.captured_at,
            boottime=ours.boottime,
            after=ours.after,
        )
        for ours, theirs in zip(bench.packets, packets_of(film), strict=True)
    ]
    assert [ours.after for ours in bench.packets] == [Interruption.STARTED] + [None] * 19


@pytest.mark.parametrize(
    ("times", "due"),
    [
        ([0, 100, 200], [0, 0.1, 0.2]),
        ([5000, 5040, 5200], [0, 0.04, 0.2]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([None, 700, 800], [0, 0.0, 0.1]),
        ([0, None, 200], [0, 0.1, 0.2]),
        ([0, 100, 86_400_000, 86_400_100], [0, 0.1, 0.1, 0.2]),  # a jump ahead of a day
        ([86_400_000, 86_400_100, 0, 100], [0, 0.1, 0.1, 0.2]),
    ],
)
async def test_due_times(times: list[int | None], due: list[float]) -> None:
    link = FakeLink(FakeStream(*[packet(time) for time in times]))
    sent = await Bench(configure("file:/film.mp4"), link).run(1e6)
    assert [at for at, _ in sent] == due


async def test_a_film_without_pictures_does_not_spin(log: list[EventDict]) -> None:
    link = FakeLink(*[FakeStream() for _ in range(1000)])
    await Bench(configure("file:/film.mp4", loop=True), link).run(60)
    assert 4 <= link.opened <= 12
    assert set(outages(log)) == {"the camera (file film.mp4) shows no pictures"}


# -- what is no film, or a damaged one ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be opened: there is no such file or device"),
        (b"", "can't be opened: it holds no video"),
        (b"root:x:0:0:root:/root:/bin/bash\n" * 40, "can't be opened: it holds no video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://camera.example/1.ts\n", "can't be opened"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "can't be opened"),
    ],
)
async def test_what_is_no_film(
    tmp_path: Path, log: list[EventDict], content: bytes | None, reason: str
) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    bench = Bench(configure(f"file:{path}"))
    await bench.run(10)
    assert not bench.sent
    assert len(outages(log)) >= 3
    assert all(entry.startswith(f"the camera (file film.mp4) {reason}") for entry in outages(log))
    assert str(tmp_path) not in repr(log)


@pytest.mark.parametrize("kind", ["folder", "sound"])
async def test_a_folder_and_sound_are_no_film(
    tmp_path: Path, log: list[EventDict], kind: str
) -> None:
    path = tmp_path / "film"
    if kind == "folder":
        path.mkdir()
    else:
        path = path.with_suffix(".wav")
        with av.open(path, "w") as made:
            stream = made.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame(format="s16", layout="mono", samples=800)
            frame.sample_rate = 8000
            made.mux(stream.encode(frame))
    await Bench(configure(f"file:{path}")).run(1)
    reason = {"folder": "can't be opened: it is a folder", "sound": "sends no video"}[kind]
    assert outages(log)[0] == f"the camera (file {path.name}) {reason}"


async def test_a_device_that_is_not_there(log: list[EventDict]) -> None:
    await Bench(configure("v4l2:/dev/video99")).run(1)
    assert outages(log)[0] == (
        "the camera (v4l2 /dev/video99) can't be opened: there is no such file or device"
    )


async def test_a_device_that_is_no_camera(log: list[EventDict]) -> None:
    await Bench(configure("v4l2:/dev/null")).run(1)
    assert outages(log)[0] == "the camera (v4l2 /dev/null) can't be opened: it is no camera"


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A film with a few bytes changed, or cut short, or a stretch of it overwritten."""
    made = bytearray(content)
    match chance.randrange(3):
        case 0:
            for _ in range(chance.choice([1, 5, 50])):
                made[chance.randrange(len(made))] = chance.randrange(256)
        case 1:
            del made[chance.randrange(len(made)) :]
        case 2:
            at, length = chance.randrange(len(made)), chance.randrange(1, 2000)
            made[at : at + length] = chance.randbytes(length)
    return bytes(made)


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mp4"), ("libx264", "ts"), ("libx265", "mp4"), ("mjpeg", "avi")],
)
def test_no_damage_to_a_film_is_more_than_an_outage(
    tmp_path_factory: pytest.TempPathFactory, codec: str, container: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    whole = make_film(folder / f"whole.{container}", codec=codec).read_bytes()
    path = folder / f"film.{container}"
    border = BorderCodec(EncodedPacket, places=())

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def play(chance: random.Random) -> None:
        path.write_bytes(damaged(whole, chance))
        decoder = PictureDecoder(interval=0, width=768, threads=1)
        sequence = 0
        try:
            stream = link_of(configure(f"file:{path}")).open()
        except CameraOutage:
            return
        try:
            while packets := stream.read(1, sequence, 32):
                sequence += len(packets)
                for one in packets:
                    for picture in decoder.feed(border.cross(one)):
                        picture.erase()
        except (CameraOutage, BorderRefused):
            pass
        finally:
            stream.close()

    play()


def test_what_cannot_be_read_is_passed_over(film: Path) -> None:
    """PyAV's iterator ends with its first error, and must be begun anew."""

    class Stumbling:
        """A container that fails before each packet."""

        def __init__(self) -> None:
            self.streams = container.streams
            self.whole = container.demux(container.streams.video[0])

        def demux(self, _: object) -> Iterator[object]:
            yield from ()
            raise av.error.InvalidDataError(1, "damaged")
            yield  # pragma: no cover

        def close(self) -> None:
            container.close()

    class Recovering(Stumbling):
        def demux(self, _: object) -> Iterator[object]:
            yield next(self.whole)
            raise av.error.InvalidDataError(1, "damaged")

    with av.open(film) as container:
        stream = CameraStream(Recovering(), SourceAddress("rtsp://camera/1"))  # type: ignore[arg-type]
        assert len(stream.read(1, 0, 10)) == 10
        assert stream.corrupt == 9
        hopeless = CameraStream(Stumbling(), SourceAddress("rtsp://camera/1"))  # type: ignore[arg-type]
        with pytest.raises(CameraOutage, match="sends nothing that can be read"):
            hopeless.read(1, 0, 1)


def test_every_key_picture_carries_the_header(film: Path) -> None:
    packets = packets_of(film)
    assert [number for number, one in enumerate(packets) if one.key] == [0, 10]
    assert [one.header is not None for one in packets] == [one.key for one in packets]
    header = packets[0].header
    assert isinstance(header, StreamHeader)
    assert (header.codec, header.width, header.height) == ("h264", 64, 48)
    assert Fraction(header.frame_rate_numerator, header.frame_rate_denominator) == 10
