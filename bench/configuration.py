"""What the benchmarks' own poles have in common."""

from __future__ import annotations

__all__ = ["IDENTITY", "toml_text"]

import msgspec

IDENTITY = """
[pole]
name = "bench"
operator = { ja = "bench", en = "bench" }
contact = { ja = "bench", en = "bench" }
guideline = "1.0"
state = "state"

[places]
bench = { ja = "bench", en = "bench" }
"""


def toml_text(text: str) -> str:
    """A TOML string, which a JSON string also is."""
    return msgspec.json.encode(text).decode()
