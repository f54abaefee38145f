"""A captured frame, from the receiver's header to the station that sent it."""

from __future__ import annotations

__all__ = ["station_of"]

from actors.wifi.errors import UnreadableFrame
from actors.wifi.ieee80211 import sending_station
from actors.wifi.radiotap import read_radiotap


def station_of(frame: memoryview, *, minimum_signal_dbm: int | None = None) -> bytes | None:
    """The address of the station that sent a radiotap frame; None where no station did.

    With a minimum signal, weaker frames, and those whose strength the receiver doesn't tell, are
    nobody's. Raises UnreadableFrame, also for a frame that was damaged on the air: an address
    with a flipped bit would count as a device that isn't there.
    """
    header = read_radiotap(frame)
    if header.is_damaged:
        raise UnreadableFrame("its checksum is wrong")
    if minimum_signal_dbm is not None and (
        header.signal_dbm is None or header.signal_dbm < minimum_signal_dbm
    ):
        return None
    return sending_station(frame[header.length :], has_fcs=header.has_fcs)
