"""The harmless actors beside the hostile ones. They work like real ones, and hold what is worth
stealing."""

from __future__ import annotations

__all__ = ["Archive", "ArchiveSettings", "Journal", "ReportFile", "Witness", "seal"]

import gc
import hashlib
import logging
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path

import trio

from actors.camera.messages import EncodedPacket
from actors.escape.messages import ArchiveFact, AttemptReport, CaptureReport
from actors.recorder.capability import RecordingStore
from runtime import (
    Actor,
    Authority,
    Capability,
    Domain,
    Inlet,
    Needs,
    Outlet,
    Reading,
    Settings,
    Storage,
)

HEARTBEAT = b"the archive lives: nothing to note, nothing lost, nothing to hide."
"""Written at each beat, from this very object."""

_BEAT = 0.02
_log = logging.getLogger("archive")


def seal(beat: int) -> bytes:
    """Something to call at each beat."""
    return hashlib.sha256(beat.to_bytes(8, "big")).digest()


class Journal(Capability, kind=Storage("security"), rights="note that it lives"):
    """A file behind a buffer, and a small map of another, as many a store has them."""

    def __init__(self, authority: Authority) -> None:
        folder = authority.require_folder()
        self._file = open(folder / "journal", "ab", buffering=1 << 16)  # noqa: SIM115
        self._map: mmap.mmap | None = None
        with open(folder / "position", "w+b") as position, suppress(PermissionError):
            position.truncate(mmap.PAGESIZE)
            # Where walls stand, no domain may have one.
            self._map = mmap.mmap(position.fileno(), mmap.PAGESIZE)

    def note(self, text: bytes, stamp: bytes) -> None:
        # Here and not above, as many a library does: each call looks whether it is loaded.
        from marshal import dumps

        self._file.write(text + dumps(stamp.hex()) + b"\n")
        if self._map is not None:
            self._map[: len(stamp)] = stamp

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        if self._map is not None:
            self._map.close()


class ArchiveSettings(Settings, frozen=True, kw_only=True):
    recipients: Path
    """As the recorder's: the file is read before the walls stand."""


class Archive(Actor, domain=Domain.SECURITY):
    """Stands where the recorder would, with its store, and beats."""

    packets: Inlet[EncodedPacket]
    reports: Inlet[CaptureReport]
    facts: Outlet[ArchiveFact]
    recordings: Needs[RecordingStore]
    journal: Needs[Journal]
    settings: ArchiveSettings
    beats: Reading

    async def start(self) -> None:
        self.waiting: list[object] = []

    async def run(self) -> None:
        async with trio.open_nursery() as beating:
            beating.start_soon(self._beat)
            async with trio.open_nursery() as receiving:
                receiving.start_soon(self._take_packets)
                receiving.start_soon(self._pass_reports_on)
            beating.cancel_scope.cancel()

    async def _take_packets(self) -> None:
        async for _ in self.packets:
            pass

    async def _pass_reports_on(self) -> None:
        async for report in self.reports:
            await self.facts.send(
                ArchiveFact(number=report.number, outcome=report.outcome, errno=report.errno)
            )

    async def _beat(self) -> None:
        beat = 0
        while True:
            await trio.sleep(_BEAT)
            beat += 1
            self.beats.add()
            self.journal.note(HEARTBEAT, seal(beat))
            self.waiting.clear()
            if beat % 2:
                gc.collect(1)
            if beat % 3 == 0:
                self.journal.flush()
                _log.debug("beat %d", beat)


class ReportFile(Capability, kind=Storage("public"), rights="append reports"):
    """What the judge reads, line by line."""

    def __init__(self, authority: Authority) -> None:
        path = authority.require_folder() / "reports"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, report: AttemptReport | ArchiveFact) -> None:
        # As it came: a text where a number belongs would show.
        outcome = getattr(report.outcome, "value", report.outcome)
        line = f"{time.monotonic():.4f}\t{report.number!r}\t{outcome}\t{report.errno!r}\n"
        os.write(self._descriptor, line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        os.close(self._descriptor)


class Witness(Actor, domain=Domain.PUBLIC):
    """Writes down what the hostile actors report of themselves."""

    reports: Inlet[AttemptReport]
    facts: Inlet[ArchiveFact]
    file: Needs[ReportFile]
    received: Reading

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take, self.reports)
            nursery.start_soon(self._take, self.facts)

    async def _take(self, inlet: Inlet[AttemptReport] | Inlet[ArchiveFact]) -> None:
        async for report in inlet:
            self.file.append(report)
            self.received.add()
