"""Landlock: which files a thread may open, and which TCP ports it may use, held by the kernel.

By three raw system calls. See landlock(7) for the rights and the ABI level that brought each.
"""

from __future__ import annotations

__all__ = ["PORTS_SINCE", "restrict", "supported_level"]

import os
import stat
import struct
from pathlib import Path

from runtime.sandbox.machine import call
from runtime.sandbox.permissions import Permissions

PORTS_SINCE = 4
"""The ABI level from which TCP ports are held (Linux 6.7)."""
_REFER_SINCE, _TRUNCATE_SINCE, _CONTROL_SINCE, _SCOPES_SINCE = 2, 3, 5, 6

_ASK_LEVEL = 1
_BELOW_PATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_FIRST_LEVEL = (1 << 13) - 1
_REFER, _TRUNCATE, _CONTROL = 1 << 13, 1 << 14, 1 << 15

_BIND, _CONNECT = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

_READ = _READ_FILE | _READ_DIR
# No symbolic link, socket, pipe or device can be made: what is not confined could be led astray by
# the first, and spoken to by the others.
_WRITE = (
    _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
_DEVICE = _READ | _WRITE_FILE | _CONTROL
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _CONTROL


def supported_level() -> int:
    """The kernel's Landlock ABI level; 0 where it has none, or has it switched off."""
    try:
        return call("landlock_create_ruleset", None, 0, _ASK_LEVEL)
    except OSError:
        return 0


def restrict(permissions: Permissions, level: int) -> None:
    """Confine the calling thread and those it starts later. Needs no_new_privs.

    Rights that this level does not know are left out. Raises FileNotFoundError where a folder to
    write to does not exist; what is to be read, or a device, may be absent and stays so.
    """
    files = _FIRST_LEVEL
    for since, right in (
        (_REFER_SINCE, _REFER),
        (_TRUNCATE_SINCE, _TRUNCATE),
        (_CONTROL_SINCE, _CONTROL),
    ):
        if level >= since:
            files |= right
    ports = _BIND | _CONNECT if level >= PORTS_SINCE else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if level >= _SCOPES_SINCE else 0
    attributes = struct.pack("<QQQ", files, ports, scopes)
    # An older kernel knows a shorter structure, and takes a longer one if the rest is 0.
    ruleset = call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path in permissions.read:
            _allow_below(ruleset, path, _READ & files, may_be_absent=True)
        for path in permissions.write:
            _allow_below(ruleset, path, _WRITE & files, may_be_absent=False)
        for path in permissions.devices:
            _allow_below(ruleset, path, _DEVICE & files, may_be_absent=True)
        if ports:
            for right, granted in ((_CONNECT, permissions.connect), (_BIND, permissions.listen)):
                for port in granted:
                    call(
                        "landlock_add_rule", ruleset, _NET_PORT, struct.pack("<QQ", right, port), 0
                    )
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow_below(ruleset: int, path: Path, rights: int, *, may_be_absent: bool) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        if may_be_absent:
            return
        raise
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("<Qi", rights, descriptor)
        call("landlock_add_rule", ruleset, _BELOW_PATH, rule, 0)
    finally:
        os.close(descriptor)
