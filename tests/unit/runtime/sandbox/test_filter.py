"""The filter's program answers as its rules say, on machines that are not at hand as well."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.sandbox import Permissions
from runtime.sandbox.filter import CallFilter, Check
from runtime.sandbox.machine import _AARCH64, _X86_64, Machine
from runtime.sandbox.policy import filter_for

MACHINES = (_X86_64, _AARCH64)
ALLOWED, REFUSED = 0x7FFF_0000, 0x0005_0000 | errno.EPERM


def run(program: bytes, number: int, arguments: tuple[int, ...], audit_number: int) -> int:
    """What the kernel's interpreter returns for a call."""
    data = struct.pack("<IIQ6Q", number, audit_number, 0, *arguments)
    lines = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, operand = lines[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x05:
            at += operand
        elif code == 0x15:
            at += if_true if accumulator == operand else if_false
        elif code == 0x35:
            at += if_true if accumulator >= operand else if_false
        else:
            assert code == 0x06, f"unknown instruction {code:#x}"
            return operand


WORDS = st.sampled_from([0, 1, 2, 3, 7, 0x40, 0xFFFF_FFFF, 0x1_0000_0000, 0x1_0000_0001])
CHECKS = st.builds(
    Check,
    st.integers(0, 5),
    st.sets(WORDS.map(lambda word: word & 0xFFFF_FFFF), min_size=1, max_size=4),
    mask=st.sampled_from([0xFFFF_FFFF, 1, 3, 0xFFFF_FFFE]),
    wide=st.booleans(),
)
RULES = st.lists(
    st.tuples(
        st.sampled_from(sorted(_AARCH64.numbers)),
        st.lists(CHECKS, max_size=3),
        st.sampled_from([None, 0, errno.ENOSYS]),
    ),
    max_size=12,
)


@given(
    machine=st.sampled_from(MACHINES),
    rules=RULES,
    name=st.sampled_from(sorted(_AARCH64.numbers)),
    arguments=st.tuples(*[WORDS] * 6),
    which=st.integers(0, 100),
)
def test_program_does_what_the_rules_say(
    machine: Machine,
    rules: list[tuple[str, list[Check], int | None]],
    name: str,
    arguments: tuple[int, ...],
    which: int,
) -> None:
    calls = CallFilter(machine)
    for called, checks, answer in rules:
        if answer is None:
            calls.allow_if(called, *checks)
        else:
            calls.answer(called, answer, *checks)
    if rules:
        name = rules[which % len(rules)][0]

    def holds(check: Check) -> bool:
        value = arguments[check.argument]
        if check.wide and value >> 32:
            return False
        return value & 0xFFFF_FFFF & check.mask in check.values

    expected = next(
        (
            ALLOWED if answer is None else 0x0005_0000 | answer
            for called, checks, answer in rules
            if called == name and all(map(holds, checks))
        ),
        REFUSED,
    )
    program = calls.program()
    number = machine.numbers[name]
    assert run(program, number, arguments, machine.audit_number) == expected
    assert run(program, number, arguments, machine.audit_number ^ 1) == REFUSED
    if machine.has_second_table:
        assert run(program, number | 0x4000_0000, arguments, machine.audit_number) == REFUSED


EVERYTHING = Permissions(
    read=(Path("/a"),),
    write=(Path("/b"),),
    connect=(1,),
    listen=(2,),
    resolve=True,
    devices=(Path("/dev/video0"),),
    links=(5, 6),
    wakeups=(7,),
)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize(
    "permissions", [Permissions(), Permissions(packets=True), EVERYTHING], ids=["0", "p", "all"]
)
def test_any_call_not_in_the_table_is_refused(machine: Machine, permissions: Permissions) -> None:
    program = filter_for(permissions, machine).program()
    known = set(machine.numbers.values())
    for number in range(600):
        if number not in known:
            assert run(program, number, (0,) * 6, machine.audit_number) == REFUSED, number
    assert len(program) // 8 < 1000


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_domain_without_anything_opens_nothing_on_either_machine(machine: Machine) -> None:
    program = filter_for(Permissions(links=(5,), wakeups=(7,)), machine).program()

    def answer(name: str, *arguments: int) -> int:
        padded = (*arguments, *[0] * (6 - len(arguments)))
        return run(program, machine.numbers[name], padded, machine.audit_number)

    for name in ("openat", "socket", "connect", "read", "write", "ioctl", "fcntl", "prctl"):
        assert answer(name) == REFUSED
    for name in ("landlock_restrict_self", "seccomp", "capset", "close_range", "eventfd2"):
        assert answer(name) == REFUSED
    assert answer("clone", 0x3D0F00) == ALLOWED
    assert answer("clone", 17) == REFUSED  # SIGCHLD alone: a fork
    assert answer("clone3") == 0x0005_0000 | errno.ENOSYS
    assert answer("close", 5) == 0x0005_0000  # pretended
    assert answer("mmap", 0, 4096, 3, 0x22) == ALLOWED
    assert answer("mmap", 0, 4096, 7, 0x22) == REFUSED
    assert answer("mmap", 0, 4096, 3, 0x21) == REFUSED
    assert answer("mprotect", 0, 4096, 5) == REFUSED
    assert answer("sendto", 5, 1, 1000, 0x4000, 0) == ALLOWED
    assert answer("sendto", 5, 1, 1000, 0, 1) == REFUSED  # to an address
    assert answer("sendto", 7, 1, 1, 0, 0) == ALLOWED
    assert answer("sendto", 7, 1, 2, 0, 0) == REFUSED  # more than a byte
    assert answer("sendto", 8, 1, 1, 0, 0) == REFUSED
