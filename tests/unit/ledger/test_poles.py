"""Poles that keep a ledger: what stands in it, through restarts, crashes, damage and full disks."""

from __future__ import annotations

import resource
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import pytest
import structlog

from actors.ledger import actor as actor_module
from runtime import (
    Domain,
    Ledger,
    LedgerRefused,
    Settings,
    Unrecoverable,
    blueprint_words,
    load_blueprint,
)
from runtime.errors import LedgerDamaged, LedgerTrouble
from runtime.graph import to_text
from runtime.ledger import writer as writer_module
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import POLE, Entry, LedgerRecord
from runtime.ledger.files import ENTRIES, public_key
from runtime.ledger.kinds import (
    ActorCrashed,
    CapabilityGranted,
    LastEnd,
    PoleStarted,
    PoleStopped,
    TailCut,
)
from runtime.ledger.log import LedgerLog
from runtime.ledger.writer import LedgerWriter, kept_checkpoint_path, ledger_folder
from runtime.pole import Pole
from runtime.supervisor import ChildState
from tests.ledgers import Named, Noted, lines, new_log
from tests.poles import _IDENTITY, actor_status, eventually, running_pole
from tests.recordings import storage
from tests.unit.ledger.reporters import CONFIGURATION, TYPES, Reporter

pytestmark = pytest.mark.real_time


def noted(*numbers: int) -> list[Noted]:
    return [Noted(number=number) for number in numbers]


@asynccontextmanager
async def pole_with(
    folder: Path, supply: Iterable[Noted | Named] = (), configuration: str = CONFIGURATION
) -> AsyncIterator[Pole]:
    """A pole with a ledger, whose reporter sends this; the block begins when it has."""
    messages = list(supply)
    reporter = type("Reporter", (Reporter,), {"supply": iter(messages)}, domain=Domain.PUBLIC)
    crashes = sum(isinstance(one, Noted) and one.number == 666 for one in messages)
    async with running_pole(folder, configuration, {**TYPES, "reporter": reporter}) as pole:
        await eventually(pole.ready.is_set)
        wanted = len(messages) - crashes
        await eventually(lambda: actor_status(pole, "reporter").readings["sent"] == wanted)
        yield pole


def read(folder: Path) -> list[tuple[LedgerRecord, Entry]]:
    """All entries, verified."""
    where = ledger_folder(folder / "state")
    ledger = LedgerFolder(where, public_key(where))
    kept = kept_checkpoint_path(folder / "state")
    found = ledger.audit([(str(kept), kept.read_bytes())])
    assert not found.unknown
    return [(record, entry) for _, record, entry in ledger.entries() if entry is not None]


def entries(folder: Path) -> list[Entry]:
    return [entry for _, entry in read(folder)]


async def test_what_a_pole_and_its_actors_say_stands_in_its_ledger(tmp_path: Path) -> None:
    async with pole_with(tmp_path, noted(1, 2, 3)) as pole:
        await eventually(lambda: actor_status(pole, "ledger").readings["entries_appended"] == 3)
        status = pole.status().ledger
        assert status is not None
        assert (status.waiting, status.dropped, status.trouble) == (0, 0, "")
    found = read(tmp_path)
    assert [entry for _, entry in found] == [
        PoleStarted(
            configuration=sha256((tmp_path / "pole.toml").read_bytes()).hexdigest(),
            blueprint=sha256(f"{to_text(pole.blueprint)}\n".encode()).hexdigest(),
            software="0.1.0",
            isolation=None,
            sandbox=pole.blueprint.pole.sandbox,
            last_end=LastEnd.NONE,
        ),
        *(
            CapabilityGranted(
                actor="ledger", domain=Domain.CONTROL, capability=capability, kind=kind
            )
            for capability, kind in (
                ("Ledger", "storage:ledger"),
                ("BlueprintView", "facts:blueprint"),
            )
        ),
        *noted(1, 2, 3),
        PoleStopped(in_order=True, dropped=0),
    ]
    assert [record.by for record, _ in found] == [POLE] * 3 + ["ledger"] * 3 + [POLE]


async def test_a_restart_goes_on_and_says_how_the_last_one_ended(tmp_path: Path) -> None:
    for number in range(2):
        async with pole_with(tmp_path, noted(number)):
            pass
    log = LedgerLog(ledger_folder(tmp_path / "state"))
    log.append(lines([99]))  # the last thing that a killed pole said is no farewell
    log.close()
    path = ledger_folder(tmp_path / "state") / ENTRIES
    path.write_bytes(path.read_bytes() + b'{"kind')
    async with pole_with(tmp_path):
        pass
    found = entries(tmp_path)
    assert [one.last_end for one in found if isinstance(one, PoleStarted)] == [
        LastEnd.NONE,
        LastEnd.STOPPED,
        LastEnd.CUT,
    ]
    assert [one for one in found if isinstance(one, Noted)] == noted(0, 1, 99)
    assert [one for one in found if isinstance(one, TailCut)] == [TailCut(removed=6)]


async def test_a_crash_is_noted_without_its_words(tmp_path: Path) -> None:
    async with pole_with(tmp_path, noted(1, 666, 2)) as pole:
        await eventually(lambda: actor_status(pole, "ledger").readings["entries_appended"] == 2)
    assert [one for one in entries(tmp_path) if isinstance(one, ActorCrashed)] == [
        ActorCrashed(
            actor="reporter", domain=Domain.PUBLIC, incarnation=1, phase=ChildState.RUNNING
        )
    ]
    assert b"as it was told" not in (ledger_folder(tmp_path / "state") / ENTRIES).read_bytes()


async def test_a_receipt_with_a_word_from_elsewhere_costs_no_other(tmp_path: Path) -> None:
    supply = [Named(who="reporter"), Named(who="Taro.Yamada"), *noted(1), Named(who="crossing")]
    with structlog.testing.capture_logs() as log:
        async with pole_with(tmp_path, supply) as pole:
            await eventually(lambda: actor_status(pole, "ledger").readings["entries_appended"] == 3)
        readings = actor_status(pole, "ledger").readings
    assert readings == {"entries_appended": 3, "receipts_refused": 1}
    assert [one for one in entries(tmp_path) if isinstance(one, Named | Noted)] == [
        Named(who="reporter"),
        *noted(1),
        Named(who="crossing"),
    ]
    (refused,) = (event for event in log if event["event"] == "a receipt was refused")
    assert "Taro" not in str(refused)


async def test_a_full_disk_delays_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (actor_module, writer_module):
        monkeypatch.setattr(module, "_RETRY", 0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with structlog.testing.capture_logs() as log:
        async with pole_with(tmp_path, []) as pole:
            size = (ledger_folder(tmp_path / "state") / ENTRIES).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                links = pole._house._hosts[Domain.PUBLIC].cells["reporter"].links["said"]  # type: ignore[union-attr]
                for message in noted(*range(20)):
                    assert links[0].queue.put(message)
                pole._note(PoleStopped(in_order=False, dropped=7))
                await eventually(
                    lambda: (
                        {e["event"] for e in log}
                        >= {
                            "receipts wait to be written",
                            "the ledger can't be written; entries wait",
                        }
                    )
                )
                status = pole.status().ledger
                assert status is not None
                assert (status.waiting, "can't be used now" in status.trouble) == (1, True)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await eventually(lambda: actor_status(pole, "ledger").readings["entries_appended"])
            await eventually(lambda: not pole.status().ledger.waiting)  # type: ignore[union-attr]
    found = entries(tmp_path)
    assert [one for one in found if isinstance(one, Noted)] == noted(*range(20))
    assert PoleStopped(in_order=False, dropped=7) in found


async def test_a_ledger_that_is_changed_in_use_takes_no_more_and_the_pole_goes_on(
    tmp_path: Path,
) -> None:
    async with pole_with(tmp_path, noted(1)) as pole:
        await eventually(lambda: actor_status(pole, "ledger").readings["entries_appended"] == 1)
        (ledger_folder(tmp_path / "state") / ENTRIES).write_bytes(b"")
        links = pole._house._hosts[Domain.PUBLIC].cells["reporter"].links["said"]  # type: ignore[union-attr]
        assert links[0].queue.put(Noted(number=2))
        await eventually(lambda: actor_status(pole, "ledger").state == "down")
        crash = actor_status(pole, "ledger").last_crash
        assert crash is not None
        assert (crash.error, "was rolled back" in crash.message) == ("Unrecoverable", True)
        assert actor_status(pole, "reporter").state == "running"
        await eventually(lambda: pole.status().ledger.trouble)  # type: ignore[union-attr]


class RolesSettings(Settings, frozen=True, kw_only=True):
    manager: str
    deputies: tuple[str, ...]
    motto: str
    words: ClassVar[tuple[str, ...]] = ("manager", "deputies")


class Roles(Reporter, domain=Domain.PUBLIC):
    settings: RolesSettings


def test_words_are_the_names_of_the_configuration(tmp_path: Path) -> None:
    text = CONFIGURATION.replace(
        'type = "reporter"',
        'type = "roles"\nsettings = { manager = "east-manager", deputies = ["east-deputy", "two '
        'words"], motto = "be-kind" }',
    )
    path = tmp_path / "pole.toml"
    path.write_text(_IDENTITY + text, "utf-8")
    assert blueprint_words(load_blueprint(path, {**TYPES, "roles": Roles})) == {
        "crossing", "reporter", "roles", "east-manager", "east-deputy", "ledger", "Ledger",
        "storage:ledger", "BlueprintView", "facts:blueprint",
    }  # fmt: skip


# -- refused at the start -----------------------------------------------------------------------


async def start(folder: Path) -> LedgerDamaged:
    """Try to start the pole; returns why it would not."""
    with pytest.RaisesGroup(LedgerDamaged, flatten_subgroups=True) as refusal:
        async with pole_with(folder):
            raise AssertionError("it started")  # pragma: no cover
    (error,) = refusal.value.exceptions
    assert isinstance(error, LedgerDamaged)
    return error


async def test_a_pole_does_not_start_on_a_ledger_that_was_rolled_back(tmp_path: Path) -> None:
    folder, copy = ledger_folder(tmp_path / "state"), tmp_path / "copy"
    async with pole_with(tmp_path):
        pass
    shutil.copytree(folder, copy)
    async with pole_with(tmp_path, noted(1)):
        pass
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    error = await start(tmp_path)
    assert "was rolled back: it has 4 entries, and the pole has signed 9" in str(error)
    assert str(kept_checkpoint_path(tmp_path / "state")) in str(error)
    assert LedgerFolder(folder, public_key(folder)).audit().size == 4  # nothing was appended


async def test_a_pole_does_not_start_without_the_ledger_that_it_had(tmp_path: Path) -> None:
    async with pole_with(tmp_path):
        pass
    folder = ledger_folder(tmp_path / "state")
    shutil.rmtree(folder)
    error = await start(tmp_path)
    assert f"{folder / 'pole.key'} is missing" in str(error)
    assert f"kept in {kept_checkpoint_path(tmp_path / 'state')}" in str(error)
    assert not folder.exists()
    new_log(folder).close()
    error = await start(tmp_path)
    assert "is not the one that this pole kept" in str(error)
    # As the error says: the auditor has both, and a new one is begun.
    shutil.rmtree(folder)
    kept_checkpoint_path(tmp_path / "state").unlink()
    async with pole_with(tmp_path):
        pass
    assert isinstance(entries(tmp_path)[0], PoleStarted)


async def test_a_pole_does_not_start_on_a_fork(tmp_path: Path) -> None:
    folder, copy = ledger_folder(tmp_path / "state"), tmp_path / "copy"
    async with pole_with(tmp_path):
        pass
    shutil.copytree(folder, copy)
    async with pole_with(tmp_path, noted(1)):
        pass
    log = LedgerLog(copy)
    log.append(lines(range(50)))
    log.close()
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    assert "was forked: its first 9 entries" in str(await start(tmp_path))


async def test_a_pole_does_not_start_on_a_changed_ledger(tmp_path: Path) -> None:
    async with pole_with(tmp_path, noted(1)):
        pass
    path = ledger_folder(tmp_path / "state") / ENTRIES
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":2'))
    assert "at least one was changed" in str(await start(tmp_path))


async def test_a_pole_whose_blueprint_grants_no_ledger_keeps_none(tmp_path: Path) -> None:
    class Idle(Reporter, domain=Domain.PUBLIC):
        pass

    configuration = '[actors.idle]\ntype = "idle"\n'
    types = {"idle": Idle}
    findings = ["every port is connected"] * 2
    async with running_pole(tmp_path, configuration, types, findings=findings) as pole:
        await eventually(pole.ready.is_set)
        assert pole.status().ledger is None
    assert not ledger_folder(tmp_path / "state").exists()


# -- the handle ---------------------------------------------------------------------------------


def test_an_actor_says_nothing_in_the_poles_name(tmp_path: Path) -> None:
    new_log(tmp_path).close()
    ledger = storage(Ledger, tmp_path, actor="somebody")
    for forged in (PoleStopped(in_order=True, dropped=0), TailCut(removed=1)):
        with pytest.raises(LedgerRefused, match="only the pole says that of itself"):
            ledger.append([forged])  # type: ignore[list-item]
    assert ledger.append(noted(5)) == range(1)
    ledger.close()
    for name in (POLE, "x" * 129):
        with pytest.raises(Unrecoverable, match="the pole's own name"):
            storage(Ledger, tmp_path, actor=name)


def test_a_handle_appends_and_does_nothing_else() -> None:
    assert {name for name in vars(Ledger) if not name.startswith("_")} == {
        "append", "close", "kind", "rights",
    }  # fmt: skip


async def test_more_than_can_wait_is_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_MOST_WAITING", 3)
    async with pole_with(tmp_path) as pole:
        blueprint = pole.blueprint
    writer = LedgerWriter(blueprint, None)
    monkeypatch.setattr(writer, "_note_start", lambda log: None)
    await writer.open()
    for number in range(5):
        writer.note(PoleStopped(in_order=True, dropped=number))
    assert (writer.status().waiting, writer.status().dropped) == (3, 2)
    await writer.close(in_order=True)
    assert [one.dropped for one in entries(tmp_path) if isinstance(one, PoleStopped)] == [
        0,
        0,
        1,
        2,
    ]


async def test_a_folder_that_cannot_be_used_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    ledger_folder(tmp_path / "state").write_text("no folder")
    with pytest.RaisesGroup(LedgerTrouble, flatten_subgroups=True):
        async with pole_with(tmp_path):
            raise AssertionError("it started")  # pragma: no cover
