"""The recorder actor: keeps the camera's pictures for crime prevention, encrypted."""

from __future__ import annotations

__all__ = ["Recorder", "RecorderSettings"]

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import trio

from actors.camera.messages import EncodedPacket
from actors.recorder.age import read_recipients
from actors.recorder.capability import RecordingStore, StorageTrouble
from actors.recorder.recording import Recording
from runtime import (
    Actor,
    Domain,
    Duration,
    Inlet,
    Needs,
    Reading,
    Settings,
    inlet,
    reading,
)
from runtime.specification import Backoff

_SHORTEST, _LONGEST = 1, 600
_QUIET = 10.0
"""Seconds without a packet after which the segment is closed: an outage may be long, and what is
in memory only would be lost if the power failed."""
_PATIENCE = Backoff(first=1, longest=30)


class RecorderSettings(Settings, frozen=True, kw_only=True):
    """For whom to encrypt, and how long a segment is."""

    recipients: Path
    """A file with the managers' public keys (``age1…``), one a line."""
    segment: Duration = Duration(60)
    """A segment ends at the first key picture after so long."""

    published: ClassVar[tuple[str, ...]] = ("segment",)

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.segment <= _LONGEST:
            raise ValueError("Expected a segment of at least 1s and at most 10min")

    def headline(self) -> str:
        return f"segments of {self.segment}"


class Recorder(Actor, domain=Domain.SECURITY):
    """Writes what one camera sends into encrypted segments, as it came, without decoding it.

    Each segment is an age v1 file for the managers' public keys; the pole holds no key that opens
    it (guideline 7.3(1)), and nothing unencrypted reaches the disk. What has been received and is
    not safe in a file stays in hand: a new incarnation gets it again, from a key picture on, so
    that a group of pictures may stand twice and none is lost. A full or failing disk makes the
    recorder wait and try again; what its queue holds meanwhile is kept, and the camera lets go by,
    and counts, what no longer fits.
    """

    packets: Inlet[EncodedPacket] = inlet(capacity=1024, acknowledge="manual", senders="one")
    recordings: Needs[RecordingStore]
    settings: RecorderSettings
    segments_written: Reading = reading(vital=True)
    packets_recorded: Reading
    packets_skipped: Reading
    packets_repeated: Reading
    """Recorded once more after a disk's failure or a pause, beside those that the channel counts as
    redelivered after a crash."""
    times_mended: Reading
    bytes_written: Reading
    _recording: Recording | None = None

    async def start(self) -> None:
        recipients = await self.blocking(read_recipients, self.settings.recipients)
        adopted = await self.blocking(self.recordings.adopt_leftovers)
        if adopted:
            self.log.warning("segments that broke off", segments=adopted)
        self._chance = random.Random()
        self._recording = Recording(
            self.recordings,
            recipients,
            place=self.place,
            length=float(self.settings.segment),
            log=self.log,
        )

    async def run(self) -> None:
        recording = self._recording
        assert recording is not None
        batches = self.packets.batches()
        while True:
            batch: Sequence[EncodedPacket] | None = ()
            with trio.move_on_after(_QUIET):
                batch = await anext(batches, None)
            if batch is None:
                break
            recording.accept(batch)
            # No batch: an outage, perhaps. See _QUIET.
            await self._persist(recording.write if batch else recording.close)
        await self._persist(partial(recording.close, for_good=True))

    async def stop(self) -> None:
        recording = self._recording
        if recording is None:
            return
        try:
            # After a crash: what can still be closed properly need not be recorded again.
            await self.blocking(recording.close)
        except Exception as error:
            # Whatever made the actor crash may well strike here again; it has been reported.
            await self.blocking(recording.abandon)
            self.log.error(
                "not recorded yet", packets=recording.unsafe, reason=type(error).__name__
            )
        finally:
            self._account(recording)

    async def _persist(self, work: Callable[[], None]) -> None:
        """Do it, however long the disk refuses; then hand back what is safe."""
        recording = self._recording
        assert recording is not None
        tries = 0
        while True:
            try:
                await self.blocking(work)
                break
            except StorageTrouble as trouble:
                tries += 1
                delay = _PATIENCE.delay(tries, self._chance)
                self.log.error(
                    "recording interrupted", reason=str(trouble), retry_in=round(delay, 1)
                )
                self._account(recording)
                await trio.sleep(delay)
        if tries:
            self.log.info("recording goes on", tries=tries)
        self._account(recording)

    def _account(self, recording: Recording) -> None:
        self.packets.acknowledge(keep=recording.unsafe)
        tally = recording.take_tally()
        self.segments_written.add(tally.segments)
        self.packets_recorded.add(tally.recorded)
        self.packets_skipped.add(tally.skipped)
        self.packets_repeated.add(tally.repeated)
        self.times_mended.add(tally.mended)
        self.bytes_written.add(tally.size)
