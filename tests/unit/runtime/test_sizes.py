"""Sizes in a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Settings, Size
from runtime.config import Document, convert


class DiskSettings(Settings, frozen=True, kw_only=True):
    reserve: Size


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("500MB", 500_000_000, "500MB"), ("1GB", 10**9, "1GB"), ("1.5 GB", 1_500_000_000, "1.5GB"),
        ("64MiB", 64 * 2**20, "64MiB"), ("0B", 0, "0B"), ("1234567B", 1_234_567, "1234.567kB"),
        ("0.000001TiB", 1_099_512, "1099.512kB"), ("2000kB", 2_000_000, "2MB"),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int, shown: str) -> None:
    assert Size.parse(text) == size
    assert str(Size.parse(text)) == shown
    assert Size.parse(shown) == size


@pytest.mark.parametrize(
    "text", ["", "5", "GB", "-5GB", "5 gigabytes", "1e3MB", "5mb", "5GB ", "٥GB", 5, None]
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="Expected a size such as"):
        Size.parse(text)


@pytest.mark.parametrize("written", ["reserve = 5", 'reserve = "much"', ""])
def test_a_mistake_is_answered_with_what_is_accepted(written: str) -> None:
    document = Document("pole.toml", written, Path())
    assert convert(document, document.data, (), DiskSettings) is None
    assert 'a size such as "500MB"' in "\n".join(map(str, document.problems))
