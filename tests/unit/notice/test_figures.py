"""The page of figures: what was released, gaps and small numbers shown as what they are."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.notice.actor import Notice
from actors.notice.chart import draw
from actors.notice.content import describe
from actors.notice.figures import DAY, HOUR, JAPAN, QUARTER, Bar, Chart, Figures, gather
from actors.notice.rendering import render_figures
from actors.notice.wording import load_wording
from actors.statistics.groups import GROUP_NAMED
from actors.statistics.release import ReleasedDevices, ReleasedGroup, ReleasedPeople
from runtime import Bilingual
from runtime.cell import ActorCell
from runtime.facts import facts_of
from tests.example_pole import CAMERA, POLE, SECURITY, example_blueprint
from tests.unit.notice.hosting import SEPARATION, a_cell, a_free_port, running
from tests.unit.statistics.test_store import open_store

WORDS = load_wording().figures
PLACES = {"east-exit": Bilingual(ja="駅東口広場", en="Station plaza, east exit")}
MIDNIGHT = 1_795_532_400
"""In Japan, 25 November 2026."""
assert (MIDNIGHT + JAPAN) % DAY == 0


def people(start: int, peak: int | None, *, seconds: int = 60, **more: Any) -> ReleasedPeople:
    fields: dict[str, Any] = {"k": 5, "pictures": 50, "coverage_tenths": 10, "mean_tenths": None}
    return ReleasedPeople(
        **{"place": "east-exit", "start": start, "end": start + seconds, **fields, **more},
        peak=peak,
    )


def figures(
    slices: list[ReleasedPeople], now: int, devices: list[ReleasedDevices] | None = None
) -> Figures:
    return gather(slices, devices or [], PLACES, WORDS, now=now)


def bars(chart: Chart) -> dict[int, tuple[int | None, int | None, int]]:
    """By the bar's place: the most, what it is fewer than, and per cent observed."""
    return {
        (bar.start - chart.begins) // chart.length: (bar.most, bar.few, bar.observed)
        for bar in chart.bars
    }


def test_a_bar_is_the_most_of_its_slices() -> None:
    slices = [people(MIDNIGHT + 60 * at, peak) for at, peak in enumerate([7, None, 12] * 10)]
    (figure,) = figures(slices, MIDNIGHT + 1800).figures
    assert (figure.name.ja, figure.counted, figure.k) == ("駅東口広場", "people", 5)
    assert (figure.today.length, figure.week.length) == (QUARTER, HOUR)
    assert bars(figure.today) == {0: (12, None, 100), 1: (12, None, 100)}
    assert bars(figure.week)[6 * 24] == (12, None, 100)


def test_few_and_nothing_and_a_gap_are_three_things() -> None:
    quiet = [people(MIDNIGHT + 60 * at, None) for at in range(15)]
    dim = [people(MIDNIGHT + 900 + 60 * at, 8, coverage_tenths=4) for at in range(15)]
    later = [people(MIDNIGHT + 2700 + 60 * at, 6) for at in range(9)]
    (figure,) = figures([*quiet, *dim, *later], MIDNIGHT + 3600).figures
    assert bars(figure.today) == {
        0: (None, 5, 100),
        1: (8, None, 40),
        2: (None, None, 0),
        3: (6, None, 60),
    }
    assert [one.kind for one in draw(figure.today).columns] == ["few", "partly", "none", "partly"]


def test_what_is_not_over_yet_is_judged_by_what_can_be_known() -> None:
    slices = [people(MIDNIGHT + 60 * at, 6) for at in range(20)]
    # Three minutes later nothing newer is stored.
    (figure,) = figures(slices, MIDNIGHT + 1380).figures
    assert bars(figure.today) == {0: (6, None, 100), 1: (6, None, 100)}
    assert max(bars(figure.week)) == 6 * 24
    # Of a quarter that has just begun nothing is known.
    (figure,) = figures(slices[:15], MIDNIGHT + 960).figures
    assert bars(figure.today) == {0: (6, None, 100)}


def test_slices_of_an_hour_make_bars_of_an_hour() -> None:
    slices = [people(MIDNIGHT + HOUR * at, 9, seconds=HOUR) for at in range(3)]
    (figure,) = figures(slices, MIDNIGHT + 3 * HOUR).figures
    assert figure.today.length == HOUR
    assert bars(figure.today) == dict.fromkeys(range(3), (9, None, 100))


def test_days_begin_at_midnight_in_japan() -> None:
    slices = [people(MIDNIGHT - 60, 7), people(MIDNIGHT, 9)]
    (figure,) = figures(slices, MIDNIGHT + DAY - 1).figures
    assert (figure.today.begins, figure.today.ends) == (MIDNIGHT, MIDNIGHT + DAY)
    assert figure.week.begins == MIDNIGHT - 6 * DAY
    assert figure.today.most == 9
    assert bars(figure.week)[6 * 24 - 1] == (7, None, 2)
    drawing = draw(figure.week)
    assert [text for _, text in drawing.names][-2:] == ["11/24 火", "11/25 水"]
    assert [text for _, text in draw(figure.today).marks][::2] == ["0:00", "12:00", "24:00"]


def test_devices_and_other_places_have_figures_of_their_own() -> None:
    heard = [ReleasedDevices("east-exit", MIDNIGHT, MIDNIGHT + 60, 5, 31)]
    other = [people(MIDNIGHT, 6, place="moved")]
    found = figures(other, MIDNIGHT + 900, heard)
    assert [(one.place, one.counted, one.today.most) for one in found.figures] == [
        ("east-exit", "devices", 31),
        ("moved", "people", 6),
    ]
    assert found.figures[1].name.ja == "moved"


def of_group(gender: str, age: str, peak: int) -> ReleasedGroup:
    return ReleasedGroup(GROUP_NAMED[gender, age, "any"], peak, None)


def test_who_was_there_when_it_was_busiest() -> None:
    groups = (of_group("female", "age-1|age-2", 8), of_group("male|unknown", "any", 9))
    slices = [
        people(MIDNIGHT - 60, 40, groups=groups),  # yesterday
        people(MIDNIGHT, 12, groups=groups),
        people(MIDNIGHT + 60, 15, groups=groups, age_bands=(18, 40, 65)),
        people(MIDNIGHT + 120, 19),
    ]
    (figure,) = figures(slices, MIDNIGHT + 900).figures
    assert figure.busiest is not None
    assert (figure.busiest.start, figure.busiest.most) == (MIDNIGHT + 60, 15)
    assert [(name.ja, name.en, number) for name, number in figure.busiest.groups] == [
        ("女性・0〜17歳または18〜39歳", "female, aged 0 to 17 or aged 18 to 39", 8),
        ("男性または性別不明", "male or gender not known", 9),
    ]
    assert figures(slices[3:], MIDNIGHT + 900).figures[0].busiest is None


def test_every_group_has_words() -> None:
    for names in GROUP_NAMED:
        if names != ("any", "any", "any"):
            text = WORDS.group(GROUP_NAMED[names].names_in((20, 40, 60)))
            assert text.ja
            assert not re.search("[a-z|]", text.ja)
            assert "|" not in text.en


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 7 * 24 * 60 - 1), st.none() | st.integers(5, 90)), max_size=60
    )
)
def test_no_number_is_shown_that_was_not_released(slices: list[tuple[int, int | None]]) -> None:
    begins = MIDNIGHT - 6 * DAY
    given_ = [people(begins + 60 * at, peak) for at, peak in dict(slices).items()]
    found = figures(given_, MIDNIGHT + DAY)
    released = {one.peak for one in given_} | {None}
    for figure in found.figures:
        for chart in (figure.today, figure.week):
            assert all(bar.most in released for bar in chart.bars)
            for one in draw(chart).columns:
                assert 0 <= one.height <= 166.01
                assert one.y + one.height == pytest.approx(180, abs=0.02)


def test_the_numbers_at_the_side_reach_over_every_bar() -> None:
    for most in [*range(1, 130), 999, 1000, 1001, 9999]:
        chart = Chart(
            begins=MIDNIGHT,
            ends=MIDNIGHT + DAY,
            length=QUARTER,
            bars=(Bar(start=MIDNIGHT, most=most, few=None, observed=100),),
        )
        levels = [level for _, level in draw(chart).levels]
        assert levels[0] == 0
        assert most <= levels[-1] < max(4, 2 * most + 2)
        assert 4 <= len(levels) <= 6


# -- the page -------------------------------------------------------------------------------------


def a_page(folder: Path, found: Figures) -> str:
    content = describe(example_blueprint(folder), SEPARATION, load_wording(), now=MIDNIGHT)
    return render_figures(found, content).html.decode()


def test_the_page_says_the_same_in_shapes_and_in_numbers(tmp_path: Path) -> None:
    slices = [people(MIDNIGHT, 17), people(MIDNIGHT + 900, None)]
    page = a_page(tmp_path, figures(slices, MIDNIGHT + 2700))
    assert page.index("人数") < page.index("People")
    assert "<script" not in page
    assert "style=" not in page, "the page's policy allows none"
    assert page.count('role="img"') == page.count("<title id=") == 2
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    today = [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in rows[1:4]]
    assert today == [
        "00:00 17 7 %",
        "00:15 5未満 fewer than 5 7 %",
        "00:30 数字なし no figure 0 %",
    ]
    assert "誰もいなかったという意味ではありません" in page


def test_noise_is_told(tmp_path: Path) -> None:
    exact = a_page(tmp_path, figures([people(MIDNIGHT, 17)], MIDNIGHT + 900))
    noisy = [people(MIDNIGHT, 17, noise_thousandths=500)]
    told = a_page(tmp_path, figures(noisy, MIDNIGHT + 900))
    assert WORDS.noise.ja not in exact
    assert WORDS.noise.ja in told


@pytest.mark.real_time
async def test_a_pole_serves_what_it_has_released(tmp_path: Path) -> None:
    port = a_free_port()
    cell = a_cell(tmp_path, port)
    with closing(open_store(tmp_path / "public")) as store:
        async with running(cell), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            page = await client.get("/statistics")
            assert page.status_code == 200
            assert WORDS.nothing.ja in page.text
            assert (await client.get("/statistics.json")).json()["figures"] == []
            assert 'href="/statistics"' in (await client.get("/")).text
        store.append(people(MIDNIGHT, 41))

        class Then(Notice):
            """On the day of that slice."""

            def _wall(self) -> float:
                return MIDNIGHT + HOUR

        plan = replace(cell.plan, actor_type=Then)
        then = ActorCell(plan, state=tmp_path, facts=cell._facts)
        async with running(then), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            (figure,) = (await client.get("/statistics.json")).json()["figures"]
            assert figure["today"]["bars"][0] == {
                "start": MIDNIGHT, "most": 41, "few": None, "observed": 7
            }  # fmt: skip
            page = await client.get("/statistics")
            assert "41" in page.text
            tag = page.headers["etag"]
            again = await client.get("/statistics", headers={"If-None-Match": tag})
            assert again.status_code == 304


@pytest.mark.real_time
async def test_a_pole_without_statistics_has_no_such_page(tmp_path: Path) -> None:
    port = a_free_port()
    notice = f"""
[actors.notice]
type = "notice"
grants = ["NoticePort", "BlueprintView", "StatisticsView"]
settings = {{ port = {port} }}
"""
    blueprint = example_blueprint(tmp_path, POLE + CAMERA + SECURITY + notice, {"notice": Notice})
    facts = facts_of(blueprint, SEPARATION)
    cell = ActorCell(blueprint.actors["notice"], state=tmp_path, facts=facts)
    async with running(cell), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/statistics")).status_code == 404
        assert "/statistics" not in (await client.get("/")).text


@pytest.mark.real_time
async def test_statistics_that_cannot_be_read_do_not_take_the_notice_down(tmp_path: Path) -> None:
    port = a_free_port()
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "statistics.db").write_bytes(b"no database" * 99)
    with structlog.testing.capture_logs() as lines, trio.fail_after(20):
        async with (
            running(a_cell(tmp_path, port)),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            assert (await client.get("/")).status_code == 200
            page = (await client.get("/statistics")).text
            assert WORDS.unavailable.ja in page
            assert WORDS.nothing.ja not in page
    assert "the page of figures is not up to date" in [line["event"] for line in lines]
