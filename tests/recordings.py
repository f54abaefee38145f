"""Recordings for tests: packets whose every byte is known, and a manager who opens segments."""

from __future__ import annotations

__all__ = ["Manager", "packet_run", "storage", "stored_packets"]

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import pyrage
from pyrage import x25519

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.recorder.age import Recipient
from runtime import Authority, Capability

C = TypeVar("C", bound=Capability)

# A picture's configuration record (ISO/IEC 14496-15, avcC): Baseline, four-byte lengths.
_AVCC = bytes.fromhex("0142c00affe1000c6742c00ada0f0a6840000003000101000468ce0fc8")
HEADER = StreamHeader(
    codec="h264",
    width=64,
    height=48,
    extradata=_AVCC,
    time_base_numerator=1,
    time_base_denominator=10_240,
    frame_rate_numerator=10,
    frame_rate_denominator=1,
)
_TICKS = 1024
START = 1_800_000_000_000_000
"""Microseconds since 1970, when the first packet arrives."""


def packet_run(
    groups: Sequence[int],
    *,
    size: int = 300,
    session: int = 1,
    first: int = 0,
    header: StreamHeader = HEADER,
) -> list[EncodedPacket]:
    """Ten packets a second in groups of so many, each beginning with a key picture.

    The recorder never decodes, so they hold no pictures: each says which one it is, and is
    ``size`` bytes long. ``first`` is the number of the first.
    """
    packets: list[EncodedPacket] = []
    for group in groups:
        for place in range(group):
            number = first + len(packets)
            unit = b"\x65" if place == 0 else b"\x41"
            content = unit + f"{session}/{number};".encode()
            content = content.ljust(max(size - 4, len(content)), b"\xab")
            packets.append(
                EncodedPacket(
                    session=session,
                    sequence=number,
                    key=place == 0,
                    pts=number * _TICKS,
                    dts=number * _TICKS,
                    duration=_TICKS,
                    captured_at=START + number * 100_000,
                    header=header if place == 0 else None,
                    data=len(content).to_bytes(4, "big") + content,
                )
            )
    return packets


def storage(capability: type[C], folder: Path, *, actor: str = "recorder") -> C:
    """A handle as the host would grant it."""
    authority = Authority._mint(actor=actor, folder=folder, settings=None, facts={})
    return capability._mint(authority)


class Manager:
    """Holds a private key, which the pole does not."""

    def __init__(self) -> None:
        self.identity = x25519.Identity.generate()
        self.public = str(self.identity.to_public())
        self.recipient = Recipient(self.public)

    def open(self, file: Path) -> bytes:
        """Decrypt, as far as it goes."""
        film = io.BytesIO()
        try:
            pyrage.decrypt_io(io.BytesIO(file.read_bytes()), film, [self.identity])
        except (pyrage.DecryptError, OSError):
            assert film.getvalue(), "nothing in it can be decrypted"
        return film.getvalue()


def stored_packets(film: bytes) -> list[tuple[float, bool, bytes]]:
    """Of each packet in a film: its time in seconds, whether it is a key picture, its bytes."""
    found: list[tuple[float, bool, bytes]] = []
    with av.open(io.BytesIO(film), "r") as container:
        stream = container.streams.video[0]
        tick = stream.time_base or Fraction(1)
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_corrupt:
                    moment = float((packet.pts or 0) * tick)
                    found.append((moment, bool(packet.is_keyframe), bytes(packet)))
        except av.error.FFmpegError:
            pass  # it breaks off there
    return found
