"""The example in docs/integrators.md is run as it stands there."""

import re
import sys
import types
from pathlib import Path

import pytest
import trio

from runtime import Actor, Domain, Outlet, check, load_blueprint
from runtime.house import Housing
from runtime.pole import Pole

GUIDE = Path(__file__).parents[2] / "docs" / "integrators.md"
MODULE = "integrators_example"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    (code,) = blocks("python")
    exec(compile(code, str(GUIDE), "exec"), module.__dict__)
    return module


@pytest.mark.real_time
async def test_the_guides_actor_works(example: types.ModuleType, tmp_path: Path) -> None:
    people_seen = example.PeopleSeen
    all_sent = trio.Event()

    class Source(Actor, domain=Domain.CROWD):
        seen: Outlet[people_seen]

        async def run(self) -> None:
            for people in (2, 7, 6, 9):
                await self.seen.send(people_seen(place=self.place, taken_at=7200, people=people))
            all_sent.set()
            await trio.sleep_forever()

    configuration = tmp_path / "pole.toml"
    configuration.write_text(blocks("toml")[0], "utf-8")
    blueprint = load_blueprint(
        configuration,
        {"source": Source, "sign-writer": example.SignWriter, "sign": example.Sign},
    )
    assert check(blueprint) == []
    pole = Pole(blueprint, housing=Housing.ONE_LOOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pole.run)
        await all_sent.wait()
        pole.stop()  # gracefully: everything that was sent still arrives
    readings = {actor.name: actor.readings for actor in pole.status().actors}
    assert readings["sign-writer"] == {"pictures": 4}
    assert readings["sign"] == {"written": 2}
    assert (tmp_path / "state/public/sign.txt").read_text("utf-8") == "square: 9\n"
    assert pole.status().working


def test_every_name_in_the_example_is_part_of_the_public_api(example: types.ModuleType) -> None:
    import runtime

    (code,) = blocks("python")
    imported = re.search(r"from runtime import \((.*?)\)", code, re.S)
    assert imported
    names = {name.strip() for name in imported[1].split(",") if name.strip()}
    assert names <= set(runtime.__all__)
