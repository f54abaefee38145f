"""The recorder actor: keeps the cameras' pictures for crime prevention, encrypted."""

from __future__ import annotations

__all__ = ["Recorder", "RecorderSettings"]

import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import trio

from actors.camera.messages import EncodedPacket
from actors.ledger.receipts import RecordingsSigned, numbers_of
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
    Outlet,
    Reading,
    Sender,
    Settings,
    inlet,
    outlet,
    reading,
)
from runtime.specification import Backoff

_SHORTEST, _LONGEST = 1, 600
_QUIET = 2.0
_PICTURES_LATE = 4
"""Without a packet for so long, or for the time of so many pictures, the segment is closed: an
outage may be long, and what is in memory only would be lost if the power failed."""
_GATHER = 0.25
"""Seconds for which packets are gathered, and between looks at what should be sealed by now."""
_QUICK = 0.1
"""Seconds in which a quick disk has taken what all cameras sent meanwhile."""
_LOOK_AT_KEYS = 60.0
_TELL_HEAD = 3600.0
"""Seconds between two reports of the chain's head. What was recorded since the last could be cut
off unseen, which is little of two weeks; and the ledger is kept for good: a few kB a day."""
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

    How far the chain of manifests goes is reported for the ledger, where ``heads`` leads there: at
    the start, every hour and at the end. Nothing waits for that; what the ledger has no room for is
    told by the next report, because each head stands for all records before it.
    """

    packets: Inlets[EncodedPacket] = inlet(capacity=1024, acknowledge="manual")
    heads: Outlet[RecordingsSigned] | None = outlet(per_second=1)
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
    _told = ""
    """The last head that was reported."""

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
        await self._tell_head()

    async def run(self) -> None:
        async with trio.open_nursery() as watching:
            watching.start_soon(self._watch_keys)
            watching.start_soon(self._tell_heads)
            await self._record()
            watching.cancel_scope.cancel()

    async def _record(self) -> None:
        """Write what the cameras send, several times a second, until the last of them has ended."""
        intakes = [_Intake(self._recordings[sender], it) for sender, it in self.packets.items()]
        took = 0.0
        while intakes:
            began = trio.current_time()
            due = [intake for intake in intakes if intake.take(began)]
            await self._write(due, together=took <= _QUICK)
            took = trio.current_time() - began
            for intake in due:
                self._conclude(intake, began + took)
            if faults := [intake.fault for intake in due if intake.fault is not None]:
                for intake in intakes:
                    if intake.fault is None:
                        intake.packets.exonerate()
                raise faults[0]
            intakes = [intake for intake in intakes if not intake.is_over]
            if not any(intake.has_more for intake in intakes):
                await trio.sleep(max(0.0, _GATHER - took))

    async def _write(self, intakes: Sequence[_Intake], *, together: bool) -> None:
        """Have the work done. One thread does all of it where the disk is quick, because each hop
        from thread to thread costs as much as what is done there. Where it is not, each camera has
        its own, so that the disk gets their syncs at the same time."""

        def work_all() -> None:
            for intake in intakes:
                intake.work()

        if together:
            await self.blocking(work_all)
            return
        async with trio.open_nursery() as nursery:
            for intake in intakes:
                nursery.start_soon(self.blocking, intake.work)

    def _conclude(self, intake: _Intake, now: float) -> None:
        """Hand back what is safe, however the work ended."""
        trouble = intake.trouble
        if trouble is not None:
            intake.tries += 1
            delay = _PATIENCE.delay(intake.tries, self._chance)
            intake.again_at = now + delay
            self.log.error("recording interrupted", reason=str(trouble), retry_in=round(delay, 1))
        elif intake.fault is None and intake.tries:
            self.log.info("recording goes on", tries=intake.tries)
            intake.tries = 0
        if intake.fault is None:
            self._account(intake.recording, intake.packets)

    async def stop(self) -> None:
        for sender, packets in self.packets.items():
            if (recording := self._recordings.get(sender)) is not None:
                await self._leave(recording, packets)
        await self._tell_head()

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

    async def _tell_heads(self) -> None:
        while True:
            await trio.sleep(_TELL_HEAD)
            await self._tell_head()

    async def _tell_head(self) -> None:
        """Report how far the chain goes, unless that was told, or can't be now."""
        if self.heads is None:
            return
        try:
            head = await self.blocking(self.recordings.chain_head)
        except StorageTrouble as trouble:
            self.log.error("the chain's head is not reported", reason=str(trouble))
            return
        if head is None or head.digest == self._told:
            return
        receipt = RecordingsSigned(number=head.number, digest=numbers_of(head.digest), key=head.key)
        with suppress(trio.WouldBlock):
            self.heads.send_nowait(receipt)
            self._told = head.digest

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


class _Intake:
    """One camera's way from its queue into its recording. What fails here is no other camera's
    fault: it is kept for the actor to see to."""

    def __init__(self, recording: Recording, packets: Inlet[EncodedPacket]) -> None:
        self.recording = recording
        self.packets = packets
        self.tries = 0
        """How often in a row the disk has refused."""
        self.again_at = -math.inf
        self.trouble: StorageTrouble | None = None
        self.fault: Exception | None = None
        self._has_ended = False
        self._latest: float | None = None
        self._is_quiet = False

    @property
    def is_over(self) -> bool:
        """Whether all of it is in a file for good."""
        return self._has_ended and self.trouble is None

    @property
    def has_more(self) -> bool:
        """Whether packets wait that could be taken now."""
        return self.packets.has_waiting and self.trouble is None

    def take(self, now: float) -> bool:
        """Take over what waits. False where the disk has refused and is not to be tried yet; what
        waits stays in the queue then, which is how the camera learns of it."""
        if now < self.again_at:
            return False
        if self._latest is None:
            self._latest = now
        if self.trouble is None and not self._has_ended:
            try:
                if batch := self.packets.receive_batch_nowait():
                    self._latest = now
                    self.recording.accept(batch)
            except trio.EndOfChannel:
                self._has_ended = True
        self._is_quiet = now - self._latest >= max(_QUIET, _PICTURES_LATE * self.recording.step)
        return True

    def work(self) -> None:
        """Write it. Blocks."""
        self.trouble = None
        try:
            if self._has_ended:
                self.recording.close(for_good=True)
            elif self._is_quiet:
                self.recording.close()
            else:
                self.recording.write()
        except StorageTrouble as trouble:
            self.trouble = trouble
        except Exception as fault:
            self.fault = fault
