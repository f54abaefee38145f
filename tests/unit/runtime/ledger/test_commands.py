"""``smartpole ledger``, as an auditor far away uses it: on a copy, with a key kept since before."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import cli
from runtime.blueprint import Isolation, Sandbox
from runtime.ledger.entry import POLE, encode_record
from runtime.ledger.files import CHECKPOINT, ENTRIES, PUBLIC_KEY
from runtime.ledger.kinds import LastEnd, PoleStarted
from runtime.ledger.log import LedgerLog
from tests.example_pole import POLE as POLE_TABLE
from tests.ledgers import _MOMENT, Summed, line, lines, new_log

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of three entries, as the folder of an auditor's copy."""
    folder = tmp_path / "ledger"
    log = new_log(folder)
    started = PoleStarted(
        configuration="ab" * 32,
        blueprint="cd" * 32,
        software="0.1.0",
        isolation=Isolation.THREAD,
        sandbox=Sandbox.BEST_EFFORT,
        last_end=LastEnd.NONE,
    )
    log.append([encode_record(started, at=_MOMENT, by=POLE, words={"0.1.0"}), *lines([1, 2])])
    log.close()
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["ledger", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return command


def grow(folder: Path, *numbers: int) -> None:
    log = LedgerLog(folder)
    log.append(lines(numbers))
    log.close()


def key_of(folder: Path) -> str:
    return (folder / PUBLIC_KEY).read_text().strip()


def test_verify_says_what_is_there(run: Run, ledger: Path) -> None:
    status, out, err = run("verify", ledger, "--key", key_of(ledger))
    root = (ledger / CHECKPOINT).read_text().splitlines()[2]
    assert (status, err) == (0, "")
    assert out == (
        f"✓ {ledger}: 3 entries, as the pole signed them\n"
        "  log      smartpole/test\n"
        f"  key      {key_of(ledger)}\n"
        f"  root     {root}\n"
        "  time     2026-11-25 12:00:00Z to 2026-11-25 12:00:00Z\n"
        "  kinds    1 pole-started, 2 test-noted\n"
    )


def test_verify_by_the_folders_own_key_says_what_that_is_worth(run: Run, ledger: Path) -> None:
    status, out, _ = run("verify", ledger)
    assert status == 0
    assert "! the key is the folder's own" in out


def test_verify_json(run: Run, ledger: Path) -> None:
    status, out, _ = run("verify", ledger, "--key", ledger / PUBLIC_KEY, "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["ok"], found["size"], found["unsigned"], found["torn"]) == (True, 3, 0, 0)
    assert found["kinds"] == {"pole-started": 1, "test-noted": 2}
    assert found["warnings"] == []


def test_verify_of_a_changed_ledger(run: Run, ledger: Path) -> None:
    path = ledger / ENTRIES
    path.write_bytes(path.read_bytes().replace(b'"number":2', b'"number":3'))
    status, out, err = run("verify", ledger)
    assert (status, out) == (1, "")
    assert err == (
        f"smartpole: of the first 3 entries in {ledger}, at least one was changed, removed, added "
        "or moved since the pole signed them.\n"
    )
    status, out, _ = run("verify", ledger, "--json")
    assert (status, json.loads(out)["ok"]) == (1, False)
    assert "at least one was changed" in json.loads(out)["error"]
    status, out, err = run("show", ledger)
    assert status == 1
    assert "number=3" in out
    assert "What follows is not what the pole signed" in err


def test_verify_in_the_middle_of_writing(run: Run, ledger: Path) -> None:
    with open(ledger / ENTRIES, "ab") as file:
        file.write(line(3) + b"\n" + line(4)[:11])
    status, out, _ = run("verify", ledger)
    assert status == 0
    assert "after these, 1 entry not signed yet and 11 bytes of one not whole" in out


def test_verify_of_a_kind_that_nobody_here_declares(run: Run, ledger: Path) -> None:
    log = LedgerLog(ledger)
    log.append([line(3).replace(b"test-noted", b"test-other")])
    log.close()
    status, out, _ = run("verify", ledger)
    assert status == 0
    assert "! kinds that no package here declares: test-other" in out


def test_verify_against_a_kept_checkpoint(run: Run, ledger: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copy(ledger / CHECKPOINT, kept)
    copy = tmp_path / "copy"
    shutil.copytree(ledger, copy)
    grow(ledger, 3)
    status, out, _ = run("verify", ledger, "--checkpoint", kept)
    assert status == 0
    assert f"✓ goes on from {kept} (3 entries)" in out
    shutil.copy(ledger / CHECKPOINT, kept)
    status, _, err = run("verify", copy, "--checkpoint", kept)
    assert status == 1
    assert "was rolled back" in err
    status, _, err = run("verify", copy, "--checkpoint", tmp_path / "nothing")
    assert (status, err) == (
        1, f"smartpole: {tmp_path}/nothing can't be read: No such file or directory.\n",
    )  # fmt: skip


def test_a_configuration_or_state_folder_names_its_ledger(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pole.toml").write_text(f"{POLE_TABLE}\n[actors]\n", "utf-8")
    state = tmp_path / "state"
    new_log(state / "ledger", [1]).close()
    (state / "run").mkdir()
    shutil.copy(state / "ledger" / CHECKPOINT, state / "run" / "ledger.checkpoint")
    for where in (tmp_path / "pole.toml", state):
        status, out, _ = run("verify", where)
        assert status == 0
        assert f"✓ goes on from {state}/run/ledger.checkpoint (1 entry)" in out
        assert run("key", where) == (0, f"{key_of(state / 'ledger')}\n", "")
    shutil.rmtree(state / "ledger")
    status, _, err = run("verify", tmp_path / "pole.toml")
    assert status == 1
    assert "pole.pub is missing" in err


def test_show(run: Run, ledger: Path) -> None:
    status, out, _ = run("show", ledger)
    assert status == 0
    assert out.splitlines() == [
        "       0  2026-11-25 12:00:00Z  pole         pole-started     configuration="
        + "ab" * 32
        + " blueprint="
        + "cd" * 32
        + " software=0.1.0 isolation=thread sandbox=best-effort last_end=none",
        "       1  2026-11-25 12:00:00Z  tester       test-noted       number=1",
        "       2  2026-11-25 12:00:00Z  tester       test-noted       number=2",
    ]
    assert run("show", ledger, "--last", "1")[1] == "".join(f"{out.splitlines()[2]}\n")
    assert run("show", ledger, "--kind", "pole-started")[1] == f"{out.splitlines()[0]}\n"
    status, out, _ = run("show", ledger, "--json", "--last", "1")
    assert json.loads(out) == {
        "index": 2,
        "kind": "test-noted",
        "at": "2026-11-25T12:00:00Z",
        "by": "tester",
        "entry": {"number": 2},
    }


def test_a_digest_in_numbers_is_shown_as_a_digest(run: Run, ledger: Path) -> None:
    log = LedgerLog(ledger)
    numbers = (0, 1, 0xFFFF_FFFF, 3, 4, 5, 6, 0xAB)
    log.append([encode_record(Summed(one=numbers, other=None), at=_MOMENT, by="tester")])
    log.close()
    digest = "0000000000000001ffffffff00000003000000040000000500000006000000ab"
    _, out, _ = run("show", ledger, "--last", "1")
    assert out.rstrip("\n").endswith(f"test-summed      one={digest} other=null")
    _, out, _ = run("show", ledger, "--last", "1", "--json")
    assert json.loads(out)["entry"] == {"one": list(numbers), "other": None}


def test_an_entrys_proof_needs_nothing_but_the_key(run: Run, ledger: Path, tmp_path: Path) -> None:
    proof, key = tmp_path / "entry.tlog-proof", key_of(ledger)
    status, out, _ = run("prove", ledger, "--entry", "1", "--to", proof)
    assert (status, out) == (0, f"wrote {proof}\n")
    grow(ledger, 3)
    shutil.rmtree(ledger)
    status, out, _ = run("verify", proof, "--key", key)
    assert status == 0
    assert out == (
        "✓ this is entry 1 of the log smartpole/test with 3 entries:\n"
        "       1  2026-11-25 12:00:00Z  tester       test-noted       number=1\n"
    )
    assert json.loads(run("verify", proof, "--key", key, "--json")[1])["index"] == 1
    assert run("verify", proof)[0] == 1
    proof.write_text(proof.read_text().replace("index 1", "index 0"))
    status, _, err = run("verify", proof, "--key", key)
    assert status == 1
    assert "the proof does not hold: this is not entry 0" in err


def test_a_growths_proof_needs_the_older_checkpoint(run: Run, ledger: Path, tmp_path: Path) -> None:
    old, proof, key = tmp_path / "old", tmp_path / "grown", key_of(ledger)
    shutil.copy(ledger / CHECKPOINT, old)
    grow(ledger, 3, 4)
    assert run("prove", ledger, "--since", old, "--to", proof)[0] == 0
    status, out, _ = run("verify", proof, "--key", key, "--checkpoint", old)
    assert (status, out) == (
        0,
        "✓ the log smartpole/test with 5 entries goes on from that with 3\n",
    )
    found = json.loads(run("verify", proof, "--key", key, "--checkpoint", old, "--json")[1])
    assert (found["old_size"], found["size"]) == (3, 5)
    status, _, err = run("verify", proof, "--key", key)
    assert status == 1
    assert "name the one that you have kept by --checkpoint" in err
    found = json.loads(run("prove", ledger, "--since", old, "--json")[1])
    assert found["old_size"] == 3
    found = json.loads(run("prove", ledger, "--entry", "4", "--json")[1])
    assert (found["index"], len(found["path"])) == (4, 1)


@pytest.mark.parametrize("entry", ["3", "x", "-1"])
def test_what_is_not_there_is_not_proved(
    run: Run, ledger: Path, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if entry == "3":
        status, _, err = run("prove", ledger, "--entry", entry)
        assert (status, "no signed entry 3: the log has 3" in err) == (1, True)
    else:
        with pytest.raises(SystemExit):
            run("prove", ledger, "--entry", entry)


def test_a_witness_signs_only_what_grew(run: Run, ledger: Path, tmp_path: Path) -> None:
    secret, seen, later = tmp_path / "city.key", tmp_path / "seen", tmp_path / "later"
    public = tmp_path / "city.key.pub"
    status, out, _ = run("make-witness", "--name", "city.example/witness", "--to", secret)
    assert status == 0
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text().strip().split("+", 4)[4] not in out
    assert run("make-witness", "--name", "city.example/witness", "--to", secret)[0] == 1
    forked = tmp_path / "forked"
    shutil.copytree(ledger, forked)
    status, out, _ = run("cosign", ledger, "--with", secret, "--to", seen)
    assert status == 0
    assert "nothing was compared with what you cosigned last" in out
    grow(ledger, 3)
    assert run("cosign", ledger, "--with", secret, "--since", seen, "--to", later)[0] == 0
    status, out, _ = run("verify", ledger, "--checkpoint", later, "--witness", public)
    assert status == 0
    assert "✓ city.example/witness saw 4 entries of it at" in out
    found = json.loads(
        run("verify", ledger, "--checkpoint", seen, "--witness", public, "--json")[1]
    )
    assert [one["size"] for one in found["cosigned"]] == [3]
    assert run("verify", ledger, "--witness", public)[0] == 1
    grow(forked, 4, 5)
    status, _, err = run("cosign", forked, "--with", secret, "--since", later, "--to", seen)
    assert status == 1
    assert "the log was forked" in err
    # The pole's own checkpoint is none that this witness has seen; its key is no witness's.
    own = ledger / CHECKPOINT
    status, _, err = run("cosign", ledger, "--with", secret, "--since", own, "--to", seen)
    assert (status, "was not cosigned by city.example/witness" in err) == (1, True)
    status, _, err = run("cosign", ledger, "--with", ledger / "pole.key", "--to", seen)
    assert (status, "is not a witness's key" in err) == (1, True)
    status, _, err = run("cosign", ledger, "--with", public, "--to", seen)
    assert (status, "holds no private key of a witness" in err) == (1, True)


@pytest.mark.parametrize("key", ["rubbish", "a+b+c"])
def test_what_is_no_key(run: Run, ledger: Path, key: str) -> None:
    status, _, err = run("verify", ledger, "--key", key)
    assert status == 1
    assert "no verifier key" in err


def test_where_there_is_none(run: Run, tmp_path: Path) -> None:
    status, _, err = run("verify", tmp_path)
    assert status == 1
    assert "pole.pub is missing" in err
    status, _, err = run("verify", tmp_path / "pole.toml")
    assert status == 2
    assert "there is no such file" in err
