"""The demo as its user runs it: a process of its own, asked from outside, read afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import av
import httpx
import msgspec
import pyrage
import pytest
import sqlite_utils
import trio

from runtime import load_blueprint
from runtime.status import PoleStatus
from tests.demo_pole import ROOT, actor, demo_configuration, wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.real_time,
    pytest.mark.models,
    pytest.mark.footage,
]

SECONDS = 25
MEMORY_LIMIT = 600 * 1024 * 1024


def peak_memory(process: int) -> int:
    """Bytes: the most that the process ever had in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def assert_walls_stand(status: PoleStatus, isolation: str, pole: int) -> None:
    """By the pole's word, and by the kernel's, of every domain and its threads."""
    assert {one.name for one in status.domains} == {one.domain for one in status.actors}
    for domain in status.domains:
        assert not domain.missing, domain
        assert domain.landlock_abi
        tasks = Path(f"/proc/{domain.process}/task")
        if isolation == "thread":
            assert domain.process == pole
            threads = [tasks / str(domain.thread)]
        else:
            assert domain.process != pole
            threads = list(tasks.iterdir())
        for thread in threads:
            lines = (thread / "status").read_text().splitlines()
            assert {"Seccomp:\t2", "NoNewPrivs:\t1"} <= set(lines), domain


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_the_demo_works_from_camera_to_every_result(tmp_path: Path, isolation: str) -> None:
    configuration = demo_configuration(
        tmp_path, ('isolation = "thread"', f'isolation = "{isolation}"')
    )
    blueprint = load_blueprint(configuration)
    state = blueprint.pole.state
    command = [sys.executable, "-m", "runtime.cli", "run", str(configuration)]
    began = time.monotonic()
    printed = tmp_path / "printed"
    with printed.open("wb") as sink:
        process = await trio.lowlevel.open_process(
            [*command, "--view", "--for", str(SECONDS)],
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            status = await wait_for(
                state, lambda s: actor(s, "crowd").readings["pictures_counted"] > 0, seconds=20
            )
            first_count = time.monotonic() - began
            assert {one.state for one in status.actors} == {"running"}
            assert {one.domain for one in status.actors} == {
                "capture",
                "crowd",
                "security",
                "wifi",
                "public",
                "control",
            }
            assert_walls_stand(status, isolation, process.pid)
            port = blueprint.actors["notice"].settings.port  # type: ignore[attr-defined]
            async with httpx.AsyncClient(trust_env=False) as client:
                page = await client.get(f"http://127.0.0.1:{port}/")
                figures = await client.get(f"http://127.0.0.1:{port}/statistics")
                walls = (await client.get(f"http://127.0.0.1:{port}/notice.json")).json()["walls"]
            assert (page.status_code, figures.status_code) == (200, 200)
            assert blueprint.pole.operator.ja in page.text
            assert blueprint.places["crossing"].en in page.text
            assert (walls["isolation"], walls["missing"]) == (isolation, [])
            await wait_for(state, lambda s: s.uptime > SECONDS - 5, seconds=SECONDS)
            if isolation == "thread":
                assert peak_memory(process.pid) <= MEMORY_LIMIT
            await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
    output = printed.read_text("utf-8")
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "How it was kept apart" in output
    assert "MISSING" not in output
    assert first_count < 15, "the issue asks for 5 s on a machine that does nothing else"

    # What was stored where, and what was not.
    assert {entry.name for entry in state.iterdir()} == {"ledger", "public", "run", "security"}
    database = sqlite_utils.Database(state / "public" / "statistics.db")
    assert database["people_slices"].count >= 2
    assert database["device_slices"].count >= 1
    slices = database["people_slices"].count + database["device_slices"].count
    reported = slices - database["unreported"].count
    database.close()
    segments = sorted((state / "security").glob("*.age"))
    assert segments
    assert not list((state / "security").glob("*.part"))
    identity = pyrage.x25519.Identity.from_str(
        next(
            line
            for line in (ROOT / "var/demo-manager/manager.key").read_text().splitlines()
            if line.startswith("AGE-SECRET-KEY")
        )
    )
    pictures = 0
    for segment in segments:
        video = BytesIO(pyrage.decrypt(segment.read_bytes(), [identity]))
        with av.open(video) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            pictures += sum(1 for _ in container.decode(stream))
    recorded = (SECONDS - 5) * 10
    assert pictures >= recorded * 0.8, "street.mp4 has ten pictures a second"
    for file in (path for path in state.rglob("*") if path.is_file()):
        assert b"ftyp" not in file.read_bytes()[:64], f"{file.name} is a plain video"

    # What the pole and its actors say of it all, as an auditor reads it.
    verify = [*command[:-2], "ledger", "verify", str(configuration), "--json"]
    audited = await trio.run_process(verify, cwd=ROOT, capture_stdout=True)
    audit = msgspec.json.decode(audited.stdout)
    graph = [*command[:-2], "graph", str(configuration)]
    drawn = await trio.run_process(graph, cwd=ROOT, capture_stdout=True)
    first = (state / "ledger" / "entries.jsonl").read_bytes().splitlines()[0]
    started = msgspec.json.decode(first)
    assert audit["kinds"] == {
        "pole-started": 1,
        "grant": sum(len(plan.needs) for plan in blueprint.actors.values()),
        "domain-confined": 6,
        "notice": 1,
        "release": reported,
        "recordings": 1,  # at the stop: at the start there is nothing to tell of
        "pole-stopped": 1,
    }
    digests = [sha256(data).hexdigest() for data in (configuration.read_bytes(), drawn.stdout)]
    assert [started["entry"][name] for name in ("configuration", "blueprint")] == digests
    assert (audit["unsigned"], audit["torn"], audit["unknown"]) == (0, 0, [])
    assert [one["size"] for one in audit["kept"]] == [audit["size"]]
