"""The pictures of a blueprint: complete, escaped, the same each time, and red where it matters."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pytest

from runtime.domain import Domain
from runtime.graph import to_svg, to_text
from runtime.graph.flow import domain_columns, longest_ways
from runtime.graph.layout import lay_out
from runtime.graph.measure import cells, text_width, wrapped
from tests.example_pole import CONFIGURATION, FORBIDDEN, POLE, example_blueprint

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_svg_names_every_domain_actor_grant_and_message(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    texts = texts_of(to_svg(blueprint))
    for plan in blueprint.actors.values():
        assert plan.name in texts
        assert plan.domain.value in texts
        for capability in plan.needs.values():
            assert f"{capability.__name__} [{capability.kind}]" in texts
    for channel in blueprint.channels:
        assert channel.message.__name__ in texts
    assert "personal image · drop-oldest 128" in texts
    assert any(text.startswith("✓") for text in texts)


def test_svg_is_the_same_each_time(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    assert to_svg(blueprint) == to_svg(example_blueprint(tmp_path))


def test_svg_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    svg = to_svg(example_blueprint(tmp_path))
    assert "<script" not in svg
    assert "href" not in svg
    assert re.findall(r"https?://[^\"]+", svg.replace("rtsp://", "")) == [
        "http://www.w3.org/2000/svg"
    ]


def test_svg_escapes_texts(tmp_path: Path) -> None:
    nasty = CONFIGURATION.replace("Example Smart Pole Inc.", "<script>&'x'</script>")
    svg = to_svg(example_blueprint(tmp_path, nasty))
    assert "<script>" not in svg
    assert any("<script>&'x'</script>" in text for text in texts_of(svg))


def test_svg_shows_what_is_refused_in_red(tmp_path: Path) -> None:
    svg = to_svg(example_blueprint(tmp_path, CONFIGURATION + FORBIDDEN))
    assert svg.count('<path class="curve refused"') == 3  # two channels and the legend
    texts = texts_of(svg)
    assert "✗ Picture" in texts
    assert "✗ PictureCount" in texts
    assert any("guideline 5.1(1)" in text for text in texts)
    assert "✗ 4 findings: this blueprint may not run." in texts


def test_svg_marks_an_actor_that_asks_for_more_than_it_is_granted(tmp_path: Path) -> None:
    greedy = CONFIGURATION.replace('grants = ["RecordingStore"]', "grants = []")
    svg = to_svg(example_blueprint(tmp_path, greedy))
    assert svg.count('class="card wrong"') == 1
    assert "holds nothing" in texts_of(svg)


@pytest.mark.parametrize("configuration", [CONFIGURATION, CONFIGURATION + FORBIDDEN])
def test_nothing_lies_on_anything_else(tmp_path: Path, configuration: str) -> None:
    layout = lay_out(example_blueprint(tmp_path, configuration))
    boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in layout.boxes]
    for box in layout.boxes:
        cards = [(c.edge(-1), c.y, c.edge(1), c.y + c.height) for c in box.cards]
        for card in cards:
            assert box.x <= card[0] <= card[2] <= box.x + box.width
            assert box.y <= card[1] <= card[3] <= box.y + box.height
        assert not any(overlap(one, other) for one, other in combinations(cards, 2))
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    labels = []
    for curve in layout.curves:
        x, y = curve.points[curve.label]
        half = max(text_width(curve.words[0], 13), text_width(curve.words[1], 11)) / 2 + 10
        labels.append((x - half, y - 20, x + half, y + 20))
    assert not any(overlap(one, other) for one, other in combinations(labels, 2))
    assert not any(overlap(label, box) for label in labels for box in boxes)
    assert all(0 < x < layout.width for curve in layout.curves for x, _ in curve.points)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_columns_follow_the_flow_and_ignore_what_is_refused(tmp_path: Path) -> None:
    expected = {
        Domain.CAPTURE: 0,
        Domain.CROWD: 1,
        Domain.SECURITY: 1,
        Domain.WIFI: 1,
        Domain.PUBLIC: 2,
    }
    assert domain_columns(example_blueprint(tmp_path)) == expected
    wrong = example_blueprint(tmp_path, CONFIGURATION + FORBIDDEN)
    assert [str(channel) for channel in wrong.channels][-1] == "crowd.counts → recorder.pictures"
    refused = {str(channel) for channel in wrong.channels[-2:]}
    assert domain_columns(wrong, refused) == expected


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, {"a": 0, "b": 1, "c": 2}),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, {"a": 0, "b": 1, "c": 2}),
        ({"a": {"b"}, "b": {"a"}}, {"a": 0, "b": 1}),
        ({"a": set(), "b": set()}, {"a": 0, "b": 0}),
        ({"a": {"c"}, "b": {"a"}, "c": {"b"}}, {"a": 0, "b": 2, "c": 1}),
    ],
)
def test_longest_ways(targets: dict[str, set[str]], expected: dict[str, int]) -> None:
    assert longest_ways(list(targets), targets) == expected


def test_an_empty_pole_has_a_picture_too(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path, POLE + "\n[actors]\n")
    assert "east-exit-01" in texts_of(to_svg(blueprint))
    assert "east-exit-01" in to_text(blueprint)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("configuration", [CONFIGURATION, CONFIGURATION + FORBIDDEN])
def test_text_keeps_to_the_width(tmp_path: Path, width: int, configuration: str) -> None:
    text = to_text(example_blueprint(tmp_path, configuration), width)
    drawing = [line for line in text.splitlines() if line[:1] in "╭│╰" and line]
    assert drawing
    # Below 60 columns the boxes stay readable and the lines beside them stand out.
    assert all(cells(line) <= max(width, 60 + 12) for line in drawing)
    assert len({cells(line.partition("╮")[0]) for line in drawing if line[0] == "╭"}) == 1


def test_text_joins_the_ends_of_each_channel(tmp_path: Path) -> None:
    lines = to_text(example_blueprint(tmp_path)).splitlines()
    assert sum("│◀" in line for line in lines) == 4
    leaves = next(line for line in lines if "to_crowd → crowd: Picture" in line)
    arrives = next(line for line in lines if "pictures ← camera" in line)
    column = leaves.rindex("╮")
    assert arrives[column] == "╯"
    between = lines[lines.index(leaves) + 1 : lines.index(arrives)]
    assert {line[column] for line in between} <= {"│", "┼"}


def test_text_says_what_is_refused(tmp_path: Path) -> None:
    text = to_text(example_blueprint(tmp_path, CONFIGURATION + FORBIDDEN))
    assert "✗ to_crowd → statistics: Picture" in text
    assert "╎" in text
    assert "✗ crowd.counts → recorder.pictures: PictureCount (aggregate) would go" in text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 100, [""]),
        ("one two", 1000, ["one two"]),
        ("one two", 30, ["one", "two"]),
        ("駅前広場", 24, ["駅前", "広場"]),
    ],
)
def test_wrapping(text: str, width: float, lines: list[str]) -> None:
    assert wrapped(text, 12, width) == lines
