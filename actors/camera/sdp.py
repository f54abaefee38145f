"""What a camera says of its stream before it sends it (SDP, RFC 8866)."""

from __future__ import annotations

__all__ = ["UnknownVideo", "VideoMedia", "video_in"]

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_CODECS = {"h264": "h264", "h265": "hevc", "jpeg": "mjpeg", "mp4v-es": "mpeg4"}
"""FFmpeg's names by RTP's encoding names (RFC 6184, 7798, 2435, 6416)."""
_STATIC = {26: ("jpeg", 90_000)}
"""RFC 3551, table 5."""
_RATE = re.compile(r"\d{1,5}(\.\d{1,6})?")


class UnknownVideo(ValueError):
    """There is video, and none of it is of a kind that is known here."""


@dataclass(frozen=True)
class VideoMedia:
    """The video of a session."""

    codec: str
    """FFmpeg's name."""
    payload_type: int
    clock_rate: int
    """Ticks a second of the RTP timestamps."""
    control: str
    """Where it is set up: an address, part of one, or "" for the session's own."""
    parameters: Mapping[str, str]
    """The codec's (``a=fmtp``), by names in lower case."""
    frame_rate: Fraction
    """Pictures a second; 0 where the camera doesn't say."""


def video_in(text: str) -> VideoMedia | None:
    """The first video that can be taken; None where there is no video. Raises UnknownVideo."""
    _, *sections = re.split(r"(?m)^m=", text)
    found = [section for section in sections if section.startswith("video ")]
    for section in found:
        if (media := _read(section)) is not None:
            return media
    if found:
        raise UnknownVideo
    return None


def _read(section: str) -> VideoMedia | None:
    first, *rest = section.splitlines()
    attributes = [line[2:].partition(":") for line in rest if line.startswith("a=")]

    def all_of(name: str) -> list[str]:
        return [value.strip() for key, _, value in attributes if key == name]

    mapped, parameters = dict(_STATIC), {}
    for value in all_of("rtpmap"):
        if match := re.fullmatch(r"(\d{1,3}) +([\w.-]+)/(\d{1,9})(/\S*)?", value):
            mapped[int(match[1])] = (match[2].lower(), int(match[3]))
    for value in all_of("fmtp"):
        number, _, listed = value.partition(" ")
        pairs = (item.strip().partition("=") for item in listed.split(";"))
        parameters[number] = {key.lower(): it for key, _, it in pairs}
    for number in first.split()[3:]:
        name, clock_rate = mapped.get(int(number) if number.isdecimal() else -1, ("", 0))
        if name in _CODECS and clock_rate:
            rates = [rate for rate in all_of("framerate") if _RATE.fullmatch(rate)]
            return VideoMedia(
                codec=_CODECS[name],
                payload_type=int(number),
                clock_rate=clock_rate,
                control=next(iter(all_of("control")), ""),
                parameters=parameters.get(number, {}),
                frame_rate=Fraction(rates[0]).limit_denominator(1001) if rates else Fraction(0),
            )
    return None
