"""The configuration of the judge's poles: hostile actors, and what is worth stealing."""

from __future__ import annotations

__all__ = ["write_configuration"]

from pathlib import Path

import msgspec
import pyrage

from actors.escape.attempt import SceneSettings
from actors.wifi.generate import generate_capture, write_capture

_TEXT = """
[pole]
name = "escape-test"
operator = {{ ja = "試験", en = "Escape test" }}
contact = {{ ja = "試験", en = "Escape test" }}
guideline = "1.0"
state = {state}

[places]
yard = {{ ja = "庭", en = "Yard" }}

[actors.camera]
type = "hostile-camera"
place = "yard"
grants = ["CameraLink"]
supervision = {{ restart = "temporary" }}
[actors.camera.settings]
source = "rtsp://127.0.0.1:9/nothing"
scene = {capture}

[actors.crowd]
type = "hostile-crowd"
place = "yard"
supervision = {{ restart = "temporary" }}
[actors.crowd.settings]
scene = {crowd}

[actors.wifi]
type = "hostile-wifi"
place = "yard"
grants = ["WifiSensing"]
supervision = {{ restart = "temporary" }}
[actors.wifi.settings]
source = {wifi_capture}
loop = true
scene = {wifi}

[actors.archive]
type = "archive"
grants = ["RecordingStore", "Journal"]
settings = {{ recipients = {recipients} }}

[actors.statistics]
type = "statistics"
grants = ["StatisticsStore"]
settings = {{ slice = "10s", demonstration = true }}

[actors.witness]
type = "witness"
grants = ["ReportFile"]

[[channels]]
from = "camera.for_crowd"
to = "crowd.packets"

[[channels]]
from = "camera.for_security"
to = "archive.packets"

[[channels]]
from = "camera.reports"
to = "archive.reports"

[[channels]]
from = "archive.facts"
to = "witness.facts"

[[channels]]
from = "crowd.counts"
to = "statistics.people"

[[channels]]
from = "wifi.counts"
to = "statistics.devices"

[[channels]]
from = "crowd.reports"
to = "witness.reports"

[[channels]]
from = "wifi.reports"
to = "witness.reports"
"""


def write_configuration(path: Path, suite: str, scene: SceneSettings) -> None:
    """Write a pole in which the actor of the suite makes the scene's attempts; the other hostile
    actors do nothing. A capture of made-up devices is written beside it."""
    capture = path.with_name("made-up.pcapng")
    write_capture(generate_capture(), capture)
    scenes = {"capture": "{}", "crowd": "{}", "wifi": "{}", suite: _inline(scene)}
    keys = path.with_name("keys.pub")
    keys.write_text(f"{pyrage.x25519.Identity.generate().to_public()}\n", encoding="utf-8")
    path.write_text(
        _TEXT.format(
            state=_quoted(str(scene.state)),
            recipients=_quoted(str(keys)),
            wifi_capture=_quoted(f"file:{capture}"),
            **scenes,
        ),
        encoding="utf-8",
    )
    for one in (path, capture, keys):
        one.chmod(0o644)


def _inline(scene: SceneSettings) -> str:
    pairs = []
    for name in scene.__struct_fields__:
        value = getattr(scene, name)
        if isinstance(value, tuple):
            text = "[" + ", ".join(map(str, value)) + "]"
        elif isinstance(value, int):
            text = str(value)
        else:
            text = _quoted(str(value))
        pairs.append(f"{name} = {text}")
    return "{ " + ", ".join(pairs) + " }"


def _quoted(text: str) -> str:
    """A TOML string, which a JSON string also is."""
    return msgspec.json.encode(text).decode()
