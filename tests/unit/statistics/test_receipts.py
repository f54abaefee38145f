"""Every slice that is stored is in the ledger in the end, whatever happens in between."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from actors.ledger.actor import LedgerKeeper
from actors.ledger.receipts import ReleasedKind, StatisticsReleased
from actors.statistics import Statistics, StatisticsStore
from actors.statistics.errors import StoreFailed
from actors.statistics.export import json_of
from actors.statistics.receipts import digest_of, receipt_of
from actors.statistics.release import Released
from runtime import Actor
from runtime.channel import Queue
from runtime.cli import main
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import public_key
from runtime.ledger.writer import ledger_folder
from tests.poles import actor_status, eventually, running_pole
from tests.unit.statistics.pictures import MINUTE
from tests.unit.statistics.test_actor import Rig, every_minute
from tests.unit.statistics.test_pole import Pictures
from tests.unit.statistics.test_store import devices, open_store, people

WITHHELD = {"peak": None, "mean_tenths": None, "groups": (), "age_bands": ()}


# -- what a receipt says -----------------------------------------------------------------------


def test_a_receipt_says_that_a_slice_was_released_and_by_which_rules() -> None:
    assert receipt_of(people(noise_thousandths=500)) == StatisticsReleased(
        place="east-exit",
        what=ReleasedKind.PEOPLE,
        start=MINUTE,
        end=MINUTE + 60,
        k=5,
        withheld=True,
        epsilon_thousandths=500,
        digest=digest_of(people(noise_thousandths=500)),
    )
    assert receipt_of(devices()) == StatisticsReleased(
        place="east-exit",
        what=ReleasedKind.DEVICES,
        start=MINUTE,
        end=MINUTE + 60,
        k=5,
        withheld=False,
        digest=digest_of(devices()),
    )


def test_it_says_whether_a_number_was_withheld() -> None:
    told = tuple(one for one in people().groups if one.mean_tenths is not None)
    assert not receipt_of(people(groups=told)).withheld
    assert receipt_of(people()).withheld, "a group's mean"
    assert receipt_of(people(groups=told, mean_tenths=None)).withheld
    assert receipt_of(people(groups=())).withheld
    assert receipt_of(people(**WITHHELD)).withheld
    assert receipt_of(devices(devices=None)).withheld


def test_digests_of_two_slices_differ() -> None:
    slices: list[Released] = [people(), people(peak=23), people(**WITHHELD), devices()]
    slices += [devices(devices=18), devices(place="west-exit"), devices(k=6)]
    assert len({digest_of(one) for one in slices}) == len(slices)


# -- the outbox --------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StatisticsStore]:
    with closing(open_store(tmp_path)) as opened:
        yield opened


def test_what_is_to_be_reported_is_noted_with_the_slice(
    tmp_path: Path, store: StatisticsStore
) -> None:
    store.append(people(place="west-exit"))
    given = [people(), devices(), people(start=MINUTE + 60, end=MINUTE + 120)]
    for one in reversed(given):
        assert store.append(one, report=True)
    assert not store.append(devices(devices=99), report=True)
    with closing(open_store(tmp_path)) as other:  # as after a restart
        assert other.unreported() == given
        other.reported([given[1], people(place="west-exit")])
        other.reported([given[1]])
    assert store.unreported() == [given[0], given[2]]
    store.expire(MINUTE + 60)
    assert store.unreported() == [given[2]]


def test_a_slice_that_is_not_stored_is_not_reported(store: StatisticsStore) -> None:
    store.append(people(), report=True)
    with pytest.raises(Exception, match="does not fit"):
        store.append(people(start=MINUTE + 30, end=MINUTE + 90), report=True)
    assert store.unreported() == [people()]


# -- the actor, in virtual time ----------------------------------------------------------------


def rig_with(store: object, *, room: int = 64) -> Rig:
    """An actor that has just come to life, with nothing in its memory."""
    rig = Rig(every_minute())
    rig.store = store  # type: ignore[assignment]
    rig.releases = Queue("ledger.receipts", StatisticsReleased, capacity=room)
    return rig


def received(rig: Rig) -> list[StatisticsReleased]:
    assert rig.releases is not None
    found = rig.releases.take_batch(1000)
    rig.releases.acknowledge()
    return found


async def lose_power(rig: Rig, seconds: int, *, seeing: int = 6) -> None:
    """Run for so long, one picture a second, and end without a farewell."""
    actor = rig.build()
    await actor.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        for _ in range(seconds):
            if seeing:
                rig.see(seeing)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def test_each_slice_is_reported_once(store: StatisticsStore) -> None:
    rig = rig_with(store)
    async with rig.running():
        rig.hear(30, start=0)
        for _ in range(200):
            rig.see(6)
            await trio.sleep(1)
    slices = [*store.people(), *store.devices()]
    assert len(slices) == 5
    key = ("place", "what", "start")
    found = sorted(received(rig), key=lambda one: [str(getattr(one, name)) for name in key])
    assert sorted(receipt_of(one).digest for one in slices) == sorted(one.digest for one in found)
    assert rig.reading("slices_reported") == 5
    assert store.unreported() == []


async def test_what_was_stored_and_not_reported_is_reported_after_a_power_cut(
    store: StatisticsStore,
) -> None:
    store.append(people(), report=True)
    store.append(devices(), report=True)
    rig = rig_with(store)
    async with rig.running():
        await trio.sleep(1)
        assert received(rig) == [receipt_of(people()), receipt_of(devices())]
    assert received(rig) == []
    async with rig_with(store).running():
        await trio.sleep(10)
    assert received(rig) == []


async def test_what_was_sent_just_before_a_power_cut_is_sent_again(store: StatisticsStore) -> None:
    """Nobody knows whether the ledger had written it. It says the same twice, and soon no more."""
    rig = rig_with(store)
    await lose_power(rig, 70)
    (first,) = received(rig)
    for seconds, expected in ((58, [first]), (70, [first]), (10, [])):
        rig = rig_with(store)
        await lose_power(rig, seconds, seeing=0)
        assert received(rig) == expected


class CrashesAfterStoring:
    """The real store; the actor crashes before it hears that the first slice is kept."""

    def __init__(self, store: StatisticsStore) -> None:
        self._store = store
        self.crashed = False

    def append(self, released: Released, **how: object) -> bool:
        is_new = self._store.append(released, **how)  # type: ignore[arg-type]
        if not self.crashed:
            self.crashed = True
            raise RuntimeError("between the store and whoever waits for it")
        return is_new

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def test_a_crash_between_store_and_receipt_loses_no_receipt(store: StatisticsStore) -> None:
    rig = rig_with(CrashesAfterStoring(store))
    actor = rig.build()
    await actor.start()
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            rig.hear(30, start=0)
            await trio.sleep(10)
    assert received(rig) == []
    await actor.stop()
    assert received(rig) == [receipt_of(devices(devices=30))]
    async with rig.running():
        await trio.sleep(70)
    assert received(rig) == []


async def test_a_ledger_that_takes_nothing_holds_up_no_slice(store: StatisticsStore) -> None:
    rig = rig_with(store, room=1)
    with capture_logs() as logs:
        async with rig.running():
            for _ in range(300):
                rig.see(6)
                await trio.sleep(1)
            assert len(store.people()) == 4
    assert [one["event"] for one in logs] == [
        "not all slices are reported; it is done after the next start"
    ]
    found = received(rig)
    rig = rig_with(store)
    async with rig.running():
        await trio.sleep(1)
    found += received(rig)
    assert found == [receipt_of(one) for one in store.people()]
    assert len(found) == 5


class FailsToRead(CrashesAfterStoring):
    """The real store, whose list of what is to be reported can't be read now and then."""

    is_failing = True

    def __init__(self, store: StatisticsStore) -> None:
        super().__init__(store)
        self.crashed = True

    def unreported(self) -> list[Released]:
        if self.is_failing:
            raise StoreFailed("statistics.db can't be used now: disk I/O error.")
        return self._store.unreported()


async def test_while_the_store_can_not_be_read_receipts_wait(store: StatisticsStore) -> None:
    failing = FailsToRead(store)
    rig = rig_with(failing)
    with capture_logs() as logs:
        async with rig.running():
            rig.hear(30, start=0)
            await trio.sleep(60)
            assert received(rig) == []
            failing.is_failing = False
            await trio.sleep(10)
            assert received(rig) == [receipt_of(devices(devices=30))]
    assert [one["event"] for one in logs] == ["slices wait to be reported"]


async def test_without_a_ledger_nothing_is_noted(store: StatisticsStore) -> None:
    rig = rig_with(store)
    rig.releases = None
    async with rig.running():
        rig.hear(30, start=0)
        await trio.sleep(10)
    assert len(store.devices()) == 1
    assert store.unreported() == []


# -- a whole pole with a real ledger -----------------------------------------------------------

POLE = """
[actors.crowd]
type = "crowd"
place = "crossing"

[actors.statistics]
type = "statistics"
grants = ["StatisticsStore"]
settings = { slice = "10s", k = 4, demonstration = true }

[[channels]]
from = "crowd.counts"
to = "statistics.people"
"""

REPORTING = """
[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]

[[channels]]
from = "statistics.releases"
to = "ledger.receipts"
"""

TYPES: dict[str, type[Actor]] = {
    "crowd": Pictures, "statistics": Statistics, "ledger": LedgerKeeper
}  # fmt: skip

NO_DEVICES = ["every port is connected"]


def in_ledger(folder: Path) -> list[StatisticsReleased]:
    where = ledger_folder(folder / "state")
    ledger = LedgerFolder(where, public_key(where))
    ledger.audit()
    return [entry for *_, entry in ledger.entries() if isinstance(entry, StatisticsReleased)]


@pytest.mark.real_time
async def test_the_ledger_has_one_receipt_of_each_slice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / "public"
    folder.mkdir(parents=True)
    with closing(open_store(folder)) as store:  # a pole that was killed left these
        window = {"start": (hour := int(time.time()) - 3600), "end": hour + 60}
        store.append(people(place="crossing", **window), report=True)
        store.append(devices(place="crossing", **window), report=True)
    for _ in range(2):
        Pictures.sent = 0
        async with running_pole(tmp_path, POLE + REPORTING, TYPES, findings=NO_DEVICES) as pole:
            await eventually(pole.ready.is_set)
            await eventually(lambda: Pictures.sent >= 20)
        assert actor_status(pole, "ledger").readings["receipts_refused"] == 0
    with closing(open_store(folder)) as store:
        slices = [*store.devices(), *store.people()]
        assert store.unreported() == []
    assert len(slices) >= 4
    found = in_ledger(tmp_path)
    assert sorted(one.digest for one in found) == sorted(map(digest_of, slices))
    assert sorted(found, key=str) == sorted(map(receipt_of, slices), key=str)
    # As an auditor sees it.
    where = str(ledger_folder(tmp_path / "state"))
    assert main(["ledger", "show", where, "--kind", "release"]) == 0
    shown = capsys.readouterr().out
    assert all(one.digest in shown for one in found)


@pytest.mark.real_time
async def test_an_outlet_that_may_lead_nowhere_does(tmp_path: Path) -> None:
    Pictures.sent = 0
    async with running_pole(tmp_path, POLE, TYPES, findings=NO_DEVICES) as pole:
        await eventually(pole.ready.is_set)
        await eventually(lambda: Pictures.sent >= 5)
    with closing(open_store(tmp_path / "state" / "public")) as store:
        assert store.people()
        assert store.unreported() == []


def test_an_auditor_computes_the_digest_from_the_export() -> None:
    """As docs/statistics.md says: the slice's JSON without spaces and line breaks."""
    for one in (people(), devices(), people(**WITHHELD)):
        exported = msgspec.json.format(msgspec.json.encode({"slices": [json_of(one)]}), indent=2)
        (again,) = json.loads(exported)["slices"]
        compact = json.dumps(again, separators=(",", ":")).encode()
        assert sha256(compact).hexdigest() == digest_of(one)
