"""The chain of manifests: what whoever changes a copy can't hide."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from actors.recorder import chain as chain_module
from actors.recorder.capability import RecordingExpiry, RecordingStore
from actors.recorder.chain import Begun, Chain, Gap, chain_files, lines_of
from actors.recorder.index import name_of
from actors.recorder.reindex import rebuild
from actors.recorder.signing import KeyRefused, PoleKey, VerifyKey
from actors.recorder.verify import Verification, verify
from runtime import Authority, Unrecoverable
from runtime.cli import main
from tests.recordings import START, storage

FACTS = {"place": "crossing", "codec": "h264", "width": 64, "height": 48}


def fill(folder: Path, count: int = 4, *, first: int = 0) -> list[str]:
    """Segments of one second each, from two cameras in turn."""
    store = storage(RecordingStore, folder)
    names = []
    for number in range(first, first + count):
        start = START + number * 1_000_000
        segment = store.open_segment(
            camera=f"camera-{number % 2}", started_at=start, head=b"head", **FACTS
        )  # type: ignore[arg-type]
        segment.write(bytes([number]) * 500)
        assert segment.finish(start + 900_000)
        names.append(segment.name)
    return names


def key_of(folder: Path) -> VerifyKey:
    return VerifyKey.from_text((folder / "pole.pub").read_text())


def look(folder: Path, key: VerifyKey | None = None) -> Verification:
    return verify(folder, key or key_of(folder))


def kinds(found: Verification) -> set[str]:
    return {finding.kind for finding in found.findings}


def rows(folder: Path, table: str = "segments") -> list[dict[str, object]]:
    with closing(sqlite_utils.Database(folder / "index.db")) as database:
        return sorted(database[table].rows, key=str)


def test_what_nobody_touched_is_whole(tmp_path: Path) -> None:
    fill(tmp_path)
    storage(RecordingStore, tmp_path).note_gap(
        camera="camera-0", place="crossing", started_at=START, ended_at=START + 5, reason="away"
    )
    found = look(tmp_path)
    assert found.findings == []
    assert (found.segments, found.first, found.last, found.records) == (4, 1, 9, 9)
    assert [gap.reason for gap in found.gaps] == ["away"]


def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    before = (tmp_path / "pole.key").read_text()
    fill(tmp_path, 1, first=1)
    assert (tmp_path / "pole.key").read_text() == before
    assert stat.S_IMODE((tmp_path / "pole.key").stat().st_mode) == 0o600
    assert before[len("PRIVATE+KEY+") :] not in (tmp_path / "pole.pub").read_text()
    (tmp_path / "pole.key").chmod(0o640)
    with pytest.raises(Unrecoverable, match=r"mode 0640.*chmod 600"):
        storage(RecordingStore, tmp_path)


@pytest.mark.parametrize("text", ["", "recordings+00000000", "a+b+c", "PRIVATE+KEY+x+y+z"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(KeyRefused):
        VerifyKey.from_text(text)


def test_many_that_begin_at_once_get_one_key(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.append(str(PoleKey.of_folder(tmp_path).public)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def remove(folder: Path, names: list[str]) -> None:
    (folder / names[1]).unlink()


def change(folder: Path, names: list[str]) -> None:
    content = bytearray((folder / names[2]).read_bytes())
    content[100] ^= 1
    (folder / names[2]).write_bytes(content)


def shorten(folder: Path, names: list[str]) -> None:
    os.truncate(folder / names[3], 300)


def exchange(folder: Path, names: list[str]) -> None:
    one, other = folder / names[0], folder / names[1]
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def put_in(folder: Path, names: list[str]) -> None:
    (folder / name_of("crossing", START + 10**7, 99)).write_bytes(b"not from here")


def put_back_as_another(folder: Path, names: list[str]) -> None:
    shutil.copy(folder / names[0], folder / name_of("crossing", START + 10**7, 1))


def lines(folder: Path) -> list[bytes]:
    return (folder / "chain-00000000.log").read_bytes().splitlines()


def write_lines(folder: Path, lines: list[bytes]) -> None:
    (folder / "chain-00000000.log").write_bytes(b"".join(line + b"\n" for line in lines))


def remove_record(folder: Path, names: list[str]) -> None:
    found = lines(folder)
    write_lines(folder, found[:3] + found[4:])


def remove_segment_and_its_records(folder: Path, names: list[str]) -> None:
    remove(folder, names)
    found = lines(folder)
    write_lines(folder, [line for line in found if b'"start":1800000001000000' not in line])


def remove_the_oldest(folder: Path, names: list[str]) -> None:
    (folder / names[0]).unlink()
    write_lines(folder, lines(folder)[2:])


def move_records(folder: Path, names: list[str]) -> None:
    found = lines(folder)
    found[2:4], found[4:6] = found[4:6], found[2:4]
    write_lines(folder, found)


def change_record(folder: Path, names: list[str]) -> None:
    write_lines(folder, [line.replace(b'"camera-1"', b'"camera-0"') for line in lines(folder)])


def double_record(folder: Path, names: list[str]) -> None:
    write_lines(folder, [*lines(folder), lines(folder)[-1]])


def lose_chain(folder: Path, names: list[str]) -> None:
    (folder / "chain-00000000.log").unlink()


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (remove, {"missing"}),
        (change, {"changed"}),
        (shorten, {"changed"}),
        (exchange, {"changed"}),
        (put_in, {"foreign"}),
        (put_back_as_another, {"foreign"}),
        (remove_record, {"removed", "changed"}),
        (remove_segment_and_its_records, {"removed"}),
        (remove_the_oldest, {"removed"}),
        (move_records, {"removed", "moved"}),
        (change_record, {"altered"}),
        (double_record, {"moved"}),
        (lose_chain, {"beginning", "foreign"}),
    ],
)
def test_whoever_tampers_with_a_copy_is_found_out(
    tamper: Callable[[Path, list[str]], None], kind: set[str], tmp_path: Path
) -> None:
    names = fill(tmp_path / "pole")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "pole", copy)
    tamper(copy, names)
    found = look(copy, key_of(tmp_path / "pole"))
    assert kinds(found) & kind
    assert not found.is_whole
    assert look(tmp_path / "pole").is_whole


def test_another_poles_recordings_are_found_out(tmp_path: Path) -> None:
    fill(tmp_path / "one")
    fill(tmp_path / "other")
    found = look(tmp_path / "one", key_of(tmp_path / "other"))
    assert {"altered", "beginning", "foreign"} <= kinds(found)
    assert found.segments == 0


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pole")
    fill(folder)
    return folder


@given(data=st.data())
def test_one_bit_anywhere_is_enough(data: st.DataObject, pristine: Path) -> None:
    with TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(pristine, copy)
        files = [*sorted(copy.glob("*.age")), copy / "chain-00000000.log"]
        file = data.draw(st.sampled_from(files))
        content = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        assert not look(copy, key_of(pristine)).is_whole


@given(keep=st.integers(0, 9999))
def test_a_chain_cut_off_at_its_end_goes_on(keep: int, pristine: Path) -> None:
    """As after a power cut in the middle of a record."""
    with TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(pristine, copy)
        log = copy / "chain-00000000.log"
        os.truncate(log, keep % log.stat().st_size)
        whole = log.read_bytes().count(b"\n")
        key = PoleKey.of_folder(copy)
        Chain(copy, key).append(Gap, camera="c", place="p", start=1, end=2, reason="power cut")
        assert [line.record.number for line in lines_of(log)] == list(range(1, whole + 2))
        assert not kinds(verify(copy, key.public)) & {"altered", "removed", "moved"}


def test_damage_in_the_chain_stops_nothing_and_is_found(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with (tmp_path / "chain-00000000.log").open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    fill(tmp_path, 2, first=2)
    found = look(tmp_path)
    assert kinds(found) == {"altered"}
    assert found.segments == 4


def test_many_may_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "_PER_FILE", 16)
    key = PoleKey.of_folder(tmp_path)

    def append(camera: str) -> None:
        chain = Chain(tmp_path, key)
        for _ in range(20):
            chain.append(Gap, camera=camera, place="p", start=1, end=2, reason="test")

    threads = [threading.Thread(target=append, args=(f"camera-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(tmp_path, key.public)
    assert found.findings == []
    assert (found.records, len(chain_files(tmp_path))) == (80, 5)
    assert Chain(tmp_path, key).length == 80


# -- deletion -------------------------------------------------------------------------------


def test_what_retention_deleted_is_not_missed(tmp_path: Path) -> None:
    names = fill(tmp_path)
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    assert expiry.delete(expiry.expired(START + 1_500_000)).deleted == names[:2]
    found = look(tmp_path)
    assert found.findings == []
    assert (found.segments, found.deleted) == (2, 2)


def test_a_planted_name_excuses_nothing(tmp_path: Path) -> None:
    """Somebody has retention delete a file that bears a young segment's number."""
    names = fill(tmp_path)
    number = int(names[3].removesuffix(".mp4.age")[-8:], 16)
    (tmp_path / name_of("crossing", START - 10**12, number)).write_bytes(b"planted")
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    assert len(expiry.delete(expiry.expired(START - 1)).deleted) == 1
    (tmp_path / names[3]).unlink()
    assert kinds(look(tmp_path)) == {"missing"}


def test_the_chain_gets_no_longer_than_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "_PER_FILE", 8)
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    for number in range(30):
        fill(tmp_path, 1, first=number)
        expiry.delete(expiry.expired(START + (number - 4) * 1_000_000))
        assert len(chain_files(tmp_path)) <= 4
    found = look(tmp_path)
    assert found.findings == []
    assert found.first > 60
    assert found.segments == 5
    # Whoever takes a file of the chain away without retention is found out.
    min(chain_files(tmp_path).values()).unlink()
    assert "removed" in kinds(look(tmp_path))


def test_a_segment_that_is_kept_keeps_its_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "_PER_FILE", 4)
    names = fill(tmp_path, 12)
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    expiry.delete(names[:4] + names[5:10])
    found = look(tmp_path)
    assert found.findings == []
    assert found.segments == 3
    assert found.first == 9


# -- after a power cut ----------------------------------------------------------------------


def leave_open(folder: Path) -> str:
    """A segment, as the end of a process leaves it."""
    store = storage(RecordingStore, folder)
    segment = store.open_segment(camera="c", started_at=START + 10**9, head=b"head", **FACTS)  # type: ignore[arg-type]
    segment.write(b"as far as it came")
    os.close(segment._descriptor)
    return segment.name


def test_a_leftover_gets_its_manifest(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    name = leave_open(tmp_path)
    found = look(tmp_path)
    assert (found.findings, found.segments, found.open) == ([], 2, 1)
    assert storage(RecordingStore, tmp_path).adopt_leftovers() == 1
    found = look(tmp_path)
    assert (found.findings, found.segments, found.open) == ([], 3, 0)
    change(tmp_path, [name] * 3) if len((tmp_path / name).read_bytes()) > 100 else os.truncate(
        tmp_path / name, 5
    )
    assert kinds(look(tmp_path)) == {"changed"}


def test_a_leftover_that_was_exchanged_gets_none(tmp_path: Path) -> None:
    name = leave_open(tmp_path)
    (tmp_path / (name + ".part")).write_bytes(b"made for the same manager, elsewhere")
    assert kinds(look(tmp_path)) == {"changed"}
    assert storage(RecordingStore, tmp_path).adopt_leftovers() == 1
    assert kinds(look(tmp_path)) == {"changed"}


@pytest.mark.parametrize("step", ["sync_folder", "closed"])
def test_a_power_cut_between_any_two_steps_of_closing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storage(RecordingStore, tmp_path)
    segment = store.open_segment(camera="c", started_at=START, head=b"head", **FACTS)  # type: ignore[arg-type]
    segment.write(b"content")

    class PowerCut(BaseException):
        pass

    def strike(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        if step == "closed":
            patch.setattr("actors.recorder.index.SegmentIndex.closed", strike)
        else:
            patch.setattr("actors.recorder.open_segment.OpenSegment._rename", strike)
        with pytest.raises(PowerCut):
            segment.finish(START + 5)
    if step != "closed":
        os.close(segment._descriptor)
    storage(RecordingStore, tmp_path).adopt_leftovers()
    found = look(tmp_path)
    assert (found.findings, found.segments, found.open) == ([], 1, 0)
    (row,) = rows(tmp_path)
    assert (row["state"], row["ended_at"], row["bytes"]) == ("complete", START + 5, 11)


# -- the index ------------------------------------------------------------------------------


def test_the_index_can_be_made_again(tmp_path: Path) -> None:
    names = fill(tmp_path)
    store = storage(RecordingStore, tmp_path)
    store.note_gap(
        camera="camera-0", place="crossing", started_at=START, ended_at=START + 5, reason="away"
    )
    still_open = store.open_segment(camera="c", started_at=START + 10**9, **FACTS)  # type: ignore[arg-type]
    storage(RecordingExpiry, tmp_path).delete(names[:1])
    before, gaps = rows(tmp_path), rows(tmp_path, "gaps")
    assert len(before) == 4
    assert len(gaps) == 1
    for file in tmp_path.glob("index.db*"):
        file.unlink()
    assert rebuild(tmp_path) == (4, 0, 1)
    assert rows(tmp_path) == before
    assert rows(tmp_path, "gaps") == gaps
    assert still_open.finish(START + 10**9 + 5)


@pytest.mark.parametrize("damage", [None, b"no database at all" * 100])
def test_a_lost_index_is_made_again_at_the_start_and_deletes_nothing(
    damage: bytes | None, tmp_path: Path
) -> None:
    fill(tmp_path)
    before = rows(tmp_path)
    for file in tmp_path.glob("index.db*"):
        file.unlink()
    if damage:
        (tmp_path / "index.db").write_bytes(damage)
    for capability in (RecordingExpiry, RecordingStore):
        capability.prepare(Authority._mint(actor="a", folder=tmp_path, settings=None, facts={}))
    assert storage(RecordingExpiry, tmp_path).expired(START) == []
    assert rows(tmp_path) == before
    assert look(tmp_path).segments == 4


def test_files_of_which_the_chain_knows_nothing_are_indexed_too(tmp_path: Path) -> None:
    """So that they expire; verifying names them."""
    fill(tmp_path, 1)
    put_in(tmp_path, [])
    assert rebuild(tmp_path) == (2, 1, 0)
    assert {row["state"] for row in rows(tmp_path)} == {"complete", "cut"}


# -- the commands ---------------------------------------------------------------------------


def test_verify_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = fill(tmp_path)
    key = str(tmp_path / "pole.pub")
    assert main(["recordings", "verify", str(tmp_path), "--key", key]) == 0
    assert "all is as the pole left it" in capsys.readouterr().out
    remove(tmp_path, names)
    change(tmp_path, names)
    given = (tmp_path / "pole.pub").read_text()
    assert main(["recordings", "verify", str(tmp_path), "--key", given]) == 1
    said = capsys.readouterr().out
    assert f"MISSING {names[1]}" in said
    assert f"CHANGED {names[2]}" in said
    assert "NOT as the pole left it: 2 findings" in said
    assert main(["recordings", "verify", str(tmp_path), "--key", key, "--part", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [finding["kind"] for finding in told["findings"]] == ["changed"]
    assert (told["elsewhere"], told["segments"]) == (1, 2)


def test_verify_says_what_it_can_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, 1)
    key = str(tmp_path / "pole.pub")
    assert main(["recordings", "verify", str(tmp_path / "none"), "--key", key]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["recordings", "verify", str(tmp_path), "--key", "nonsense"]) == 2
    assert "NAME+ID+KEY" in capsys.readouterr().err
    assert main(["recordings", "verify", str(tmp_path), "--key", str(tmp_path / "pole.key")]) == 2
    said = capsys.readouterr().err
    assert "private key" in said
    assert (tmp_path / "pole.key").read_text().strip() not in said


def test_reindex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    (tmp_path / "index.db").unlink()
    assert main(["recordings", "reindex", str(tmp_path)]) == 0
    assert "4 segments" in capsys.readouterr().out
    assert main(["recordings", "reindex", str(tmp_path / "none")]) == 2


def test_nothing_in_the_chain_is_personal(tmp_path: Path) -> None:
    """Its records name cameras, places, times and sizes, and have no field for more."""
    fields = set(Begun.__struct_fields__) | set(Gap.__struct_fields__)
    assert fields == {
        "number", "previous", "camera", "place", "start", "end", "codec", "width", "height",
        "head", "head_size", "reason", "boot", "boottime",
    }  # fmt: skip
