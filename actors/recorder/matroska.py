"""A stream description without a single frame, for FFmpeg to read codec parameters from.

FFmpeg's muxer wants a stream to copy the codec's parameters from, and PyAV lets nobody set them by
hand. The recorder holds parameters but no file, so it writes the smallest Matroska file that
states them (RFC 9559): codec, size and the codec's own configuration, byte by byte as it came.
"""

from __future__ import annotations

__all__ = ["CODECS", "describe"]

CODECS = {
    "av1": b"V_AV1",
    "h264": b"V_MPEG4/ISO/AVC",
    "hevc": b"V_MPEGH/ISO/HEVC",
    "mjpeg": b"V_MJPEG",
    "mpeg4": b"V_MPEG4/ISO/ASP",
    "vp9": b"V_VP9",
}
"""What Matroska calls the codecs that MP4 can hold as well, by FFmpeg's names."""

_EBML, _DOC_TYPE, _DOC_TYPE_VERSION, _DOC_TYPE_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
_SEGMENT, _CLUSTER, _TIMESTAMP = 0x18538067, 0x1F43B675, 0xE7
_INFO, _TIMESTAMP_SCALE = 0x1549A966, 0x2AD7B1
_TRACKS, _TRACK_ENTRY, _TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE = (
    0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83,
)  # fmt: skip
_CODEC_ID, _CODEC_PRIVATE, _VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x86, 0x63A2, 0xE0, 0xB0, 0xBA
_VIDEO_TRACK = 1


def describe(codec: str, width: int, height: int, extradata: bytes) -> bytes:
    """The file's bytes. ``codec`` is one of ``CODECS``; width and height are in pixels."""
    header = _element(
        _EBML,
        _element(_DOC_TYPE, b"matroska")
        + _number(_DOC_TYPE_VERSION, 4)
        + _number(_DOC_TYPE_READ_VERSION, 2),
    )
    track = _element(
        _TRACK_ENTRY,
        _number(_TRACK_NUMBER, 1)
        + _number(_TRACK_UID, 1)
        + _number(_TRACK_TYPE, _VIDEO_TRACK)
        + _element(_CODEC_ID, CODECS[codec])
        + _element(_CODEC_PRIVATE, extradata)
        + _element(_VIDEO, _number(_PIXEL_WIDTH, width) + _number(_PIXEL_HEIGHT, height)),
    )
    # FFmpeg reads on until the first cluster, so there is an empty one.
    body = (
        _element(_INFO, _number(_TIMESTAMP_SCALE, 1_000_000))
        + _element(_TRACKS, track)
        + _element(_CLUSTER, _number(_TIMESTAMP, 0))
    )
    return header + _element(_SEGMENT, body)


def _element(identifier: int, body: bytes) -> bytes:
    """Identifier, size (always in eight bytes, RFC 8794 section 4) and content."""
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + (1 << 56 | len(body)).to_bytes(8, "big") + body


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(4, "big"))
