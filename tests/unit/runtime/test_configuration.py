"""Mistakes in a configuration: each with its line, its key and what would be right."""

# ruff: noqa: E501 - the tables of cases are read across
from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.actor import Actor, Settings
from runtime.blueprint import Blueprint, load_blueprint
from runtime.channel import DROP_OLDEST, Overflow
from runtime.config import Document, Duration, SourceAddress, convert, read_document
from runtime.domain import Domain
from runtime.errors import ConfigurationError, Problem
from runtime.specification import Exhausted, Restart, Strategy
from tests.example_pole import ACTOR_TYPES, CONFIGURATION, example_blueprint


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    mood: Mood = Mood.GOOD


class PickySettings(Settings, frozen=True, kw_only=True):
    wait: Duration = Duration(1)
    source: SourceAddress = SourceAddress("none:x")
    folder: Path = Path()
    mood: Mood = Mood.GOOD
    many: tuple[Inner, ...] = ()
    inner: Inner | None = None
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Picky(Actor, domain=Domain.PUBLIC):
    settings: PickySettings


TYPES: dict[str, type[Actor]] = {**ACTOR_TYPES, "picky": Picky}


def problems_of(folder: Path, text: str) -> list[Problem]:
    path = folder / "pole.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_blueprint(path, TYPES)
    error = caught.value
    assert error.source == str(path)
    assert str(path) in str(error)
    for problem in error.problems:
        assert str(problem) in str(error)
    assert error.__cause__ is None
    return error.problems


def line_with(text: str, snippet: str) -> int:
    lines = [n for n, line in enumerate(text.split("\n"), start=1) if snippet in line]
    assert len(lines) == 1, (snippet, lines)
    return lines[0]


def only_problem(folder: Path, old: str, new: str, at: str | None) -> Problem:
    """The one problem that this change of the example makes, on the line that holds ``at``."""
    assert CONFIGURATION.count(old) == 1, old
    text = CONFIGURATION.replace(old, new)
    (problem,) = problems_of(folder, text)
    if at is not None:
        assert problem.line == line_with(text, at)
    return problem


PICKY = '[actors.picky]\ntype = "picky"\nsettings = {{ {} }}\n[actors.announcer]'
ANNOUNCER = "[actors.announcer]"

MISTAKES: list[tuple[str, str, str | None, str, str, str]] = [
    # Old text, new text, on which line, key, what it says, what it says is accepted.
    ('type = "announcer"', 'type = "anouncer"', 'type = "anouncer"', "actors.announcer.type",
     "no installed package offers an actor type 'anouncer'", "one of announcer, camera, crowd"),
    ('type = "announcer"', "", ANNOUNCER, "actors.announcer.type", "this key is missing", "a text"),
    ('type = "announcer"', "type = 7", "type = 7", "actors.announcer.type", "expected a text", ""),
    (ANNOUNCER, '[actors."a b"]', '[actors."a b"]', "actors.a b", "'a b' is no actor's name",
     "ASCII letters, digits, - and _"),
    ('grants = ["BlueprintView"]', 'grant = ["BlueprintView"]', "grant =", "actors.announcer.grant",
     "this key is not known here", "one of grants, inlets, outlets, place, settings, supervision, type"),
    ('grants = ["BlueprintView"]', 'grants = "BlueprintView"', 'grants = "B', "actors.announcer.grants",
     "expected an array", ""),
    ('grants = ["BlueprintView"]', "grants = [7]", "grants = [7]", "actors.announcer.grants[0]",
     "expected a text", ""),
    ('settings = { keep = "14d" }', 'settings = { keep = "14 days" }', "14 days",
     "actors.retention.settings.keep", "expected a duration", '"14d"'),
    ('settings = { keep = "14d" }', "settings = { keep = 14 }", "keep = 14",
     "actors.retention.settings.keep", "expected a text", "a duration such as"),
    ('settings = { keep = "14d" }', 'settings = { keeep = "14d" }', "keeep",
     "actors.retention.settings.keeep", "this key is not known here", "one of keep"),
    ('settings = { source = "rtsp://camera.example/stream" }', "settings = {}", "settings = {}",
     "actors.camera.settings.source", "this key is missing", "a text"),
    ('settings = { source = "rtsp://camera.example/stream" }', "settings = 3", "settings = 3",
     "actors.camera.settings", "expected a table", ""),
    ('settings = { slice = "5min", k = 10 }', 'settings = { slice = "5min", k = "ten" }', '"ten"',
     "actors.statistics.settings.k", "expected a whole number", ""),
    ('settings = { slice = "5min", k = 10 }', 'settings = { slice = "5min", k = true }', "k = true",
     "actors.statistics.settings.k", "expected a whole number", ""),
    ('settings = { keep = "14d" }', 'settings = { keep = "14d" }\ninlets = { x = {} }', "inlets = { x",
     "actors.retention.inlets.x", "actor type 'retention' has no inlet 'x'", "it has no inlet at all"),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\ninlets = { pix = {} }', "inlets",
     "actors.recorder.inlets.pix", "has no inlet 'pix'", "one of pictures"),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\ninlets.pictures.capacity = 0',
     "capacity = 0", "actors.recorder.inlets.pictures.capacity", "it must be at least 1", ""),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\ninlets.pictures.capacity = "9"',
     'capacity = "9"', "actors.recorder.inlets.pictures.capacity", "expected a whole number", ""),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\ninlets.pictures.overflow = "bloc"',
     '"bloc"', "actors.recorder.inlets.pictures.overflow", "invalid value 'bloc'",
     "one of block, drop-oldest, latest"),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\nsupervision.restart = "always"',
     '"always"', "actors.recorder.supervision.restart", "invalid value 'always'",
     "one of permanent, temporary, transient"),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\nsupervision.restarts = -1',
     "restarts = -1", "actors.recorder.supervision", "intensity.restarts is -1", ""),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\nsupervision.period = "1s"',
     'period = "1s"', "actors.recorder.supervision", "its backoff alone takes up to", ""),
    ('grants = ["RecordingStore"]', 'grants = ["RecordingStore"]\nsupervision.start_timeout = "0s"',
     "start_timeout", "actors.recorder.supervision", "start_timeout is 0", ""),
    ('from = "camera.to_security"', 'from = "camera.to_securty"', "securty",
     "channels[1].from", "actor 'camera' has no outlet 'to_securty'",
     "one of camera.to_crowd, camera.to_security"),
    ('from = "camera.to_security"', 'from = "camra.to_security"', "camra", "channels[1].from",
     "there is no actor 'camra'", "one of announcer, camera, crowd"),
    ('from = "camera.to_security"', 'from = "camera"', 'from = "camera"', "channels[1].from",
     "actor 'camera' has no outlet ''", "camera.to_security"),
    ('from = "camera.to_security"', 'from = "retention.x"', "retention.x", "channels[1].from",
     "actor 'retention' has no outlet 'x'", "it has no outlet at all"),
    ('to = "recorder.pictures"', 'to = "recorder.picture"', 'picture"', "channels[1].to",
     "actor 'recorder' has no inlet 'picture'", "one of recorder.pictures"),
    ('to = "recorder.pictures"', "", None, "channels[1].to", "this key is missing", "a text"),
    ('to = "recorder.pictures"', 'to = "recorder.pictures"\nsize = 4', "size = 4", "channels[1].size",
     "this key is not known here", "one of from, to"),
    ('to = "recorder.pictures"', "to = 5", "to = 5", "channels[1].to", "expected a text", ""),
    ('guideline = "1.0"', "", "[pole]", "pole.guideline", "this key is missing", "a text"),
    ('state = "state"', "", "[pole]", "pole.state", "this key is missing", "a path"),
    ('state = "state"', "state = 5", "state = 5", "pole.state", "expected a path", ""),
    ('state = "state"', 'state = ""', 'state = ""', "pole.state", "expected a path", ""),
    ('state = "state"', 'state = "~nobody-of-that-name/x"', "~nobody", "pole.state",
     "expected a path", ""),
    ('state = "state"', 'state = "a\\u0000b"', "u0000", "pole.state", "expected a path", ""),
    ('state = "state"', 'state = "state"\ncolour = "red"', "colour", "pole.colour",
     "this key is not known here", "contact, guideline, isolation, name, operator, sandbox, state"),
    ('operator = { ja = "見本スマートポール株式会社", en = "Example Smart Pole Inc." }',
     'operator = { ja = "見本" }', "見本", "pole.operator.en", "this key is missing", "a text"),
    ('operator = { ja = "見本スマートポール株式会社", en = "Example Smart Pole Inc." }',
     'operator = { ja = "見本", en = "x", fr = "y" }', "見本", "pole.operator.fr",
     "this key is not known here", "one of en, ja"),
    ('operator = { ja = "見本スマートポール株式会社", en = "Example Smart Pole Inc." }',
     'operator = "Inc."', '"Inc."', "pole.operator", "expected a table", ""),
    ('east-exit = { ja = "駅東口広場", en = "Station plaza, east exit" }',
     'east-exit = { ja = "駅東口広場" }', "駅東口広場", "places.east-exit.en", "this key is missing", ""),
    ('east-exit = { ja = "駅東口広場", en = "Station plaza, east exit" }',
     'east-exit = { ja = "駅", en = "x" }\nWest = { ja = "西", en = "y" }', "West", "places.West",
     "'West' is no place's name", "lower-case letters, digits and -"),
    (ANNOUNCER, "[domains.crwd]\n[actors.announcer]", "[domains.crwd]", "domains.crwd",
     "there is no domain 'crwd'", "one of capture, crowd, security"),
    (ANNOUNCER, '[domains.crowd]\nstrategy = "all"\n[actors.announcer]', '"all"',
     "domains.crowd.strategy", "invalid value 'all'", "one of one-for-all, one-for-one, rest-for-one"),
    (ANNOUNCER, "[extra]\n[actors.announcer]", "[extra]", "extra", "this key is not known here",
     "one of actors, channels, domains, places, pole"),
    (ANNOUNCER, PICKY.format('mood = "ugly"'), '"ugly"', "actors.picky.settings.mood",
     "invalid value 'ugly'", "one of bad, good"),
    (ANNOUNCER, PICKY.format("inner = { size = 1, siz = 2 }"), "siz = 2",
     "actors.picky.settings.inner.siz", "this key is not known here", "one of mood, size"),
    (ANNOUNCER, PICKY.format("inner = {}"), "inner = {}", "actors.picky.settings.inner.size",
     "this key is missing", "a whole number"),
    (ANNOUNCER, PICKY.format('many = [{ size = 1 }, { size = 1, mood = "x" }]'), "many",
     "actors.picky.settings.many[1].mood", "invalid value 'x'", "one of bad, good"),
    (ANNOUNCER, PICKY.format('source = "clip.mp4"'), "clip.mp4", "actors.picky.settings.source",
     "expected an address such as", ""),
    (ANNOUNCER, PICKY.format("low = 5, high = 3"), "low = 5", "actors.picky.settings",
     "low must not be above high", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "at", "key", "says", "accepted"),
    MISTAKES,
    ids=lambda value: str(value)[:30],
)
def test_each_kind_of_mistake(
    tmp_path: Path, old: str, new: str, at: str | None, key: str, says: str, accepted: str
) -> None:
    problem = only_problem(tmp_path, old, new, at)
    assert problem.key == key
    assert says in problem.what
    assert accepted in problem.accepted + problem.what
    assert problem.line is not None
    assert str(problem).startswith(f"line {problem.line}, {key}: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[pole\n", 1),
        ('[pole]\nname = "a"\nname = "b"\n', 3),
        ("[pole]\nname = \n", 2),
        ("[pole]\n\n\tx = 07\n", 3),
        ('[pole]\nname = "a', 2),
        ("[pole]\n[pole]\n", 2),
        ("\ufeff[pole]\n", 1),
        ("x = " + "[" * 5000, None),
        ("x = " + "9" * 5000, None),
        ('[pole]\nname = "\udc80"\n', None),
        ("[pole]\nname = 'a\x00b'\n", 2),
    ],
)
def test_what_is_no_toml(tmp_path: Path, text: str, line: int | None) -> None:
    path = tmp_path / "pole.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError) as caught:
        load_blueprint(path, TYPES)
    (problem,) = caught.value.problems
    assert problem.key in ("syntax", "file")
    if line is not None:
        assert problem.line == line
        assert "this is not TOML" in problem.what


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path, Path("a\0b")):
        with pytest.raises(ConfigurationError) as caught:
            load_blueprint(path, TYPES)
        assert caught.value.problems[0].key == "file"


def test_an_empty_file_misses_its_tables(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "")
    assert [(p.key, p.what, p.accepted) for p in problems] == [
        ("pole", "this key is missing", "a table"),
        ("places", "this key is missing", "a table"),
        ("actors", "this key is missing", "a table"),
    ]


def test_every_mistake_is_reported_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = (
        CONFIGURATION.replace('type = "announcer"', 'type = "anouncer"')
        .replace('keep = "14d"', 'keep = "soon"')
        .replace('from = "camera.to_security"', 'from = "camera.x"')
        .replace('guideline = "1.0"', "")
    )
    problems = problems_of(tmp_path, text)
    assert sorted(p.key for p in problems) == [
        "actors.announcer.type",
        "actors.retention.settings.keep",
        "channels[1].from",
        "pole.guideline",
    ]
    lines = [p.line or 0 for p in problems]
    assert lines == sorted(lines)


def test_a_mistake_in_an_actor_is_not_blamed_on_its_channels(tmp_path: Path) -> None:
    text = CONFIGURATION.replace('type = "recorder"', 'type = "recoder"')
    assert [p.key for p in problems_of(tmp_path, text)] == ["actors.recorder.type"]


def test_a_place_that_is_not_declared(tmp_path: Path) -> None:
    text = CONFIGURATION.replace(
        'type = "camera"\nplace = "east-exit"', 'type = "camera"\nplace = "harbour"'
    )
    (problem,) = problems_of(tmp_path, text)
    assert problem.key == "actors.camera.place"
    assert problem.what == "the place 'harbour' is not declared"
    assert problem.accepted == "one of east-exit"
    assert problem.line == line_with(text, '"harbour"')


@pytest.mark.parametrize("before", ["\u2028", "\x85", "\x0c", "\x1c"])
def test_lines_are_counted_as_editors_count_them(tmp_path: Path, before: str) -> None:
    if before in "\x0c\x1c":
        text = CONFIGURATION  # TOML allows these nowhere
    else:
        text = f"# one{before}line\n" + CONFIGURATION
    text = text.replace('keep = "14d"', 'keep = "soon"')
    (problem,) = problems_of(tmp_path, text)
    assert problem.line == line_with(text, '"soon"')


def test_lines_survive_windows_line_ends(tmp_path: Path) -> None:
    text = CONFIGURATION.replace('keep = "14d"', 'keep = "soon"')
    path = tmp_path / "pole.toml"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    with pytest.raises(ConfigurationError) as caught:
        load_blueprint(path, TYPES)
    assert caught.value.problems[0].line == line_with(text, '"soon"')


# -- what is right --------------------------------------------------------------------------------


def test_the_example_is_read_as_written(tmp_path: Path) -> None:
    blueprint = example_blueprint(tmp_path)
    assert blueprint.pole.state == tmp_path / "state"
    assert list(blueprint.actors) == [
        "camera", "crowd", "recorder", "retention", "wifi", "statistics", "announcer",
    ]  # fmt: skip
    assert [str(channel) for channel in blueprint.channels] == [
        "camera.to_crowd → crowd.pictures",
        "camera.to_security → recorder.pictures",
        "wifi.counts → statistics.devices",
        "crowd.counts → statistics.counts",
    ]
    assert blueprint.actors["retention"].settings.keep == 14 * 86400  # type: ignore[attr-defined]
    assert blueprint.actors["crowd"].inlets["pictures"].overflow is DROP_OLDEST
    for name, plan in blueprint.actors.items():
        assert plan.line == line_with(CONFIGURATION, f"[actors.{name}]")


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "pole.toml"
    path.write_bytes(CONFIGURATION.replace("\n", "\r\n").encode())
    digest = load_blueprint(path, TYPES).digest
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_may_be_overridden(tmp_path: Path) -> None:
    text = CONFIGURATION.replace(
        'grants = ["RecordingStore"]',
        'grants = ["RecordingStore"]\n'
        'inlets.pictures = { capacity = 9, overflow = "latest" }\n'
        'supervision = { restart = "transient", restarts = 2, period = "5min", first_delay = "2s", '
        'longest_delay = "20s", start_timeout = "1min", stop_timeout = "3s", '
        'when_exhausted = "escalate", rest = "1h" }',
    )
    text += '\n[domains.security]\nstrategy = "rest-for-one"\n'
    blueprint = example_blueprint(tmp_path, text)
    plan = blueprint.actors["recorder"]
    assert (plan.inlets["pictures"].capacity, plan.inlets["pictures"].overflow) == (
        9,
        Overflow.LATEST,
    )
    spec = plan.supervision.child("recorder", None)
    assert (spec.restart, spec.when_exhausted) == (Restart.TRANSIENT, Exhausted.ESCALATE)
    assert (spec.intensity.restarts, spec.intensity.period) == (2, 300)
    assert (spec.backoff.first, spec.backoff.longest) == (2, 20)
    assert (spec.start_timeout, spec.stop_timeout, spec.rest) == (60, 3, 3600)
    assert blueprint.strategy(Domain.SECURITY) is Strategy.REST_FOR_ONE
    assert blueprint.strategy(Domain.CROWD) is Strategy.ONE_FOR_ONE


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("500ms", 0.5, "500ms"), ("1.5s", 1.5, "1.5s"), ("60s", 60, "1min"), ("5 min", 300, "5min"),
        ("12h", 43200, "12h"), ("14d", 1209600, "14d"), ("0s", 0, "0ms"), ("90s", 90, "1.5min"),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float, shown: str) -> None:
    assert Duration.parse(text) == seconds
    assert str(Duration.parse(text)) == shown
    assert Duration.parse(shown) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "5 days", "1e3s", "5s ", "inf s", "٥s", 5, None]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="Expected a duration such as"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "scheme", "rest", "public"),
    [
        ("file:clip.mp4", "file", "/conf/clip.mp4", "file clip.mp4"),
        ("file:/a/b.mp4", "file", "/a/b.mp4", "file b.mp4"),
        (
            "rtsp://u:secret@cam:554/1?k=secret",
            "rtsp",
            "//u:secret@cam:554/1?k=secret",
            "rtsp cam:554",
        ),
        ("RTSP://cam/1", "rtsp", "//cam/1", "rtsp cam"),
        ("v4l2:/dev/video0", "v4l2", "/dev/video0", "v4l2 /dev/video0"),
        ("rtsp://u:secret@cam:99999/1", "rtsp", "//u:secret@cam:99999/1", "rtsp"),
        ("rtsp://u:12/secret@cam/1", "rtsp", "//u:12/secret@cam/1", "rtsp"),
        ("test:bars?key=secret", "test", "bars?key=secret", "test bars"),
        ("rtsp://u:secret@[cam/1", "rtsp", "//u:secret@[cam/1", "rtsp"),
        ("rtsp:u:secret@cam/1", "rtsp", "u:secret@cam/1", "rtsp"),
    ],
)
def test_source_addresses(text: str, scheme: str, rest: str, public: str) -> None:
    address = SourceAddress.from_text(text, Path("/conf"))
    assert (address.scheme, address.rest) == (scheme, rest)
    assert "secret" not in address.public
    assert address.public.startswith(public)


# -- whatever is written, it is a configuration or an error that says so --------------------------

SCALARS = st.one_of(
    st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8),
    st.sampled_from(["camera", "east-exit", "5min", "camera.to_crowd", "latest", "1.0"]),
)  # fmt: skip
NAMES = st.sampled_from(
    ["pole", "places", "actors", "channels", "domains", "camera", "type", "place", "grants",
     "settings", "inlets", "supervision", "from", "to", "name", "state", "crowd", "strategy",
     "pictures", "capacity", "operator", "ja", "en", "x", "restarts", "period"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def to_toml(value: Any) -> str:
    """Enough of a TOML writer for these values."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value) if value == value and abs(value) != float("inf") else "nan"
    if isinstance(value, str):
        return (
            '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return "{" + ", ".join(f"{key} = {to_toml(item)}" for key, item in value.items()) + "}"


def outcome(folder: Path, raw: bytes) -> Blueprint | ConfigurationError:
    path = folder / "pole.toml"
    path.write_bytes(raw)
    try:
        return load_blueprint(path, TYPES)
    except ConfigurationError as error:
        lines = raw.count(b"\n") + 1
        assert error.problems
        for problem in error.problems:
            assert problem.key
            assert problem.what
            assert problem.line is None or 1 <= problem.line <= lines
        return error


loose = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@loose
@given(
    raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
)
def test_random_text(tmp_path: Path, raw: bytes) -> None:
    assert isinstance(outcome(tmp_path, raw), ConfigurationError)


@loose
@given(document=st.dictionaries(NAMES, VALUES, max_size=6))
def test_random_structures(tmp_path: Path, document: dict[str, Any]) -> None:
    text = "\n".join(f"{key} = {to_toml(value)}" for key, value in document.items())
    outcome(tmp_path, text.encode())


@loose
@given(data=st.data())
def test_a_random_change_of_a_good_configuration(tmp_path: Path, data: st.DataObject) -> None:
    lines = CONFIGURATION.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "value", "key", "swap"]))
        key, equals, _ = lines[index].partition(" = ")
        if what == "drop":
            lines[index] = ""
        elif what == "double":
            lines.insert(index, lines[index])
        elif what == "value" and equals:
            lines[index] = f"{key} = {to_toml(data.draw(VALUES))}"
        elif what == "key" and equals:
            lines[index] = lines[index].replace(key, data.draw(NAMES), 1)
        else:
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[index], lines[other] = lines[other], lines[index]
    outcome(tmp_path, "\n".join(lines).encode())


def test_convert_on_its_own() -> None:
    document = Document("memory", "[a]\nsize = 1\n", Path("/conf"))
    assert convert(document, document.data["a"], ("a",), Inner) == Inner(1)
    assert convert(document, [], ("a",), Inner) is None
    assert document.problems[0].line == 1


def test_a_document_knows_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        'top = 1\n[a.b] # c\n  c.d = 2\n[[e]]\nf = 1\n[[e]]\n"g h" = [\n  1,\n]\n[a."x y"]\nz = 3\n',
        encoding="utf-8",
    )
    document = read_document(path)
    found = {
        ("top",): 1, ("a", "b"): 2, ("a", "b", "c", "d"): 3, ("e", 0): 4, ("e", 0, "f"): 5,
        ("e", 1): 6, ("e", 1, "g h"): 7, ("a", "x y", "z"): 11, ("a", "b", "nothing"): 2,
        ("e", 1, "g h", 0): 7, ("nothing",): None,
    }  # fmt: skip
    assert {where: document.line_of(*where) for where in found} == found
