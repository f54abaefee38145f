"""The log under random schedules: appends by two writers, power cuts at any byte, reopening."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.ledger.audit import LedgerFolder
from runtime.ledger.checkpoint import Checkpoint
from runtime.ledger.entry import decode_record
from runtime.ledger.files import CHECKPOINT, ENTRIES, FRONTIER, public_key
from runtime.ledger.log import LedgerLog
from runtime.ledger.merkle import is_included, leaf_hash, root_of
from tests.ledgers import lines, new_log

NUMBERS = st.lists(st.integers(0, 1000), min_size=1, max_size=6)


class LogMachine(RuleBasedStateMachine):
    """``known`` is what must be there: what was appended, and what a cut left whole."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="ledger-"))
        new_log(self.folder).close()
        self.known: list[bytes] = []
        self.kept: list[bytes] = []
        self.cut = 0
        self.writers = [self._open(resume=False), self._open(resume=True)]

    def _open(self, *, resume: bool) -> LedgerLog:
        return LedgerLog(self.folder, resume=resume)

    def _append(self, log: LedgerLog, numbers: list[int]) -> None:
        made = lines(numbers)
        places = log.append(made)
        if places.start > len(self.known):  # a torn tail was found, and is told first
            whole = (self.folder / ENTRIES).read_bytes().splitlines()
            told = whole[len(self.known) : places.start]
            assert [decode_record(one)[0].kind for one in told] == ["tail-cut"]
            self.known += told
            self.cut = 0
        assert places == range(len(self.known), len(self.known) + len(made))
        self.known += made

    @rule(numbers=NUMBERS, which=st.integers(0, 1))
    def append(self, numbers: list[int], which: int) -> None:
        self._append(self.writers[which], numbers)

    @rule(numbers=NUMBERS, share=st.floats(0, 1), which=st.integers(0, 1), frontier=st.booleans())
    def lose_power_while_appending(
        self, numbers: list[int], share: float, which: int, frontier: bool
    ) -> None:
        """Up to some byte of the batch is on the disk, and the checkpoint is still the old one."""
        before = (self.folder / ENTRIES).read_bytes()
        note = (self.folder / CHECKPOINT).read_bytes()
        batch = b"".join(one + b"\n" for one in lines(numbers))
        for log in self.writers:
            log.close()
        on_disk = batch[: round(share * len(batch))]
        (self.folder / ENTRIES).write_bytes(before + on_disk)
        (self.folder / CHECKPOINT).write_bytes(note)
        (self.folder / f"{CHECKPOINT}.new").write_bytes(note[: round(share * len(note))])
        if not frontier:
            (self.folder / FRONTIER).unlink(missing_ok=True)
        self.known += lines(numbers)[: on_disk.count(b"\n")]
        self.writers = [self._open(resume=bool(which)), self._open(resume=True)]

    @rule(which=st.integers(0, 1), resume=st.booleans())
    def reopen(self, which: int, resume: bool) -> None:
        self.writers[which].close()
        self.writers[which] = self._open(resume=resume)

    @rule()
    def keep_a_checkpoint(self) -> None:
        self.kept.append((self.folder / CHECKPOINT).read_bytes())

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        ledger = LedgerFolder(self.folder, public_key(self.folder))
        index = data.draw(st.integers(0, ledger.signed.size - 1))
        proof = ledger.prove(index)
        assert proof.line == self.known[index]
        there, _ = proof.verify(ledger.key)
        assert is_included(
            leaf_hash(self.known[index]),
            index=index,
            size=there.size,
            root=root_of(map(leaf_hash, self.known)),
            path=proof.path,
        )

    @invariant()
    def all_is_there_and_verified(self) -> None:
        ledger = LedgerFolder(self.folder, public_key(self.folder))
        found = ledger.audit([(f"kept {n}", note) for n, note in enumerate(self.kept)])
        assert found.size == len(self.known)
        assert found.root == root_of(map(leaf_hash, self.known))
        assert (self.folder / ENTRIES).read_bytes().splitlines() == self.known
        for note in self.kept:
            old = Checkpoint.from_text(note.decode().partition("\n\n")[0] + "\n")
            ledger.prove_growth(old).verify(old, ledger.key)

    def teardown(self) -> None:
        for log in self.writers:
            log.close()
        shutil.rmtree(self.folder)


LogMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestLogSchedules = LogMachine.TestCase
