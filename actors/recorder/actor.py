"""The recorder actor: keeps the cameras' pictures for crime prevention, encrypted."""

from __future__ import annotations

__all__ = ["Recorder", "RecorderSettings"]

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import trio

from actors.camera.messages import EncodedPacket
from actors.recorder.capability import RecordingStore, StorageTrouble
from actors.recorder.keys import KeySource
from actors.recorder.recording import Recording
from runtime import (
    Actor,
    Domain,
    Duration,
    Inlet,
    Inlets,
    Needs,
    Reading,
    Sender,
    Settings,
    inlet,
    reading,
)
from runtime.specification import Backoff

_SHORTEST, _LONGEST = 1, 600
_QUIET = 2.0
_PICTURES_LATE = 4
"""Without a packet for so long, or for the time of so many pictures, the segment is closed: an
outage may be long, and what is in memory only would be lost if the power failed."""
_TICK = 0.25
"""Seconds between looks at what should be sealed by now."""
_GATHER = 0.25
"""Seconds for which packets are gathered: a thread that takes each by itself would cost more than
what it does."""
_LOOK_AT_KEYS = 60.0
_PATIENCE = Backoff(first=1, longest=30)


class RecorderSettings(Settings, frozen=True, kw_only=True):
    """For whom to encrypt, and how long a segment is."""

    recipients: Path
    """A file with the managers' public keys, one a line, or a folder of such files ``*.pub``; see
    ``actors.recorder.keys``."""
    keys_ahead: Duration = Duration(14 * 86_400)
    """Where keys are for one day each: warn when fewer days than so many are covered."""
    segment: Duration = Duration(60)
    """A segment ends at the first key picture after so long."""

    published: ClassVar[tuple[str, ...]] = ("segment",)

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.segment <= _LONGEST:
            raise ValueError("Expected a segment of at least 1s and at most 10min")

    def headline(self) -> str:
        return f"segments of {self.segment}"


class Recorder(Actor, domain=Domain.SECURITY):
    """Writes what cameras send into encrypted segments, as it came, without decoding it.

    Any number of cameras, each with its own queue and its own segments. Each segment is an age v1
    file for the managers' public keys; the pole holds no key that opens it (guideline 7.3(1)), and
    nothing unencrypted reaches the disk. A power cut loses less than two seconds of each camera.
    What has been received and is not safe in a file stays in hand: a new incarnation gets it again,
    from a key picture on, so that a group of pictures may stand twice and none is lost. A full or
    failing disk makes the recorder wait and try again; what its queues hold meanwhile is kept, and
    the cameras let go by, and count, what no longer fits.
    """

    packets: Inlets[EncodedPacket] = inlet(capacity=1024, acknowledge="manual")
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
    gaps: Reading
    """Times of which a camera's pictures are missing; each is recorded with its reason."""
    key_days_ahead: Reading
    """For how many days, from today, there are public keys; 9999 where they are valid always."""
    manifests: Reading
    """Number of the last record in the chain of manifests."""
    _recordings: Mapping[Sender, Recording] = {}

    async def start(self) -> None:
        self._keys = KeySource(self.settings.recipients, self.log)
        self._warned_of = -1
        await self._look_at_keys()
        adopted = await self.blocking(self.recordings.adopt_leftovers)
        if adopted:
            self.log.warning("segments that broke off", segments=adopted)
        self._chance = random.Random()
        self._failure: Exception | None = None
        self._recordings = {
            sender: Recording(
                self.recordings,
                self._keys,
                camera=sender.name,
                place=sender.place or self.place,
                length=float(self.settings.segment),
                log=self.log.bind(camera=sender.name),
            )
            for sender in self.packets
        }

    async def run(self) -> None:
        async with trio.open_nursery() as watching:
            watching.start_soon(self._watch_keys)
            async with trio.open_nursery() as cameras:
                for sender, packets in self.packets.items():
                    cameras.start_soon(self._serve, sender, packets, cameras.cancel_scope)
            watching.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        for sender, packets in self.packets.items():
            if (recording := self._recordings.get(sender)) is not None:
                await self._leave(recording, packets)

    async def _leave(self, recording: Recording, packets: Inlet[EncodedPacket]) -> None:
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
            self._account(recording, packets)

    async def _serve(
        self, sender: Sender, packets: Inlet[EncodedPacket], everything: trio.CancelScope
    ) -> None:
        """Record one camera. What fails here ends the incarnation, and is no other's fault."""
        try:
            await self._record(self._recordings[sender], packets)
        except Exception as error:
            self._failure = self._failure or error
            for other, others in self.packets.items():
                if other != sender:
                    others.exonerate()
            everything.cancel()

    async def _record(self, recording: Recording, packets: Inlet[EncodedPacket]) -> None:
        batches = packets.batches()
        latest = trio.current_time()
        while True:
            batch: Sequence[EncodedPacket] | None = ()
            with trio.move_on_after(_TICK):
                batch = await anext(batches, None)
            if batch is None:
                break
            now = trio.current_time()
            if batch:
                latest = now
                recording.accept(batch)
            quiet = max(_QUIET, _PICTURES_LATE * recording.step)
            is_quiet = now - latest >= quiet
            await self._persist(
                recording.close if is_quiet else recording.write, recording, packets
            )
            if batch and not packets.statistics().waiting:
                await trio.sleep(_GATHER)
        await self._persist(partial(recording.close, for_good=True), recording, packets)

    async def _persist(
        self, work: Callable[[], None], recording: Recording, packets: Inlet[EncodedPacket]
    ) -> None:
        """Do it, however long the disk refuses; then hand back what is safe."""
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
                self._account(recording, packets)
                await trio.sleep(delay)
        if tries:
            self.log.info("recording goes on", tries=tries)
        self._account(recording, packets)

    def _account(self, recording: Recording, packets: Inlet[EncodedPacket]) -> None:
        packets.acknowledge(keep=recording.unsafe)
        tally = recording.take_tally()
        self.segments_written.add(tally.segments)
        self.packets_recorded.add(tally.recorded)
        self.packets_skipped.add(tally.skipped)
        self.packets_repeated.add(tally.repeated)
        self.times_mended.add(tally.mended)
        self.bytes_written.add(tally.size)
        self.gaps.add(tally.gaps)
        self.manifests.set(self.recordings.chain_length)

    async def _watch_keys(self) -> None:
        while True:
            await trio.sleep(_LOOK_AT_KEYS)
            await self._look_at_keys()

    async def _look_at_keys(self) -> None:
        """Raises Unrecoverable where there never were any that can be read."""
        keys = await self.blocking(self._keys.current)
        ahead = keys.days_ahead(time.time_ns() // 1000)
        self.key_days_ahead.set(ahead)
        if ahead * 86_400 < self.settings.keys_ahead and ahead != self._warned_of:
            self.log.warning("public keys run out", days=ahead)
            self._warned_of = ahead
