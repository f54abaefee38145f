"""One pole with hostile actors in it, from start to end, and everything that is left of it.

No part of the pole: it starts one, waits, ends it, and looks at files, sockets, other processes and
the pole's own output. What it all means, the judge says.
"""

from __future__ import annotations

__all__ = ["Trial", "TrialResult", "changes_user", "persons"]

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import trio
import zmq

import actors
from actors.escape.aftermath import Aftermath
from actors.escape.attempt import Attempt, SceneSettings, loot_of
from actors.escape.configuration import write_configuration
from actors.escape.effects import EFFECTS
from actors.escape.listeners import Listeners
from actors.escape.measures import MEASURES, Measured, bounds_of
from actors.escape.messages import Outcome
from actors.escape.verdict import Column, Person
from runtime.control import control_path
from runtime.zeromq import ZmqSocket

_BESIDE = ("archive", "statistics", "witness")
"""Actors that hold what is worth stealing."""
_SOURCE = Path(actors.__file__).parents[1]
_NOBODY = 65534
_READY = 30.0
"""Seconds in which a pole must have begun its first attempt."""
_STUCK = 8.0
"""Seconds without a report after which the pole is ended, beside the attempt's own limit."""
_AFTER_AN_END = 2.0
"""Seconds in which something may still come out of an actor or process that has ended."""
_AFTER_ALL = 0.3
_LOOK_EVERY = 0.03
_STOPPING = 10.0
_OUTCOMES = frozenset(one.value for one in Outcome)


class TrialResult(msgspec.Struct):
    """What was seen of one pole."""

    left: Aftermath
    outcomes: dict[int, tuple[Outcome, int]]
    """By number of the attempt: how it ended by the hostile actor's own word, and the errno."""
    begun: list[int]
    said: str
    """What the pole printed."""
    found: dict[str, str]
    """By name of the attempt: where its loot or effect was found, or ""."""
    measured: dict[str, Measured | None]
    """By name of an attempt that uses what is allowed: how much it carried."""


class Trial:
    """Runs poles of one suite under one isolation, as one person; each in temporary folders, which
    are removed. ``seed`` is what all loot is derived of."""

    def __init__(self, suite: str, column: Column, person: Person, seed: str) -> None:
        self.suite = suite
        self.column = column
        self.person = person
        self._seed = seed
        self.ending = threading.Event()
        """Set by who is interrupted: each pole that runs is ended."""

    def run(self, batch: Sequence[Attempt]) -> TrialResult:
        """Run a pole whose hostile actor makes these attempts, one after another."""
        run_name = f"smartpole-escape-{secrets.token_hex(4)}"
        base = Path(tempfile.mkdtemp(prefix="sp-escape-"))
        began = time.time()
        try:
            base.chmod(0o755)
            folders = {name: base / name for name in ("judge", "drop", "state", "cwd", "tmp")}
            for name, folder in folders.items():
                folder.mkdir(mode=0o700 if name == "state" else 0o755)
                if name != "judge":
                    self._give(folder)
            for one in batch:
                for number in range(one.canvas):
                    path = folders["drop"] / f"{self.suite}-{one.name}.canvas-{number}"
                    path.touch(0o644)
                    self._give(path)
            listeners = Listeners(folders["judge"], run_name)
            try:
                return self._attend(batch, run_name, folders, listeners, began)
            finally:
                listeners.close()
        finally:
            _end_all(run_name)
            shutil.rmtree(base, ignore_errors=True)
            for path in Path("/dev/shm").glob(f"{run_name}*"):
                path.unlink(missing_ok=True)

    def _attend(
        self,
        batch: Sequence[Attempt],
        run_name: str,
        folders: dict[str, Path],
        listeners: Listeners,
        began: float,
    ) -> TrialResult:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folders["cwd"]),
            "TMPDIR": str(folders["tmp"]),
            # Also where this Python finds its packages, if that is not in its own folders.
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(_SOURCE), os.environ.get("PYTHONPATH")))
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "SMARTPOLE_ESCAPE_RUN": run_name,
            "SMARTPOLE_ESCAPE_UDP": str(listeners.udp),
        }
        left = Aftermath(run_name, folders["drop"], self.suite)
        owner = _NOBODY if changes_user(self.person) else os.geteuid()
        with self._victim(environment, folders["cwd"]) as (victim, address):
            scene = SceneSettings(
                attempts=tuple(one.number for one in batch),
                seed=self._seed,
                run=run_name,
                drop=folders["drop"],
                state=folders["state"],
                tcp=listeners.tcp,
                udp=listeners.udp,
                unix=listeners.unix,
                datagram=listeners.datagram,
                abstract=run_name,
                netlink=listeners.netlink,
                victim=victim.pid,
                victim_address=address,
            )
            configuration = folders["judge"] / "pole.toml"
            write_configuration(configuration, self.suite, scene)
            if any(one.measured for one in batch):
                left.bounds = bounds_of(configuration)
            if batch[0].on_import:
                environment["SMARTPOLE_ESCAPE_HOLD"] = json.dumps(
                    {
                        "attempt": batch[0].name,
                        "path": str(folders["drop"] / f"{self.suite}-{batch[0].name}"),
                        "tcp": listeners.tcp,
                        "udp": listeners.udp,
                        "unix": str(listeners.unix),
                    }
                )
            output = folders["judge"] / "output"
            output.touch()
            self._give(output)  # as a service manager gives a journal
            command = [sys.executable, "-m", "actors.escape.pole", str(configuration)]
            with output.open("wb") as sink:
                process = subprocess.Popen(
                    [*self._as_person(), *command, self.column.value],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    cwd=folders["cwd"],
                    env=environment,
                    start_new_session=True,
                )
            reports = folders["state"] / "public" / "reports"
            try:
                self._wait(batch, process, reports, left)
                for one in _processes_of(run_name, process.pid):
                    if one != victim.pid:
                        left.look_at_process(one)
                left.look_at_ports()
                _collect_top(left, Path("/dev/shm"), began - 1, owner)
                self._ask_the_pole(left)
                left.hay["the control socket"] = left.control
            finally:
                _stop(process)
            left.status = process.returncode
            _look_at_victim(victim, left)
        _end_all(run_name)
        left.reports = _read_reports(reports)
        left.hay["the pole's output"] = output.read_bytes()
        for where, data in listeners.heard.items():
            left.hay[f"the judge's {where}"] = bytes(data)
        for name in ("drop", "state", "cwd", "tmp"):
            left.collect(folders[name])
        for shared in ("/dev/shm", "/tmp", "/var/tmp"):
            _collect_top(left, Path(shared), began - 1, owner)
        outcomes: dict[int, tuple[Outcome, int]] = {}
        begun: list[int] = []
        for _, number, outcome, code in left.reports:
            if outcome == Outcome.BEGUN.value:
                begun.append(number)
            elif outcome != Outcome.FINISHED.value:
                outcomes.setdefault(number, (Outcome(outcome), code))
        return TrialResult(
            left=left,
            outcomes=outcomes,
            begun=begun,
            said=left.hay["the pole's output"].decode("utf-8", "replace"),
            # Here, because some of it is seen in folders that are removed in a moment.
            found={one.name: self._find(one, left) for one in batch if one.number in begun},
            measured={
                one.name: MEASURES[one.measured](left, self._loot(one))
                for one in batch
                if one.number in begun and one.measured
            },
        )

    def _find(self, one: Attempt, left: Aftermath) -> str:
        """Where the attempt's loot, or its effect, is found; or ""."""
        loot = self._loot(one)
        if where := left.find(loot):
            return where.replace(str(left.drop.parent), "…")
        with suppress(OSError):
            if one.effect and EFFECTS[one.effect](left, one.name, loot):
                return f"its effect: {one.effect.replace('_', ' ')}"
        return ""

    def _loot(self, one: Attempt) -> bytes:
        return loot_of(self._seed, one.name, self.suite)

    def _wait(
        self,
        batch: Sequence[Attempt],
        process: subprocess.Popen[bytes],
        reports: Path,
        left: Aftermath,
    ) -> None:
        """Until the suite has finished, or nothing more is to be expected."""
        by_number = {one.number: one for one in batch}
        is_measured = any(one.measured for one in batch)
        deadline = time.monotonic() + _READY
        known = 0
        while time.monotonic() < deadline and not self.ending.is_set():
            time.sleep(_LOOK_EVERY)
            if is_measured or not left.whole:
                self._ask_the_pole(left)
            left.reports = seen = _read_reports(reports)
            if len(seen) > known:
                known = len(seen)
                began = [
                    n for _, n, what, _ in seen if what == Outcome.BEGUN.value and n in by_number
                ]
                last = by_number.get(began[-1]) if began else None
                if len(began) != len(set(began)) or any(
                    what == Outcome.FINISHED.value for *_, what, _ in seen
                ):
                    # A second incarnation begins anew: the first has ended, and so does this pole.
                    break
                patience = _AFTER_AN_END if last is not None and last.ends else _STUCK
                deadline = time.monotonic() + patience + (last.limit if last else 0)
            if process.poll() is not None:
                return
        time.sleep(_AFTER_ALL)

    def _ask_the_pole(self, left: Aftermath) -> None:
        """By its control socket. An attempt to steal proves nothing where there is nothing to be
        stolen, so the judge has to have seen that all are at work."""
        answer = trio.run(_ask, left.drop.with_name("state"))
        if not answer:
            return
        left.control = answer
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(answer)["actors"]
            left.down = tuple(
                one["name"] for one in told if one["name"] in _BESIDE and one["state"] != "running"
            )
            left.whole = left.whole or not left.down
            left.readings += (
                (time.monotonic(), one["readings"]["scratch"])
                for one in told
                if "scratch" in one["readings"]
            )

    @contextmanager
    def _victim(
        self, environment: dict[str, str], folder: Path
    ) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        process = subprocess.Popen(
            [*self._as_person(), sys.executable, "-m", "actors.escape.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield process, told["address"]
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    # -- as whom ----------------------------------------------------------------------------

    def _give(self, path: Path) -> None:
        if changes_user(self.person):
            os.chown(path, _NOBODY, _NOBODY)

    def _as_person(self) -> list[str]:
        """What stands before a command for it to run as an ordinary user, where this one is root.

        Where Python or the sources lie in a folder that only root may enter, that user keeps the
        one right to read what it otherwise may not. It gives no right to write, send or trace.
        """
        if not changes_user(self.person):
            return []
        command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        places = (sys.executable, *map(str, sys.path), str(_SOURCE))
        if not all(_enterable(Path(one)) for one in places):
            command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return command


def persons() -> tuple[Person, ...]:
    """As whom this process can run a pole: as root both, else as itself."""
    return (Person.ROOT, Person.ORDINARY) if os.geteuid() == 0 else (Person.ORDINARY,)


def changes_user(person: Person) -> bool:
    """Whether this process has to become somebody else to be that person."""
    return person is Person.ORDINARY and os.geteuid() == 0


def _enterable(path: Path) -> bool:
    """Whether everybody may go to a path, all links followed."""
    resolved = path.resolve()
    return all(one.stat().st_mode & 0o001 for one in resolved.parents if one.exists())


def _read_reports(path: Path) -> list[tuple[float, int, str, int]]:
    """What the witness wrote down; a line that is not what it writes counts for nothing."""
    reports = []
    with suppress(OSError):
        for line in path.read_text("utf-8", "replace").splitlines():
            parts = line.split("\t")
            if (
                len(parts) == 4
                and parts[2] in _OUTCOMES
                and parts[1].isdecimal()
                and parts[3].isdecimal()
            ):
                reports.append((float(parts[0]), int(parts[1]), parts[2], int(parts[3])))
    return reports


async def _ask(state: Path) -> bytes:
    """The answer of the pole's control socket, as it came."""
    path = control_path(state)
    if not path.exists():
        return b""
    with trio.move_on_after(1), ZmqSocket(zmq.REQ) as client:
        client.connect(f"ipc://{path}")
        await client.send([b"status"])
        return b"".join(await client.receive())
    return b""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As a service manager would: ask, wait, end it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _look_at_victim(victim: subprocess.Popen[bytes], left: Aftermath) -> None:
    with suppress(OSError, ValueError):
        base = Path(f"/proc/{victim.pid}")
        left.victim["limits"] = (base / "limits").read_text()
        left.victim["nice"] = int((base / "stat").read_text().rpartition(")")[2].split()[16])
    with suppress(OSError, ValueError):
        said, _ = victim.communicate(timeout=10)
        left.hay["another program's output"] = said
        left.victim |= json.loads(said.splitlines()[-1])


def _processes_of(run_name: str, session: int) -> list[int]:
    """Every process of a run: by its environment, or by its session where that can't be read."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            about = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(about[3]) == session:
                found.append(int(entry.name))
                continue
            if f"SMARTPOLE_ESCAPE_RUN={run_name}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def _end_all(run_name: str) -> None:
    """Nothing that an attempt started outlives its run."""
    for process in _processes_of(run_name, -1):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _collect_top(left: Aftermath, folder: Path, since: float, owner: int) -> None:
    """What this user has made in a folder that all share, but for other runs' folders."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if about.st_mtime < since or about.st_uid != owner:
                    continue
                left.hay[f"a name: {entry.path}"] = os.fsencode(entry.name)
                if entry.is_file(follow_symlinks=False):
                    with open(entry.path, "rb") as file:
                        left.hay[f"a file: {entry.path}"] = file.read(1 << 20)
