"""A pole that only records, in a process of its own and within its walls, to be killed by tests."""

from __future__ import annotations

__all__ = ["RecordingPole", "configuration"]

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import trio

from actors.camera.actor import Camera
from actors.camera.messages import EncodedPacket
from actors.custody.actor import Custodian
from actors.ledger.actor import LedgerKeeper
from actors.recorder.actor import Recorder
from actors.retention.actor import Retention
from runtime import Actor, Domain, Inlet, Inlets, inlet, load_blueprint
from runtime.pole import Pole

ROOT = Path(__file__).parents[1]

_POLE = """
[pole]
name = "recording-pole"
operator = { ja = "試験", en = "Test" }
contact = { ja = "privacy@pole.example", en = "privacy@pole.example" }
guideline = "1.0"
state = "state"
sandbox = "best-effort"
[places]
crossing = { ja = "交差点", en = "Crossing" }
[actors.sink]
type = "sink"
[actors.recorder]
type = "recorder"
grants = ["RecordingStore"]
settings = { recipients = "managers.pub", segment = "SEGMENT" }
"""
_CAMERA = """
[actors.NAME]
type = "camera"
place = "crossing"
grants = ["CameraLink"]
settings = { source = "SOURCE", first_delay = "100ms", longest_delay = "1s" }
[[channels]]
from = "NAME.for_crowd"
to = "sink.packets"
[[channels]]
from = "NAME.for_security"
to = "recorder.packets"
"""


def configuration(
    folder: Path, sources: Sequence[str], public_key: str, *, segment: str = "2s"
) -> Path:
    """Write what a pole that records these cameras (camera-0, camera-1, …) needs."""
    (folder / "managers.pub").write_text(public_key + "\n")
    text = _POLE.replace("SEGMENT", segment)
    for number, source in enumerate(sources):
        text += _CAMERA.replace("NAME", f"camera-{number}").replace("SOURCE", source)
    path = folder / "pole.toml"
    path.write_text(text, "utf-8")
    return path


class CrowdSink(Actor, domain=Domain.CROWD):
    """Stands where the crowd actor would, and keeps nothing."""

    packets: Inlets[EncodedPacket] = inlet(capacity=64)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _, packets in self.packets.items():
                nursery.start_soon(self._take, packets)

    async def _take(self, packets: Inlet[EncodedPacket]) -> None:
        async for _ in packets:
            pass


TYPES: dict[str, type[Actor]] = {
    "camera": Camera,
    "custodian": Custodian,
    "ledger": LedgerKeeper,
    "recorder": Recorder,
    "retention": Retention,
    "sink": CrowdSink,
}


_RUN = "from tests.recording_pole import main; main()"
"""Not ``-m``: a domain's process looks for the actor types where they are defined."""


class RecordingPole:
    """The process. ``log`` is what it wrote, once it is over."""

    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration
        self._log = configuration.with_suffix(".log")

    def __enter__(self) -> RecordingPole:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, str(self._configuration)],
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def process(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def kill(self) -> None:
        """As if its plug were pulled, as far as a process can be."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """In order; returns its exit status."""
        self._process.terminate()
        return self._process.wait(timeout=30)


def main() -> None:
    blueprint = load_blueprint(Path(sys.argv[1]), actor_types=TYPES)
    trio.run(Pole(blueprint).run)


if __name__ == "__main__":
    main()
