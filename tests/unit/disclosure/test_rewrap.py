"""Another recipient for the same payload: what opens it, what does not, and what it costs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from actors.disclosure.errors import CannotOpen
from actors.disclosure.rewrap import Identity, Rewrapped, payload_of, read_identities, rewrap
from actors.recorder.age import CHUNK, AgeWriter, Recipient

OWN, GUEST, STRANGER = (x25519.Identity.generate() for _ in range(3))


def sealed(film: bytes, *to: x25519.Identity) -> bytes:
    file = io.BytesIO()
    writer = AgeWriter(file, [Recipient(str(one.to_public())) for one in to or (OWN,)])
    writer.write(film)
    writer.close()
    return file.getvalue()


def again(file: bytes, *identities: x25519.Identity) -> tuple[bytes, Rewrapped]:
    target = io.BytesIO()
    keys = [Identity(str(one)) for one in identities or (OWN,)]
    done = rewrap(io.BytesIO(file), target, keys, Recipient(str(GUEST.to_public())))
    return target.getvalue(), done


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_the_recipient_opens_it_and_the_payload_is_the_pole_s(size: int) -> None:
    film = os.urandom(size)
    file = sealed(film)
    new, done = again(file)
    assert pyrage.decrypt(new, [GUEST]) == film
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(new, [OWN])
    payload = new[payload_of(io.BytesIO(new)) :]
    assert done.header + payload == file
    assert (done.original, done.original_size) == (sha256(file).hexdigest(), len(file))
    assert (done.digest, done.size) == (sha256(new).hexdigest(), len(new))
    assert (done.readable, done.is_whole) == (size, True)


def test_a_file_of_another_program() -> None:
    film = os.urandom(100_000)
    new, done = again(pyrage.encrypt(film, [STRANGER.to_public(), OWN.to_public()]))
    assert pyrage.decrypt(new, [GUEST]) == film
    assert done.is_whole


@pytest.mark.skipif(not shutil.which("age"), reason="Debian's age is not installed")
def test_the_age_program_opens_it(tmp_path: Path) -> None:
    film = os.urandom(200_000)
    (tmp_path / "film.age").write_bytes(again(sealed(film))[0])
    (tmp_path / "key").write_text(f"{GUEST}\n")
    done = subprocess.run(
        ["age", "-d", "-i", tmp_path / "key", tmp_path / "film.age"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == film


@given(cut=st.integers(0, 3 * CHUNK))
@settings(max_examples=60, deadline=None)
def test_what_breaks_off_is_handed_over_as_far_as_it_goes(cut: int) -> None:
    film = bytes(3 * CHUNK)
    file = sealed(film)
    new, done = again(file[: len(file) - cut])
    assert done.original == sha256(file[: len(file) - cut]).hexdigest()
    assert done.is_whole == (cut == 0)
    opened = io.BytesIO()
    try:
        pyrage.decrypt_io(io.BytesIO(new), opened, [GUEST])
    except (pyrage.DecryptError, OSError):
        assert cut
    assert len(opened.getvalue()) == done.readable
    assert done.readable % CHUNK == 0


@given(place=st.integers(0), bit=st.integers(0, 7))
@settings(max_examples=120, deadline=None)
def test_a_flipped_bit_is_never_taken_for_whole(place: int, bit: int) -> None:
    file = bytearray(sealed(bytes(CHUNK + 100)))
    place %= len(file)
    file[place] ^= 1 << bit
    try:
        _, done = again(bytes(file))
    except CannotOpen:
        return
    assert not done.is_whole
    assert done.original == sha256(file).hexdigest()


@pytest.mark.parametrize("key", [STRANGER, GUEST])
def test_another_key_does_not_open_it(key: x25519.Identity) -> None:
    with pytest.raises(CannotOpen, match=r"none of the private keys.*destroyed") as raised:
        again(sealed(b"film"), key)
    assert raised.value.lacks_key


@pytest.mark.parametrize("file", [b"", b"age", b"age-encryption.org/v1\n", bytes(100_000)])
def test_what_is_no_age_file(file: bytes) -> None:
    with pytest.raises(CannotOpen) as raised:
        again(file)
    assert not raised.value.lacks_key


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    path = tmp_path / "film.age"
    path.write_bytes(sealed(bytes(30_000_000)))
    tracemalloc.start()
    try:
        with path.open("rb") as source, (tmp_path / "new").open("wb") as target:
            recipient = Recipient(str(GUEST.to_public()))
            done = rewrap(source, target, [Identity(str(OWN))], recipient)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.readable == 30_000_000
    assert peak < 2_000_000


# -- private keys -------------------------------------------------------------------------------


def test_keys_in_a_file_or_a_folder_of_days(tmp_path: Path) -> None:
    for name, key in (("2026-11-30.key", OWN), ("2026-12-01.key", STRANGER)):
        path = tmp_path / name
        path.write_text(f"# created\n{key}\n")
        path.chmod(0o600)
    (tmp_path / "days.pub").write_text("2026-11-30 age1…\n")
    assert len(read_identities(tmp_path)) == 2
    assert len(read_identities(tmp_path / "2026-11-30.key")) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"holds no private key.*smartpole keys make"),
        (str(OWN.to_public()), r"line 1: this is no X25519 private key"),
        (f"# k\n{str(OWN)[:-1]}", r"line 2"),
    ],
    ids=["nothing", "public key", "cut off"],
)
def test_what_is_no_private_key_is_not_repeated(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "manager.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CannotOpen, match=expected) as raised:
        read_identities(path)
    assert not text or text.splitlines()[-1] not in str(raised.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manager.key"
    path.write_text(f"{OWN}\n")
    path.chmod(0o640)
    with pytest.raises(CannotOpen, match=r"mode 0640.*7\.3\(1\).*chmod 600"):
        read_identities(path)
    with pytest.raises(CannotOpen, match="can't be read: No such file"):
        read_identities(tmp_path / "nothing.key")
