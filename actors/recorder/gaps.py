"""Gaps: what is missing of a camera's pictures, and why."""

from __future__ import annotations

__all__ = ["LEAST", "GapWatch"]

from actors.camera.messages import EncodedPacket, Interruption
from actors.recorder.capability import RecordingStore
from actors.recorder.index import StorageTrouble

LEAST = 1_500_000
"""Microseconds between two recorded pictures that are a gap, whatever the reason."""
_WORDS = {
    Interruption.STARTED: "the pole was not running",
    Interruption.UNREACHABLE: "the camera could not be reached",
    Interruption.REFUSED: "the camera refused the credentials",
    Interruption.ENDED: "the camera ended its stream",
    Interruption.BROKE_OFF: "the connection broke off",
    Interruption.SILENT: "the camera fell silent",
    Interruption.UNREADABLE: "the camera sent nothing that could be read",
}
_LATE = "the recorder could not keep up"
_RESTARTED = "the recorder was started again"
_NOTHING_CAME = "no picture came"


class GapWatch:
    """Watches one camera's packets, and records each gap when it is over.

    While it lasts nobody knows how long it will be, and the capture domain may send nothing but
    pictures: so the first one after it tells why there was none (``EncodedPacket.after``).
    """

    def __init__(self, store: RecordingStore, *, camera: str, place: str) -> None:
        self._store = store
        self._camera = camera
        self._place = place
        self._end: int | None = None
        self._reason = ""
        self._session: int | None = None
        self._is_certain = False
        """Whether packets are known to be missing, however short the time."""

    def see(self, packet: EncodedPacket, *, follows: bool) -> None:
        """Each packet, before anything is done with it."""
        if packet.after is not None:
            self._reason = self._reason or _WORDS[packet.after]
        elif not follows and self._session is None:
            self._reason = self._reason or _RESTARTED
        elif not follows and packet.session == self._session:
            self._reason, self._is_certain = self._reason or _LATE, True
        self._session = packet.session

    def because(self, trouble: StorageTrouble) -> None:
        """Recording was interrupted by this."""
        self._reason = self._reason or str(trouble)[:200]

    def recorded(self, packet: EncodedPacket) -> None:
        """It stands in a segment."""
        self._end = packet.captured_at

    def note_before(self, packet: EncodedPacket) -> int:
        """A segment begins with this packet: record the gap before it, if there is one, and say
        how many that were. Blocks; raises StorageTrouble."""
        end = self._end if self._end is not None else self._store.last_end(self._camera)
        least = 1 if self._is_certain else LEAST
        is_gap = end is not None and packet.captured_at - end >= least
        if end is not None and is_gap:
            self._store.note_gap(
                camera=self._camera,
                place=self._place,
                started_at=end,
                ended_at=packet.captured_at,
                reason=self._reason or _NOTHING_CAME,
            )
            self._end = packet.captured_at
        self._reason, self._is_certain = "", False
        return int(is_gap)
