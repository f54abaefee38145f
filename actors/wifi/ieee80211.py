"""IEEE 802.11: who sent a frame, as far as counting needs it.

Only frames that a *station* (a person's device) sends are counted, never those of access points:

| frames                                        | counted |
|-----------------------------------------------|---------|
| data to an access point (null and QoS too)    | yes |
| data between stations (ad hoc, direct link)   | yes |
| association, reassociation and probe requests | yes |
| authentication, disassociation, deauthentication, action | if addressed to the access point |
| power-save poll                               | yes |
| beacons, responses, data from an access point or a bridge | no |
| acknowledgement, clear to send (name no transmitter) | no |
| other control frames (either side sends them) | no: who sends these sends data as well |
"""

from __future__ import annotations

__all__ = ["sending_station"]

from actors.wifi.errors import UnreadableFrame

_MANAGEMENT, _CONTROL, _DATA = 0, 1, 2

_FROM_STATIONS_ONLY = frozenset({0, 2, 4, 9})
"""Association, reassociation and probe request, ATIM (ad hoc)."""
_FROM_EITHER = frozenset({10, 11, 12, 13, 14})
"""Disassociation, authentication, deauthentication, action, action without acknowledgement."""
_POWER_SAVE_POLL = 10

_FROM_DISTRIBUTION = 0x02

_SHORTEST = 10
"""An acknowledgement: control, duration, receiver."""
_FCS = 4
_GROUP = 0x01
"""In an address's first byte: a group's, not a device's."""
_NO_ADDRESS = bytes(6)


def sending_station(frame: memoryview, *, has_fcs: bool) -> bytes | None:
    """The address of the station that sent an 802.11 frame; None where no station did.

    The address is a MAC address and must not leave the caller (guideline 4.1(1)). Group
    addresses and the zero address are nobody's. Raises UnreadableFrame where the frame ends
    before its header does.
    """
    size = len(frame) - _FCS if has_fcs else len(frame)
    if size < _SHORTEST:
        raise UnreadableFrame("shorter than any 802.11 frame")
    control, flags = frame[0], frame[1]
    if control & 0b11:
        raise UnreadableFrame("not 802.11 protocol version 0")
    kind, subtype = control >> 2 & 0b11, control >> 4
    needed = 16 if kind == _CONTROL else 24
    if not _may_be_station(kind, subtype, flags):
        return None
    if size < needed:
        raise UnreadableFrame("ends before its 802.11 header does")
    receiver, transmitter, access_point = frame[4:10], frame[10:16], frame[16:22]
    if (
        kind == _MANAGEMENT
        and subtype in _FROM_EITHER
        and (receiver != access_point or receiver[0] & _GROUP)
    ):
        return None  # not addressed to the access point, so the access point may have sent it
    if transmitter[0] & _GROUP or transmitter == _NO_ADDRESS:
        return None
    return bytes(transmitter)


def _may_be_station(kind: int, subtype: int, flags: int) -> bool:
    if kind == _MANAGEMENT:
        return subtype in _FROM_STATIONS_ONLY or subtype in _FROM_EITHER
    if kind == _CONTROL:
        return subtype == _POWER_SAVE_POLL
    # With the from-distribution bit it is an access point, with both a bridge or a mesh.
    return kind == _DATA and not flags & _FROM_DISTRIBUTION
