"""The capability to hear Wi-Fi frames: all that the Wi-Fi domain may reach."""

from __future__ import annotations

__all__ = ["WifiSensing"]

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from actors.wifi.errors import NotACapture
from actors.wifi.monitor import MonitorInterface
from actors.wifi.pcap import Capture, Damage
from actors.wifi.replay import Replay, read_capture_file
from actors.wifi.settings import WifiSettings
from runtime import Authority, Capability, Reach, Sensing, Unrecoverable


class _Receiver(Protocol):
    async def receive(self) -> memoryview | None: ...
    def close(self) -> None: ...


class WifiSensing(Capability, kind=Sensing("wifi"), rights="receive 802.11 frames"):
    """Hears the interface, or plays the capture file, that its actor's settings name.

    Frames hold MAC addresses (guideline 4.1(1)): what ``receive`` gives must not leave the actor.
    """

    @classmethod
    def reach(cls, settings: WifiSettings) -> Reach:
        """A packet socket, which hears and never speaks. A capture file is read beforehand."""
        return Reach(packets=settings.source.scheme == "interface")

    @classmethod
    def prepare(cls, authority: Authority) -> Capture | None:
        """Read the capture file, if there is one: the domain can open none later."""
        settings = authority.settings
        assert isinstance(settings, WifiSettings)
        return None if settings.source.scheme == "interface" else _read_file(settings)

    def __init__(self, authority: Authority) -> None:
        settings = authority.settings
        assert isinstance(settings, WifiSettings)
        self.damage: Mapping[Damage, int] = {}
        """Why a capture file gives fewer frames than it should, and how often."""
        self._receiver: _Receiver
        if settings.source.scheme == "interface":
            self._receiver = MonitorInterface(settings.source.rest)
        else:
            capture = authority.prepared
            assert isinstance(capture, Capture)
            self.damage = capture.damage
            self._receiver = Replay(capture, loop=settings.loop)

    async def receive(self) -> memoryview | None:
        """The next frame with its radiotap header, valid until the next call.

        None at the end of a capture file that isn't looped; an interface never ends. A checkpoint
        whenever it waits, and at least every 32 frames. Raises SensingLost where the interface
        goes down. Cancelling it loses no frame.
        """
        return await self._receiver.receive()

    def close(self) -> None:
        self._receiver.close()


def _read_file(settings: WifiSettings) -> Capture:
    path, label = Path(settings.source.rest), settings.source.public
    try:
        capture = read_capture_file(path)
    except FileNotFoundError:
        raise Unrecoverable(
            f"there is no capture {path}. `smartpole wifi-capture --to {path}` generates one."
        ) from None
    except OSError as error:
        raise Unrecoverable(f"the capture {path} can't be read: {error.strerror}.") from None
    except NotACapture as error:
        raise Unrecoverable(f"{label} can't be played: {error}.") from None
    if not capture.frames:
        why = "; ".join(damage.value for damage in capture.damage) or "it is empty"
        raise Unrecoverable(f"{label} holds no frame that could be played: {why}.")
    return capture
