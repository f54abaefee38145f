"""Each notice that comes into force is in the ledger."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import trio

from actors.ledger.actor import LedgerKeeper
from actors.ledger.receipts import NoticePublished
from actors.notice import Notice
from runtime import Actor
from runtime.cli import main
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.files import public_key
from runtime.ledger.writer import ledger_folder
from tests.poles import actor_status, eventually, running_pole
from tests.unit.notice.hosting import a_free_port

pytestmark = pytest.mark.real_time

POLE = """
[actors.notice]
type = "notice"
grants = ["NoticePort", "BlueprintView", "StatisticsView"]
settings = {{ port = {port} }}
"""

LEDGER = """
[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]

[[channels]]
from = "notice.published"
to = "ledger.receipts"
"""

TYPES: dict[str, type[Actor]] = {"notice": Notice, "ledger": LedgerKeeper}


async def the_notice(folder: Path, configuration: str, port: int) -> bytes:
    """Run a pole until its notice is served; what /notice.json says."""
    with trio.fail_after(30):
        async with (
            running_pole(folder, configuration, TYPES) as pole,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            await eventually(lambda: actor_status(pole, "notice").readings["notice_ready"])
            served = (await client.get("/notice.json")).content
            if "ledger" in configuration:
                appended = "entries_appended"
                await eventually(lambda: actor_status(pole, "ledger").readings[appended])
    return served


async def test_each_notice_is_in_the_ledger_with_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = []
    for more in ("", '\n[places.hall]\nja = "広間"\nen = "Hall"\n'):
        port = a_free_port()
        text = POLE.format(port=port) + LEDGER + more
        served = await the_notice(tmp_path, text, port)
        expected.append(
            NoticePublished(
                digest=sha256(served).hexdigest(),
                configuration=sha256((tmp_path / "pole.toml").read_bytes()).hexdigest(),
            )
        )
    where = ledger_folder(tmp_path / "state")
    ledger = LedgerFolder(where, public_key(where))
    ledger.audit()
    found = [entry for *_, entry in ledger.entries() if isinstance(entry, NoticePublished)]
    assert found == expected
    assert main(["ledger", "show", str(where), "--kind", "notice"]) == 0
    shown = capsys.readouterr().out
    assert all(one.digest in shown and one.configuration in shown for one in expected)


async def test_without_a_ledger_it_is_served_all_the_same(tmp_path: Path) -> None:
    port = a_free_port()
    assert b"test-pole" in await the_notice(tmp_path, POLE.format(port=port), port)
