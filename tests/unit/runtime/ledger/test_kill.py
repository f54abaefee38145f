"""A process that appends is killed at random moments: nothing that it was told is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.ledger.log import LedgerLog
from tests.ledgers import entries_of, new_log

ROOT = Path(__file__).parents[4]
APPENDER = """
import os, sys
from pathlib import Path
from runtime.ledger.log import LedgerLog
from tests.ledgers import lines

log = LedgerLog(Path(sys.argv[1]), resume=True)
number = int(sys.argv[2])
while True:
    log.append(lines(range(number, number + 50)))
    number += 50
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.real_time
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_middle_of_appending(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    new_log(tmp_path).close()
    told = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path), str(told)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        ) as appender:
            assert appender.stdout is not None
            first = appender.stdout.readline()  # it has begun
            time.sleep(chance.uniform(0, 0.05))
            appender.send_signal(signal.SIGKILL)
            rest = appender.stdout.read().split(b"\n")
        acknowledged = max(int(one) for one in (first, *rest) if one)
        log = LedgerLog(tmp_path)
        log.close()
        found = entries_of(tmp_path)
        assert len(found) >= acknowledged > told
        assert found == list(range(len(found)))
        told = len(found)
