"""One camera's stream over RTSP: what is told of it, and TLS."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from actors.camera.messages import StreamHeader
from actors.camera.rtp import AccessUnit
from actors.camera.rtsp_stream import _REORDERED, Description
from actors.camera.sdp import VideoMedia
from bench.rtsp_camera import RtspServer, _access_units
from tests.cameras import make_film
from tests.unit.camera.test_rtsp import pole_on

MEDIA = VideoMedia("h264", 96, 90_000, "", {}, Fraction(25))


# -- order ----------------------------------------------------------------------------------


@given(groups=st.lists(st.integers(1, _REORDERED + 1), min_size=1, max_size=30))
def test_pictures_out_of_order_get_times_to_decode_them_in_their_order(groups: list[int]) -> None:
    """Each group: the last to be shown is sent first, and refers to nothing after it."""
    shown, at = [0], 0
    for size in groups:
        shown += [at + size, *range(at + 1, at + size)]
        at += size
    description = Description(MEDIA)
    decoded = [description.decoding_time(3600 * number) for number in shown]
    if shown == sorted(shown):
        assert decoded == [3600 * number for number in shown]
        return
    turned = next(n for n, (one, other) in enumerate(pairwise(shown), 1) if other < one)
    rest = decoded[turned:]
    assert rest == sorted(set(rest))
    assert all(dts <= 3600 * pts for dts, pts in zip(rest, shown[turned:], strict=True))


def test_a_jump_begins_anew() -> None:
    description = Description(MEDIA)
    for ticks in (0, 10_800, 3600, 7200, 2**31):
        decoded = description.decoding_time(ticks)
    assert decoded == 2**31 - _REORDERED
    assert description.decoding_time(3600) == 3600 - _REORDERED


# -- the header -----------------------------------------------------------------------------


def seen(description: Description, unit: AccessUnit) -> StreamHeader:
    """The picture's header, looked at where it must be."""
    if not description.knows(unit):
        description.look(unit)
    assert description.header is not None
    return description.header


def units_of(film: Path) -> list[AccessUnit]:
    _, _, units = _access_units(film)
    return [AccessUnit(3600 * number, True, unit, b"") for number, unit in enumerate(units)]


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "h264"), ("libx265", "hevc"), ("mjpeg", "mjpeg")]
)
def test_a_picture_tells_its_size(codec: str, name: str, tmp_path: Path) -> None:
    media = VideoMedia(name, 96, 90_000, "", {}, Fraction(25, 2))
    small = units_of(make_film(tmp_path / "small.mp4", codec=codec, size=(64, 48), pictures=1))
    large = units_of(make_film(tmp_path / "large.mp4", codec=codec, size=(160, 96), pictures=1))
    header = seen(Description(media), small[0])
    assert (header.codec, header.width, header.height) == (name, 64, 48)
    assert (header.frame_rate_numerator, header.frame_rate_denominator) == (25, 2)
    assert seen(Description(media), large[0]).width == 160


def test_new_parameter_sets_are_a_new_header(tmp_path: Path) -> None:
    small = units_of(make_film(tmp_path / "small.mp4", size=(64, 48), pictures=1))[0]
    large = units_of(make_film(tmp_path / "large.mp4", size=(160, 96), pictures=1))[0]
    description = Description(MEDIA)
    first = seen(description, small._replace(sets=b"\0\0\0\1\x67a"))
    assert seen(description, small) is first
    assert seen(description, small._replace(sets=b"\0\0\0\1\x67a")) is first
    other = seen(description, large._replace(sets=b"\0\0\0\1\x67b"))
    assert (first.width, other.width) == (64, 160)
    assert other.extradata.endswith(b"b")


def test_jpeg_pictures_of_one_size_need_one_look(tmp_path: Path) -> None:
    media = VideoMedia("mjpeg", 26, 90_000, "", {}, Fraction(0))
    film = units_of(make_film(tmp_path / "a.mp4", codec="mjpeg", size=(64, 48), pictures=3))
    other = units_of(make_film(tmp_path / "b.mp4", codec="mjpeg", size=(64, 64), pictures=1))
    description = Description(media)
    first = seen(description, film[0])
    assert film[1].data != film[0].data
    assert all(seen(description, unit) is first for unit in film)
    assert seen(description, other[0]).height == 64


def test_what_cannot_be_read_has_no_size() -> None:
    header = seen(Description(MEDIA), AccessUnit(0, True, b"rubbish" * 99, b""))
    assert (header.width, header.height) == (0, 0)


# -- TLS ------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """As cameras have them: signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, SHA256())
    )
    path = tmp_path / "camera.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.public_bytes(Encoding.PEM)
    )
    return path


@contextmanager
def behind_tls(port: int, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS, before a camera's that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                plain, _ = listening.accept()
                with (
                    plain,
                    context.wrap_socket(plain, server_side=True) as outer,
                    socket.create_connection(("127.0.0.1", port)) as inner,
                ):
                    back = threading.Thread(target=carry, args=(inner, outer), daemon=True)
                    back.start()
                    carry(outer, inner)
                    back.join(5)
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(5)


@pytest.mark.rtsp
@pytest.mark.real_time
async def test_a_camera_behind_tls(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], certificate: Path
) -> None:
    server = rtsp_server(user="viewer:tr33house", digest=True)
    with behind_tls(server.port, certificate) as port:
        address = server.address().replace("rtsp:", "rtsps:").replace(str(server.port), str(port))
        async with pole_on(tmp_path, address, credentials="viewer:tr33house") as (_, _, security):
            await security.until(lambda packets: len(packets) >= 30)
            assert [packet.sequence for packet in security.messages[:30]] == list(range(30))
