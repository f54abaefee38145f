"""Listening to a network interface in monitor mode."""

from __future__ import annotations

__all__ = ["MonitorInterface"]

import errno
import os
import socket

import trio

from actors.wifi.errors import SensingLost
from runtime import Unrecoverable

_ETH_P_ALL = 0x0003
_ARPHRD_IEEE80211_RADIOTAP = 803
_HEADERS_AT_MOST = 512
"""Radiotap and 802.11 headers fit. The kernel drops the rest: no payload is ever read."""
_CHECKPOINT = 32


class MonitorInterface:
    """A packet socket on one interface: it receives, and nobody sends with it.

    Every frame is received into the same buffer, which is overwritten before it waits.
    """

    def __init__(self, name: str) -> None:
        """Raises SensingLost where there is no such interface now, Unrecoverable where it can't be
        listened to."""
        self._name = name
        self._buffer = bytearray(_HEADERS_AT_MOST)
        self._view = memoryview(self._buffer)
        self._streak = 0
        try:
            # Protocol 0: until it is bound it receives nothing, from no interface.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise Unrecoverable(
                f"listening to {name} needs the capability CAP_NET_RAW, which this process lacks. "
                "Give it to the service (AmbientCapabilities=CAP_NET_RAW in its systemd unit)."
            ) from None
        except OSError as error:
            raise Unrecoverable(
                f"this system has no packet sockets ({_reason(error)}), so nothing can be heard."
            ) from None
        try:
            self._socket.setblocking(False)
            self._socket.bind((name, _ETH_P_ALL))
            kind = self._socket.getsockname()[3]
        except OSError as error:
            self._socket.close()
            if error.errno == errno.ENODEV:
                # A receiver on USB comes back when it is plugged in again.
                raise SensingLost(
                    f"there is no network interface {name!r}. `ip link` lists those there are; "
                    "`iw dev wlan0 interface add wlan0mon type monitor` makes one for listening."
                ) from None
            raise Unrecoverable(f"can't listen to {name}: {_reason(error)}.") from None
        if kind != _ARPHRD_IEEE80211_RADIOTAP:
            self._socket.close()
            raise Unrecoverable(
                f"the interface {name} is not in monitor mode with radiotap headers (its link "
                f"type is {kind}, not {_ARPHRD_IEEE80211_RADIOTAP}). "
                f"`iw dev {name} set type monitor`, while it is down, puts it there."
            )

    async def receive(self) -> memoryview | None:
        """The headers of the next frame, valid until the next call. Raises SensingLost."""
        self._streak += 1
        if self._streak >= _CHECKPOINT:
            self._streak = 0
            await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._view[: self._socket.recv_into(self._buffer)]
            except BlockingIOError:
                self._streak = 0
                self._wipe()
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:
                raise SensingLost(f"listening to {self._name} ended: {_reason(error)}.") from None

    def close(self) -> None:
        self._socket.close()
        self._wipe()

    def _wipe(self) -> None:
        self._buffer[:] = bytes(_HEADERS_AT_MOST)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
