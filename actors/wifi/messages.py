"""What the Wi-Fi domain lets out: how many devices, and nothing else (guideline 6.1(1), 6.1(3))."""

from __future__ import annotations

__all__ = ["DeviceCount"]

from runtime import Count, Message, PlaceName, Sensitivity, UnixSeconds


class DeviceCount(Message, sensitivity=Sensitivity.AGGREGATE):
    """How many different transmitters were heard at a place in ``[start, end)``.

    One person may carry several devices, and a device that changes its randomised address within
    the slice counts again: it is a count of transmitters, an upper estimate of devices.
    """

    place: PlaceName
    start: UnixSeconds
    end: UnixSeconds
    devices: Count
    """Never above 9,999, where counting stops."""
