"""A pole with a custodian and a ledger, and orders that are brought as people bring them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog
import trio

from actors.custody.actor import Custodian
from actors.custody.box import BOX
from actors.ledger.actor import LedgerKeeper
from actors.ledger.receipts import HoldChanged, HoldStep, Refusal
from actors.recorder.capability import RecordingStore
from actors.retention.actor import Retention
from runtime.cli import main
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import ENTRIES, public_key
from runtime.ledger.writer import ledger_folder
from runtime.pole import Pole
from tests.poles import actor_status, eventually, running_pole
from tests.recordings import storage

pytestmark = pytest.mark.real_time

CONFIGURATION = """
[actors.custodian]
type = "custodian"
place = "crossing"
grants = ["OrderBox"]
[actors.custodian.settings]
cameras = { custodian = "crossing" }
look = "100ms"
[[actors.custodian.settings.managers]]
name = "site-manager"
role = "manager"
places = ["crossing"]
from = 2020-01-01
until = 2100-01-01
key = "MANAGER"
[[actors.custodian.settings.managers]]
name = "site-deputy"
role = "deputy"
places = ["crossing"]
from = 2020-01-01
until = 2100-01-01
key = "DEPUTY"

[actors.retention]
type = "retention"
grants = ["RecordingExpiry", "HoldsView"]
settings = { sweep = "100ms", reserve = "1MB" }

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
[[channels]]
from = "custodian.holds"
to = "ledger.receipts"
[[channels]]
from = "custodian.disclosures"
to = "ledger.receipts"
"""
DOCUMENT = "捜査関係事項照会書第123号"


class Said(NamedTuple):
    status: int
    out: str
    err: str


class Site:
    """A pole's folder, the keys of its people, and a command line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.configuration = folder / "pole.toml"
        self._capsys = capsys
        self.manager, self.deputy = folder / "manager.key", folder / "deputy.key"
        for key, name in ((self.manager, "site-manager"), (self.deputy, "site-deputy")):
            assert main(["keys", "signer", "--name", name, "--to", str(key)]) == 0
        capsys.readouterr()

    @asynccontextmanager
    async def pole(self) -> AsyncIterator[Pole]:
        text = CONFIGURATION
        for word, key in (("MANAGER", self.manager), ("DEPUTY", self.deputy)):
            text = text.replace(word, key.with_name(f"{key.name}.pub").read_text().strip())
        types = {"custodian": Custodian, "retention": Retention, "ledger": LedgerKeeper}
        with structlog.testing.capture_logs() as self.log:
            async with running_pole(self.folder, text, types) as pole:
                await eventually(pole.ready.is_set)
                await eventually(lambda: actor_status(pole, "custodian").readings["looks"])
                yield pole

    async def says(self, *arguments: str) -> Said:
        """What a command says, while the pole goes on."""
        status = await trio.to_thread.run_sync(main, [str(one) for one in arguments])
        return Said(status, *self._capsys.readouterr())

    def record(self, ago: timedelta) -> str:
        """A segment of a minute that began so long ago."""
        begun = int((datetime.now(UTC) - ago).timestamp()) * 1_000_000
        segment = storage(RecordingStore, self.folder / "state" / "security").open_segment(
            place="crossing", started_at=begun, codec="h264", width=64, height=48
        )
        segment.write(b"ciphertext")
        segment.finish(begun + 60_000_000)
        return segment.name

    def recorded(self) -> set[str]:
        return {path.name for path in (self.folder / "state" / "security").glob("*.age")}

    async def place(
        self, *arguments: str, ground: str = "authority", wait: str = "10s", ago: int = 0
    ) -> Said:
        """Hold what was recorded in the day that ended so many days ago."""
        now = datetime.now(UTC) - timedelta(days=ago)
        what = (
            *("--ground", ground, "--document", DOCUMENT, "--authority", "新宿警察署"),
            *("--place", "crossing", "--from", f"{now - timedelta(days=1):%Y-%m-%dT%H:%MZ}"),
            *("--until", f"{now:%Y-%m-%dT%H:%MZ}", "--wait", wait),
            *("--review", f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"),
        )
        where = [] if arguments else [str(self.configuration), "--key", str(self.manager)]
        return await self.says("hold", "place", *where, *arguments, *what)

    async def held(self) -> list[str]:
        said = await self.says("hold", "list", str(self.configuration), "--json")
        assert said.status == 0
        return [one["id"] for one in json.loads(said.out)["holds"] if one["in_force"]]

    def ledger(self) -> list[HoldChanged]:
        where = ledger_folder(self.folder / "state")
        found = LedgerFolder(where, public_key(where))
        return [entry for _, _, entry in found.entries() if isinstance(entry, HoldChanged)]


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


async def test_a_hold_from_its_order_to_its_release(site: Site) -> None:
    where = str(site.configuration)
    async with site.pole() as pole:
        said = await site.place()
        assert (said.status, said.err) == (0, "")
        assert said.out.startswith("✓ hold-place, accepted: recordings of that range are held")
        assert "ledger     entry " in said.out
        (hold,) = await site.held()
        listed = (await site.says("hold", "list", where)).out
        assert f"hold {hold[:12]}  in force" in listed
        assert DOCUMENT in listed
        assert "by site-manager; ledger entry " in listed
        assert actor_status(pole, "custodian").readings["holds_in_force"] == 1

        by_deputy = (where, "--key", str(site.deputy), "--hold", hold[:8])
        later = f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}"
        assert (await site.says("hold", "review", *by_deputy, "--review", later)).status == 0
        assert (await site.says("hold", "release", *by_deputy)).status == 0
        assert await site.held() == []
        again = await site.says("hold", "release", *by_deputy)
        assert again.status == 1
        assert "refused: the hold that it names is released already. Accepted:" in again.err
        assert (await site.says("hold", "list", where)).out == "nothing is held.\n"
        assert "released" in (await site.says("hold", "list", where, "--all")).out
    assert (await site.says("ledger", "verify", where)).status == 0
    assert [(one.step, one.why) for one in site.ledger()] == [
        (HoldStep.PLACED, None),
        (HoldStep.REVIEWED, None),
        (HoldStep.RELEASED, None),
        (HoldStep.REFUSED, Refusal.UNKNOWN),
    ]
    assert len({one.hold for one in site.ledger()}) == 1
    kept = (ledger_folder(site.folder / "state") / ENTRIES).read_bytes().decode()
    for secret in (DOCUMENT, "新宿", str(site.folder)):
        assert secret not in kept
        assert secret not in str(site.log)
    assert {DOCUMENT in path.name for path in (site.folder / "state").rglob("*")} == {False}


async def test_a_pole_that_is_off_finds_the_order_when_it_starts(site: Site) -> None:
    async with site.pole():
        pass
    said = await site.place(wait="0")
    assert said.status == 3
    assert "nobody has decided yet" in said.out
    assert "nothing in its range is deleted" in said.out
    (hold,) = await site.held()
    assert "waits for a decision" in (await site.says("hold", "list", str(site.configuration))).out
    async with site.pole() as pole:
        await eventually(lambda: actor_status(pole, "custodian").readings["orders_accepted"] == 1)
    assert await site.held() == [hold]
    assert [one.step for one in site.ledger()] == [HoldStep.PLACED]


async def test_held_recordings_outlive_their_two_weeks_until_they_are_released(site: Site) -> None:
    async with site.pole():
        pass
    held = site.record(timedelta(days=15, hours=12))
    site.record(timedelta(days=17, hours=12))
    young = site.record(timedelta(days=13))
    assert (await site.place(wait="0", ago=15)).status == 3
    async with site.pole():
        assert site.recorded() == {held, young}, "the first sweep is over before the pole is ready"
        await eventually(lambda: site.ledger())
        (hold,) = await site.held()
        deputy = (str(site.configuration), "--key", str(site.deputy), "--hold", hold)
        assert (await site.says("hold", "release", *deputy)).status == 0
        await eventually(lambda: site.recorded() == {young})
    assert (await site.says("ledger", "verify", str(site.configuration))).status == 0
    assert [one.step for one in site.ledger()] == [HoldStep.PLACED, HoldStep.RELEASED]


async def test_a_receipt_that_a_power_cut_took_is_given_again(site: Site) -> None:
    async with site.pole():
        assert (await site.place()).status == 0
    where = ledger_folder(site.folder / "state")
    assert [one.step for one in site.ledger()] == [HoldStep.PLACED]
    for path in (*where.iterdir(), *(site.folder / "state" / "run").glob("ledger*")):
        path.unlink()  # as if all that had not reached the disk
    async with site.pole():
        await eventually(lambda: site.ledger())
    assert [one.step for one in site.ledger()] == [HoldStep.PLACED]


async def test_an_order_that_is_signed_elsewhere(site: Site) -> None:
    async with site.pole():
        pub, order = site.folder / "copy.pub", site.folder / "hold.order"
        pub.write_bytes((site.folder / "state/security/pole.pub").read_bytes())
        said = await site.place(
            str(pub), "--key", str(site.deputy), "--to", str(order), ground="law"
        )
        assert said.status == 0
        assert "smartpole hold send CONF" in said.out
        assert await site.held() == []
        sent = await site.says("hold", "send", str(site.configuration), str(order))
        assert sent.status == 0
        assert len(await site.held()) == 1
        again = await site.says("hold", "send", str(site.configuration), str(order))
        assert again.status == 0, "the same file again is the same order"
        assert len(await site.held()) == 1
        text = order.read_text()
        order.write_text(text.replace("crossing", "crossin"))
        forged = await site.says("hold", "send", str(site.configuration), str(order))
        assert forged.status == 1
        assert "was changed since (guideline 7.3(2))" in forged.err
    assert [one.why for one in site.ledger()] == [None, Refusal.SIGNATURE]


async def test_what_is_refused_stands_in_the_ledger(site: Site) -> None:
    async with site.pole() as pole:
        said = await site.place(ground="none")
        assert said.status == 1
        assert said.err.startswith("✗ hold-place, refused: recordings are kept beyond two weeks on")
        assert "(guideline 7.1(4)). Accepted: ① law; ②" in said.err
        (site.folder / "state/security" / BOX / f"{'0' * 64}.order").write_bytes(b"rubbish")
        readings = actor_status(pole, "custodian").readings
        await eventually(lambda: actor_status(pole, "custodian").readings["orders_refused"] == 2)
        assert readings["holds_in_force"] == 0
    assert [(one.step, one.why, one.hold) for one in site.ledger()] == [
        (HoldStep.REFUSED, Refusal.GROUND, None)
    ]
    everything = await site.says("hold", "list", str(site.configuration), "--all")
    assert "refused, decision 1" in everything.out
    assert "something that is no order" in everything.out


async def test_mistakes_at_the_command_line(site: Site) -> None:
    where = str(site.configuration)
    async with site.pole():
        pass
    site.manager.chmod(0o644)
    said = await site.place()
    assert said.status == 1
    assert "has mode 0644: others than its owner could sign in their name" in said.err
    site.manager.chmod(0o600)

    no_key = site.folder / "notes"
    no_key.write_text("nothing secret")
    no_key.chmod(0o600)
    said = await site.place(where, "--key", str(no_key))
    assert "holds no private key to sign with. Make one: smartpole keys signer" in said.err

    release = ("hold", "release", where, "--key", str(site.manager), "--hold")
    for given in ("deadbeef", "abc", "no number"):
        said = await site.says(*release, given)
        assert said.status == 1
        assert "names no hold of this pole. Accepted: its first 8 digits" in said.err

    pub = str(site.folder / "state/security/pole.pub")
    order = ("--to", str(site.folder / "x.order"))
    said = await site.says(*release[:2], pub, *release[3:], "deadbeef", *order)
    assert "the whole number of the hold is needed" in said.err
    (site.folder / "x.order").write_text("there")
    said = await site.says(*release[:2], pub, *release[3:], "0" * 64, *order)
    assert "is there already, and is not overwritten" in said.err
    said = await site.says("hold", "send", where, str(site.folder / "x.order"))
    assert "this is no order. Accepted: a signed note" in said.err

    without = site.folder / "without.toml"
    head = site.configuration.read_text().partition("[actors.custodian]")[0]
    without.write_text(head + "[actors]\n")
    said = await site.says("hold", "list", str(without))
    assert said.status == 1
    assert "has no custodian" in said.err
    assert "7.3(2)" in said.err
