"""A pole of tiny actors, for tests that need a blueprint and none of the real actors' work."""

from __future__ import annotations

__all__ = [
    "ACTOR_TYPES",
    "CAMERA",
    "CONFIGURATION",
    "CROWD",
    "FORBIDDEN",
    "NOTICE",
    "POLE",
    "SECURITY",
    "STATISTICS",
    "WIFI",
    "example_blueprint",
]

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from runtime import (
    DROP_OLDEST,
    Actor,
    BlueprintView,
    Capability,
    Count,
    Domain,
    Duration,
    Inlet,
    Message,
    Models,
    Needs,
    Network,
    Outlet,
    Reading,
    Sensing,
    Sensitivity,
    Settings,
    Storage,
    inlet,
    reading,
)
from runtime.blueprint import Blueprint, load_blueprint


class Picture(Message, sensitivity=Sensitivity.PERSONAL_IMAGE):
    data: Annotated[bytes, msgspec.Meta(max_length=1024)]


class PictureCount(Message, sensitivity=Sensitivity.AGGREGATE):
    persons: Count


class DeviceCount(Message, sensitivity=Sensitivity.AGGREGATE):
    devices: Count


class CameraLink(Capability, kind=Network("cameras"), rights="connect to the configured camera"):
    pass


class VerifiedModels(Capability, kind=Models("inference"), rights="read verified models"):
    pass


class RecordingStore(Capability, kind=Storage("security"), rights="append segments"):
    pass


class RecordingExpiry(Capability, kind=Storage("security"), rights="list and delete, never read"):
    pass


class StatisticsStore(Capability, kind=Storage("public"), rights="write crowd statistics"):
    pass


class WifiReceiver(Capability, kind=Sensing("wifi"), rights="listen to what devices send"):
    pass


class CameraSettings(Settings, frozen=True, kw_only=True):
    source: str

    def headline(self) -> str:
        return self.source


class Camera(Actor, domain=Domain.CAPTURE):
    link: Needs[CameraLink]
    to_crowd: Outlet[Picture]
    to_security: Outlet[Picture]
    settings: CameraSettings
    pictures: Reading = reading(vital=True)


class CrowdSettings(Settings, frozen=True, kw_only=True):
    published: ClassVar[tuple[str, ...]] = ("interval",)
    interval: Duration = Duration(1.0)


class CrowdCounter(Actor, domain=Domain.CROWD):
    models: Needs[VerifiedModels]
    pictures: Inlet[Picture] = inlet(capacity=128, overflow=DROP_OLDEST)
    counts: Outlet[PictureCount]
    settings: CrowdSettings
    people_now: Reading = reading(vital=True)


class Recorder(Actor, domain=Domain.SECURITY):
    store: Needs[RecordingStore]
    pictures: Inlet[Picture] = inlet(capacity=256)
    segments_written: Reading = reading(vital=True)


class RetentionSettings(Settings, frozen=True, kw_only=True):
    published: ClassVar[tuple[str, ...]] = ("keep",)
    keep: Duration = Duration(14 * 86400)


class Retention(Actor, domain=Domain.SECURITY):
    expiry: Needs[RecordingExpiry]
    settings: RetentionSettings
    checks: Reading


class WifiCounter(Actor, domain=Domain.WIFI):
    receiver: Needs[WifiReceiver]
    counts: Outlet[DeviceCount]
    devices_now: Reading


class StatisticsSettings(Settings, frozen=True, kw_only=True):
    published: ClassVar[tuple[str, ...]] = ("slice", "k")
    slice: Duration = Duration(300)
    k: int = 5


class Statistics(Actor, domain=Domain.PUBLIC):
    store: Needs[StatisticsStore]
    counts: Inlet[PictureCount]
    devices: Inlet[DeviceCount]
    settings: StatisticsSettings
    slices_released: Reading = reading(vital=True)


class Announcer(Actor, domain=Domain.PUBLIC):
    """Stands for the notice where a test does not want a port."""

    pole: Needs[BlueprintView]


ACTOR_TYPES: dict[str, type[Actor]] = {
    "camera": Camera,
    "crowd": CrowdCounter,
    "recorder": Recorder,
    "retention": Retention,
    "wifi": WifiCounter,
    "statistics": Statistics,
    "announcer": Announcer,
}

POLE = """
[pole]
name = "east-exit-01"
operator = { ja = "見本スマートポール株式会社", en = "Example Smart Pole Inc." }
guideline = "1.0"
state = "state"

[pole.contact]
ja = "個人情報相談窓口 03-0000-0000（平日9時〜17時）"
en = "Privacy desk, +81-3-0000-0000, privacy@pole.example"

[places]
east-exit = { ja = "駅東口広場", en = "Station plaza, east exit" }
"""

CAMERA = """
[actors.camera]
type = "camera"
place = "east-exit"
grants = ["CameraLink"]
settings = { source = "rtsp://camera.example/stream" }
"""

CROWD = """
[actors.crowd]
type = "crowd"
place = "east-exit"
grants = ["VerifiedModels"]

[[channels]]
from = "camera.to_crowd"
to = "crowd.pictures"
"""

SECURITY = """
[actors.recorder]
type = "recorder"
grants = ["RecordingStore"]

[actors.retention]
type = "retention"
grants = ["RecordingExpiry"]
settings = { keep = "14d" }

[[channels]]
from = "camera.to_security"
to = "recorder.pictures"
"""

WIFI = """
[actors.wifi]
type = "wifi"
place = "east-exit"
grants = ["WifiReceiver"]

[[channels]]
from = "wifi.counts"
to = "statistics.devices"
"""

STATISTICS = """
[actors.statistics]
type = "statistics"
grants = ["StatisticsStore"]
settings = { slice = "5min", k = 10 }

[[channels]]
from = "crowd.counts"
to = "statistics.counts"
"""

NOTICE = """
[actors.announcer]
type = "announcer"
grants = ["BlueprintView"]
"""

FORBIDDEN = """
[[channels]]
from = "camera.to_crowd"
to = "statistics.counts"

[[channels]]
from = "crowd.counts"
to = "recorder.pictures"
"""
"""Pictures into the statistics, and counts into the security system."""

CONFIGURATION = "\n".join([POLE, CAMERA, CROWD, SECURITY, WIFI, STATISTICS, NOTICE])


def example_blueprint(
    folder: Path,
    configuration: str = CONFIGURATION,
    actor_types: dict[str, type[Actor]] | None = None,
) -> Blueprint:
    """Read a configuration, the whole example by default, with the types above."""
    path = folder / "pole.toml"
    path.write_text(configuration, encoding="utf-8")
    return load_blueprint(path, actor_types={**ACTOR_TYPES, **(actor_types or {})})
