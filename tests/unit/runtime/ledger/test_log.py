"""The log on real files: what it keeps through crashes, and what it refuses to go on from."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from runtime.errors import LedgerDamaged, LedgerRefused, LedgerTrouble
from runtime.ledger.entry import decode_record
from runtime.ledger.files import CHECKPOINT, ENTRIES, FRONTIER, PUBLIC_KEY, SIGNING_KEY
from runtime.ledger.kinds import TailCut
from runtime.ledger.log import LedgerLog, _Resume, create_log
from runtime.ledger.merkle import leaf_hash, root_of
from tests.ledgers import entries_of, line, lines, new_log


def file_lines(folder: Path) -> list[bytes]:
    return (folder / ENTRIES).read_bytes().splitlines()


def test_a_new_ledger_is_empty_signed_and_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "ledger"
    new_log(folder).close()
    assert entries_of(folder) == []
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes[SIGNING_KEY] == modes[ENTRIES] == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    key = (folder / PUBLIC_KEY).read_text()
    create_log(folder, "smartpole/another")  # there is one: it stays
    assert (folder / PUBLIC_KEY).read_text() == key


def test_entries_are_appended_in_order_and_signed(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    assert log.append(lines([1, 2])) == range(2)
    assert log.append([]) == range(2, 2)
    assert log.append(lines([3])) == range(2, 3)
    assert (log.size, log.last_line, log.cut) == (3, line(3), 0)
    assert log.root_at(2) == root_of(map(leaf_hash, lines([1, 2])))
    assert log.checkpoint() == (tmp_path / CHECKPOINT).read_bytes()
    log.close()
    assert entries_of(tmp_path) == [1, 2, 3]
    for resume in (False, True):
        again = LedgerLog(tmp_path, resume=resume)
        assert again.size == 3 + resume
        again.append(lines([4 + resume]))
        again.close()
    assert entries_of(tmp_path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("bad", [b"", b"a\nb"])
def test_an_entry_is_one_line(tmp_path: Path, bad: bytes) -> None:
    log = new_log(tmp_path)
    with pytest.raises(LedgerRefused, match="one line"):
        log.append([line(1), bad])
    log.close()
    assert entries_of(tmp_path) == []


def test_a_closed_log_is_not_used(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    log.close()
    log.close()
    with pytest.raises(LedgerTrouble, match="was closed"):
        log.append(lines([1]))


def test_writers_take_turns(tmp_path: Path) -> None:
    new_log(tmp_path).close()
    handles = [LedgerLog(tmp_path, resume=True) for _ in range(3)]

    def write(log: LedgerLog, first: int) -> None:
        for number in range(first, first + 10):
            log.append(lines([number, number + 100]))

    threads = [
        threading.Thread(target=write, args=(log, 1000 * place))
        for place, log in enumerate(handles)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = entries_of(tmp_path)
    assert len(found) == 60
    for place in range(3):
        own = [number for number in found if number // 1000 == place]
        assert own == [
            n + more for n in range(1000 * place, 1000 * place + 10) for more in (0, 100)
        ]
    for log in handles:
        log.close()


def test_a_writer_that_does_not_come_to_an_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    log = new_log(tmp_path)
    monkeypatch.setattr("runtime.ledger.log._PATIENCE", 0.02)
    with open(tmp_path / ENTRIES) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LedgerTrouble, match="another writer has held the ledger"):
            log.append(lines([1]))
    log.append(lines([2]))
    log.close()
    assert entries_of(tmp_path) == [2]


# -- power cuts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", [False, True])
def test_a_batch_cut_at_any_byte_costs_only_what_is_not_whole(tmp_path: Path, resume: bool) -> None:
    folder = tmp_path / "ledger"
    new_log(folder, [1, 2]).close()
    kept = (folder / ENTRIES).read_bytes()
    batch = b"".join(one + b"\n" for one in lines([3, 4]))
    for cut in range(len(batch) + 1):
        at_cut = tmp_path / "cut"
        shutil.copytree(folder, at_cut)
        (at_cut / ENTRIES).write_bytes(kept + batch[:cut])
        whole = batch[:cut].count(b"\n")
        log = LedgerLog(at_cut, resume=resume)
        assert log.size == 2 + whole
        torn = cut - len(b"".join(one + b"\n" for one in lines([3, 4][:whole])))
        assert log.cut == torn
        places = log.append(lines([6]))
        assert places == range(2 + whole + bool(torn), 3 + whole + bool(torn))
        log.close()
        assert entries_of(at_cut) == [1, 2, *[3, 4][:whole], 6]
        said = [decode_record(one)[1] for one in file_lines(at_cut)]
        assert [one for one in said if isinstance(one, TailCut)] == (
            [TailCut(removed=torn)] if torn else []
        )
        shutil.rmtree(at_cut)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 5000,
        b"\0" * 100_000,
        b"x" * 16_385 + b"\n",
        b"\n",
        b"\n" + line(9) + b"\n",
        b"{}\n" + line(9) + b"\n",
        b"\xff\n",
        b"x" * 99,
    ],
)
def test_rubbish_after_what_is_signed_is_cut(tmp_path: Path, rubbish: bytes) -> None:
    """As a disk may leave it that wrote the file's blocks in another order."""
    new_log(tmp_path, [1]).close()
    with open(tmp_path / ENTRIES, "ab") as file:
        file.write(rubbish)
    log = LedgerLog(tmp_path)
    assert (log.size, log.cut) == (1, len(rubbish))
    log.append(lines([2]))
    log.close()
    assert entries_of(tmp_path) == [1, 2]


def test_a_tail_is_cut_while_the_log_is_in_use(tmp_path: Path) -> None:
    """Another writer's process was killed in the middle."""
    log = new_log(tmp_path, [1])
    with open(tmp_path / ENTRIES, "ab") as file:
        file.write(line(2) + b"\n" + line(3)[:20])
    log.append(lines([4]))
    log.close()
    assert entries_of(tmp_path) == [1, 2, 4]


def test_a_half_made_ledger_is_completed(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    new_log(whole).close()
    names = [SIGNING_KEY, PUBLIC_KEY]
    for count in range(len(names) + 1):
        half = tmp_path / f"half-{count}"
        half.mkdir()
        (half / ENTRIES).touch(mode=0o600)
        (half / "pole.key.new").write_text("PRIVATE+KE")
        for name in names[:count]:
            shutil.copy(whole / name, half / name)
        new_log(half, [7]).close()
        assert entries_of(half) == [7]


@pytest.mark.parametrize(
    "frontier", [None, b"", b"{", b'{"size":1,"offset":1,"peaks":[]}', b"\0" * 9]
)
def test_a_lost_or_torn_frontier_costs_nothing(tmp_path: Path, frontier: bytes | None) -> None:
    new_log(tmp_path, [1, 2, 3]).close()
    if frontier is None:
        (tmp_path / FRONTIER).unlink()
    else:
        (tmp_path / FRONTIER).write_bytes(frontier)
    log = LedgerLog(tmp_path, resume=True)
    assert log.size == 3
    log.append(lines([4]))
    log.close()
    assert entries_of(tmp_path) == [1, 2, 3, 4]


def test_an_old_frontier_is_where_reading_begins(tmp_path: Path) -> None:
    new_log(tmp_path, range(20)).close()
    old = (tmp_path / FRONTIER).read_bytes()
    log = LedgerLog(tmp_path)
    log.append(lines([20, 21]))
    log.close()
    (tmp_path / FRONTIER).write_bytes(old)
    log = LedgerLog(tmp_path, resume=True)
    assert (log.size, log.last_line) == (22, line(21))
    log.append(lines([22]))
    log.close()
    assert entries_of(tmp_path) == list(range(23))


@pytest.mark.parametrize(
    ("change", "is_whole"),
    [
        ({"offset": 1}, False),
        ({"offset": 0}, False),
        ({"offset": -1}, False),
        ({"offset": 10**9}, False),
        ({"size": 3, "peaks": ("00" * 32,) * 2}, False),
        ({"size": 3, "peaks": ("00" * 32,) * 2}, True),
        ({"size": 10**6, "peaks": ("00" * 32,) * (10**6).bit_count()}, True),
    ],
)
def test_a_false_frontier_is_not_believed(
    tmp_path: Path, change: dict[str, object], is_whole: bool
) -> None:
    new_log(tmp_path, range(7)).close()
    known = msgspec.json.decode((tmp_path / FRONTIER).read_bytes(), type=_Resume)
    false = msgspec.structs.replace(known, **change)
    if is_whole:
        false = msgspec.structs.replace(false, check=false.checked())
    (tmp_path / FRONTIER).write_bytes(msgspec.json.encode(false))
    log = LedgerLog(tmp_path, resume=True)
    assert (log.size, log.cut) == (7, 0)
    log.append(lines([7]))
    log.close()
    assert entries_of(tmp_path) == list(range(8))


def test_the_frontier_is_kept_now_and_then(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    for first in range(0, 2100, 300):
        log.append(lines(range(first, first + 300)))
    known = json.loads((tmp_path / FRONTIER).read_bytes())
    assert known["size"] == 1200
    log.close()
    assert json.loads((tmp_path / FRONTIER).read_bytes())["size"] == 2100


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Files may not grow beyond this. The interpreter ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 150, 40])
def test_a_full_disk_takes_nothing_and_costs_nothing(tmp_path: Path, room: int) -> None:
    log = new_log(tmp_path, range(20))
    size = (tmp_path / ENTRIES).stat().st_size
    with disk_full_at(size + room), pytest.raises(LedgerTrouble, match="can't be used now"):
        log.append(lines(range(20, 30)))
    assert (tmp_path / ENTRIES).stat().st_size == size
    assert log.append(lines([30])) == range(20, 21)
    log.close()
    assert entries_of(tmp_path) == [*range(20), 30]


# -- what is not what was signed ----------------------------------------------------------------

Damage = Callable[[Path], None]


def rewrite(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / ENTRIES).write_bytes(b"".join(one + b"\n" for one in change(file_lines(folder))))

    return damage


DAMAGES: dict[str, Damage] = {
    "changed": rewrite(lambda found: [found[0], line(99), *found[2:]]),
    "removed": rewrite(lambda found: [found[0], *found[2:]]),
    "removed and one added": rewrite(lambda found: [found[0], *found[2:], line(99)]),
    "reordered": rewrite(lambda found: [found[1], found[0], *found[2:]]),
    "doubled": rewrite(lambda found: [found[0], *found]),
    "last removed": rewrite(lambda found: found[:-1]),
    "all removed": lambda folder: os.truncate(folder / ENTRIES, 0),
    "last byte removed": lambda folder: os.truncate(
        folder / ENTRIES, (folder / ENTRIES).stat().st_size - 1
    ),
    "entries gone": lambda folder: (folder / ENTRIES).unlink(),
    "checkpoint gone": lambda folder: (folder / CHECKPOINT).unlink(),
    "checkpoint empty": lambda folder: os.truncate(folder / CHECKPOINT, 0),
    "key gone": lambda folder: (folder / SIGNING_KEY).unlink(),
    "key for all": lambda folder: (folder / SIGNING_KEY).chmod(0o644),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_refused_and_nothing_is_touched(tmp_path: Path, damage: Damage) -> None:
    folder = tmp_path / "ledger"
    new_log(folder, range(5)).close()
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(LedgerDamaged) as error:
        create_log(folder, "smartpole/test")
        LedgerLog(folder)
    assert str(folder) in str(error.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} | {
        ENTRIES: before.get(ENTRIES, b"")
    } == before | {ENTRIES: before.get(ENTRIES, b"")}


@pytest.mark.parametrize("resume", [False, True])
def test_a_log_that_is_rolled_back_in_use_is_noticed(tmp_path: Path, resume: bool) -> None:
    folder = tmp_path / "ledger"
    new_log(folder, [1, 2]).close()
    log = LedgerLog(folder, resume=resume)
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    log.append(lines([3, 4]))
    for name, data in old.items():
        with open(folder / name, "r+b") as file:
            file.truncate(0)
            file.write(data)
    with pytest.raises(LedgerDamaged, match="was rolled back"):
        log.append(lines([5]))
    log.close()
    assert entries_of(folder) == [1, 2]


def test_a_file_in_the_place_of_the_entries_is_noticed(tmp_path: Path) -> None:
    log = new_log(tmp_path, [1, 2])
    copy = tmp_path / "copy"
    shutil.copy(tmp_path / ENTRIES, copy)
    copy.replace(tmp_path / ENTRIES)
    with pytest.raises(LedgerDamaged, match="another file took the place"):
        log.append(lines([3]))
    log.close()


def test_another_writers_fork_is_noticed(tmp_path: Path) -> None:
    """Somebody with the key cut the log back and went on differently, and further."""
    log = new_log(tmp_path / "a", [1, 2])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    log.append(lines([3]))
    fork = LedgerLog(tmp_path / "b")
    fork.append(lines([4, 5]))
    fork.close()
    for name in (ENTRIES, CHECKPOINT):
        data = (tmp_path / "b" / name).read_bytes()
        with open(tmp_path / "a" / name, "r+b") as file:
            file.truncate(0)
            file.write(data)
    with pytest.raises(LedgerDamaged, match="is not what the pole signed"):
        log.append(lines([6]))
    log.close()
