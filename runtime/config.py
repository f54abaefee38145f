"""Reading a configuration file: TOML in, typed settings out, each mistake with its line."""

from __future__ import annotations

__all__ = [
    "Document",
    "Duration",
    "FromText",
    "Size",
    "SourceAddress",
    "convert",
    "read_document",
    "seconds_argument",
]

import argparse
import enum
import hashlib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from runtime.errors import ConfigurationError, Problem

T = TypeVar("T")

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|min|h|d)")
_DURATION_HELP = 'a duration such as "500ms", "60s", "5min", "12h" or "14d"'
_BYTES = {
    "B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30,
    "TB": 10**12, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) *(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)")
_SIZE_HELP = 'a size such as "500MB", "2GB" or "64MiB"'


@runtime_checkable
class FromText(Protocol):
    """A type of setting that is written as a text. Settings classes may bring their own."""

    @classmethod
    def from_text(cls, text: str, folder: Path) -> Any:
        """Read it, or raise ValueError saying what is expected; paths start from ``folder``."""


class Duration(float):
    """A length of time in seconds, written ``"500ms"``, ``"60s"``, ``"5min"``, ``"14d"``."""

    @classmethod
    def from_text(cls, text: str, folder: Path) -> Duration:
        return cls.parse(text)

    @classmethod
    def parse(cls, text: object) -> Duration:
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"Expected {_DURATION_HELP}")
        return cls(float(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        for unit, seconds in reversed(_UNITS.items()):
            if self >= seconds:
                return f"{float(self) / seconds:g}{unit}"
        return f"{float(self) * 1000:g}ms"


class Size(int):
    """A number of bytes, written ``"500MB"``, ``"1.5GB"``, or in powers of two ``"64MiB"``."""

    @classmethod
    def from_text(cls, text: str, folder: Path) -> Size:
        return cls.parse(text)

    @classmethod
    def parse(cls, text: object) -> Size:
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"Expected {_SIZE_HELP}")
        return cls(round(Fraction(match[1]) * _BYTES[match[2]]))

    def __str__(self) -> str:
        for unit, size in reversed(_BYTES.items()):
            if self >= size and self * 1000 % size == 0:
                return f"{self * 1000 // size / 1000:.10g}{unit}"
        return f"{int(self)}B"


def seconds_argument(text: str) -> float:
    """A time on the command line, in seconds: ``60``, or as a ``Duration``."""
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class SourceAddress(str):
    """Where something comes from, as ``scheme:rest``: ``file:clip.mp4``, ``rtsp://camera/1``.

    The path of a ``file:`` address is made absolute, starting from the configuration's folder.
    Its text may hold credentials: show ``public`` instead.
    """

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str, folder: Path) -> SourceAddress:
        scheme, colon, rest = text.partition(":")
        if not colon or not rest or not scheme.isascii() or not scheme.isalnum():
            raise ValueError('Expected an address such as "file:clip.mp4" or "rtsp://host/path"')
        if scheme == "file":
            rest = str(_resolve(folder, rest))
        return cls(f"{scheme.lower()}:{rest}")

    @property
    def scheme(self) -> str:
        return self.partition(":")[0]

    @property
    def rest(self) -> str:
        return self.partition(":")[2]

    @property
    def public(self) -> str:
        """Without credentials, query or folders: fit for logs and status."""
        if self.scheme == "file":
            return f"file {Path(self.rest).name}"
        try:
            parts = urlsplit(self)
            host, port = parts.hostname, f":{parts.port}" if parts.port else ""
        except ValueError:
            return self.scheme
        # An @ anywhere else ends credentials that are not written as an address has them.
        if self.rest.count("@") > parts.netloc.count("@"):
            return self.scheme
        return f"{self.scheme} {host}{port}" if host else f"{self.scheme} {parts.path}"


class Document:
    """A parsed configuration file that knows on which line each key stands.

    ``folder`` is where relative paths in it start from. Problems are collected in ``problems``,
    so that one reading reports them all.
    """

    def __init__(self, source: str, text: str, folder: Path) -> None:
        self.source = source
        self.folder = folder
        self.problems: list[Problem] = []
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            # Not only TOMLDecodeError: an endless number is another ValueError.
            place = re.search(r" \(at (?:line (\d+)|end of document)", str(error))
            line = int(place[1] or text.count("\n") + 1) if place else None
            what = str(error).split(" (at ")[0]
            raise ConfigurationError(
                source, [Problem("syntax", f"this is not TOML: {what}", line=line)]
            ) from None
        self._lines: dict[tuple[str, ...], int] = {}
        for path, number in _locate(text):
            self._lines.setdefault(path, number)

    def line_of(self, *path: str | int) -> int | None:
        """The line of a key, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(tuple(map(str, path[:length])))
            if line is not None:
                return line
        return None

    def problem(self, path: tuple[str | int, ...], what: str, accepted: str = "") -> None:
        """Note a mistake at that key."""
        key = ".".join(f"[{part}]" if isinstance(part, int) else part for part in path)
        self.problems.append(Problem(key.replace(".[", "["), what, accepted, self.line_of(*path)))

    def raise_problems(self) -> None:
        if self.problems:
            raise ConfigurationError(
                self.source, sorted(self.problems, key=lambda problem: problem.line or 0)
            )


def read_document(path: Path) -> Document:
    """Read a configuration file. Raises ConfigurationError where it can't be read as TOML."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            str(path), [Problem("file", "there is no such file", "the path of a TOML file")]
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            str(path), [Problem("file", f"it can't be read ({type(error).__name__})", "UTF-8 TOML")]
        ) from None
    return Document(str(path), text, path.resolve().parent)


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")


def _locate(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where tables and keys stand; tomllib doesn't tell. Inline tables share their key's line."""
    table: tuple[str, ...] = ()
    array_sizes: dict[tuple[str, ...], int] = {}
    # Not splitlines(), which also breaks at characters that a text may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                index = array_sizes.get(table, 0)
                array_sizes[table] = index + 1
                table = (*table, str(index))
            yield table, number
        elif key := _KEY.match(line):
            dotted = _split(key[1])
            for length in range(1, len(dotted) + 1):
                yield (*table, *dotted[:length]), number


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


_PATH_IN_ERROR = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def convert(
    document: Document, value: object, path: tuple[str | int, ...], kind: type[T]
) -> T | None:
    """Convert a part of the document into a typed struct.

    Unknown keys are all reported, with the keys that are accepted; any other mistake is reported
    with its line. Returns None where there was a mistake.
    """
    before = len(document.problems)
    if isinstance(value, Mapping):
        accepted = {
            field.encode_name: field
            for field in msgspec.structs.fields(kind)  # type: ignore[arg-type]
        }
        for key in value:
            if key not in accepted:
                why_refused = getattr(kind, "why_refused", None)
                why = why_refused(key) if why_refused else ""
                what = f"this is refused: {why}" if why else "this key is not known here"
                document.problem((*path, key), what, _keys(kind))
        value = {key: item for key, item in value.items() if key in accepted}
        for name, field in accepted.items():
            if field.required and name not in value:
                document.problem((*path, name), "this key is missing", _accepts(field.type))
    if len(document.problems) > before:
        return None

    def from_text(wanted: type, given: Any) -> Any:
        if issubclass(wanted, FromText):
            if not isinstance(given, str):
                raise ValueError(f"Expected a text ({_accepts(wanted)})")
            return wanted.from_text(given, document.folder)
        if issubclass(wanted, Path):
            if not isinstance(given, str) or not given:
                raise ValueError("Expected a path")
            return _resolve(document.folder, given)
        raise NotImplementedError(wanted)  # pragma: no cover - a mistake in a settings class

    try:
        return msgspec.convert(value, kind, dec_hook=from_text)
    except msgspec.ValidationError as error:
        _report(document, path, kind, str(error))
        return None


def _resolve(folder: Path, text: str) -> Path:
    try:
        return (folder / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # no such home, a loop of links, a null byte
        raise ValueError("Expected a path that can exist") from None


def _report(document: Document, path: tuple[str | int, ...], kind: object, error: str) -> None:
    """Put msgspec's complaint into the words of a configuration file."""
    match = _PATH_IN_ERROR.match(error)
    what, where = (match["what"], match["path"] or "$") if match else (error, "$")
    inner = tuple(
        int(index) if index else name for name, index in _STEP.findall(where.removeprefix("$"))
    )
    at = _kind_at(kind, inner)
    if unknown := _UNKNOWN.match(what):
        document.problem((*path, *inner, unknown["name"]), "this key is not known here", _keys(at))
    elif missing := _MISSING.match(what):
        name = missing["name"]
        wanted = _accepts(_kind_at(kind, (*inner, name)))
        document.problem((*path, *inner, name), "this key is missing", wanted)
    elif invalid := _INVALID.match(what):
        document.problem((*path, *inner), f"invalid value {invalid['value']}", _accepts(at))
    else:
        plain = _NAMES_IN_ERROR.sub(lambda names: _plain(names[1]), what)
        document.problem((*path, *inner), plain[:1].lower() + plain[1:])


_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_INVALID = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_NAMES_IN_ERROR = re.compile(r"`([^`]*)`")
_PLAIN = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "dict": "a table",
    "array": "an array",
    "list": "an array",
    "tuple": "an array",
    "Path": "a path",
}


def _plain(names: str) -> str:
    """``int | null`` in plain words."""
    return " or ".join(_PLAIN.get(name, name) for name in names.split(" | ") if name != "null")


def _alternatives(kind: object) -> list[Any]:
    """The types that a value may have: those of a union, without the marks of Annotated."""
    if hasattr(kind, "__metadata__"):
        return _alternatives(typing.get_args(kind)[0])
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return [one for part in typing.get_args(kind) for one in _alternatives(part)]
    return [] if kind is type(None) else [kind]


def _kind_at(kind: object, path: tuple[str | int, ...]) -> object:
    """The type declared at a path within a type, or None where that can't be said."""
    for step in path:
        inner: object = None
        for one in _alternatives(kind):
            if isinstance(step, int) and typing.get_args(one):
                inner = typing.get_args(one)[0]
            elif isinstance(one, type) and issubclass(one, msgspec.Struct):
                known = {field.encode_name: field.type for field in msgspec.structs.fields(one)}
                inner = known.get(str(step), inner)
        kind = inner
    return kind


def _keys(kind: object) -> str:
    """The keys that a table of this type may have."""
    names = sorted(
        field.encode_name
        for one in _alternatives(kind)
        if isinstance(one, type) and issubclass(one, msgspec.Struct)
        for field in msgspec.structs.fields(one)
    )
    return "one of " + ", ".join(names) if names else "nothing"


def _accepts(kind: object) -> str:
    """What a key of this type accepts, in plain words; empty where that can't be said."""
    words = []
    for one in _alternatives(kind):
        if one is Duration:
            words.append(_DURATION_HELP)
        elif one is Size:
            words.append(_SIZE_HELP)
        elif isinstance(one, type) and issubclass(one, enum.Enum):
            words.append("one of " + ", ".join(sorted(str(member.value) for member in one)))
        elif typing.get_origin(one) is typing.Literal:
            words.append("one of " + ", ".join(map(str, typing.get_args(one))))
        elif isinstance(one, type) and issubclass(one, msgspec.Struct):
            words.append("a table")
        else:
            words.append(_plain(getattr(one, "__name__", "")))
    return " or ".join(words)
