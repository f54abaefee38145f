"""A domain's line says no more than is counted."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import words
from runtime.words import Vocabulary

KNOWN = Vocabulary(["camera", "failed", "with", "status"], ["cam-1 (yard)"])


texts = st.text(
    st.sampled_from("camera failed.,;:()[]…0123456789\n") | st.characters(), max_size=600
)


@given(st.lists(texts | st.just("camera ") | st.just("failed;" * 90), max_size=25))
def test_a_line_is_bounded_in_all_its_parts_together(parts: list[str]) -> None:
    kept = KNOWN.keep_all(parts)
    line = "".join(kept)
    assert len(kept) == min(len(parts), 1 + 2 * words.MOST_FIELDS)
    assert len(line) <= 400
    assert len(re.findall(r"\d+", line.replace("cam-1", ""))) <= 5
    assert len(re.sub(r"cam-1 \(yard\)|[\w ]", "", line)) <= 40 + len(kept)  # "…" where it was cut
    for word in re.findall(r"[a-z]{3,}", " ".join(kept)):
        assert word in {"camera", "failed", "with", "status", "cam", "yard"}


def test_no_more_can_be_said_than_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text of five characters, and every way to divide it in two: what is told apart after it
    has been kept."""
    for name, value in {
        "_LONGEST": 5,
        "_MOST_MARKS": 2,
        "_MOST_NUMBERS": 1,
        "_MOST_PARTS": 2,
    }.items():
        monkeypatch.setattr(words, name, value)
    monkeypatch.setattr(words, "_SHORT_WORDS", frozenset({"a", "is"}))
    one = Vocabulary(["cat"])
    said = {
        tuple(one.keep_all([text[:place], text[place:]]))
        for letters in itertools.product("acist ,7", repeat=5)
        for text in ["".join(letters)]
        for place in range(6)
    }
    assert len(said) > 500
    assert math.log2(len(said)) <= one.bits_of_a_line()


def test_a_larger_program_can_say_more() -> None:
    few = Vocabulary([f"word{n}" for n in range(10)]).bits_of_a_line()
    many = Vocabulary([f"word{n}" for n in range(5_000)]).bits_of_a_line()
    assert few < many < 8 * 400
