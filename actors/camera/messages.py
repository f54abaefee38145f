"""What a camera sends: its stream as it came, neither decoded nor changed."""

from __future__ import annotations

__all__ = ["EncodedPacket", "Interruption", "StreamHeader"]

import enum
from typing import Annotated

import msgspec

from runtime import Message, Sensitivity

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class StreamHeader(Message, sensitivity=Sensitivity.OPERATIONAL):
    """What a decoder or a container must know before the first packet."""

    codec: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{2,20}$")]
    """FFmpeg's name of the codec, such as ``h264``, ``hevc`` or ``mjpeg``."""
    width: Annotated[int, msgspec.Meta(ge=0, le=16384)]
    """Pixels."""
    height: Annotated[int, msgspec.Meta(ge=0, le=16384)]
    extradata: Annotated[bytes, msgspec.Meta(max_length=65536)]
    """The codec's parameter sets, as the container or the SDP gave them."""
    time_base_numerator: Positive
    """Seconds in one tick of ``pts`` and ``dts``, as a fraction."""
    time_base_denominator: Positive
    frame_rate_numerator: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    """Pictures a second, as a fraction; 0/1 where the camera doesn't say."""
    frame_rate_denominator: Positive


class Interruption(enum.Enum):
    """Why there were no pictures before this one."""

    STARTED = "started"
    """The camera actor has just begun."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """The camera did not take the credentials."""
    ENDED = "ended"
    """The camera ended its stream."""
    BROKE_OFF = "broke off"
    SILENT = "silent"
    UNREADABLE = "unreadable"
    """The camera sent nothing that could be read or handed on."""


class EncodedPacket(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    """One encoded picture (guideline 5.2(1): personal data all the same)."""

    session: Annotated[int, msgspec.Meta(ge=0)]
    """Grows with each connection and each loop of a file: times start anew, and so must a
    decoder."""
    sequence: Annotated[int, msgspec.Meta(ge=0)]
    """Counts the camera's packets; a gap says that some were dropped on the way."""
    key: bool
    """Whether decoding can begin here."""
    pts: int | None
    """When to show it, in ticks of the header's time base."""
    dts: int | None
    duration: int
    captured_at: Annotated[int, msgspec.Meta(ge=0)]
    """When the packet arrived, in microseconds since 1970 (UTC), by the wall clock."""
    boottime: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The same in microseconds since the computer started, which nobody can set; 0 where it was
    not noted."""
    header: StreamHeader | None
    """With each key picture and each session's first packet."""
    after: Interruption | None = None
    """With a session's first packet, why the session before it was over; None where nothing is
    missing. This domain may send nothing but pictures, so a picture says it."""
    data: Annotated[bytes, msgspec.Meta(max_length=8 * 1024 * 1024)]
