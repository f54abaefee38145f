"""One segment being written: film, encryption and file."""

from __future__ import annotations

__all__ = ["UNSEALED", "UNSYNCED", "SegmentWriter"]

from collections import deque
from collections.abc import Sequence

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.recorder.age import CHUNK, AgeWriter, Recipient
from actors.recorder.capability import OpenSegment, RecordingStore
from actors.recorder.keys import day_of
from actors.recorder.remultiplex import Remultiplexer
from runtime.clock import boottime

UNSEALED = 0.6
"""Seconds after which what has come out of the muxer is sealed, full chunk or not. Longer than a
fragment, so that a usual camera's chunks fill by themselves."""
UNSYNCED = 0.4
"""Seconds between two times at which a file's content is made to outlast a power cut."""
_SMALLEST_BOX = 8


class _Head:
    """Takes the beginning of the ciphertext until there is a file, then all to the file."""

    def __init__(self) -> None:
        self.ciphertext = b""
        self._file: OpenSegment | None = None

    def go_on_in(self, file: OpenSegment) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        if self._file is None:
            self.ciphertext += data
        else:
            self._file.write(data)


class SegmentWriter:
    """One segment being written. Its methods block."""

    def __init__(
        self,
        store: RecordingStore,
        recipients: Sequence[Recipient],
        camera: str,
        place: str,
        first: EncodedPacket,
        film: Remultiplexer,
    ) -> None:
        header = film.header
        self._first = self._latest = first
        self._film = film
        head = _Head()
        self._age = AgeWriter(head, recipients)
        self._file: OpenSegment = store.open_segment(
            camera=camera,
            place=place,
            started_at=first.captured_at,
            codec=header.codec,
            width=header.width,
            height=header.height,
            head=head.ciphertext,
            # Where the camera did not note it: now, so that it is found younger rather than older.
            boottime=first.boottime or boottime(),
        )
        head.go_on_in(self._file)
        self.name = self._file.name
        self._outputs: deque[tuple[int, float]] = deque()
        """Of each part of the film that is not sealed: where it ends, and when it came out."""
        self._synced = 0
        self._synced_when = 0.0
        self._groups: deque[tuple[int, int]] = deque()
        """Of each group of pictures that is complete and not safe: its end in the film, in bytes,
        and its packets."""
        self.in_group = 0
        """Packets of the group that is still coming in."""
        self._ends_group = False

    @property
    def step(self) -> float:
        """Seconds between the latest two pictures."""
        return self._film.step

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
            # So that destroying a day's key takes nothing of another day, and leaves nothing.
            or day_of(packet.captured_at) != day_of(self._first.captured_at)
            or _needs_other_film(header, self._film.header)
        )

    def begin_group(self) -> None:
        """The next packet is a key picture: the group before it is complete."""
        self._ends_group = True

    def add(self, packet: EncodedPacket, now: float) -> None:
        """Raises Unmuxable where the packet does not fit; StorageTrouble."""
        self._latest = packet
        ends_group, self._ends_group = self._ends_group, False
        self.in_group += 1
        film = self._film.mux(packet)
        if ends_group and self._film.produced:
            # Muxing the key picture has brought out everything before it.
            self._groups.append((self._age.written + len(film), self.in_group - 1))
            self.in_group = 1
        if film:
            self._age.write(film)
            self._outputs.append((self._age.written, now))

    def settle(self, now: float) -> None:
        """Have what is written outlast a power cut soon. Raises StorageTrouble.

        A chunk is sealed when it is full. A camera that sends little would take long to fill it,
        so it is filled up with what players pass over.
        """
        age = self._age
        while self._outputs and self._outputs[0][0] <= age.sealed:
            self._outputs.popleft()
        if self._outputs and now - self._outputs[0][1] >= UNSEALED and self._film.can_be_filled:
            age.write(self._film.filler(max(_SMALLEST_BOX, CHUNK - age.unsealed + 1)))
            self._outputs.clear()
        if age.sealed > self._synced and now - self._synced_when >= UNSYNCED:
            self._file.sync()
            self._synced, self._synced_when = age.sealed, now

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
