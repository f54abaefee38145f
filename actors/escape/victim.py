"""Another program of the same user, which has nothing to do with the pole.

Prints where it keeps 64 bytes, waits until its standard input is closed, and prints what happened
to it meanwhile, as JSON. Run by the judge only.
"""

from __future__ import annotations

__all__: list[str] = []

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from actors.escape.system import end_with_parent

_ANYBODY = ctypes.c_long(-1)
_SET_PTRACER = 0x59616D61
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_INVALIDATE = 21


def _main() -> None:
    signals = {signal.SIGUSR1, signal.SIGRTMIN + 1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    library = ctypes.CDLL(None)
    end_with_parent()
    # Where the Yama module keeps programs of one user apart, this one waives it: the walls that are
    # tested are the pole's own.
    library.prctl(_SET_PTRACER, _ANYBODY, 0, 0, 0)
    memory = ctypes.create_string_buffer(64)
    seen: set[str] = set()
    heard: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            if memory.raw.strip(b"\0"):
                seen.add(memory.raw.hex())

    def listen() -> None:
        while not ended.is_set():
            info = signal.sigtimedwait(signals, 0.1)
            if info is not None:
                # The value of a queued signal lies where a child's status would.
                heard.append((info.si_signo, info.si_status))

    threads = [threading.Thread(target=watch), threading.Thread(target=listen)]
    for one in threads:
        one.start()
    print(json.dumps({"pid": os.getpid(), "address": ctypes.addressof(memory)}), flush=True)
    sys.stdin.read()
    time.sleep(0.05)
    ended.set()
    for one in threads:
        one.join()
    keys = _keys(os.environ["SMARTPOLE_ESCAPE_RUN"])
    print(json.dumps({"memory": sorted(seen), "signals": heard, "keys": keys}), flush=True)


def _keys(run: str) -> list[str]:
    """Descriptions of this run's keys, which are taken away."""
    found = []
    with suppress(OSError):
        for line in Path("/proc/keys").read_text(errors="replace").splitlines():
            if run in line:
                found.append(line)
                number = _SYS_KEYCTL.get(os.uname().machine)
                if number is not None:
                    key = int(line.split()[0], 16)
                    ctypes.CDLL(None).syscall(ctypes.c_long(number), _INVALIDATE, key)
    return found


if __name__ == "__main__":
    _main()
