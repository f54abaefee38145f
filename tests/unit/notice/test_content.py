"""What the notice says is true of the pole that runs, and nothing more is said."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec
import pytest

from actors.notice.content import Content, SeparationEntry, SystemEntry, describe
from actors.notice.premises import NoticeOutOfDate
from actors.notice.rendering import render
from actors.notice.wording import choose, load_wording
from runtime import (
    TABLE,
    Actor,
    Bilingual,
    Count,
    Domain,
    DomainRule,
    Inlet,
    Isolation,
    Message,
    Outlet,
    Sensitivity,
    Separation,
    Settings,
    Storage,
    Wall,
)
from runtime.facts import separation_now
from runtime.sandbox import KernelSupport, confinement
from tests.example_pole import (
    CAMERA,
    CONFIGURATION,
    CROWD,
    POLE,
    SECURITY,
    STATISTICS,
    WIFI,
    Picture,
    example_blueprint,
)

WORDING = load_wording()
NOON = 1_800_000_000.0
THREADS = Separation(isolation=Isolation.THREAD, landlock_abi=7, seccomp=True, missing=())
PROCESSES = replace(THREADS, isolation=Isolation.PROCESS)


class Gender(enum.Enum):
    A = "a"


class Shoes(enum.Enum):
    B = "b"


class Cell(Message, sensitivity=Sensitivity.AGGREGATE):
    gender: Gender
    shoes: Shoes | None
    people: Count


class CellCount(Message, sensitivity=Sensitivity.AGGREGATE):
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=4)]


class Looker(Actor, domain=Domain.CROWD):
    pictures: Inlet[Picture]
    counts: Outlet[CellCount]


class Secretive(Settings, frozen=True, kw_only=True):
    password: str = "hunter2"


class Keeper(Actor, domain=Domain.PUBLIC):
    settings: Secretive


def a_notice(
    folder: Path, configuration: str = CONFIGURATION, separation: Separation = THREADS
) -> Content:
    return describe(example_blueprint(folder, configuration), separation, WORDING, now=NOON)


def told_apart(notice: Content) -> SeparationEntry:
    assert notice.separation is not None
    return notice.separation


def system(notice: Content, key: str) -> SystemEntry:
    return next(entry for entry in notice.systems if entry.key == key)


def said(entry: SystemEntry) -> str:
    texts = [entry.summary, *(answer.text for answer in entry.answers)]
    texts += [point for answer in entry.answers for point in answer.points]
    return "\n".join(f"{text.ja}\n{text.en}" for text in texts)


def test_both_kinds_of_picture_taking_are_named(tmp_path: Path) -> None:
    """Guideline 9.1(1) and 5.1(1)."""
    notice = a_notice(tmp_path)
    assert [entry.key for entry in notice.systems] == ["crowd", "security", "wifi", "statistics"]
    assert "人数を数えるための撮影と、防犯のための撮影" in notice.lead[0].ja
    assert "to count people, and to prevent crime" in notice.lead[0].en
    assert notice.separation
    assert notice.operator.en == "Example Smart Pole Inc."
    assert "03-0000-0000" in notice.contact.ja
    assert notice.guideline_title.en.endswith("version 1.0")
    assert notice.places == (Bilingual(ja="駅東口広場", en="Station plaza, east exit"),)


@pytest.mark.parametrize(
    ("configuration", "keys", "lead"),
    [
        (POLE + CAMERA + CROWD + STATISTICS, ["crowd", "statistics"], "録画はしていません"),
        (POLE + CAMERA + SECURITY, ["security"], "People are not counted"),
        (POLE + "[actors]", [], "uses no camera pictures"),
    ],
)
def test_only_what_runs_is_described(
    tmp_path: Path, configuration: str, keys: list[str], lead: str
) -> None:
    notice = a_notice(tmp_path, configuration)
    assert [entry.key for entry in notice.systems] == keys
    assert lead in notice.lead[0].ja + notice.lead[0].en
    assert not notice.separation
    assert len(notice.lead) == 1


def test_settings_that_actors_publish_are_told_in_words(tmp_path: Path) -> None:
    notice = a_notice(tmp_path)
    assert "14日" in system(notice, "security").summary.ja
    assert "14 days" in system(notice, "security").summary.en
    assert "1秒に1回" in said(system(notice, "crowd"))
    assert "once every second" in said(system(notice, "crowd"))
    assert "5分ごと" in said(system(notice, "statistics"))
    assert "fewer than 10" in said(system(notice, "statistics"))


@pytest.mark.parametrize(
    ("written", "japanese", "english"),
    [("36h", "36時間", "36 hours"), ("1d", "1日", "1 day"), ("90min", "90分", "90 minutes")],
)
def test_a_changed_setting_changes_the_notice(
    tmp_path: Path, written: str, japanese: str, english: str
) -> None:
    changed = CONFIGURATION.replace('keep = "14d"', f'keep = "{written}"')
    summary = system(a_notice(tmp_path, changed), "security").summary
    assert japanese in summary.ja
    assert summary.en.endswith(f"deleted after {english}.")


def test_without_a_retention_actor_no_period_is_promised(tmp_path: Path) -> None:
    start, end = SECURITY.index("[actors.retention]"), SECURITY.index("[[channels]]")
    unlimited = POLE + CAMERA + SECURITY[:start] + SECURITY[end:]
    entry = system(a_notice(tmp_path, unlimited), "security")
    assert "消去" not in said(entry)
    assert "ask the contact below how long" in said(entry)


def test_every_picture_is_no_period(tmp_path: Path) -> None:
    every = CONFIGURATION.replace(
        "[actors.crowd]", '[actors.crowd]\nsettings = { interval = "0s" }'
    )
    assert "回ほど" not in said(system(a_notice(tmp_path, every), "crowd"))


def test_several_settings_are_all_told_and_the_longest_period_counts(tmp_path: Path) -> None:
    second = SECURITY[SECURITY.index("[actors.retention]") : SECURITY.index("[[channels]]")]
    second = second.replace("retention]", "retention-2]").replace("14d", "3d")
    crowd = CROWD.replace("crowd]", "crowd-2]\nsettings = { interval = '5s' }", 1)
    notice = a_notice(tmp_path, CONFIGURATION + second + crowd[: crowd.index("[[channels]]")])
    assert "14日" in system(notice, "security").summary.ja
    assert "1秒または5秒に1回" in said(system(notice, "crowd"))
    assert "every second or 5 seconds" in said(system(notice, "crowd"))


def test_what_is_estimated_of_people_is_read_off_the_message(tmp_path: Path) -> None:
    configuration = POLE + CAMERA + CROWD.replace('type = "crowd"', 'type = "looker"')
    blueprint = example_blueprint(tmp_path, configuration, {"looker": Looker})
    text = said(system(describe(blueprint, THREADS, WORDING, now=NOON), "crowd"))
    assert "性別・Shoesも推定" in text
    assert "gender and Shoes" in text


def test_the_three_grounds_for_passing_recordings_on(tmp_path: Path) -> None:
    """Guideline 7.2(1)."""
    entry = system(a_notice(tmp_path), "security")
    points = [point.ja for answer in entry.answers for point in answer.points]
    assert len(points) == 3
    assert points[0] == "法令に基づく場合"
    assert "公文書" in points[1]
    assert "秘密を守る契約" in points[2]


def test_every_text_is_there_in_both_languages(tmp_path: Path) -> None:
    japanese = re.compile(r"[぀-ヿ一-鿿]")
    texts = 0
    pending: list[object] = [msgspec.to_builtins(WORDING)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict) and value.keys() == {"ja", "en"}:
            texts += 1
            assert japanese.search(value["ja"])
            assert not japanese.search(value["en"])
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, (list, tuple)):
            pending += value
    assert texts > 50


def changed_table(domain: Domain, **changes: object) -> Mapping[Domain, DomainRule]:
    return MappingProxyType({**TABLE, domain: replace(TABLE[domain], **changes)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("domain", "changes", "claim"),
    [
        (Domain.CROWD, {"holds": frozenset({Storage("crowd")})}, "stores nothing"),
        (Domain.CROWD, {"emits": {Sensitivity.PERSONAL_IMAGE: frozenset()}}, "only numbers"),
        (
            Domain.CAPTURE,
            {"emits": {Sensitivity.PERSONAL_IMAGE: frozenset({Domain.PUBLIC})}},
            "crowd and security only",
        ),
        (
            Domain.SECURITY,
            {"emits": {Sensitivity.OPERATIONAL: frozenset({Domain.CROWD})}},
            "no other part",
        ),
        (Domain.PUBLIC, {"takes": frozenset({Sensitivity.PERSONAL_IMAGE})}, "nothing personal"),
    ],
)
def test_words_that_the_table_no_longer_bears_out_are_refused(
    tmp_path: Path, domain: Domain, changes: dict[str, object], claim: str
) -> None:
    blueprint = example_blueprint(tmp_path)
    with pytest.raises(NoticeOutOfDate, match=claim):
        describe(blueprint, THREADS, WORDING, now=NOON, table=changed_table(domain, **changes))


def test_a_domain_that_the_notice_cannot_describe_is_refused(tmp_path: Path) -> None:
    class Portal(Actor, domain=Domain.CONSENT):
        pass

    portal = '\n[actors.portal]\ntype = "portal"\n'
    blueprint = example_blueprint(tmp_path, CONFIGURATION + portal, {"portal": Portal})
    with pytest.raises(NoticeOutOfDate, match="'consent', of which the notice has nothing to say"):
        describe(blueprint, THREADS, WORDING, now=NOON)


def a_kernel(
    monkeypatch: pytest.MonkeyPatch, landlock_abi: int, seccomp: bool, isolation: Isolation
) -> Separation:
    """What a pole on such a kernel knows of itself, in the sandbox's own words."""
    support = KernelSupport(
        landlock_abi, seccomp, confinement._missing(landlock_abi, seccomp, ports=True)
    )
    monkeypatch.setattr("runtime.facts.kernel_support", lambda: support)
    return separation_now(isolation, confined=True)


def test_there_are_words_for_each_isolation_and_each_wall() -> None:
    """Whoever adds one to the runtime adds words for passers-by as well."""
    isolations = {isolation.value for isolation in Isolation}
    assert WORDING.separation.homes.keys() == isolations | {"one-loop"}
    assert WORDING.separation.missing.keys() == {wall.value for wall in Wall}


def test_threads_are_told_with_what_they_do_not_stop(tmp_path: Path) -> None:
    told = told_apart(a_notice(tmp_path))
    assert "OSが断ります" in told.walls.ja
    assert "the operating system would refuse" in told.walls.en
    assert "メモリーを書きかえることまでは止められません" in told.limits.ja
    assert "nothing would stop it from changing the memory of another part" in told.limits.en
    assert "共有しない" not in told.walls.ja
    assert told.missing == ()


def test_processes_are_told_with_what_they_do_stop(tmp_path: Path) -> None:
    told = told_apart(a_notice(tmp_path, separation=PROCESSES))
    assert "ほかの区画のメモリーに触れようとしても、OSが断ります" in told.walls.ja
    assert "shares no memory with the others" in told.walls.en
    assert "書きかえる" not in told.limits.ja
    assert "a flaw in the operating system" in told.limits.en


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize(
    ("landlock_abi", "seccomp", "named"),
    [
        (7, False, ["seccomp"]),
        (0, True, ["Landlock"]),
        (3, True, ["newer Landlock"]),
        (0, False, ["seccomp", "Landlock"]),
        (3, False, ["seccomp", "newer Landlock"]),
    ],
)
def test_missing_walls_are_named_and_nothing_is_promised_of_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    isolation: Isolation,
    landlock_abi: int,
    seccomp: bool,
    named: list[str],
) -> None:
    separation = a_kernel(monkeypatch, landlock_abi, seccomp, isolation)
    notice = a_notice(tmp_path, separation=separation)
    told = told_apart(notice)
    assert len(told.missing) == len(separation.missing) == len(named)
    for wall, name in zip(told.missing, named, strict=True):
        assert name in wall.en
        assert name.removeprefix("newer ") in wall.ja
    assert "次の壁がありません" in told.walls.ja
    assert "these are missing" in told.walls.en
    assert "断ります" not in told.walls.ja + told.limits.ja
    assert "would refuse" not in told.walls.en + told.limits.en
    assert notice.walls.missing == separation.missing
    html = render(notice).html.decode()
    assert 'class="lacking"' in html
    assert all(wall.ja in html for wall in told.missing)


def test_a_kernel_with_every_wall_lacks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separation = a_kernel(monkeypatch, 7, True, Isolation.THREAD)
    assert separation == THREADS
    assert separation.missing_walls == ()
    assert 'class="lacking"' not in render(a_notice(tmp_path, separation=separation)).html.decode()


def test_missing_walls_are_told_where_only_one_system_runs_too(tmp_path: Path) -> None:
    bare = replace(THREADS, seccomp=False, missing=("no seccomp",))
    told = told_apart(a_notice(tmp_path, POLE + CAMERA + SECURITY, bare))
    assert told.title.ja == "壁の一部がありません"
    assert told.text is None
    html = render(a_notice(tmp_path, POLE + CAMERA + SECURITY, bare)).html.decode()
    assert "次の壁がありません" in html
    assert "diagram" not in html


def test_walls_that_were_not_asked_for_are_missing(tmp_path: Path) -> None:
    unconfined = separation_now(Isolation.PROCESS, confined=False)
    told = told_apart(a_notice(tmp_path, separation=unconfined))
    assert [wall.en for wall in told.missing] == [
        WORDING.separation.missing["seccomp"].en,
        WORDING.separation.missing["landlock"].en,
    ]
    told = told_apart(a_notice(tmp_path, separation=separation_now(None, confined=False)))
    assert "試験のため" in told.walls.ja
    assert "must not be run this way" in told.limits.en


def test_a_missing_wall_without_words_is_refused(tmp_path: Path) -> None:
    unknown = replace(THREADS, missing=("no wall against moonlight",))
    with pytest.raises(NoticeOutOfDate, match="has nothing to say: no wall against moonlight"):
        a_notice(tmp_path, separation=unknown)


def test_machines_are_told_isolation_and_walls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = CONFIGURATION.replace("[pole]", '[pole]\nsandbox = "best-effort"')
    separation = a_kernel(monkeypatch, 3, True, Isolation.PROCESS)
    pages = render(a_notice(tmp_path, changed, separation))
    told = msgspec.json.decode(pages.json)["walls"]
    assert told.pop("missing") == list(separation.missing)
    assert told == {
        "isolation": "process",
        "sandbox": "best-effort",
        "landlock_abi": 3,
        "seccomp": True,
    }
    html = pages.html.decode()
    assert "isolation = process, sandbox = best-effort" in html
    assert "Landlock, level 3; seccomp" in html
    assert separation.missing[0] in html


def test_the_first_variant_whose_facts_are_known_is_chosen() -> None:
    variants = (
        Bilingual(ja="{keep}と{k}", en="{keep} and {k}"),
        Bilingual(ja="{keep}だけ", en="{keep} only"),
    )
    keep, k = Bilingual(ja="二日", en="two days"), Bilingual(ja="五", en="five")
    both = choose(variants, {"keep": keep, "k": k})
    assert both == Bilingual(ja="二日と五", en="Two days and five")
    assert choose(variants, {"keep": keep}) == Bilingual(ja="二日だけ", en="Two days only")
    assert choose(variants, {}) is None


def test_times_are_japans(tmp_path: Path) -> None:
    notice = a_notice(tmp_path)
    assert notice.generated == "2027-01-15T08:00:00+00:00"
    assert notice.generated_words.ja == "2027年1月15日 17:00（日本時間）"
    assert notice.generated_words.en == "15 January 2027, 17:00 Japan time"


def test_the_page_escapes_what_the_configuration_says(tmp_path: Path) -> None:
    nasty = CONFIGURATION.replace("Example Smart Pole Inc.", "<script>alert(1)</script>")
    html = render(a_notice(tmp_path, nasty)).html.decode()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_has_no_inline_style_script_or_foreign_address(tmp_path: Path) -> None:
    html = render(a_notice(tmp_path)).html.decode()
    assert not re.search(r"<style|style=|<script|\son\w+=|https?://|//[a-z]", html)
    assert html.startswith("<!DOCTYPE html>")
    assert '<html lang="ja">' in html


def test_the_machine_readable_notice_says_the_same(tmp_path: Path) -> None:
    notice = a_notice(tmp_path)
    assert msgspec.json.decode(render(notice).json, type=Content) == notice


def test_addresses_of_cameras_are_not_published(tmp_path: Path) -> None:
    pages = render(a_notice(tmp_path))
    assert b"camera.example" not in pages.html
    assert b"camera.example" not in pages.json
    assert WIFI  # the example has one, so that everything is described


def test_settings_are_published_by_name_only(tmp_path: Path) -> None:
    extra = '\n[actors.keeper]\ntype = "keeper"\n'
    blueprint = example_blueprint(tmp_path, CONFIGURATION + extra, {"keeper": Keeper})
    assert b"hunter2" not in render(describe(blueprint, THREADS, WORDING, now=NOON)).json
