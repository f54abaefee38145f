"""Of what a guarded domain says, only the program's own words are repeated."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.words import Vocabulary, program_words

WORDS = ("camera", "refused", "picture", "the", "was", "too", "large", "bytes", "qx")
PHRASES = (
    *("east-exit", "crowd", "crowd.counts → statistics.counts", "rtsp://camera.example/stream?a+b"),
    "",
)
SHORT = {
    *("a", "an", "as", "at", "by", "be", "do", "if", "in", "is", "it", "ms", "no", "of", "on"),
    *("or", "s", "so", "t", "to", "up", "we"),
}
VOCABULARY = Vocabulary(WORDS, PHRASES)


@pytest.mark.parametrize(
    ("said", "repeated"),
    [
        ("", ""),
        ("the picture was refused", "the picture was refused"),
        ("a picture of 640 bytes, in (the) camera: too large!", None),
        # What stands nowhere in the program.
        ("the picture of Tanaka", "the picture of …"),
        ("Camera", "…"),
        ("cameras", "…"),
        ("camera1", "…"),
        ("カメラ", "…"),
        ("the\u202epicture", "the…picture"),
        ("iVBORw0KGgo=", "…="),
        ("secret words withheld as one", "… as …"),
        # An address has six parts, and five of them could be numbers.
        ("aa:bb:cc:dd:ee:ff", "…"),
        ("00:11:22:33:44:55", "00:11:22:33:44:…"),
        ("00-11-22-33-44-55", "00-11-22-33-44-…"),
        ("1 2 3 4 5 6 7", "1 2 3 4 5 …"),
        ("123456 bytes", "123456 bytes"),
        ("1234567 bytes", "… bytes"),
        ("١٢٣", "…"),
        ("²", "…"),
        # Two letters that name a variable could spell anything.
        ("qx qx qx", "…"),
        # Names that the configuration gives are kept as they stand, and nothing round them.
        ("east-exit refused", None),
        ("rtsp://camera.example/stream?a+b was refused", None),
        ("rtsp://camera.example/strea", "…://camera.…"),
        ("crowd.counts → statistics.counts: too large", None),
        ("crowd.counts → harbour.counts", "crowd.…"),
        # Numbers count over the whole text, however it is cut up.
        ("1 2 east-exit 3 4 5 6", "1 2 east-exit 3 4 5 …"),
    ],
)
def test_what_is_kept(said: str, repeated: str | None) -> None:
    kept = VOCABULARY.keep(said)
    assert kept == (said if repeated is None else repeated)


def test_a_line_has_an_end() -> None:
    assert VOCABULARY.keep("the " * 500) == "the " * 100


@given(st.text(max_size=900) | st.text(alphabet="abcdef0123456789:- \n", max_size=900))
def test_nothing_else_passes_whatever_is_said(said: str) -> None:
    kept = VOCABULARY.keep(said)
    assert len(kept) <= 400
    for phrase in filter(None, PHRASES):
        kept = kept.replace(phrase, " ")
    words = re.findall(r"[^\W\d_]\w*", kept)
    assert set(words) <= {*WORDS[:-1], *SHORT}
    numbers = re.findall(r"\d+", kept)
    assert len(numbers) <= 5
    assert all(len(number) <= 6 for number in numbers)
    assert kept.isascii() or set(filter(lambda one: not one.isascii(), kept)) == {"…"}


@given(st.lists(st.sampled_from([*WORDS[:-1], "640", *filter(None, PHRASES)]), max_size=12))
def test_the_program_s_own_words_are_never_withheld(parts: list[str]) -> None:
    said = " ".join(parts)
    if said.count("640") <= 5 and len(said) <= 400:
        assert VOCABULARY.keep(said) == said


def test_the_program_s_words_are_those_of_its_code_and_of_the_system() -> None:
    words = program_words(["runtime"])
    # Of names and of texts, of our own and of the system's errors, and of exceptions.
    assert words >= {"program_words", "BorderViolated", "withheld", "ZeroDivisionError"}
    assert words >= {"Permission", "denied", "Connection", "refused"}
    assert words >= {"finditer", "ClosedResourceError"}, "what it calls; trio's exceptions"
    # A word that stands nowhere: put together here, so that this file is no source of it.
    assert "".join(("Ta", "na", "ka", "Ichi")) not in words


def test_where_packages_are_installed_each_stands_for_itself() -> None:
    """Beside it lies everything that is installed, whose words are not the program's."""
    assert "HookimplMarker" in program_words(["pluggy"])
    words = program_words(["outcome"])
    assert "acapture" in words
    assert "HookimplMarker" not in words


def test_a_module_without_code_has_no_words() -> None:
    assert "no_such_package" not in program_words(["no_such_package"])
    assert "program_words" not in program_words(["runtim"])
