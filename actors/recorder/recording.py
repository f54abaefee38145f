"""Recording: packets in, encrypted segments out, and an account of which packets are safe."""

from __future__ import annotations

__all__ = ["Recording", "Tally"]

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.recorder.age import AgeWriter, Recipient
from actors.recorder.capability import OpenSegment, RecordingStore
from actors.recorder.index import StorageTrouble
from actors.recorder.remultiplex import Remultiplexer, Unmuxable

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
        recipients: Sequence[Recipient],
        *,
        place: str,
        length: float,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._recipients = tuple(recipients)
        self._place = place
        self._length = length
        self._log = log
        self._tally = Tally()
        self._pending: deque[EncodedPacket] = deque()
        self._kept = 0
        self._written = 0
        """How many of the pending packets the current segment has taken."""
        self._tail = 0
        """How many of the pending packets, the beginning of a group, are in a closed segment."""
        self._segment: _Segment | None = None
        self._expected = (-1, -1)
        """Session and sequence of the packet that follows without a gap."""
        self._header: StreamHeader | None = None
        self._damaged: set[tuple[int, int]] = set()
        """Session and sequence of the current segment's packets that could not be put into it."""
        self._refused: StreamHeader | None = None
        """A header that no segment can be made for, so that it is reported once."""

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
        """Write everything that has been accepted."""
        try:
            while self._written < len(self._pending):
                self._write_one(self._pending[self._written])
        except StorageTrouble:
            self.abandon()
            raise

    def close(self, *, for_good: bool = False) -> None:
        """Write everything and close the segment.

        ``for_good`` says that nothing follows, so that the last group is complete and all is safe.
        """
        self.write()
        try:
            self._end_segment(mid_group=not for_good)
        except StorageTrouble:
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
            segment.add(packet)
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
            self._segment = _Segment(self._store, self._recipients, self._place, packet, film)

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

    def _count(self, segment: _Segment) -> None:
        self._tally.segments += 1
        self._tally.size += segment.size
        self._tally.mended += segment.mended


class _Segment:
    """One segment being written: film, encryption and file."""

    def __init__(
        self,
        store: RecordingStore,
        recipients: Sequence[Recipient],
        place: str,
        first: EncodedPacket,
        film: Remultiplexer,
    ) -> None:
        header = film.header
        self._first = self._latest = first
        self._film = film
        self._file: OpenSegment = store.open_segment(
            place=place,
            started_at=first.captured_at,
            codec=header.codec,
            width=header.width,
            height=header.height,
        )
        self.name = self._file.name
        self._groups: deque[tuple[int, int]] = deque()
        """Of each group of pictures that is complete and not safe: its end in the film, in bytes,
        and its packets."""
        self.in_group = 0
        """Packets of the group that is still coming in."""
        self._ends_group = False
        try:
            self._age = AgeWriter(self._file, recipients)
        except StorageTrouble:
            self._file.cut(self._latest.captured_at, readable=False)
            raise

    @property
    def seconds(self) -> float:
        return self._film.seconds

    @property
    def size(self) -> int:
        return self._file.size

    @property
    def mended(self) -> int:
        return self._film.mended

    def is_due(self, packet: EncodedPacket, header: StreamHeader, length: float) -> bool:
        """Whether another segment should begin with this key picture."""
        waited = (packet.captured_at - self._first.captured_at) / 1_000_000
        # By the film's time, and by the clock's, for one of them may stand still or jump.
        return (
            self.seconds >= length
            or waited >= length
            or waited < 0
            or _needs_other_film(header, self._film.header)
        )

    def begin_group(self) -> None:
        """The next packet is a key picture: the group before it is complete."""
        self._ends_group = True

    def add(self, packet: EncodedPacket) -> None:
        """Raises Unmuxable where the packet does not fit; StorageTrouble."""
        self._latest = packet
        ends_group, self._ends_group = self._ends_group, False
        self.in_group += 1
        film = self._film.mux(packet)
        if ends_group and self._film.produced:
            # Muxing the key picture has brought out everything before it.
            self._groups.append((self._film.produced, self.in_group - 1))
            self.in_group = 1
        self._age.write(film)

    def safe_packets(self) -> int:
        """How many more of the oldest packets are in sealed chunks, as whole groups."""
        count = 0
        while self._groups and self._groups[0][0] <= self._age.sealed:
            count += self._groups.popleft()[1]
        return count

    def forget(self, count: int) -> None:
        """So many of the oldest packets are not asked about any more."""
        while self._groups and count >= self._groups[0][1]:
            count -= self._groups.popleft()[1]
        if self._groups:
            end, size = self._groups[0]
            self._groups[0] = end, size - count
        else:
            self.in_group -= count

    def finish(self) -> bool:
        """Close it properly; see ``OpenSegment.finish``. Raises StorageTrouble."""
        self._age.write(self._film.close())
        self._age.close()
        return self._file.finish(self._latest.captured_at)

    def cut(self) -> None:
        """Close it as it is, after a failure. Raises nothing."""
        self._file.cut(self._latest.captured_at, readable=self._age.sealed > 0)


def _needs_other_film(one: StreamHeader, other: StreamHeader) -> bool:
    """Whether two headers can't stand in one film. The frame rate is only a hint."""
    return any(
        getattr(one, name) != getattr(other, name)
        for name in (
            "codec", "width", "height", "extradata", "time_base_numerator", "time_base_denominator",
        )
    )  # fmt: skip
