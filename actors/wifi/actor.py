"""The Wi-Fi counter: how many devices are around, slice by slice."""

from __future__ import annotations

__all__ = ["WifiCounter"]

import time

import trio

from actors.wifi.clock import SliceClock
from actors.wifi.counter import SliceCounter
from actors.wifi.errors import UnreadableFrame
from actors.wifi.frame import station_of
from actors.wifi.messages import DeviceCount
from actors.wifi.sensing import WifiSensing
from actors.wifi.settings import WifiSettings
from runtime import Actor, Domain, Needs, Outlet, Reading, reading


class WifiCounter(Actor, domain=Domain.WIFI):
    """Counts the different devices that are heard in each time slice, and keeps no address.

    An address lives from the frame to its keyed digest, within one call; the key lives for one
    slice (guideline 4.1(1), 6.1(1)). When the actor ends, the slice that it was counting is sent
    with its true end: a shorter window, honestly said to be one.
    """

    counts: Outlet[DeviceCount]
    sensing: Needs[WifiSensing]
    settings: WifiSettings
    devices_now: Reading
    frames_seen: Reading
    frames_unreadable: Reading
    slices_sent: Reading = reading(vital=True)

    _clock: SliceClock | None = None
    """None before counting begins, and after a capture's end."""

    async def start(self) -> None:
        for damage, times in self.sensing.damage.items():
            self.frames_unreadable.add(times)
            self.log.warning("the capture is damaged", reason=damage.value, times=times)
        self._counter = SliceCounter()
        self._clock = SliceClock(self.settings.slice, self._wall)

    async def run(self) -> None:
        while self._clock is not None:
            with trio.move_on_at(self._clock.deadline) as slice_scope:
                await self._listen()
            await self._send_slice()
            if not slice_scope.cancelled_caught:
                # After a capture's end nothing is heard, which is not the same as nobody there.
                self._clock = None
        self.log.info("the capture is over; no more devices are counted")
        await trio.sleep_forever()

    async def stop(self) -> None:
        if self._clock is not None:
            await self._send_slice()

    async def _listen(self) -> None:
        """Count until the end of the capture, which a live interface doesn't have."""
        while (frame := await self.sensing.receive()) is not None:
            self._count(frame)

    def _count(self, frame: memoryview) -> None:
        # Not in the loop above, where the address would stay while nothing is heard.
        self.frames_seen.add()
        try:
            station = station_of(frame, minimum_signal_dbm=self.settings.minimum_signal_dbm)
        except UnreadableFrame:
            self.frames_unreadable.add()
            return
        if station is not None:
            self._counter.add(station)
            self.devices_now.set(self._counter.devices)

    async def _send_slice(self) -> None:
        assert self._clock is not None
        devices = self._counter.finish()
        self.devices_now.set(0)
        window = self._clock.close()
        if window is None:
            self.log.info("a slice is left out: shorter than a second, or the clock was set")
            return
        start, end = window
        await self.counts.send(DeviceCount(place=self.place, start=start, end=end, devices=devices))
        self.slices_sent.add()

    def _wall(self) -> float:
        return time.time()
