from __future__ import annotations

import io
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from actors.recorder import bech32
from actors.recorder.age import CHUNK, AgeWriter, Recipient
from actors.recorder.keys import read_keys
from runtime import Unrecoverable
from tests.recordings import Manager

LENGTHS = st.builds(
    lambda chunks, beside: max(0, chunks * CHUNK + beside),
    st.integers(0, 3),
    st.integers(-3, 3) | st.integers(0, CHUNK),
)
CUTS = st.lists(st.integers(0, 4 * CHUNK), max_size=6)
needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="Debian's age is not installed")


def encrypted(
    plaintext: bytes, recipients: list[Recipient], cuts: list[int] | None = None
) -> bytes:
    """What comes out for a plaintext that is written in pieces."""
    file = io.BytesIO()
    writer = AgeWriter(file, recipients)
    places = sorted({0, *(cut for cut in cuts or [] if cut < len(plaintext)), len(plaintext)})
    for begin, end in pairwise(places):
        writer.write(plaintext[begin:end])
        assert end - CHUNK <= writer.sealed <= end
    writer.close()
    assert writer.sealed == len(plaintext)
    return file.getvalue()


def key_text(prefix: str, content: bytes) -> str:
    """Bech32 the other way, for keys that no tool would make."""
    bits = "".join(f"{byte:08b}" for byte in content)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = bech32._polymod(expanded + values + [0] * 6) ^ 1
    values += [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1" + "".join(bech32._ALPHABET[value] for value in values)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, CUTS, st.integers(1, 3), st.data())
def test_pyrage_opens_it_with_each_recipient_key(
    length: int, cuts: list[int], count: int, data: st.DataObject
) -> None:
    plaintext = os.urandom(length)
    managers = [Manager() for _ in range(count)]
    file = encrypted(plaintext, [one.recipient for one in managers], cuts)
    opener = data.draw(st.sampled_from(managers))
    assert pyrage.decrypt(file, [opener.identity]) == plaintext


@needs_age
@settings(max_examples=25, deadline=None)
@given(LENGTHS, CUTS, st.integers(0, 2))
def test_debians_age_opens_it(
    tmp_path_factory: pytest.TempPathFactory, length: int, cuts: list[int], others: int
) -> None:
    folder = tmp_path_factory.mktemp("age")
    plaintext, manager = os.urandom(length), Manager()
    (folder / "key").write_text(str(manager.identity))
    recipients = [Manager().recipient for _ in range(others)] + [manager.recipient]
    file = encrypted(plaintext, recipients, cuts)
    command = ["age", "-d", "-i", str(folder / "key")]
    opened = subprocess.run(command, input=file, capture_output=True, check=True)
    assert opened.stdout == plaintext


@settings(max_examples=30, deadline=None)
@given(LENGTHS)
def test_what_is_sealed_can_be_read_without_the_rest(length: int) -> None:
    plaintext, manager, file = os.urandom(length), Manager(), io.BytesIO()
    writer = AgeWriter(file, [manager.recipient])
    writer.write(plaintext)
    opened = io.BytesIO()
    with pytest.raises((pyrage.DecryptError, OSError)):  # it has no end yet
        pyrage.decrypt_io(io.BytesIO(file.getvalue()), opened, [manager.identity])
    assert opened.getvalue() == plaintext[: writer.sealed]


def test_another_key_does_not_open_it() -> None:
    file = encrypted(b"street", [Manager().recipient])
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(file, [x25519.Identity.generate()])


def test_two_files_of_the_same_have_nothing_in_common_after_the_version() -> None:
    manager = Manager()
    one, other = (encrypted(b"street", [manager.recipient]).splitlines() for _ in range(2))
    assert one[0] == other[0] == b"age-encryption.org/v1"
    assert not set(one[1:]) & set(other[1:])


def test_nobody_to_encrypt_to_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no recipient"):
        AgeWriter(io.BytesIO(), [])


def test_a_closed_file_takes_no_more() -> None:
    writer = AgeWriter(io.BytesIO(), [Manager().recipient])
    writer.close()
    for act in (writer.close, lambda: writer.write(b"more")):
        with pytest.raises(ValueError, match="closed"):
            act()


def test_recipients_file(tmp_path: Path) -> None:
    path = tmp_path / "managers.pub"
    one, two = Manager(), Manager()
    path.write_text(f"# the site's manager\n{one.public}\n\n  {two.public.upper()}  \n")
    recipients = read_keys(path).always
    assert len(recipients) == 2
    file = encrypted(b"street", list(recipients))
    assert pyrage.decrypt(file, [two.identity]) == b"street"


GOOD = Manager().public
SECRET = str(x25519.Identity.generate())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("age1nonsense", "no key of age holds"),
        ("age1", "this is no key of age"),
        ("hello", "this is no key of age"),
        (GOOD[:-1], "checksum"),
        (GOOD[:-1] + ("q" if GOOD[-1] != "q" else "p"), "checksum"),
        (GOOD[:4] + GOOD[4:].upper(), "mixed"),
        (SECRET, "private key"),
        (key_text("age", bytes(16)), "no X25519 public key"),
        (key_text("bc", bytes(32)), "no X25519 public key"),
        (key_text("age", bytes(32)), "low order"),
        (key_text("age", (1).to_bytes(32, "little")), "low order"),
        ("ssh-ed25519 aaaac3 manager", "no key of age"),
    ],
    ids=[
        *("nonsense", "prefix alone", "word", "cut off", "one letter wrong", "mixed case"),
        *("private key", "too short", "another prefix", "zero", "one", "ssh"),
    ],
)
def test_a_wrong_key_names_file_and_line_and_not_the_key(
    line: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "managers.pub"
    path.write_text(f"# one\n{GOOD}\n{line}\n")
    with pytest.raises(Unrecoverable) as caught:
        read_keys(path)
    said = str(caught.value)
    assert f"{path}, line 3: " in said
    assert reason in said
    assert "accepted: one public key a line, beginning with age1" in said
    assert line not in said or line == "age1"


@pytest.mark.parametrize("content", [b"", b"# nobody\n\n", b"\xff\xfe", b"#" * 70_000, None])
def test_a_recipients_file_without_a_key(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "managers.pub"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unrecoverable, match="smartpole keys make") as caught:
        read_keys(path)
    assert str(path) in str(caught.value)


@given(st.integers(4, 61), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_every_mistyped_character_is_noticed(place: int, character: str) -> None:
    mistyped = GOOD[:place] + character + GOOD[place + 1 :]
    if mistyped == GOOD:
        assert bech32.decode(mistyped)[0] == "age"
    else:
        with pytest.raises(ValueError, match="checksum"):
            bech32.decode(mistyped)
