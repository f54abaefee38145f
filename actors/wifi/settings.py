"""What an operator sets for Wi-Fi counting."""

from __future__ import annotations

__all__ = ["WifiSettings"]

import re
from typing import Annotated, ClassVar

import msgspec

from runtime import Duration, Settings, SourceAddress

_INTERFACE = re.compile(r"^[A-Za-z0-9_.:-]{1,15}$")
_SHORTEST, _LONGEST = 10, 3600


class WifiSettings(Settings, frozen=True, kw_only=True):
    """Where frames come from, and how long a slice is."""

    published: ClassVar[tuple[str, ...]] = ("slice",)

    source: SourceAddress
    """``interface:wlan0mon`` (an interface in monitor mode) or ``file:capture.pcapng``."""
    slice: Duration = Duration(60)
    """How long transmitters are told apart; the slices begin at its multiples since 1970."""
    loop: bool = False
    """A capture file starts over at its end."""
    minimum_signal_dbm: Annotated[int, msgspec.Meta(ge=-120, le=0)] | None = None
    """Count only who is heard at least this strongly, to bound the area."""

    def __post_init__(self) -> None:
        if self.source.scheme not in ("file", "interface"):
            raise ValueError(
                'Expected a source such as "interface:wlan0mon" or "file:capture.pcapng"'
            )
        if self.source.scheme == "interface":
            if not _INTERFACE.match(self.source.rest):
                raise ValueError(
                    'Expected the name of a network interface, such as "interface:wlan0mon"'
                )
            if self.loop:
                raise ValueError("Expected loop with a file: only; an interface never ends")
        if not _SHORTEST <= self.slice <= _LONGEST or self.slice % 1:
            raise ValueError("Expected a slice of 10s to 1h, in whole seconds")

    def headline(self) -> str:
        return f"{self.source.public}, slices of {self.slice}"
