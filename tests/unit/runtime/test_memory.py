"""Locked memory, and lending it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.memory import BufferPool, Lease, LockedMemory, PoolStatistics

_WIPED_FLAGS = {"lo", "dd", "dc"}
"""In /proc/PID/smaps: locked, left out of dumps, not copied on fork."""


def flags_of(address: int) -> set[str]:
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            inside = start <= address < end
        elif inside and first == "VmFlags:":
            return set(line.split()[1:])
    raise AssertionError("no such mapping")


def test_the_kernel_locks_it_and_leaves_it_out_of_dumps_and_forks() -> None:
    memory = LockedMemory(3 * 4096 + 5)
    assert memory.protection.lacking == ""
    block = np.frombuffer(memory.block(), np.uint8)
    assert block.size == 3 * 4096 + 5
    assert not block.any()
    assert flags_of(block.ctypes.data) >= _WIPED_FLAGS


def test_what_may_not_be_locked_says_so() -> None:
    """As an ordinary user with a small limit, in a process of its own."""
    program = (
        "import os, resource; from runtime.memory import LockedMemory; "
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536)); "
        "os.getuid() or (os.setgroups([]), os.setresgid(1, 1, 1), os.setresuid(1, 1, 1)); "
        "big, small = LockedMemory(1 << 20), LockedMemory(4096); "
        "print(big.protection.locked, small.protection.locked, big.protection.lacking)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("False True 1 MiB could not be locked (ENOMEM)")
    assert "RLIMIT_MEMLOCK" in done.stdout


def test_it_is_unmapped_when_nobody_looks_any_more() -> None:
    memory = LockedMemory(32 << 20)
    view = np.frombuffer(memory.block(), np.uint8)
    locked = locked_kilobytes()
    del memory
    gc.collect()
    assert view[-1] == 0
    assert locked_kilobytes() == locked
    del view
    gc.collect()
    assert locked_kilobytes() == locked - 32 * 1024


def locked_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmLck:")[1].split()[0])


def test_a_lease_ends_and_its_memory_is_zero() -> None:
    pool = BufferPool(100)
    with pool.lease(10) as lease:
        lease.memory[:] = b"0123456789"
        address = np.frombuffer(lease.memory, np.uint8).ctypes.data
    with pytest.raises(ValueError, match="released"):
        _ = lease.memory
    lease.release()
    with pool.lease(100) as again:
        assert np.frombuffer(again.memory, np.uint8).ctypes.data == address
        assert bytes(again.memory) == bytes(100)
    assert pool.statistics() == PoolStatistics(lent=0, free=1, retired=0, unlocked=0)


def test_a_kept_view_never_shows_what_comes_next() -> None:
    pool = BufferPool(16)
    lease = pool.lease(16)
    lease.memory[:] = b"the first secret"
    kept = np.frombuffer(lease.memory, np.uint8).reshape(4, 4)[1:, 2:]
    assert kept.any()
    lease.release()
    with pool.lease(16) as later:
        later.memory[:] = b"another secret.."
        assert not kept.any()
        kept[:] = 1
        assert bytes(later.memory) == b"another secret.."
    assert pool.statistics().retired == 1


def test_a_child_does_not_have_it() -> None:
    memory = LockedMemory(4096)
    view = np.frombuffer(memory.block(), np.uint8)
    view[:] = 7
    address = view.ctypes.data
    child = os.fork()
    if child == 0:
        os._exit(int(is_mapped(address)))
    assert is_mapped(address)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def is_mapped(address: int) -> bool:
    spans = (
        line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()
    )
    return any(int(start, 16) <= address < int(end, 16) for start, end in spans)


class Lending(RuleBasedStateMachine):
    """Whatever is lent and given back, in whatever order: leases never share, and start blank."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BufferPool(64)
        self.out: list[tuple[Lease, int]] = []
        self.kept: list[np.ndarray] = []
        self.mark = 0

    @rule(size=st.integers(1, 9000))
    def lend(self, size: int) -> None:
        lease = self.pool.lease(size)
        view = np.frombuffer(lease.memory, np.uint8)
        assert view.size == size
        assert not view.any()
        self.mark = self.mark % 255 + 1
        view[:] = self.mark
        del view
        self.out.append((lease, self.mark))

    @rule(which=st.integers(0, 99), keeping=st.booleans())
    def give_back(self, which: int, keeping: bool) -> None:
        if self.out:
            lease, _ = self.out.pop(which % len(self.out))
            if keeping:
                self.kept.append(np.frombuffer(lease.memory, np.uint8))
            lease.release()

    @invariant()
    def each_has_its_own(self) -> None:
        for lease, mark in self.out:
            assert (np.frombuffer(lease.memory, np.uint8) == mark).all()
        assert not any(view.any() for view in self.kept)
        found = self.pool.statistics()
        assert (found.lent, found.retired) == (len(self.out), len(self.kept))


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
