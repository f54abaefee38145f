"""How soon a domain that was ended is back."""

from __future__ import annotations

__all__ = ["Restarts", "measure_restarts"]

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import trio

from actors.camera.messages import EncodedPacket
from actors.crowd.actor import CrowdCounter
from actors.crowd.messages import PictureCount
from bench.configuration import IDENTITY, toml_text
from bench.harness import BenchmarkFailed
from runtime import Actor, Domain, Inlet, Outlet, load_blueprint
from runtime.blueprint import Isolation
from runtime.errors import BorderViolated
from runtime.pole import Pole

_PATIENCE = 30.0
_BETWEEN = 0.3
_CONFIGURATION = """
[actors.source]
type = "source"

[actors.crowd]
type = "crowd"
place = "bench"
grants = ["InferenceModels"]
settings = {{ models = {models} }}

[actors.sink]
type = "sink"

[[channels]]
from = "source.packets"
to = "crowd.packets"

[[channels]]
from = "crowd.counts"
to = "sink.counts"
"""


class Source(Actor, domain=Domain.CAPTURE):
    """A camera that shows nothing."""

    packets: Outlet[EncodedPacket]

    async def run(self) -> None:
        await trio.sleep_forever()


class Sink(Actor, domain=Domain.PUBLIC):
    """Takes counts that never come."""

    counts: Inlet[PictureCount]

    async def run(self) -> None:
        async for _ in self.counts:
            pass


class Restarts(msgspec.Struct):
    """Seconds from a domain's end being ordered to all of its actors running again."""

    plain: list[float] = []
    with_models: list[float] = []


def measure_restarts(isolation: Isolation, models: Path, times: int) -> Restarts:
    """End domains that many times each. Raises BenchmarkFailed where one does not come back.

    A new pole for each time: a domain that is ended again soon is kept waiting, longer each time,
    and that is no part of how long it takes to start.
    """
    found = Restarts()
    for _ in range(times):
        with TemporaryDirectory(prefix="smartpole-") as folder:
            path = Path(folder) / "bench.toml"
            place = toml_text(str(models.resolve()))
            path.write_text(IDENTITY + _CONFIGURATION.format(models=place), encoding="utf-8")
            types: dict[str, type[Actor]] = {
                "source": Source,
                "crowd": CrowdCounter,
                "sink": Sink,
            }
            pole = Pole(
                load_blueprint(path, actor_types=types), isolation=isolation, log_level="critical"
            )
            trio.run(_end_and_wait, pole, found)
    return found


async def _end_and_wait(pole: Pole, found: Restarts) -> None:
    failure = ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        with trio.move_on_after(_PATIENCE):
            await pole.ready.wait()
        for name, durations in (
            (Domain.CAPTURE, found.plain),
            (Domain.CROWD, found.with_models),
        ):
            await trio.sleep(_BETWEEN)
            began = trio.current_time()
            pole.end_domain(name, BorderViolated("ended by the benchmark"))
            with trio.move_on_after(_PATIENCE) as patience:
                while not _is_back(pole, name):  # noqa: ASYNC110
                    await trio.sleep(0.0005)
            if patience.cancelled_caught:
                failure = f"domain {name.value!r} did not come back within {_PATIENCE:g} s"
                break
            durations.append(trio.current_time() - began)
        pole.stop()
    if failure:
        raise BenchmarkFailed(failure)


def _is_back(pole: Pole, name: Domain) -> bool:
    return any(
        domain.name == name.value and domain.incarnation > 1 and domain.state == "running"
        for domain in pole.status().domains
    )
