"""Signed notes and checkpoints: published examples, and nothing else that passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import NoteRefused
from runtime.ledger.checkpoint import Checkpoint, read_checkpoint
from runtime.ledger.merkle import EMPTY_ROOT
from runtime.ledger.note import Note, SignatureType, SigningKey, VerifierKey, is_key_name

# From the documentation of golang.org/x/mod/sumdb/note, which C2SP's signed-note describes.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n"
NEUMANN_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NEUMANN_NOTE = (
    f"{NEUMANN_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZ"
    "SNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()

KEY = SigningKey.generate("pole.example/1")
WITNESS = SigningKey.generate("city.example/w", SignatureType.COSIGNATURE)
CHECKPOINT = Checkpoint("pole.example/1", 7, bytes(range(32)))


def test_a_published_note_is_verified_and_signed_alike() -> None:
    key = VerifierKey.from_text(NEUMANN)
    assert str(key) == NEUMANN
    note = Note.parse(NEUMANN_NOTE)
    assert note.text == NEUMANN_TEXT
    assert note.verify(key) == 0
    secret = SigningKey.from_text(NEUMANN_SECRET)
    assert secret.verifier == key
    assert bytes(Note(NEUMANN_TEXT).signed(secret)) == NEUMANN_NOTE
    assert secret.secret_text() == NEUMANN_SECRET


def test_a_key_shows_nothing_of_its_secret() -> None:
    secret = KEY.secret_text().strip().split("+", 4)[4]
    assert secret not in repr(KEY) + str(KEY) + repr(KEY.verifier) + str(KEY.verifier)
    with pytest.raises(NoteRefused) as refusal:
        SigningKey.from_text(KEY.secret_text().replace("+KEY+", "+KEY+x"))
    assert secret not in str(refusal.value)


def test_checkpoints_as_c2sp_writes_them() -> None:
    """The example of tlog-checkpoint; its key is not published."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = Checkpoint.from_text(text)
    assert (found.origin, found.size, found.text) == ("example.com/behind-the-sofa", 20852163, text)
    note = Note.parse(
        f"{text}\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4"
        "URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrD"
        "JsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n".encode()
    )
    assert [one.name for one in note.signatures] == [found.origin, "witness.example.com/w1"]
    # A cosignature begins with the time at which it was made.
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == 1679315147


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        f"\n1\n{'A' * 43}=\n",
        f"a\n01\n{'A' * 43}=\n",
        f"a\n-1\n{'A' * 43}=\n",
        f"a\n١\n{'A' * 43}=\n",
        f"a\n{'9' * 20}\n{'A' * 43}=\n",
        "a\n1\nAAAA\n",
        f"a\n1\n{'A' * 42}B=\n",  # the last two bits are not zero
        f"a\n1\n{'A' * 43}=\nmore\n",
        f"a\n1\n{'A' * 43}=",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteRefused, match="no checkpoint"):
        Checkpoint.from_text(text)


def test_a_cosignature_says_when() -> None:
    note = Note(CHECKPOINT.text).signed(KEY).signed(WITNESS, time=1_800_000_000)
    again = Note.parse(bytes(note))
    assert again == note
    assert read_checkpoint(bytes(note), KEY.verifier) == (CHECKPOINT, note)
    assert again.verify(WITNESS.verifier) == 1_800_000_000
    other = SigningKey.generate("city.example/w", SignatureType.COSIGNATURE)
    assert again.verify(other.verifier) is None


def test_a_checkpoint_of_another_key_is_refused() -> None:
    note = bytes(Note(CHECKPOINT.text).signed(WITNESS))
    with pytest.raises(NoteRefused, match=r"is not signed by pole\.example/1"):
        read_checkpoint(note, KEY.verifier)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = bytes(Note(Checkpoint("other", 0, EMPTY_ROOT).text).signed(KEY))
    with pytest.raises(NoteRefused, match=r"of the log other, not of pole\.example/1"):
        read_checkpoint(note, KEY.verifier)


def test_a_false_signature_refuses_the_whole_note() -> None:
    good = Note(CHECKPOINT.text).signed(KEY)
    forged = Note(CHECKPOINT.text.replace("7", "8"), good.signatures)
    with pytest.raises(
        NoteRefused, match=r"the signature of pole\.example/1 on this note is false"
    ):
        forged.verify(KEY.verifier)
    both = Note(CHECKPOINT.text, (*good.signatures, *Note("x\n").signed(KEY).signatures))
    with pytest.raises(NoteRefused, match="false"):
        both.verify(KEY.verifier)


@pytest.mark.parametrize("witness", [KEY, WITNESS])
def test_every_changed_byte_of_a_note_is_noticed(witness: SigningKey) -> None:
    data = bytes(Note(CHECKPOINT.text).signed(witness, time=1_800_000_000))
    for place in range(len(data)):
        for change in (1, 0x20, 0x80):
            changed = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            try:
                assert Note.parse(changed).verify(witness.verifier) is None
            except NoteRefused:
                continue


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n- name AAAAAAAA\n",
        "text\n\n— name\n".encode(),
        "text\n\n— na+me AAAAAAAA\n".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name AAAAAAA\n".encode(),
        "text\n\n— name AAAAAAAA".encode(),
        "te\txt\n\n— name AAAAAAAA\n".encode(),
        b"\xff\n\n\xe2\x80\x94 name AAAAAAAA\n",
        b"text\n\n" + "— name AAAAAAAA\n".encode() * 65,
        b"x" * 70_000,
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(NoteRefused, match="no signed note"):
        Note.parse(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        NEUMANN.replace("c74f", "c74e"),
        f"x{NEUMANN}",
        NEUMANN[:-4],
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(NoteRefused, match="no verifier key"):
        VerifierKey.from_text(text)
    with pytest.raises(NoteRefused, match="no private key"):
        SigningKey.from_text(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u3000b"])
def test_what_is_no_keys_name(name: str) -> None:
    assert not is_key_name(name)
    with pytest.raises(NoteRefused, match="can't be named"):
        SigningKey.generate(name)


@given(st.text(st.characters(min_codepoint=32, blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_can_be_signed(text: str) -> None:
    note = Note(f"{text}\n").signed(KEY)
    assert Note.parse(bytes(note)).verify(KEY.verifier) == 0
