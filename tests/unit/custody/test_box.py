"""The order box: whole files or none, and no doubt about what is held."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.custody import box as box_module
from actors.custody.box import BOX, BoxTrouble, OrderBoxFolder, Outcome
from actors.custody.order import SignedOrder
from actors.ledger.receipts import Refusal
from tests.people import NOON, people, place

MANAGER, DEPUTY = people()


def outcome(number: int = 1, why: Refusal | None = None) -> Outcome:
    return Outcome(number=number, at=NOON, kind="hold-place", why=why, said="it is so")


def test_an_order_waits_and_is_decided(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path / BOX)
    assert box.read().waiting == ()
    signed = MANAGER.sign(place())
    name = box.put(signed)
    assert box.put(signed) == name, "again changes nothing"
    assert box.outcome(name) is None
    (waiting,) = box.read().waiting
    assert (waiting.name, waiting.signed, waiting.kind) == (name, signed, "hold-place")
    box.decide(name, outcome())
    contents = box.read()
    assert (contents.waiting, contents.last) == ((), 1)
    assert [(one.signed, one.outcome) for one in contents.decided] == [(signed, outcome())]
    assert box.outcome(name) == outcome()
    assert OrderBoxFolder(tmp_path / BOX).read() == contents
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / BOX).iterdir()}
    assert (modes, (tmp_path / BOX).stat().st_mode & 0o777) == ({0o600}, 0o700)


def test_orders_wait_in_the_sequence_in_which_they_were_made(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path)
    late = MANAGER.sign(place())
    early = MANAGER.sign(place(made=NOON.replace(year=2025)))
    for one in (late, early):
        box.put(one)
    assert [one.signed for one in box.read().waiting] == [early, late]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"rubbish", None), (b"smartpole order v1: hold-place\n{}\n\n", "hold-place")],
)
def test_what_is_no_order_waits_to_be_refused(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / f"{'0' * 64}.order").write_bytes(data)
    (tmp_path / "notes.txt").write_text("of somebody")
    (waiting,) = OrderBoxFolder(tmp_path).read().waiting
    assert (waiting.signed, waiting.kind) == (None, kind)
    assert waiting.trouble


def lost(path: Path) -> None:
    path.unlink()


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"crossing", b"hallways"))


@pytest.mark.parametrize("damage", [lost, changed])
def test_a_lost_order_does_not_end_a_hold(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    box = OrderBoxFolder(tmp_path)
    name = box.put(MANAGER.sign(place()))
    box.decide(name, outcome())
    assert len(box.read().decided) == 1
    path = tmp_path / f"{name}.order"
    whole = path.read_bytes()
    damage(path)
    fresh = OrderBoxFolder(tmp_path)
    for _ in range(2):
        with pytest.raises(BoxTrouble, match=r"Put the file .*\.order back from a copy"):
            fresh.read()
    path.write_bytes(whole)
    assert len(OrderBoxFolder(tmp_path).read().decided) == 1


def test_a_lost_refused_order_is_no_trouble(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path)
    name = box.put(MANAGER.sign(place()))
    box.decide(name, outcome(why=Refusal.GROUND))
    (tmp_path / f"{name}.order").unlink()
    (decided,) = OrderBoxFolder(tmp_path).read().decided
    assert decided.signed is None


def test_a_damaged_decision_is_made_again(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path)
    name = box.put(MANAGER.sign(place()))
    box.decide(name, outcome())
    (tmp_path / f"{name}.outcome").write_bytes(b"\x00\xff")
    fresh = OrderBoxFolder(tmp_path)
    contents = fresh.read()
    assert ([one.name for one in contents.waiting], contents.decided) == ([name], ())
    assert fresh.read() is contents, "whoever waits until nothing changes does not wait for ever"
    box.decide(name, outcome(2))
    assert [one.outcome.number for one in fresh.read().decided] == [2]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    box = OrderBoxFolder(tmp_path)
    signed = MANAGER.sign(place())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(BoxTrouble, match="can't be put into the pole's order box"):
            box.put(signed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    box.put(signed)
    assert [one.signed for one in box.read().waiting] == [signed]


def test_an_unreadable_box_is_trouble_and_not_empty(tmp_path: Path) -> None:
    (tmp_path / BOX).write_text("no folder")
    with pytest.raises(BoxTrouble, match="can't be read"):
        OrderBoxFolder(tmp_path / BOX).read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_an_administrator_brings_belongs_to_the_pole(tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_534)
    name = OrderBoxFolder(tmp_path / "security" / BOX).put(MANAGER.sign(place()))
    made = [tmp_path / "security", tmp_path / "security" / BOX]
    for path in (*made, made[1] / f"{name}.order"):
        assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counting(data: bytes) -> SignedOrder:
        read.append(data)
        return real(data)

    real = box_module.read_order
    monkeypatch.setattr(box_module, "read_order", counting)
    box = OrderBoxFolder(tmp_path)
    for _ in range(3):
        box.put(MANAGER.sign(place()))
        box.read()
        box.read()
    assert len(read) == 3
