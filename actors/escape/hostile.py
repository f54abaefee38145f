"""The hostile actors: one in each domain that handles what must not get out.

Each makes the attempts that its settings name, one after another, and reports each by a small
message of numbers, which is allowed.
"""

from __future__ import annotations

__all__ = [
    "HostileCamera",
    "HostileCameraSettings",
    "HostileCrowd",
    "HostileCrowdSettings",
    "HostileWifi",
    "HostileWifiSettings",
]

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import actors.escape.attempts
from actors.camera.actor import CameraSettings
from actors.camera.link import CameraLink
from actors.camera.messages import EncodedPacket
from actors.crowd.messages import PictureCount
from actors.escape.attempt import REGISTRY, Attempt, NothingThere, Scene, SceneSettings, Undo
from actors.escape.attempts.held import hold
from actors.escape.messages import AttemptReport, CaptureReport, Outcome
from actors.wifi.messages import DeviceCount
from actors.wifi.sensing import WifiSensing
from actors.wifi.settings import WifiSettings
from runtime import Actor, Domain, Inlet, Needs, Outlet, Reading, Settings, SmartpoleError, inlet

_MOST_ERRNO = 255
_BY_NUMBER = {one.number: one for one in REGISTRY.values()}

assert actors.escape.attempts.__all__  # imported for what it registers

# What a hostile module can prepare while it is imported; only where the judge asks for it.
hold(os.environ.get("SMARTPOLE_ESCAPE_HOLD", ""))


class HostileCrowdSettings(Settings, frozen=True, kw_only=True):
    scene: SceneSettings


class HostileWifiSettings(WifiSettings, frozen=True, kw_only=True):
    scene: SceneSettings


class HostileCameraSettings(CameraSettings, frozen=True, kw_only=True):
    scene: SceneSettings


Report = Callable[[int, Outcome, int], Awaitable[None]]


class HostileCrowd(Actor, domain=Domain.CROWD):
    """Has pictures, and wants them out."""

    packets: Inlet[EncodedPacket] = inlet(capacity=16)
    counts: Outlet[PictureCount]
    reports: Outlet[AttemptReport]
    settings: HostileCrowdSettings
    scratch: Reading

    async def run(self) -> None:
        await make_attempts(self, "crowd", self.settings.scene, self._report)
        async for _ in self.packets:
            pass

    async def _report(self, number: int, outcome: Outcome, errno: int) -> None:
        await self.reports.send(AttemptReport(number=number, outcome=outcome, errno=errno))


class HostileWifi(Actor, domain=Domain.WIFI):
    """Has addresses, and wants them out."""

    sensing: Needs[WifiSensing]
    counts: Outlet[DeviceCount]
    reports: Outlet[AttemptReport]
    settings: HostileWifiSettings
    scratch: Reading

    async def run(self) -> None:
        await make_attempts(self, "wifi", self.settings.scene, self._report)
        await trio.sleep_forever()

    async def _report(self, number: int, outcome: Outcome, errno: int) -> None:
        await self.reports.send(AttemptReport(number=number, outcome=outcome, errno=errno))


class HostileCamera(Actor, domain=Domain.CAPTURE):
    """Has the camera's packets, and wants them on the disk or elsewhere."""

    for_crowd: Outlet[EncodedPacket]
    for_security: Outlet[EncodedPacket]
    reports: Outlet[CaptureReport]
    link: Needs[CameraLink]
    settings: HostileCameraSettings
    scratch: Reading

    async def run(self) -> None:
        await make_attempts(self, "capture", self.settings.scene, self._report)
        await trio.sleep_forever()

    async def _report(self, number: int, outcome: Outcome, errno: int) -> None:
        await self.reports.send(CaptureReport(number=number, outcome=outcome, errno=errno))


async def make_attempts(actor: Any, suite: str, settings: SceneSettings, report: Report) -> None:
    """Make the attempts that the settings name, and report each before and after."""
    actor.kept = []  # what must stay open after an attempt
    await trio.sleep(1)  # until the others are at work, and the judge has seen that they are
    for number in settings.attempts:
        made = _BY_NUMBER[number]
        await report(number, Outcome.BEGUN, 0)
        await trio.sleep(0.03)  # so that the report is written down, should this be the end
        outcome, errno = await _make(made, Scene(made, suite, settings, actor))
        await report(number, outcome, errno)
    if settings.attempts:
        await report(0, Outcome.FINISHED, 0)


async def _make(made: Attempt, scene: Scene) -> tuple[Outcome, int]:
    undo: Undo | None = None
    outcome, errno = Outcome.TIMED_OUT, 0
    try:
        with trio.move_on_after(made.limit):
            result = made.function(scene)
            if inspect.isawaitable(result):
                result = await result
            undo = result if callable(result) else None
            outcome = Outcome.WENT_THROUGH
    except trio.Cancelled:
        raise
    except BaseException as error:
        if made.ends:
            raise
        outcome, errno = _judge(error)
    await trio.sleep(made.linger)
    if undo is not None:
        undo()
    return outcome, errno


def _judge(error: BaseException) -> tuple[Outcome, int]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, NothingThere):
        return Outcome.NOTHING_THERE, 0
    if isinstance(error, SmartpoleError):
        return Outcome.REFUSED, 0
    number = _errno_of(error)
    if number:
        return Outcome.SYSTEM_ERROR, min(number, _MOST_ERRNO)
    return Outcome.OTHER_ERROR, 0


def _errno_of(error: BaseException | None) -> int:
    """The kernel's answer, also where a library raised its own error because of it."""
    seen = 0
    while error is not None and seen < 8:
        number = getattr(error, "errno", None)
        if isinstance(number, int) and number > 0:
            return number
        error, seen = error.__cause__ or error.__context__, seen + 1
    return 0
