"""The Wi-Fi domain: counts devices and keeps no address."""

from actors.wifi.actor import WifiCounter
from actors.wifi.messages import DeviceCount
from actors.wifi.sensing import WifiSensing
from actors.wifi.settings import WifiSettings

__all__ = ["DeviceCount", "WifiCounter", "WifiSensing", "WifiSettings"]
