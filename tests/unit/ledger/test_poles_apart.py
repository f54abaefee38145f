"""The ledger of a pole whose domains are apart, under the kernel's walls: retention deletes in the
security domain, and its receipt stands in the ledger of the control domain."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from actors.ledger.actor import LedgerKeeper
from actors.ledger.receipts import DeletionReason, RecordingsDeleted
from actors.recorder.index import name_of
from actors.retention.actor import Retention
from runtime import Domain, check, load_blueprint
from runtime.blueprint import Isolation
from runtime.errors import BorderViolated
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import SIGNING_KEY, public_key
from runtime.ledger.kinds import DomainConfined, DomainCrashed, PoleStarted, PoleStopped
from runtime.ledger.writer import ledger_folder
from runtime.pole import Pole
from tests.example_pole import POLE
from tests.poles import actor_status, eventually

pytestmark = pytest.mark.real_time

CONFIGURATION = (
    POLE
    + """
[actors.retention]
type = "retention"
grants = ["RecordingExpiry", "HoldsView"]
settings = { sweep = "100ms" }

[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]

[[channels]]
from = "retention.deletions"
to = "ledger.receipts"

[[channels]]
from = "retention.room_alarms"
to = "ledger.receipts"

[[channels]]
from = "retention.clock_alarms"
to = "ledger.receipts"
"""
)
DAY = 86_400


def expired(folder: Path, days: int) -> int:
    """A segment that is so old; returns when it began, in seconds since 1970."""
    began = int(time.time()) - days * DAY
    security = folder / "state" / "security"
    security.mkdir(mode=0o700, parents=True, exist_ok=True)
    (security / name_of("crossing", began * 1_000_000)).touch()
    return began


@pytest.mark.parametrize("isolation", list(Isolation), ids=lambda one: one.value)
async def test_a_deletion_in_one_domain_is_in_the_ledger_of_another(
    tmp_path: Path, isolation: Isolation
) -> None:
    (tmp_path / "pole.toml").write_text(CONFIGURATION, "utf-8")
    types = {"retention": Retention, "ledger": LedgerKeeper}
    blueprint = load_blueprint(tmp_path / "pole.toml", types)
    assert check(blueprint) == []
    oldest, newest = expired(tmp_path, 30), expired(tmp_path, 20)
    pole = Pole(blueprint, isolation=isolation, log_level="critical")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.fail_after(30):
            await pole.ready.wait()
        await eventually(
            lambda: actor_status(pole, "ledger").readings["entries_appended"], within=30
        )
        # Another life of the control domain opens the ledger anew, behind its walls.
        pole.end_domain(Domain.CONTROL, BorderViolated("ended by the test"))
        await eventually(
            lambda: any(
                one.name == "control" and one.incarnation == 2 and one.state == "running"
                for one in pole.status().domains
            ),
            within=30,
        )
        third = expired(tmp_path, 15)
        await eventually(
            lambda: actor_status(pole, "ledger").readings["entries_appended"] == 1, within=30
        )
        pole.stop()
    folder = ledger_folder(tmp_path / "state")
    assert (folder / SIGNING_KEY).stat().st_mode & 0o777 == 0o600
    ledger = LedgerFolder(folder, public_key(folder))
    ledger.audit()
    found = [(record.by, entry) for _, record, entry in ledger.entries()]
    deletions = [(by, entry) for by, entry in found if isinstance(entry, RecordingsDeleted)]
    assert deletions == [
        (
            "ledger",
            RecordingsDeleted(
                reason=DeletionReason.EXPIRED, segments=count, oldest=first, newest=last
            ),
        )
        for count, first, last in ((2, oldest, newest), (1, third, third))
    ]
    said = [entry for _, entry in found]
    confined = [entry for entry in said if isinstance(entry, DomainConfined)]
    assert sorted(one.domain.value for one in confined) == ["control", "control", "security"]
    assert all(one.seccomp and one.landlock_abi and not one.missing for one in confined)
    assert [one for one in said if isinstance(one, DomainCrashed)] == [
        DomainCrashed(domain=Domain.CONTROL, incarnation=1)
    ]
    assert isinstance(said[0], PoleStarted)
    assert said[0].isolation is isolation
    assert said[-1] == PoleStopped(in_order=True, dropped=0)
