"""Packages that somebody laid hands on: each way is found, and the file is named."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.custody.order import sign_order
from actors.disclosure.contents import EXPORT, MANIFESTS, SUMS
from actors.disclosure.keys import PoleKeys
from actors.disclosure.sums import read_sums, write_sums
from actors.disclosure.verify import Verified, verify_package
from actors.recorder.files import digest_of
from runtime.ledger.note import SigningKey
from tests.disclosures import EVENT, Site

_READ_ONLY = settings(max_examples=80, deadline=None)


class Evidence:
    """One package that is changed and put back again, and another one of the same pole."""

    def __init__(self, folder: Path) -> None:
        site = self.site = Site(folder / "state")
        start = EVENT - timedelta(minutes=2)
        site.record_minutes(start, 2, size=70_000)
        site.note_gap(EVENT, EVENT + timedelta(minutes=1), "the camera ended its stream")
        site.record(EVENT + timedelta(minutes=1), 60, size=100_000, cut=50)
        site.record_minutes(start, 5, camera="camera-1", size=20_000)
        self.made = site.package(folder / "package")
        self.other = site.package(folder / "other", cameras=("camera-1",)).folder
        self.folder = self.made.folder
        self.keys = site.keys
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        self.files = sorted(path.relative_to(self.folder).as_posix() for path in paths)
        self._kept = {name: (self.folder / name).read_bytes() for name in self.files}

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)
        for name, data in self._kept.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def verify(self) -> Verified:
        return verify_package(self.folder, self.keys)

    def sum_up(self) -> None:
        """As somebody does who knows what they do: the sums fit again."""
        sums = read_sums((self.folder / SUMS).read_bytes())
        fresh = {
            name: digest_of(self.folder / name) for name in sums if (self.folder / name).exists()
        }
        (self.folder / SUMS).write_bytes(write_sums(fresh))


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return Evidence(tmp_path_factory.mktemp("evidence"))


def named(found: Verified) -> set[str]:
    return {one.what for one in found.findings}


def test_what_nobody_touched(evidence: Evidence) -> None:
    found = evidence.verify()
    assert found.findings == []
    assert found.films == 3
    assert [(piece.camera, why) for piece, why in found.missing] == [
        ("camera-0", "gap"),
        ("camera-0", "unaccounted"),
    ]
    assert verify_package(evidence.other, evidence.keys).is_good


@given(st.data())
@_READ_ONLY
def test_any_bit(evidence: Evidence, data: st.DataObject) -> None:
    with evidence:
        name = data.draw(st.sampled_from(evidence.files))
        path = evidence.folder / name
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        found = evidence.verify()
        assert name in named(found), found.findings


@given(st.data())
@_READ_ONLY
def test_any_bit_with_sums_that_fit(evidence: Evidence, data: st.DataObject) -> None:
    """Whoever changes a file can count the sums again, but not sign them."""
    with evidence:
        name = data.draw(st.sampled_from([one for one in evidence.files if one != SUMS]))
        path = evidence.folder / name
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        evidence.sum_up()
        assert named(evidence.verify()) & {name, SUMS}


@given(st.data())
@_READ_ONLY
def test_any_file_cut_or_longer(evidence: Evidence, data: st.DataObject) -> None:
    with evidence:
        name = data.draw(st.sampled_from(evidence.files))
        path = evidence.folder / name
        content = path.read_bytes()
        more = data.draw(st.binary(min_size=1, max_size=5))
        length = data.draw(st.integers(0, len(content) - 1))
        path.write_bytes(content[:length] if data.draw(st.booleans()) else content + more)
        assert name in named(evidence.verify())


@pytest.mark.parametrize("with_sums", [False, True])
def test_any_file_removed(evidence: Evidence, with_sums: bool) -> None:
    for name in evidence.files:
        if with_sums and name in (SUMS, EXPORT):
            continue
        with evidence:
            (evidence.folder / name).unlink()
            if with_sums:
                evidence.sum_up()
            assert named(evidence.verify()) & ({name, SUMS} if with_sums else {name}), name


@given(st.data())
@_READ_ONLY
def test_any_two_files_swapped(evidence: Evidence, data: st.DataObject) -> None:
    with evidence:
        pair = st.lists(st.sampled_from(evidence.files), min_size=2, max_size=2, unique=True)
        one, other = data.draw(pair)
        first, second = evidence.folder / one, evidence.folder / other
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
        # Without the list nothing can be said of what only the list vouches for.
        expected = {SUMS} if SUMS in (one, other) else {one, other}
        assert expected <= named(evidence.verify())


def test_anything_added(evidence: Evidence) -> None:
    names = ["note.txt", "video/20261130T120300Z-crossing-00000099.mp4.age", "ledger/x/y.proof"]
    for name in names:
        with evidence:
            path = evidence.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            assert named(evidence.verify()) == {name}
    with evidence:
        os.symlink("/etc/hostname", evidence.folder / "video" / "link")
        assert named(evidence.verify()) == {"video/link"}


def test_any_file_of_another_package_of_the_same_pole(evidence: Evidence) -> None:
    """It is signed by the same people and the same pole, and is of another request."""
    paths = [path for path in evidence.other.rglob("*") if path.is_file()]
    for name in sorted(path.relative_to(evidence.other).as_posix() for path in paths):
        with evidence:
            path = evidence.folder / name
            path.write_bytes((evidence.other / name).read_bytes())
            found = evidence.verify()
            assert name in named(found) or SUMS in named(found), name
            assert not found.is_good


def test_whoever_signs_with_a_key_of_their_own(evidence: Evidence) -> None:
    """A package made again in full, by somebody who is not the one who opened the recordings."""
    with evidence:
        cover = evidence.folder / "cover.html"
        cover.write_bytes(cover.read_bytes().replace("警視庁".encode(), "県警察".encode()))
        evidence.sum_up()
        forger = SigningKey.generate("site-manager")
        order = evidence.made.export.order
        (evidence.folder / EXPORT).write_bytes(sign_order(order, forger).data)
        found = evidence.verify()
        assert named(found) == {EXPORT, SUMS}
        package = sha256((evidence.folder / SUMS).read_bytes()).hexdigest()
        order = msgspec.structs.replace(order, package=package)
        (evidence.folder / EXPORT).write_bytes(sign_order(order, forger).data)
        found = evidence.verify()
        assert named(found) == {EXPORT}
        assert "site-manager, who opened the recordings, did not sign it" in found.findings[0].text


def test_lines_of_the_chain_out_of_order_or_left_out(evidence: Evidence) -> None:
    path = evidence.folder / MANIFESTS
    lines = path.read_bytes().splitlines(keepends=True)
    for change in (lines[::-1], [*lines, lines[-1]], [*lines[:2], *lines[4:]]):
        with evidence:
            path.write_bytes(b"".join(change))
            found = evidence.verify()
            assert MANIFESTS in named(found)
            assert len(found.findings) > 1


def test_another_pole_s_keys(evidence: Evidence, tmp_path: Path) -> None:
    strange = Site(tmp_path / "state").keys
    own = evidence.keys
    found = verify_package(evidence.folder, PoleKeys(strange.recordings, own.ledger))
    assert MANIFESTS in named(found)
    assert found.films == 0
    found = verify_package(evidence.folder, PoleKeys(own.recordings, strange.ledger))
    assert "ledger/request.proof" in named(found)
    assert not found.is_good


@pytest.mark.parametrize(
    "sums",
    [b"", b"x", b"\xff", b"0" * 64 + b"  a\n" + b"1" * 64 + b"  a\n", b"0" * 64 + b"  ../a\n"],
)
def test_a_list_that_is_none(evidence: Evidence, sums: bytes) -> None:
    with evidence:
        (evidence.folder / SUMS).write_bytes(sums)
        assert SUMS in named(evidence.verify())
