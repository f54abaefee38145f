"""Keys for days: which segment needs which, what destroying one takes, and when the pole warns."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pyrage
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519
from structlog.typing import EventDict

from actors.recorder.actor import Recorder
from actors.recorder.age import Recipient
from actors.recorder.capability import RecordingStore
from actors.recorder.keys import ALWAYS, Keys, KeySource, NoKeyToday, day_of, read_keys
from actors.recorder.recording import Recording
from runtime import Unrecoverable
from runtime.cli import main
from tests.poles import actor_status, eventually, running_pole, sending
from tests.recordings import START, Manager, packet_run, storage

MIDNIGHT = 1_800_025_200_000_000
"""2027-01-16 00:00 in Japan, in microseconds since 1970."""
BEFORE, AFTER = date(2027, 1, 15), date(2027, 1, 16)


def make(folder: Path, first: date, days: int) -> Path:
    arguments = ["--to", str(folder), "--from", str(first), "--days", str(days)]
    assert main(["keys", "days", *arguments]) == 0
    return folder


def test_midnight_is_japans() -> None:
    assert (day_of(MIDNIGHT - 1), day_of(MIDNIGHT)) == (BEFORE, AFTER)


def test_a_folder_of_day_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "days", BEFORE, 3)
    private = sorted(folder.glob("*.key"))
    assert [path.name for path in private] == [
        "2027-01-15.key", "2027-01-16.key", "2027-01-17.key",
    ]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "AGE-SECRET" not in (folder / "days.pub").read_text() + capsys.readouterr().out
    keys = read_keys(folder / "days.pub")
    assert set(keys.by_day) == {BEFORE, AFTER, AFTER + timedelta(days=1)}
    contents = [path.read_bytes() for path in private]
    make(folder, AFTER, 5)
    assert [path.read_bytes() for path in private] == contents, "none is made anew"
    assert len(read_keys(folder).by_day) == 6


def record_over_midnight(folder: Path, keys: Keys) -> list[Path]:
    shift = MIDNIGHT - START - 2_500_000
    packets = [
        msgspec.structs.replace(packet, captured_at=packet.captured_at + shift)
        for packet in packet_run([10] * 5, size=3000)
    ]
    recording = Recording(
        storage(RecordingStore, folder), keys,
        camera="camera", place="crossing", length=600, log=structlog.get_logger("recorder"),
    )  # fmt: skip
    recording.accept(packets)
    recording.close(for_good=True)
    return sorted(folder.glob("*.age"))


def opens(key: Path, segment: Path) -> bool:
    identity = x25519.Identity.from_str(key.read_text().splitlines()[-1])
    try:
        pyrage.decrypt(segment.read_bytes(), [identity])
    except pyrage.DecryptError:
        return False
    return True


def test_a_destroyed_day_is_unreadable_and_the_next_one_is_not(tmp_path: Path) -> None:
    folder = make(tmp_path / "days", BEFORE, 2)
    first, second = record_over_midnight(tmp_path / "security", read_keys(folder))
    one, other = folder / f"{BEFORE}.key", folder / f"{AFTER}.key"
    table = [[opens(key, segment) for segment in (first, second)] for key in (one, other)]
    assert table == [[True, False], [False, True]]
    assert main(["keys", "destroy", "--in", str(folder), "--before", str(AFTER)]) == 0
    assert [path.name for path in folder.glob("*.key")] == [other.name]
    assert set(read_keys(folder).by_day) == {AFTER}
    assert opens(other, second)
    assert not opens(other, first)


def test_destroying_overwrites_the_file(tmp_path: Path) -> None:
    folder = make(tmp_path / "days", BEFORE, 1)
    key = folder / f"{BEFORE}.key"
    secret = key.read_bytes()
    (tmp_path / "link").hardlink_to(key)  # the same blocks under another name
    assert main(["keys", "destroy", "--in", str(folder), "--day", str(BEFORE)]) == 0
    assert not key.exists()
    left = (tmp_path / "link").read_bytes()
    assert len(left) == len(secret)
    assert b"AGE-SECRET" not in left


def test_destroying_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "days", BEFORE, 1)
    assert main(["keys", "destroy", "--in", str(folder), "--day", str(AFTER)]) == 1
    assert "nothing was done" in capsys.readouterr().err
    assert (folder / f"{BEFORE}.key").exists()


@given(held=st.sets(st.integers(0, 20)), today=st.integers(0, 20))
def test_days_ahead(held: set[int], today: int) -> None:
    recipient = Recipient(str(x25519.Identity.generate().to_public()))
    first = date(2027, 1, 1)
    keys = Keys((), {first + timedelta(days=day): [recipient] for day in held})
    moment = MIDNIGHT + (today - 15) * 86_400_000_000
    ahead = keys.days_ahead(moment)
    assert all(today + day in held for day in range(ahead))
    assert today + ahead not in held
    if ahead:
        assert keys.for_moment(moment) == (recipient,)
    else:
        with pytest.raises(NoKeyToday, match="smartpole keys days"):
            keys.for_moment(moment)


def test_standing_keys_are_always_ahead(manager: Manager) -> None:
    assert Keys([manager.recipient]).days_ahead(MIDNIGHT) == ALWAYS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2027-01-15 KEY\nKEY\n", "keys of days beside keys that are valid always"),
        ("2027-13-15 KEY\n", "line 1: what stands before the key is no day"),
        ("2027-01-15 nonsense\n", "line 1: this is no key of age"),
        ("# nothing\n", "holds no public key"),
    ],
)
def test_what_is_refused(text: str, says: str, manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "days.pub"
    path.write_text(text.replace("KEY", manager.public))
    with pytest.raises(Unrecoverable, match=says):
        read_keys(path)


def test_a_private_key_before_which_a_day_stands_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "days.pub"
    secret = str(x25519.Identity.generate())
    path.write_text(f"2027-01-15 {secret}\n")
    with pytest.raises(Unrecoverable, match="private key") as caught:
        read_keys(path)
    assert secret not in str(caught.value)


def test_new_keys_are_taken_while_it_runs(
    tmp_path: Path, manager: Manager, log: list[EventDict]
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    with pytest.raises(Unrecoverable):
        KeySource(folder, structlog.get_logger("t")).current()
    (folder / "a.pub").write_text(f"{BEFORE} {manager.public}\n")
    source = KeySource(folder, structlog.get_logger("t"))
    assert source.current().days_ahead(MIDNIGHT - 1) == 1
    (folder / "b.pub").write_text(f"{AFTER} {manager.public}\n")
    assert source.current().days_ahead(MIDNIGHT - 1) == 2
    (folder / "b.pub").write_text("nonsense nonsense\n")
    assert source.current().days_ahead(MIDNIGHT - 1) == 2, "what was read before stays"
    assert [event["event"] for event in log] == ["new public keys not taken"]


POLE = """
[actors.camera]
type = "source"
[actors.recorder]
type = "recorder"
place = "crossing"
grants = ["RecordingStore"]
settings = { recipients = "keys", segment = "2s", keys_ahead = "14d" }
supervision = { first_delay = "10ms" }
[[channels]]
from = "camera.packets"
to = "recorder.packets"
"""


@pytest.mark.real_time
@pytest.mark.parametrize(("days", "warned"), [(5, True), (14, False)])
async def test_the_pole_warns_in_time(
    days: int, warned: bool, tmp_path: Path, log: list[EventDict]
) -> None:
    today = day_of(time.time_ns() // 1000)
    make(tmp_path / "keys", today, days)
    for private in (tmp_path / "keys").glob("*.key"):
        private.unlink()
    types = {"source": sending([]), "recorder": Recorder}
    async with running_pole(tmp_path, POLE, types) as pole:
        await eventually(lambda: actor_status(pole, "recorder").state == "running")
        assert actor_status(pole, "recorder").readings["key_days_ahead"] in (days, days - 1)
    events = [event["event"] for event in log]
    assert ("public keys run out" in events) == warned


@pytest.mark.real_time
async def test_without_a_key_for_today_it_waits_for_one(
    tmp_path: Path, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() // 1000
    packets = [
        msgspec.structs.replace(packet, captured_at=now + number * 100_000)
        for number, packet in enumerate(packet_run([10] * 3))
    ]
    today = day_of(now)
    make(tmp_path / "keys", today - timedelta(days=9), 3)
    types = {"source": sending(packets), "recorder": Recorder}
    async with running_pole(tmp_path, POLE, types) as pole:
        await eventually(lambda: "recording interrupted" in [event["event"] for event in log])
        assert actor_status(pole, "recorder").state == "running"
        assert not list((tmp_path / "state" / "security").glob("*.part"))
        make(tmp_path / "keys", today, 2)
        await eventually(lambda: actor_status(pole, "recorder").readings["packets_recorded"] >= 20)
    assert len(list((tmp_path / "state" / "security").glob("*.age"))) == 2
    reason = next(event["reason"] for event in log if event["event"] == "recording interrupted")
    assert f"no public key for {today}" in reason


def test_age_opens_what_was_made_for_a_day(tmp_path: Path, program: Callable[[], str]) -> None:
    folder = make(tmp_path / "days", BEFORE, 2)
    first, _ = record_over_midnight(tmp_path / "security", read_keys(folder))
    done = subprocess.run(
        [program(), "--decrypt", "--identity", str(folder / f"{BEFORE}.key"), str(first)],
        capture_output=True,
        check=True,
    )
    assert done.stdout


@pytest.fixture
def program() -> Callable[[], str]:
    import shutil

    found = shutil.which("age")
    if found is None:
        pytest.skip("Debian's age is not installed")
    return lambda: found
