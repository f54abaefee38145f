"""Verifying from files alone: every change is found, by the log's own checkpoint or a kept one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime.errors import LedgerDamaged, NoteRefused
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.checkpoint import Checkpoint, read_checkpoint
from runtime.ledger.files import CHECKPOINT, ENTRIES, PUBLIC_KEY, public_key, signing_key
from runtime.ledger.log import LedgerLog
from runtime.ledger.note import Note, SignatureType, SigningKey
from runtime.ledger.proof import ConsistencyProof, InclusionProof
from tests.ledgers import line, lines, new_log

WITNESS = SigningKey.generate("city.example/w", SignatureType.COSIGNATURE)


def opened(folder: Path) -> LedgerFolder:
    return LedgerFolder(folder, public_key(folder))


def test_what_an_audit_says(tmp_path: Path) -> None:
    new_log(tmp_path, range(5)).close()
    with open(tmp_path / ENTRIES, "ab") as file:
        file.write(line(5) + b"\n" + line(6)[:30])
    found = opened(tmp_path).audit()
    assert (found.size, found.unsigned, found.torn) == (5, 1, 30)
    assert (found.origin, found.kinds, found.unknown) == ("smartpole/test", {"test-noted": 6}, ())
    assert found.first is not None
    assert found.first == found.last


def test_an_empty_ledger_is_in_order(tmp_path: Path) -> None:
    new_log(tmp_path).close()
    found = opened(tmp_path).audit()
    assert (found.size, found.kinds, found.first, found.last) == (0, {}, None, None)


def test_every_changed_byte_of_the_entries_is_found(tmp_path: Path) -> None:
    new_log(tmp_path, range(4)).close()
    path = tmp_path / ENTRIES
    good = path.read_bytes()
    for place in range(len(good)):
        for change in (0x01, 0x04, 0x20, 0x80, good[place] ^ 0x0A):
            if not change:
                continue
            changed = bytearray(good)
            changed[place] ^= change
            path.write_bytes(changed)
            with pytest.raises(LedgerDamaged):
                opened(tmp_path).audit()
    path.write_bytes(good)
    opened(tmp_path).audit()


def test_every_changed_byte_is_found_by_the_pole_as_well(tmp_path: Path) -> None:
    new_log(tmp_path, range(2)).close()
    path = tmp_path / ENTRIES
    good = path.read_bytes()
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(LedgerDamaged):
            LedgerLog(tmp_path)


def test_every_changed_byte_of_the_checkpoint_is_found(tmp_path: Path) -> None:
    new_log(tmp_path, range(4)).close()
    path = tmp_path / CHECKPOINT
    good = path.read_bytes()
    for place in range(len(good)):
        for change in (0x01, 0x20, 0x80):
            changed = bytearray(good)
            changed[place] ^= change
            path.write_bytes(changed)
            with pytest.raises(LedgerDamaged):
                opened(tmp_path).audit()


@pytest.mark.parametrize("size", range(7))
def test_a_rolled_back_log_is_found_by_a_kept_checkpoint(tmp_path: Path, size: int) -> None:
    """Entries, checkpoint and all, by somebody who has the key: it is in order by itself."""
    kept = tmp_path / "kept"
    old = tmp_path / "old"
    new_log(old, range(size)).close()
    shutil.copytree(old, tmp_path / "now")
    log = LedgerLog(tmp_path / "now")
    log.append(lines(range(size, 7)))
    log.close()
    shutil.copy(tmp_path / "now" / CHECKPOINT, kept)
    opened(old).audit()
    with pytest.raises(LedgerDamaged, match=f"rolled back: the checkpoint mine covers 7.*{size}"):
        opened(old).audit([("mine", kept.read_bytes())])
    found = opened(tmp_path / "now").audit([("mine", (old / CHECKPOINT).read_bytes())])
    assert [(one.source, one.size) for one in found.kept] == [("mine", size)]


@pytest.mark.parametrize("longer", [False, True])
def test_a_forked_log_is_found_by_a_kept_checkpoint(tmp_path: Path, longer: bool) -> None:
    new_log(tmp_path / "a", [1, 2]).close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name, more in (("a", [3]), ("b", [4, 5] if longer else [4])):
        log = LedgerLog(tmp_path / name)
        log.append(lines(more))
        log.close()
    kept = (tmp_path / "a" / CHECKPOINT).read_bytes()
    opened(tmp_path / "b").audit()
    with pytest.raises(LedgerDamaged, match="the log was forked"):
        opened(tmp_path / "b").audit([("mine", kept)])
    old, _ = read_checkpoint(kept, public_key(tmp_path / "a"))
    with pytest.raises(LedgerDamaged, match="no beginning"):
        opened(tmp_path / "b").prove_growth(old)


def test_another_poles_checkpoint_is_refused(tmp_path: Path) -> None:
    new_log(tmp_path / "a", [1]).close()
    new_log(tmp_path / "b", [1]).close()
    with pytest.raises(NoteRefused, match="is not signed by"):
        opened(tmp_path / "a").audit([("b", (tmp_path / "b" / CHECKPOINT).read_bytes())])
    with pytest.raises(LedgerDamaged, match="another log's, or the key is another's"):
        LedgerFolder(tmp_path / "a", public_key(tmp_path / "b"))


@pytest.mark.parametrize("name", [ENTRIES, CHECKPOINT, PUBLIC_KEY])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    new_log(tmp_path, [1]).close()
    (tmp_path / name).unlink()
    with pytest.raises(LedgerDamaged, match=f"{name} is missing"):
        opened(tmp_path).audit()


def test_every_entry_is_proved(tmp_path: Path) -> None:
    new_log(tmp_path, range(9)).close()
    ledger = opened(tmp_path)
    for index in range(9):
        proof = InclusionProof.parse(ledger.prove(index).to_text().encode())
        there, _ = proof.verify(ledger.key)
        assert (proof.line, proof.index, there.size) == (line(index), index, 9)
        other = InclusionProof(line(index + 1), index, proof.path, proof.checkpoint)
        with pytest.raises(NoteRefused, match="does not hold"):
            other.verify(ledger.key)
    for wrong in (-1, 9):
        with pytest.raises(NoteRefused, match="no signed entry"):
            ledger.prove(wrong)


def test_every_changed_byte_of_a_proof_is_found(tmp_path: Path) -> None:
    new_log(tmp_path, range(3)).close()
    ledger = opened(tmp_path)
    proof = ledger.prove(1)
    data = proof.to_text().encode()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(NoteRefused):
            InclusionProof.parse(bytes(changed)).verify(ledger.key)
    for cut in range(0, len(data), 7):
        with pytest.raises(NoteRefused):
            InclusionProof.parse(data[:cut]).verify(ledger.key)


def test_every_growth_is_proved(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    notes = [log.checkpoint()]
    for number in range(6):
        log.append(lines([number]))
        notes.append(log.checkpoint())
    log.close()
    ledger = opened(tmp_path)
    olds = [read_checkpoint(note, ledger.key)[0] for note in notes]
    for size, old in enumerate(olds):
        proof = ConsistencyProof.parse(ledger.prove_growth(old).to_text().encode())
        there, _ = proof.verify(old, ledger.key)
        assert (proof.old_size, there.size) == (size, 6)
        with pytest.raises(NoteRefused, match="does not go on from"):
            proof.verify(olds[size - 1] if size else olds[1], ledger.key)
    with pytest.raises(LedgerDamaged, match="no beginning"):
        ledger.prove_growth(Checkpoint("smartpole/test", 7, bytes(32)))


@pytest.mark.parametrize(
    "data", [b"", b"old x\n\n", b"old 01\n\n", b"old 1\nAA\n\nx", b"\xff", b"old 1"]
)
def test_what_is_no_proof(data: bytes) -> None:
    for kind in (InclusionProof, ConsistencyProof):
        with pytest.raises(NoteRefused, match="this is no proof"):
            kind.parse(data)


def test_nothing_is_proved_of_a_damaged_log(tmp_path: Path) -> None:
    new_log(tmp_path, range(4)).close()
    path = tmp_path / ENTRIES
    path.write_bytes(path.read_bytes().replace(line(2), line(9)))
    with pytest.raises(LedgerDamaged, match="nothing can be proved"):
        opened(tmp_path).prove(1)
    path.write_bytes(line(0) + b"\n")
    with pytest.raises(LedgerDamaged, match="rolled back"):
        opened(tmp_path).prove(1)
    with pytest.raises(LedgerDamaged, match="rolled back"):
        list(opened(tmp_path).entries())


def test_a_witness_must_have_seen_it(tmp_path: Path) -> None:
    log = new_log(tmp_path, [1, 2])
    seen = bytes(Note.parse(log.checkpoint()).signed(WITNESS, time=1_800_000_000))
    log.append(lines([3]))
    log.close()
    found = opened(tmp_path).audit([("seen", seen)], [WITNESS.verifier])
    assert [(one.witness, one.at, one.size) for one in found.cosigned] == [
        ("city.example/w", 1_800_000_000, 2)
    ]
    with pytest.raises(LedgerDamaged, match="no checkpoint here is cosigned"):
        opened(tmp_path).audit([], [WITNESS.verifier])


def test_a_cosignature_alone_does_not_make_a_checkpoint(tmp_path: Path) -> None:
    new_log(tmp_path, [1]).close()
    own = Checkpoint("smartpole/test", 0, bytes(32))
    with pytest.raises(NoteRefused, match="is not signed by smartpole/test"):
        opened(tmp_path).audit([("w", bytes(Note(own.text).signed(WITNESS)))], [WITNESS.verifier])


def test_an_entry_that_says_something_else_than_its_kind_is_found_though_signed(
    tmp_path: Path,
) -> None:
    """By somebody who has the key, and writes free text into the log."""
    log = new_log(tmp_path, [1])
    log.append([line(2).replace(b'"number":2', b'"number":2,"who":"somebody"')])
    log.close()
    assert signing_key(tmp_path)
    with pytest.raises(LedgerDamaged, match=r"entry 1 .* can't be read"):
        opened(tmp_path).audit()
