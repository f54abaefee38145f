"""Recording: packets in, encrypted segments out, and an account of which packets are safe."""

from __future__ import annotations

__all__ = ["Recording", "Tally"]

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.recorder.capability import RecordingStore
from actors.recorder.gaps import GapWatch
from actors.recorder.index import StorageTrouble
from actors.recorder.keys import Recipients
from actors.recorder.remultiplex import Remultiplexer, Unmuxable
from actors.recorder.segment import SegmentWriter

_MOST_KEPT = 128 * 1024 * 1024
"""Bytes of packets that are kept for being written once more."""


@dataclass(slots=True)
class Tally:
    """What happened since it was last asked for. Packets, unless it says otherwise."""

    recorded: int = 0
    """Safe in a segment."""
    skipped: int = 0
    """Not recorded: they came before a key picture, or could not be put into a film."""
    repeated: int = 0
    """Written once more after a failure, so that they may stand in two segments."""
    mended: int = 0
    """Times of the camera that jumped or ran backwards."""
    segments: int = 0
    """Segments closed."""
    size: int = 0
    """Bytes of ciphertext in closed segments."""
    gaps: int = 0
    """Times of which the camera's pictures are missing."""


class Recording:
    """Writes one camera's packets into segments of about ``length`` seconds each.

    ``accept`` takes packets over, ``write`` writes what it can, and ``unsafe`` tells how many of
    the newest packets are not safe yet. A packet is safe once its whole group of pictures (key
    picture to key picture) is in sealed chunks of a file: from the file alone it can be decrypted
    and decoded then, whatever happens to this program.

    The group that is still coming in is never handed back, not even when its beginning is in a
    closed segment: what follows could not be decoded without it, so the next segment would begin
    with all of it once more.

    ``write`` and ``close`` block. When they raise StorageTrouble, the segment has been closed as
    it is, and calling them again begins a new one with everything that was not safe.
    """

    def __init__(
        self,
        store: RecordingStore,
        keys: Recipients,
        *,
        camera: str,
        place: str,
        length: float,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keys = keys
        self._camera = camera
        self._place = place
        self._clock = clock
        self._gaps = GapWatch(store, camera=camera, place=place)
        self._length = length
        self._log = log
        self._tally = Tally()
        self._pending: deque[EncodedPacket] = deque()
        self._kept = 0
        self._written = 0
        """How many of the pending packets the current segment has taken."""
        self._tail = 0
        """How many of the pending packets, the beginning of a group, are in a closed segment."""
        self._segment: SegmentWriter | None = None
        self._expected = (-1, -1)
        """Session and sequence of the packet that follows without a gap."""
        self._header: StreamHeader | None = None
        self._damaged: set[tuple[int, int]] = set()
        """Session and sequence of the current segment's packets that could not be put into it."""
        self._refused: StreamHeader | None = None
        """A header that no segment can be made for, so that it is reported once."""

    @property
    def step(self) -> float:
        """Seconds between the camera's pictures; 0 while none is recorded."""
        return self._segment.step if self._segment is not None else 0.0

    @property
    def unsafe(self) -> int:
        """How many of the packets accepted last are not safe yet."""
        return len(self._pending)

    def take_tally(self) -> Tally:
        """What happened since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    def accept(self, packets: Iterable[EncodedPacket]) -> None:
        """Take over packets, in their order. Does not block."""
        for packet in packets:
            self._pending.append(packet)
            self._kept += len(packet.data)

    def write(self) -> None:
        """Write everything that has been accepted, and see to it that little of it is in memory
        only: to be called several times a second, whether or not anything comes."""
        try:
            while self._written < len(self._pending):
                self._write_one(self._pending[self._written])
            if self._segment is not None:
                self._segment.settle(self._clock())
                self._release(self._segment.safe_packets())
        except StorageTrouble as trouble:
            self._gaps.because(trouble)
            self.abandon()
            raise

    def close(self, *, for_good: bool = False) -> None:
        """Write everything and close the segment.

        ``for_good`` says that nothing follows, so that the last group is complete and all is safe.
        """
        self.write()
        try:
            self._end_segment(mid_group=not for_good)
        except StorageTrouble as trouble:
            self._gaps.because(trouble)
            self.abandon()
            raise
        if for_good:
            self._release(self._tail)
            self._tail = 0

    def abandon(self) -> None:
        """Leave the current segment as it is. What was not safe stays pending, to be rewritten."""
        segment, self._segment = self._segment, None
        if segment is not None:
            self._tally.repeated += self._written
            segment.cut()
            self._count(segment)
        self._damaged.clear()
        self._written = self._tail = 0

    # -- one packet after another -----------------------------------------------------------

    def _write_one(self, packet: EncodedPacket) -> None:
        follows = (packet.session, packet.sequence) == self._expected
        if self._tail:
            tail, self._tail = self._tail, 0
            if follows and not packet.key:
                # The group goes on after its segment was closed: begin the next one with it.
                self._tally.repeated += tail
                self._written = 0
                return
            self._release(tail)
        self._gaps.see(packet, follows=follows)
        if not follows:
            # A new connection, whose times start anew, or packets that never came: a segment has
            # no hole in it.
            self._end_segment()
            self._header = None
        self._expected = (packet.session, packet.sequence + 1)
        if packet.header is not None:
            self._header = packet.header
        if packet.key and packet.data and self._header is not None:
            self._at_key_picture(packet, self._header)
        segment = self._segment
        if segment is None:
            self._skip()
            return
        try:
            segment.add(packet, self._clock())
            self._gaps.recorded(packet)
        except Unmuxable as trouble:
            if not self._damaged:
                self._log.warning("packet skipped", reason=str(trouble))
            self._damaged.add((packet.session, packet.sequence))
        self._written += 1
        self._release(segment.safe_packets())
        self._hold_down_memory()

    def _at_key_picture(self, packet: EncodedPacket, header: StreamHeader) -> None:
        """Where a segment may end and another begin."""
        segment = self._segment
        if segment is not None and segment.is_due(packet, header, self._length):
            self._end_segment()
        elif segment is not None:
            segment.begin_group()
        if self._segment is None and header != self._refused:
            try:
                film = Remultiplexer(header)
            except Unmuxable as trouble:
                self._refused = header
                self._log.error("stream not recorded", reason=str(trouble))
                return
            self._refused = None
            recipients = self._keys.for_moment(packet.captured_at)
            self._tally.gaps += self._gaps.note_before(packet)
            self._segment = SegmentWriter(
                self._store, recipients, self._camera, self._place, packet, film
            )

    def _end_segment(self, *, mid_group: bool = False) -> None:
        segment = self._segment
        if segment is None:
            return
        indexed = segment.finish()
        self._segment = None
        self._tail = segment.in_group if mid_group else 0
        self._release(self._written - self._tail)
        self._count(segment)
        self._log.info(
            "segment written", segment=segment.name, seconds=round(segment.seconds, 1),
            bytes=segment.size,
        )  # fmt: skip
        if not indexed:
            self._log.warning("segment not indexed", segment=segment.name)

    def _skip(self) -> None:
        """Pass over the packet whose turn it is. With no segment open, it is the oldest one."""
        self._drop_oldest()
        self._tally.skipped += 1

    def _release(self, count: int) -> None:
        """So many of the oldest packets are safe."""
        for _ in range(count):
            packet = self._drop_oldest()
            identity = packet.session, packet.sequence
            if identity in self._damaged:
                self._damaged.remove(identity)
                self._tally.skipped += 1
            else:
                self._tally.recorded += 1
        self._written -= count

    def _drop_oldest(self) -> EncodedPacket:
        packet = self._pending.popleft()
        self._kept -= len(packet.data)
        return packet

    def _hold_down_memory(self) -> None:
        """A camera that sends no key picture for minutes must not fill the memory.

        The film goes on; only, after a failure, its latest part could not be written again from
        a key picture on.
        """
        if self._kept <= _MOST_KEPT or self._segment is None:
            return
        count = self._written
        self._segment.forget(count)
        self._release(count)
        self._log.warning("no key picture for long", packets=count)

    def _count(self, segment: SegmentWriter) -> None:
        self._tally.segments += 1
        self._tally.size += segment.size
        self._tally.mended += segment.mended
