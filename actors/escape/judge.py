"""The judge: runs poles with hostile actors in them, and looks whether anything came out.

It is no part of the pole. It believes what a hostile actor reports of itself only where that says
by which wall an attempt was stopped; whether it was stopped, it sees from files, sockets, other
processes and the pole's own output.
"""

from __future__ import annotations

__all__ = ["Judge", "attempts_of", "persons"]

import errno
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio
import zmq

import actors
import actors.escape.attempts
from actors.escape.aftermath import Aftermath
from actors.escape.attempt import REGISTRY, Attempt, SceneSettings, loot_of
from actors.escape.configuration import write_configuration
from actors.escape.effects import EFFECTS, PROBES
from actors.escape.listeners import Listeners
from actors.escape.messages import Outcome
from actors.escape.pole import REFUSED
from actors.escape.verdict import Column, Person, Verdict
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
_STOPPING = 10.0
_TRIES = 3

assert actors.escape.attempts.__all__  # imported for what it registers


class _Run(msgspec.Struct):
    """One pole, from start to end."""

    left: Aftermath
    outcomes: dict[int, tuple[Outcome, int]]
    begun: list[int]
    said: str
    found: dict[str, str]
    """By name of the attempt: where its loot or effect was found, or ""."""


class Judge:
    """Makes attempts of one suite under one isolation, as one person.

    ``say`` is told of each pole that runs, for a person who waits. Everything lies in temporary
    folders, which are removed.
    """

    def __init__(self, suite: str, column: Column, person: Person, say: Any = None) -> None:
        self.suite = suite
        self.column = column
        self.person = person
        self._say = say or (lambda _: None)
        self._seed = secrets.token_hex(16)
        self._ending = threading.Event()
        self.transcripts: dict[str, str] = {}
        """What each pole printed, by its first attempt, for whoever wants to know why."""

    def run(self, attempts: Sequence[Attempt], *, jobs: int = 1) -> list[Verdict]:
        """Make them all: most in one pole, after a crash in another; some each in its own."""
        absent = {one.needs for one in attempts if one.needs and not PROBES[one.needs]()}
        possible = [one for one in attempts if one.needs not in absent]
        verdicts = {
            one.name: self._verdict(one, "absent") for one in attempts if one.needs in absent
        }
        batches = [[one for one in possible if not one.alone]]
        batches += [[one] for one in possible if one.alone]
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for made in pool.map(self._run_batch, filter(None, batches)):
                    verdicts |= made
            except BaseException:
                # Interrupted: each pole that runs is ended, and none begun.
                self._ending.set()
                pool.shutdown(cancel_futures=True)
                raise
        return [verdicts[one.name] for one in attempts]

    def _run_batch(self, batch: list[Attempt]) -> dict[str, Verdict]:
        """One pole after another, until each attempt was made once."""
        verdicts: dict[str, Verdict] = {}
        while batch and not self._ending.is_set():
            run = self._run_pole(batch)
            for _ in range(_TRIES - 1):
                if run.left.status == REFUSED or self._ending.is_set():
                    break
                if run.begun and run.left.whole:
                    break
                run = self._run_pole(batch)  # a busy machine may have been too slow
            made = [one for one in batch if one.number in run.begun]
            if not made or not run.left.whole:
                return verdicts | {one.name: self._not_run(one, run) for one in batch}
            if run.left.down and len(batch) > 1:
                # Something has ended an actor beside: what was to be stolen from it is tried again.
                lacking = {n for n, (o, _) in run.outcomes.items() if o is Outcome.NOTHING_THERE}
                for one in [one for one in made if one.number in lacking]:
                    verdicts |= self._run_batch([one])
                made = [one for one in made if one.number not in lacking]
                batch = [one for one in batch if one.number not in lacking]
            for one in made:
                verdicts[one.name] = self._judge(one, run)
            batch = [one for one in batch if one not in made]
        return verdicts

    # -- one pole ---------------------------------------------------------------------------

    def _run_pole(self, batch: list[Attempt]) -> _Run:
        self._say(f"{len(batch)} × {self.suite}" if len(batch) > 1 else batch[0].name)
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
        batch: list[Attempt],
        run_name: str,
        folders: dict[str, Path],
        listeners: Listeners,
        began: float,
    ) -> _Run:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folders["cwd"]),
            "TMPDIR": str(folders["tmp"]),
            "PYTHONPATH": str(_SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "SMARTPOLE_ESCAPE_RUN": run_name,
            "SMARTPOLE_ESCAPE_UDP": str(listeners.udp),
        }
        left = Aftermath(run_name, folders["drop"], self.suite)
        owner = _NOBODY if self._changes_user() else os.geteuid()
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
                self._see_whether_whole(left)
                left.hay["the control socket"] = left.control
            finally:
                _stop(process)
            left.status = process.returncode
            _look_at_victim(victim, left)
        _end_all(run_name)
        _read_reports(reports, left)
        left.hay["the pole's output"] = output.read_bytes()
        for where, data in listeners.heard.items():
            left.hay[f"the judge's {where}"] = bytes(data)
        for name in ("drop", "state", "cwd", "tmp"):
            left.collect(folders[name])
        for shared in ("/dev/shm", "/tmp", "/var/tmp"):
            _collect_top(left, Path(shared), began - 1, owner)
        said = left.hay["the pole's output"].decode("utf-8", "replace")
        self.transcripts[batch[0].name] = said
        outcomes: dict[int, tuple[Outcome, int]] = {}
        begun: list[int] = []
        for _, number, outcome, code in left.reports:
            if outcome == Outcome.BEGUN.value:
                begun.append(number)
            elif outcome != Outcome.FINISHED.value:
                outcomes.setdefault(number, (Outcome(outcome), code))
        found = {one.name: self._find(one, left) for one in batch if one.number in begun}
        return _Run(left=left, outcomes=outcomes, begun=begun, said=said, found=found)

    def _wait(
        self,
        batch: list[Attempt],
        process: subprocess.Popen[bytes],
        reports: Path,
        left: Aftermath,
    ) -> None:
        """Until the suite has finished, or nothing more is to be expected."""
        by_number = {one.number: one for one in batch}
        deadline = time.monotonic() + _READY
        known = 0
        while time.monotonic() < deadline and not self._ending.is_set():
            time.sleep(0.03)
            if not left.whole:
                self._see_whether_whole(left)
            _read_reports(reports, left)
            seen = left.reports
            if len(seen) > known:
                known = len(seen)
                began = [
                    n for _, n, what, _ in seen if what == Outcome.BEGUN.value and n in by_number
                ]
                last = by_number.get(began[-1]) if began else None
                if len(began) != len(set(began)) or any(what == "finished" for *_, what, _ in seen):
                    # A second incarnation begins anew: the first has ended, and so does this pole.
                    break
                patience = _AFTER_AN_END if last is not None and last.ends else _STUCK
                deadline = time.monotonic() + patience + (last.limit if last else 0)
            if process.poll() is not None:
                time.sleep(0.2)
                _read_reports(reports, left)
                return
        time.sleep(0.3)

    def _see_whether_whole(self, left: Aftermath) -> None:
        """An attempt to steal proves nothing where there is nothing to be stolen."""
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

    def _changes_user(self) -> bool:
        return self.person is Person.ORDINARY and os.geteuid() == 0

    def _give(self, path: Path) -> None:
        if self._changes_user():
            os.chown(path, _NOBODY, _NOBODY)

    def _as_person(self) -> list[str]:
        """What stands before a command for it to run as an ordinary user, where this one is root.

        Where Python or the sources lie in a folder that only root may enter, that user keeps the
        one right to read what it otherwise may not. It gives no right to write, send or trace.
        """
        if not self._changes_user():
            return []
        command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        places = (sys.executable, *map(str, sys.path), str(_SOURCE))
        if not all(_enterable(Path(one)) for one in places):
            command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return command

    # -- judging ----------------------------------------------------------------------------

    def _judge(self, one: Attempt, run: _Run) -> Verdict:
        if found := run.found[one.name]:
            return self._verdict(one, "allowed" if one.measured else "escaped", found=found)
        return self._verdict(one, "stopped", wall=self._wall(one, run))

    def _find(self, one: Attempt, left: Aftermath) -> str:
        loot = loot_of(self._seed, one.name, self.suite)
        if where := left.find(loot):
            return where.replace(str(left.drop.parent), "…")
        with suppress(OSError):
            if one.effect and EFFECTS[one.effect](left, one.name, loot):
                return f"its effect: {one.effect.replace('_', ' ')}"
        return ""

    def _wall(self, one: Attempt, run: _Run) -> str:
        outcome, code = run.outcomes.get(one.number, (None, 0))
        match outcome:
            case Outcome.SYSTEM_ERROR if code in (errno.EPERM, errno.ENOSYS):
                return "seccomp"
            case Outcome.SYSTEM_ERROR if code == errno.EACCES:
                return "Landlock"
            case Outcome.SYSTEM_ERROR:
                return f"kernel ({errno.errorcode.get(code, code)})"
            case Outcome.REFUSED:
                return "runtime"
            case Outcome.NOTHING_THERE:
                return "not in its memory"
            case Outcome.WENT_THROUGH:
                return "no effect outside"
            case Outcome.OTHER_ERROR:
                return "error in Python"
            case Outcome.TIMED_OUT:
                return "no answer"
            case _:
                return "its own end" if one.ends else "its domain ended"

    def _not_run(self, one: Attempt, run: _Run) -> Verdict:
        if one.on_import and run.left.status == REFUSED:
            return self._verdict(one, "stopped", wall="the pole refuses to start")
        if run.begun and run.left.down:
            return self._verdict(one, "not run", wall=f"down: {', '.join(run.left.down)}")
        return self._verdict(one, "not run", wall=_last_line(run.said))

    def _verdict(self, one: Attempt, result: str, *, wall: str = "", found: str = "") -> Verdict:
        return Verdict(
            attempt=one.name,
            category=one.category,
            suite=self.suite,
            isolation=self.column,
            person=self.person,
            result=result,
            wall=wall,
            found=found,
        )


def attempts_of(suite: str) -> list[Attempt]:
    """All attempts of a suite, in the order in which they are made."""
    return [one for one in REGISTRY.values() if suite in one.suites]


def persons() -> tuple[Person, ...]:
    """As whom this process can run a pole: as root both, else as itself."""
    return (Person.ROOT, Person.ORDINARY) if os.geteuid() == 0 else (Person.ORDINARY,)


def _enterable(path: Path) -> bool:
    """Whether everybody may go to a path, all links followed."""
    resolved = path.resolve()
    return all(one.stat().st_mode & 0o001 for one in resolved.parents if one.exists())


def _read_reports(path: Path, left: Aftermath) -> None:
    reports = []
    with suppress(OSError):
        for line in path.read_text("utf-8", "replace").splitlines():
            parts = line.split("\t")
            known = {one.value for one in Outcome}
            if (
                len(parts) == 4
                and parts[2] in known
                and parts[1].isdecimal()
                and parts[3].isdecimal()
            ):
                reports.append((float(parts[0]), int(parts[1]), parts[2], int(parts[3])))
    left.reports = reports


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


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
