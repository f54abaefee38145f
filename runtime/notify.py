"""Telling systemd how the pole is: the ``sd_notify`` protocol, by its datagram socket."""

from __future__ import annotations

__all__ = ["ServiceManager"]

import os
import socket

import structlog
import trio

_log = structlog.get_logger("notify")
_PATIENCE = 1.0


class ServiceManager:
    """Sends READY, STOPPING and WATCHDOG to the service manager that started us, if one did.

    See sd_notify(3): the socket's name stands in ``NOTIFY_SOCKET``, the watchdog's time in
    ``WATCHDOG_USEC``.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self.watchdog_period = self._read_watchdog()

    @staticmethod
    def _read_watchdog() -> float | None:
        """Seconds between two signs of life: half of what systemd waits for one."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        text = os.environ.get("WATCHDOG_USEC", "")
        return int(text) / 2_000_000 if text.isdecimal() and int(text) > 0 else None

    async def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``. A service manager that is gone is no error."""
        if not self._address:
            return
        # A leading @ is how systemd writes the null byte of an abstract socket.
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            # One that does not read must not hold up a pole that wants to stop.
            with trio.move_on_after(_PATIENCE) as patience:
                try:
                    # Connected first: an unconnected datagram socket is always "writable", and
                    # waiting for one whose peer's queue is full would spin.
                    await client.connect(address)
                    await client.send("\n".join(assignments).encode())
                except OSError as error:
                    _log.warning("service manager not reached", error=type(error).__name__)
        if patience.cancelled_caught:
            _log.warning("service manager does not read")

    async def keep_watch(self) -> None:
        """Send signs of life for as long as this loop turns. Returns if none are wanted."""
        while self.watchdog_period is not None:
            await self.tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_period)
