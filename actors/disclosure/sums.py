"""``SHA256SUMS``: the list of a package's files, as ``sha256sum -c`` takes it."""

from __future__ import annotations

__all__ = ["SumsUnreadable", "read_sums", "write_sums"]

import re
from collections.abc import Mapping
from typing import Final

from runtime import SmartpoleError

_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)", re.ASCII)


class SumsUnreadable(SmartpoleError):
    """It is not such a list."""


def write_sums(sums: Mapping[str, str]) -> bytes:
    """The list, of SHA-256 in hexadecimal by path."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def read_sums(data: bytes) -> dict[str, str]:
    """SHA-256 in hexadecimal by path. Raises SumsUnreadable for anything but what ``write_sums``
    writes, so that no other program can understand it differently."""
    sums: dict[str, str] = {}
    try:
        for number, line in enumerate(data.decode("ascii").split("\n")[:-1], start=1):
            match = _LINE.fullmatch(line)
            if match is None or ".." in match[2].split("/"):
                raise SumsUnreadable(f"line {number} is no SHA-256 and name of a file")
            sums[match[2]] = match[1]
    except UnicodeDecodeError:
        raise SumsUnreadable("it is no text") from None
    if write_sums(sums) != data:
        raise SumsUnreadable("its lines are not each there once, in order and whole")
    return sums
