"""A seccomp filter: which system calls are answered how, and the program the kernel runs for it.

    calls = CallFilter(machine)
    calls.allow("futex", "exit")
    calls.allow_if("sendto", Check(0, {link}), Check(4, {0}, wide=True))
    load(calls.program())

Whatever is not named is answered with EPERM. Nothing is ever killed: a library that asks for too
much should get an error it can report.
"""

from __future__ import annotations

__all__ = ["CallFilter", "Check", "Instruction", "load"]

import ctypes
import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.sandbox.machine import Machine, call

# linux/bpf_common.h
_LOAD_WORD, _AND = 0x20, 0x54
_JUMP, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST = 0x05, 0x15, 0x35
_RETURN = 0x06
# linux/seccomp.h
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4
_NUMBER_AT, _AUDIT_NUMBER_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x4000_0000
_FARTHEST = 255
_LONGEST = 4096

_NEXT, _FAIL, _HOLDS = -1, -2, -3

Instruction = tuple[int, int, int, int]
"""Code, operand, and where to go if true and if false (steps, or one of the marks above)."""


@dataclass(frozen=True, slots=True)
class Check:
    """Holds where an argument (0 to 5), after ``mask``, is one of ``values``.

    ``wide``: the kernel takes the argument as 64 bits (a pointer, a size, flags of mmap and
    clone), so the upper half must be 0. Otherwise the kernel looks at 32 bits only, and so does
    the check: libraries leave anything in the upper half.
    """

    argument: int
    values: Iterable[int]
    mask: int = 0xFFFF_FFFF
    wide: bool = False

    def instructions(self) -> list[Instruction]:
        low_at = _ARGUMENTS_AT + 8 * self.argument
        code: list[Instruction] = []
        if self.wide:
            code += [(_LOAD_WORD, low_at + 4, 0, 0), (_JUMP_IF_EQUAL, 0, _NEXT, _FAIL)]
        code.append((_LOAD_WORD, low_at, 0, 0))
        if self.mask != 0xFFFF_FFFF:
            code.append((_AND, self.mask & 0xFFFF_FFFF, 0, 0))
        values = sorted({value & 0xFFFF_FFFF for value in self.values})
        code += [(_JUMP_IF_EQUAL, value, _HOLDS, _NEXT) for value in values]
        code.append((_JUMP, 0, _FAIL, _FAIL))
        return code


@dataclass(frozen=True, slots=True)
class _Answer:
    checks: tuple[Check, ...]
    action: int


class CallFilter:
    """Answers by system call. For each the first answer counts whose checks all hold."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._answers: dict[int, list[_Answer]] = {}

    def allow(self, *names: str) -> None:
        """Let these calls pass, whatever their arguments."""
        for name in names:
            self._add(name, _Answer((), _ALLOW))

    def allow_if(self, name: str, *checks: Check) -> None:
        """Let this call pass where all checks hold."""
        self._add(name, _Answer(checks, _ALLOW))

    def answer(self, name: str, number: int, *checks: Check) -> None:
        """Do not make the call; answer with this error number. 0 pretends that it was made."""
        self._add(name, _Answer(checks, _ERRNO | number))

    def _add(self, name: str, answer: _Answer) -> None:
        number = self._machine.numbers.get(name)
        if number is not None:  # a call this machine lacks needs no answer
            self._answers.setdefault(number, []).append(answer)

    def program(self) -> bytes:
        """The filter as the kernel reads it: an array of ``struct sock_filter``."""
        refuse = (_RETURN, _ERRNO | errno.EPERM, 0, 0)
        code: list[Instruction] = [
            (_LOAD_WORD, _AUDIT_NUMBER_AT, 0, 0),
            (_JUMP_IF_EQUAL, self._machine.audit_number, 1, 0),
            refuse,
            (_LOAD_WORD, _NUMBER_AT, 0, 0),
        ]
        if self._machine.has_second_table:
            code += [(_JUMP_IF_AT_LEAST, _X32_BIT, 0, 1), refuse]
        for number, answers in self._answers.items():
            body = [line for answer in answers for line in _assemble(answer)] + [refuse]
            # A conditional jump reaches 255 steps, an unconditional one any distance.
            code += [(_JUMP_IF_EQUAL, number, 1, 0), (_JUMP, len(body), 0, 0), *body]
        code.append(refuse)
        if len(code) > _LONGEST:
            raise ValueError(f"a filter of {len(code)} steps; the kernel takes {_LONGEST}")
        return b"".join(
            struct.pack("<HBBI", operation, if_true, if_false, operand)
            for operation, operand, if_true, if_false in code
        )


def _assemble(answer: _Answer) -> list[Instruction]:
    """Checks one after another; a failed one leads behind the return."""
    checks = [check.instructions() for check in answer.checks]
    length = sum(len(lines) for lines in checks) + 1
    code: list[Instruction] = []
    for lines in checks:
        end = len(code) + len(lines)
        for operation, operand, if_true, if_false in lines:
            here = len(code) + 1
            steps = {_NEXT: 0, _FAIL: length - here, _HOLDS: end - here}
            if operation == _JUMP:
                code.append((_JUMP, steps[if_true], 0, 0))
                continue
            targets = [steps.get(target, target) for target in (if_true, if_false)]
            if max(targets) > _FARTHEST:
                raise ValueError("too many descriptors for one system call's checks")
            code.append((operation, operand, targets[0], targets[1]))
    code.append((_RETURN, answer.action, 0, 0))
    return code


def load(program: bytes) -> None:
    """Put the filter on the calling thread for good; threads it starts later inherit it.

    Needs no_new_privs. Raises OSError where the kernel has no seccomp or refuses the filter.
    """
    lines = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(lines))
    # SPEC_ALLOW: before Linux 5.16 a filter would otherwise also slow every memory access down, to
    # hide from its thread what it could guess of its own process. It may read its own process.
    call("seccomp", _SET_MODE_FILTER, _SPEC_ALLOW, head)
