"""How far the chain of manifests goes stands in the ledger: so its end can't be cut off unseen."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict

from actors.camera.messages import EncodedPacket
from actors.ledger.actor import LedgerKeeper
from actors.ledger.receipts import RecordingsSigned, numbers_of
from actors.recorder import chain as chain_module
from actors.recorder.actor import Recorder, RecorderSettings
from actors.recorder.capability import RecordingExpiry, RecordingStore
from actors.recorder.chain import Chain, Gap, chain_files, lines_of
from actors.recorder.heads import ToldHead, told_heads
from actors.recorder.signing import PoleKey, VerifyKey
from actors.recorder.verify import Verification, verify
from runtime import Domain, Inlet, Inlets, Outlet, Reading, Sender
from runtime.channel import Link, Queue
from runtime.cli import main
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import encode_record
from runtime.ledger.files import public_key
from runtime.ledger.note import SigningKey
from tests.ledgers import new_log
from tests.poles import actor_status, eventually, running_pole, sending
from tests.recordings import START, Manager, packet_run, storage

T = TypeVar("T")
HOUR = 3600.0
GAP = {"camera": "c", "place": "p", "start": 1, "end": 2}


# -- the recorder tells -----------------------------------------------------------------------


class RecorderInVirtualTime(Recorder, domain=Domain.SECURITY):
    """The same, without threads, which virtual time does not see."""

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


@dataclass
class Pole:
    """A recorder as the host would assemble it, and somebody who adds to its chain."""

    folder: Path
    ledger: Queue[RecordingsSigned]
    actor: RecorderInVirtualTime

    def append(self, count: int = 1) -> None:
        chain = Chain(self.folder, PoleKey.of_folder(self.folder))
        for _ in range(count):
            chain.append(Gap, reason="away", **GAP)

    def told(self) -> list[int]:
        """Numbers of the records that the ledger was told of since the last look."""
        waiting = self.ledger.statistics().waiting
        return [one.number for one in self.ledger.take_batch(100)] if waiting else []


@pytest.fixture
def pole(tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Pole:
    monkeypatch.setattr("actors.recorder.actor._GATHER", 10.0)
    (tmp_path / "managers.pub").write_text(manager.public + "\n")
    folder = tmp_path / "security"
    folder.mkdir()
    ledger = Queue("ledger.receipts", RecordingsSigned, capacity=2)
    packets = Queue("recorder.packets[camera]", EncodedPacket, manual_acknowledge=True)
    actor = RecorderInVirtualTime(
        {
            "place": "crossing",
            "settings": RecorderSettings(recipients=tmp_path / "managers.pub"),
            "recordings": storage(RecordingStore, folder),
            "packets": Inlets._mint({Sender("camera", ""): Inlet._mint(packets)}),
            "heads": Outlet._mint("recorder.heads", RecordingsSigned, [Link(ledger)]),
            "log": structlog.get_logger("recorder"),
            **{name: Reading() for name in Recorder.declaration.readings},
        }
    )
    return Pole(folder, ledger, actor)


async def run_for(actor: Recorder, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await actor.run()


async def test_it_is_told_at_the_start_every_hour_and_at_the_end(pole: Pole) -> None:
    pole.append(3)
    await pole.actor.start()
    assert pole.told() == [3]
    pole.append()
    await run_for(pole.actor, HOUR - 1)
    assert pole.told() == []
    await run_for(pole.actor, HOUR + 1)
    assert pole.told() == [4]
    pole.append()
    await pole.actor.stop()
    (told,) = pole.ledger.take_batch(100)
    last = list(lines_of(pole.folder / "chain-00000000.log"))[-1]
    key = (pole.folder / "pole.pub").read_text().split("+")[1]
    assert told == RecordingsSigned(number=5, digest=numbers_of(last.digest), key=int(key, 16))


async def test_nothing_new_is_not_told_twice(pole: Pole) -> None:
    await pole.actor.start()
    assert pole.told() == []
    pole.append()
    await run_for(pole.actor, 5 * HOUR + 1)
    assert pole.told() == [1]
    await pole.actor.stop()
    assert pole.told() == []


async def test_what_the_ledger_has_no_room_for_is_told_by_the_next(pole: Pole) -> None:
    await pole.actor.start()
    while pole.ledger.put(RecordingsSigned(number=1, digest=(0,) * 8, key=0)):
        pass
    pole.append(2)
    await run_for(pole.actor, HOUR + 1)  # and it waited for nothing
    assert set(pole.told()) == {1}
    await run_for(pole.actor, HOUR + 1)
    assert pole.told() == [2]


async def test_a_chain_that_can_not_be_read_is_logged_and_costs_nothing(
    pole: Pole, log: list[EventDict]
) -> None:
    pole.append()
    await pole.actor.start()
    (pole.folder / "chain.lock").unlink()
    (pole.folder / "chain.lock").mkdir()
    await run_for(pole.actor, HOUR + 1)
    (event,) = (one for one in log if one["event"] == "the chain's head is not reported")
    assert "can't be read" in event["reason"]
    (pole.folder / "chain.lock").rmdir()
    pole.append()
    await run_for(pole.actor, HOUR + 1)
    assert pole.told() == [1, 2]


async def test_a_recorder_without_a_ledger_records(pole: Pole) -> None:
    pole.actor.heads = None
    pole.append()
    await pole.actor.start()
    await run_for(pole.actor, HOUR + 1)
    await pole.actor.stop()
    assert pole.told() == []


# -- verify holds the chain against it --------------------------------------------------------


def head_of(folder: Path) -> ToldHead:
    head = storage(RecordingStore, folder).chain_head()
    assert head is not None
    return ToldHead(head.number, head.digest, entry=head.number)


def record(folder: Path, count: int, *, first: int = 0) -> list[ToldHead]:
    """Segments of a second each; the ledger is told after each."""
    store, heads = storage(RecordingStore, folder), []
    for number in range(first, first + count):
        start = START + number * 1_000_000
        segment = store.open_segment(
            camera="camera", place="crossing", started_at=start, codec="h264", width=64, height=48
        )
        segment.write(b"x" * 100)
        assert segment.finish(start + 900_000)
        heads.append(head_of(folder))
    return heads


def look(folder: Path, heads: list[ToldHead], key: VerifyKey | None = None) -> Verification:
    return verify(folder, key or PoleKey.of_folder(folder).public, heads=heads)


def kinds(found: Verification) -> list[str]:
    return [finding.kind for finding in found.findings]


def test_what_nobody_touched_is_whole(tmp_path: Path) -> None:
    heads = record(tmp_path, 4)
    record(tmp_path, 1, first=4)  # and of this the ledger was not told yet
    found = look(tmp_path, heads)
    assert found.findings == []
    assert (found.told, found.told_last, found.last) == (4, 8, 10)
    assert "knows the chain up to record 8;" in str(found)


def test_what_retention_pruned_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "_PER_FILE", 8)
    expiry = storage(RecordingExpiry, tmp_path, actor="retention")
    heads = []
    for number in range(20):
        heads += record(tmp_path, 1, first=number)
        expiry.delete(expiry.expired(START + (number - 4) * 1_000_000))
        heads.append(head_of(tmp_path))
    found = look(tmp_path, heads)
    assert found.findings == []
    assert found.first > 30
    assert found.told is not None
    assert 4 < found.told < len(heads)
    # Of the last record that is not kept, the first that is has the hash.
    first = next(lines_of(min(chain_files(tmp_path).values()))).record
    before = ToldHead(first.number - 1, first.previous, entry=1)
    assert look(tmp_path, [before]).findings == []
    assert kinds(look(tmp_path, [before._replace(digest="ab" * 32)])) == ["exchanged"]


def test_an_end_that_was_cut_off_is_found(tmp_path: Path) -> None:
    heads = record(tmp_path, 4)
    log = tmp_path / "chain-00000000.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:6]))
    max(tmp_path.glob("*.age")).unlink()
    assert verify(tmp_path, PoleKey.of_folder(tmp_path).public).is_whole, "not without the ledger"
    found = look(tmp_path, heads)
    assert kinds(found) == ["cut off"]
    assert "the ledger tells of record 8, and the chain ends at 6" in found.findings[0].text


def test_a_chain_that_was_exchanged_is_found_though_the_pole_signed_it(tmp_path: Path) -> None:
    """Whoever has the pole's key can sign another chain; the ledger has told of the first."""
    heads = record(tmp_path / "one", 3)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("pole.key", "pole.pub"):
        shutil.copy(tmp_path / "one" / name, other)
    record(other, 5, first=100)
    assert verify(other, PoleKey.of_folder(other).public).is_whole
    found = look(other, heads)
    assert kinds(found) == ["exchanged"]
    assert "record 2 is not the one that entry 2 of the ledger tells of" in found.findings[0].text


def test_a_ledger_that_knows_none_of_its_records_proves_nothing(tmp_path: Path) -> None:
    record(tmp_path, 1)
    found = look(tmp_path, [])
    assert found.findings == []
    assert found.told == 0
    assert "can't be said" in str(found)


def test_no_chain_at_all_is_one_finding(tmp_path: Path) -> None:
    heads = record(tmp_path, 1)
    (tmp_path / "chain-00000000.log").unlink()
    assert kinds(look(tmp_path, heads)) == ["beginning", "foreign"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ToldHead]]:
    folder = tmp_path_factory.mktemp("pole")
    return folder, record(folder, 4)


@given(keep=st.integers(0, 9999), more=st.integers(0, 10))
def test_wherever_it_is_cut_and_however_it_goes_on(
    keep: int, more: int, pristine: tuple[Path, list[ToldHead]]
) -> None:
    """A pole whose chain was cut off while it was down goes on from there and signs as ever."""
    folder, heads = pristine
    with TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(folder, copy)
        log = copy / "chain-00000000.log"
        size = log.stat().st_size
        os.truncate(log, keep % (size + 1))
        kept = log.read_bytes().count(b"\n")
        chain = Chain(copy, PoleKey.of_folder(copy))
        for _ in range(more):
            chain.append(Gap, reason="away", **GAP)
        found = set(kinds(look(copy, heads))) & {"cut off", "exchanged"}
        if kept + more == 0:
            assert not look(copy, heads).is_whole
        elif kept == 8:
            assert found == set()
        else:
            told = {head.number for head in heads if head.number > kept}
            expected = {"cut off" if number > kept + more else "exchanged" for number in told}
            assert found == expected
            assert found


# -- a ledger, and the command ----------------------------------------------------------------


def keep_ledger(folder: Path, receipts: list[RecordingsSigned]) -> LedgerFolder:
    log = new_log(folder, [1])
    now = datetime(2026, 11, 25, tzinfo=UTC)
    log.append([encode_record(one, at=now, by="ledger") for one in receipts])
    return LedgerFolder(folder, public_key(folder))


def receipt_of(head: ToldHead, key: VerifyKey) -> RecordingsSigned:
    return RecordingsSigned(number=head.number, digest=numbers_of(head.digest), key=key.number)


def test_what_a_ledger_tells_of_this_key(tmp_path: Path) -> None:
    heads = record(tmp_path / "pole", 2)
    key = PoleKey.of_folder(tmp_path / "pole").public
    record(tmp_path / "other", 1)
    stranger = PoleKey.of_folder(tmp_path / "other").public
    receipts = [receipt_of(heads[0], stranger), *(receipt_of(head, key) for head in heads)]
    found = told_heads(keep_ledger(tmp_path / "ledger", receipts), key)
    assert found == [heads[0]._replace(entry=2), heads[1]._replace(entry=3)]


def test_the_command_asks_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pole, ledger = tmp_path / "pole", tmp_path / "ledger"
    heads = record(pole, 3)
    key = PoleKey.of_folder(pole).public
    keep_ledger(ledger, [receipt_of(head, key) for head in heads])
    both = tmp_path / "keys.pub"
    both.write_text(f"# both\n{key}\n{public_key(ledger)}\n")
    command = ["recordings", "verify", str(pole), "--key"]

    assert main([*command, str(pole / "pole.pub")]) == 0
    assert "cut off is not seen without --ledger" in capsys.readouterr().out
    assert main([*command, str(both), "--ledger", str(ledger)]) == 0
    assert "the ledger knows the chain up to record 6" in capsys.readouterr().out

    assert main([*command, str(key), "--ledger", str(ledger)]) == 2
    assert "1 keys of recordings and 0 of ledgers" in capsys.readouterr().err
    strange = SigningKey.generate("smartpole/test").verifier
    assert main([*command, str(key), "--key", str(strange), "--ledger", str(ledger)]) == 2
    assert "can't be believed" in capsys.readouterr().err

    log = pole / "chain-00000000.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:4]))
    max(pole.glob("*.age")).unlink()
    assert main([*command, str(both), "--ledger", str(ledger)]) == 1
    assert "CUT OFF chain: the end was cut off" in capsys.readouterr().out
    assert main([*command, str(both), "--ledger", str(ledger), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["told"], told["told_last"], told["last"]) == (3, 6, 4)


def test_a_ledger_that_says_nothing_of_it_is_no_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "pole", 1)
    keep_ledger(tmp_path / "ledger", [])
    keys = ["--key", str(tmp_path / "pole/pole.pub"), "--key", str(public_key(tmp_path / "ledger"))]
    command = ["recordings", "verify", str(tmp_path / "pole"), *keys]
    assert main([*command, "--ledger", str(tmp_path / "ledger")]) == 2
    assert "can't be said" in capsys.readouterr().out
    entries = tmp_path / "ledger" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"number":1', b'"number":2'))
    assert main([*command, "--ledger", str(tmp_path / "ledger")]) == 2
    assert "changed" in capsys.readouterr().err


CONFIGURATION = """
[actors.camera]
type = "source"
[actors.recorder]
type = "recorder"
place = "crossing"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "2s" }
[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]
[[channels]]
from = "camera.packets"
to = "recorder.packets"
[[channels]]
from = "recorder.heads"
to = "ledger.receipts"
"""


@pytest.mark.real_time
async def test_a_pole_that_stopped_in_order_has_told_of_all(
    tmp_path: Path, manager: Manager
) -> None:
    (tmp_path / "managers.pub").write_text(manager.public + "\n")
    packets = packet_run([10] * 6)
    types = {"source": sending(packets), "recorder": Recorder, "ledger": LedgerKeeper}
    async with running_pole(tmp_path, CONFIGURATION, types) as pole:
        await eventually(lambda: actor_status(pole, "recorder").readings["segments_written"] >= 2)
    security, ledger = tmp_path / "state" / "security", tmp_path / "state" / "ledger"
    key = PoleKey.of_folder(security).public
    heads = told_heads(LedgerFolder(ledger, public_key(ledger)), key)
    found = look(security, heads, key)
    assert found.findings == []
    assert found.told_last == found.last >= 6
