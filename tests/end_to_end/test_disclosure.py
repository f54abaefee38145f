"""Real footage, recorded by a pole at work, handed over: asked for, approved, packed, played."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pyrage
import pytest
from pyrage import x25519

from actors.recorder.index import start_of
from runtime.cli import main
from runtime.ledger.note import SigningKey
from tests.recording_pole import RecordingPole, configuration

FOOTAGE = Path(__file__).parents[2] / "var" / "footage" / "street.mp4"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.real_time,
    pytest.mark.footage,
    pytest.mark.skipif(not FOOTAGE.exists(), reason="the footage was not fetched"),
    pytest.mark.skipif(not shutil.which("age"), reason="Debian's age is not installed"),
]

_MANAGER = """
[[actors.custodian.settings.managers]]
name = "NAME"
role = "ROLE"
places = ["crossing"]
from = 2000-01-01
until = 2100-01-01
key = "KEY"
"""
_DECIDING = """
[actors.custodian]
type = "custodian"
grants = ["OrderBox"]
[actors.custodian.settings]
cameras = {CAMERAS}
look = "100ms"
[actors.ledger]
type = "ledger"
grants = ["Ledger", "BlueprintView"]
[[channels]]
from = "custodian.holds"
to = "ledger.receipts"
[[channels]]
from = "custodian.disclosures"
to = "ledger.receipts"
"""


class Office:
    """The managers' computers: keys, and the pole's configuration for `smartpole`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pole, self.police = x25519.Identity.generate(), x25519.Identity.generate()
        for name, text in (("manager.key", self.pole), ("police.key", self.police)):
            self._private(name, f"{text}\n")
        deciding = ""
        for role in ("manager", "deputy"):
            key = SigningKey.generate(f"site-{role}")
            self._private(f"{role}.signer", key.secret_text())
            deciding += (
                _MANAGER.replace("NAME", f"site-{role}")
                .replace("ROLE", role)
                .replace("KEY", str(key.verifier))
            )
        public = str(self.pole.to_public())
        self.running = configuration(folder, [f"file:{FOOTAGE}"], public, segment="2s")
        text = self.running.read_text()
        with_camera = _DECIDING.replace("{CAMERAS}", '{ "camera-0" = "crossing" }')
        self.running.write_text(text + with_camera + deciding)
        # For the commands, which know no test's actors: who decides, and where it lies.
        head = text[: text.index("[actors.sink]")]
        self.conf = folder / "office.toml"
        self.conf.write_text(head + _DECIDING.replace("{CAMERAS}", "{}") + deciding)
        self.security = folder / "state" / "security"

    def _private(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def run(self, action: str, *arguments: object, signer: str = "") -> int:
        key = ["--key", str(self.folder / f"{signer}.signer")] if signer else []
        return main(["disclose", action, *map(str, arguments), *key])

    def finished(self) -> list[str]:
        names = [path.name for path in self.security.glob("*.age")]
        return sorted(name for name in names if start_of(name) is not None)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    with RecordingPole(office.running) as pole:
        until = time.monotonic() + 60
        while len(office.finished()) < 4:
            assert time.monotonic() < until, pole.log
            time.sleep(0.2)
        yield office
        assert pole.stop() == 0, pole.log
        for secret in ("刑-77", "Example署", str(office.police.to_public())):
            assert secret not in pole.log


def began(name: str) -> datetime:
    return datetime.fromtimestamp((start_of(name) or 0) / 1e6, UTC)


def _packets(film: bytes) -> list[bytes]:
    with av.open(io.BytesIO(film)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_from_the_inquiry_to_the_film(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    _, second, third, *_ = office.finished()
    start, until = began(second), began(third)
    start += timedelta(seconds=1)  # file names have whole seconds
    asked = [
        office.conf, "--place", "crossing", "--camera", "camera-0", "--document", "刑-77",
        "--authority", "Example署", "--recipient", office.police.to_public(),
        "--written-from", start - timedelta(hours=1), "--written-until", until,
        "--happened", start, "--from", start, "--until", until,
    ]  # fmt: skip
    assert office.run("request", *asked, "--ground", "none", signer="manager") == 1
    assert office.run("request", *asked, "--ground", "law", "--anonymised", signer="manager") == 1
    assert office.run("request", *asked, "--ground", "authority", signer="manager") == 0
    capsys.readouterr()
    assert office.run("list", office.conf, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    (request,) = listed["requests"]
    assert [one["outcome"]["why"] for one in listed["refused"]] == ["no valid ground", "anonymised"]

    package = office.folder / "package"
    about = [office.conf, "--request", request["id"][:12]]
    export = [*about, "--identity", office.folder / "manager.key", "--package", package]
    assert office.run("approve", *about, "--yes", signer="manager") == 1  # the same person
    assert office.run("export", *export, signer="manager") == 1  # not approved
    assert not package.exists()
    assert office.run("approve", *about, signer="deputy") == 1  # nobody can be asked here
    assert office.run("approve", *about, "--yes", signer="deputy") == 0
    assert office.run("export", *export, signer="manager") == 0
    again = [*export[:-1], office.folder / "second"]
    assert office.run("export", *again, signer="deputy") == 1
    capsys.readouterr()

    # The recipient: with common tools, and with this one.
    assert [path.name for path in (package / "video").iterdir()] == [second]
    sums = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=package)
    assert sums.returncode == 0
    opened = subprocess.run(
        ["age", "-d", "-i", office.folder / "police.key", package / "video" / second],
        capture_output=True,
        check=True,
    ).stdout
    recorded = pyrage.decrypt((office.security / second).read_bytes(), [office.pole])
    assert opened == recorded
    assert len(_packets(opened)) >= 15
    assert not set(_packets(opened)) <= {b""}
    with av.open(io.BytesIO(opened)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(_packets(opened))
    keys = office.folder / "pole.pub"
    ledger = office.folder / "state" / "ledger" / "pole.pub"
    keys.write_text((office.security / "pole.pub").read_text() + ledger.read_text())
    assert office.run("verify", package, "--key", keys) == 0
    said = capsys.readouterr().out
    assert "requested by site-manager, approved by site-deputy" in said
    assert "1 segment is as the pole recorded and signed" in said

    # The ledger has each step, and the package by its digest; and nothing in clear.
    assert main(["ledger", "show", str(ledger.parent), "--kind", "disclosure", "--json"]) == 0
    entries = [json.loads(line)["entry"] for line in capsys.readouterr().out.splitlines()]
    steps = [entry["step"] for entry in entries]
    assert steps == [
        "refused", "refused", "requested", "refused", "refused", "approved", "opened", "exported",
        "refused",
    ]  # fmt: skip
    digest = said.split("package    ")[1][:64]
    assert bytes.fromhex(digest) == b"".join(n.to_bytes(4, "big") for n in entries[7]["package"])
    stored = (ledger.parent / "entries.jsonl").read_text()
    assert "刑-77" not in stored
    assert "Example署" not in stored

    # No picture lies anywhere in clear.
    for path in office.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"moof" not in data, path
            assert recorded[2000:2040] not in data, path


def test_a_copy_on_the_manager_s_computer(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    second = office.finished()[1]
    start = began(second)
    pub = office.security / "pole.pub"
    asked = [
        pub, "--ground", "law", "--place", "crossing", "--camera", "camera-0",
        "--document", "刑-77", "--authority", "Example署", "--recipient", office.police.to_public(),
        "--written-from", start, "--written-until", start + timedelta(seconds=1),
        "--happened", start, "--from", start, "--until", start + timedelta(seconds=1),
        "--to", office.folder / "request.order",
    ]  # fmt: skip
    assert office.run("request", *asked, signer="manager") == 0
    send = ["hold", "send", str(office.conf)]
    assert main([*send, str(office.folder / "request.order")]) == 0
    id = capsys.readouterr().out.split("order      ")[1][:64]
    order, approval = office.folder / "request.order", office.folder / "approval.order"
    approve = [pub, "--request", order, "--to", approval, "--yes"]
    assert office.run("approve", *approve, signer="deputy") == 0
    assert "ground     law, 刑-77" in capsys.readouterr().out
    assert main([*send, str(approval)]) == 0

    def copied(name: str) -> Path:
        copy = office.folder / name
        for part in ("security", "ledger"):
            ignored = shutil.ignore_patterns("pole.key", "*.part", "*.lock")
            shutil.copytree(office.folder / "state" / part, copy / part, ignore=ignored)
        return copy

    package = office.folder / "package"
    rest = ["--identity", office.folder / "manager.key", "--package", package]
    first = copied("copy-1")
    inside = [*rest[:-1], first / "security" / "package"]
    assert office.run("export", first, "--request", id, *inside, signer="manager") == 1
    assert "7.1(3)" in capsys.readouterr().err
    assert office.run("export", first, "--request", id, *rest, signer="manager") == 1
    assert "make the copy again" in capsys.readouterr().err
    assert office.run("open", office.conf, "--request", id, signer="manager") == 0
    copy = copied("copy-2")
    assert office.run("export", copy, "--request", id, *rest, signer="deputy") == 1
    assert "site-manager has opened this approval" in capsys.readouterr().err
    assert office.run("export", copy, "--request", id, *rest, signer="manager") == 0
    assert "The pole must be told" in capsys.readouterr().out
    assert main([*send, str(package / "export.note")]) == 0
    assert office.run("list", office.conf, "--all") == 0
    assert "exported" in capsys.readouterr().out
