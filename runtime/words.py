"""Which words of a domain's reports may be repeated.

A domain that handles personal data also writes log lines and crashes with messages, and a hostile
actor could write a picture into either. So of what such a domain says, the pole repeats only words
that stand in the program itself, and few, short numbers and marks; everything else becomes "…".
What can leave that way is then a choice among known words, at most ``Vocabulary.bits_of_a_line`` in
a line, at a bounded number of lines.
"""

from __future__ import annotations

__all__ = ["MOST_FIELDS", "Vocabulary", "pole_vocabulary", "program_words"]

import builtins
import errno
import itertools
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from runtime.blueprint import Blueprint

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|[0-9]+|.", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_PUNCTUATION = frozenset(" .,:;!?'\"()[]{}<>/-+*=%&|#_@~`$^\n")
_LONGEST = 400
"""Characters of one line, or of one crash, with all its parts."""
_MOST_NUMBERS = 5
"""In its texts. A MAC address has six parts, each of which may look like a number."""
_LONGEST_NUMBER = 6
_MOST_MARKS = 40
"""In a line. Marks alone could say five bits with each."""
MOST_FIELDS = 8
_MOST_PARTS = 1 + 2 * MOST_FIELDS
"""The event, and the fields' names and values."""
_SHORTEST = 3
_SHORT_WORDS = frozenset(
    (
        *("a", "an", "as", "at", "by", "be", "do", "if", "in", "is", "it", "ms", "no", "of"),
        *("on", "or", "s", "so", "t", "to", "up", "we"),
    )
)
"""With every word of one or two letters that names a variable, one could spell."""
_WITHHELD = "…"


@dataclass(slots=True)
class _Left:
    """What of a line's bounds is left for its further parts."""

    room: int = _LONGEST
    marks: int = _MOST_MARKS
    numbers: int = _MOST_NUMBERS


class Vocabulary:
    """The words of a program. ``phrases`` are kept as they stand: names, places, addresses."""

    def __init__(self, words: Iterable[str], phrases: Iterable[str] = ()) -> None:
        self._words = _SHORT_WORDS | {word for word in words if len(word) >= _SHORTEST}
        self._wanted = sorted({one for one in phrases if one}, key=len, reverse=True)
        self._phrases = re.compile("|".join(map(re.escape, self._wanted))) if self._wanted else None

    def keep(self, text: str) -> str:
        """The text with every word that is not the program's withheld."""
        return self.keep_all([text])[0]

    def keep_all(self, parts: Iterable[str]) -> list[str]:
        """The same for the parts of one line: all of them share its bounds, and those beyond the
        most that there may be are left out."""
        left = _Left()
        kept = []
        for part in itertools.islice(parts, _MOST_PARTS):
            kept.append(_tidy(self._keep(part[: left.room], left)))
            left.room -= len(kept[-1])
        return kept

    def _keep(self, text: str, left: _Left) -> str:
        kept: list[str] = []
        for token, is_phrase in self._tokens(text):
            if is_phrase or token in self._words:
                kept.append(token)
            elif token == " ":
                if kept and not kept[-1].endswith(" "):
                    kept.append(token)
            elif token.isascii() and token.isdigit():  # other scripts' digits are no numbers here
                left.numbers -= 1
                fits = len(token) <= _LONGEST_NUMBER and left.numbers >= 0
                kept.append(token if fits else _WITHHELD)
            elif left.marks:
                left.marks -= 1
                kept.append(token if token in _PUNCTUATION else _WITHHELD)
            else:
                kept.append(_WITHHELD)
                break
        return "".join(kept)

    def _tokens(self, text: str) -> Iterator[tuple[str, bool]]:
        """Its phrases and, between them, its words, numbers and single characters."""
        place = 0
        for match in self._phrases.finditer(text) if self._phrases is not None else ():
            yield from ((token, False) for token in _TOKEN.findall(text[place : match.start()]))
            yield match[0], True
            place = match.end()
        yield from ((token, False) for token in _TOKEN.findall(text[place:]))

    def bits_of_a_line(self) -> float:
        """No more than this can be said by the choice of what stands in a line.

        Counted are all texts of words with one character after each, all ways to put marks and
        numbers into them, and all ways to divide them among a line's parts.
        """
        lengths = Counter(map(len, (*self._words, *self._wanted)))
        texts = [1]
        for size in range(1, _LONGEST + 2):
            texts.append(
                sum(
                    count * texts[size - length - 1]
                    for length, count in lengths.items()
                    if length < size
                )
            )
        places = _LONGEST + 1
        marks = sum(
            math.comb(places, number) * (len(_PUNCTUATION) + 1) ** number
            for number in range(_MOST_MARKS + 1)
        )
        numbers = (places * 2 * 10**_LONGEST_NUMBER) ** _MOST_NUMBERS
        parts = math.comb(places + _MOST_PARTS, _MOST_PARTS)
        return sum(map(math.log2, (sum(texts), marks, numbers, parts)))


def _tidy(text: str) -> str:
    return re.sub(f"{_WITHHELD}(?:.{{0,2}}{_WITHHELD})+", _WITHHELD, text, flags=re.DOTALL)


def pole_vocabulary(blueprint: Blueprint) -> Vocabulary:
    """The words that a domain's reports may use: those of the program and of its configuration."""
    actors = blueprint.actors.values()
    packages = {"runtime", *(plan.actor_type.__module__.partition(".")[0] for plan in actors)}
    phrases = {plan.name for plan in actors} | {plan.settings.headline() for plan in actors}
    phrases |= {str(channel) for channel in blueprint.channels} | set(blueprint.places)
    phrases |= {plan.actor_type.__name__ for plan in actors}
    return Vocabulary(program_words(packages), phrases)


def program_words(packages: Iterable[str]) -> set[str]:
    """Every word in the code of the loaded modules of these packages and of those beside them, in
    names and in texts, the system's own words for errors, and the names of all kinds of exception.

    Beside a package lie others of the same source tree, whose texts it may pass on. Where packages
    are installed, beside it lies everything, and it stands for itself.
    """
    words: set[str] = set()
    for name in _with_neighbours(packages):
        for module in _modules(name):
            for text in _texts(module):
                words.update(_WORD.findall(text))
    for number in errno.errorcode:
        words.update(_WORD.findall(os.strerror(number)))
    words.update(vars(builtins))
    words.update(kind.__name__ for kind in _kinds(BaseException))
    return words


def _with_neighbours(packages: Iterable[str]) -> set[str]:
    found = set(packages)
    for name in packages:
        folder = _folder(name)
        if folder is not None and folder.name not in ("site-packages", "dist-packages"):
            tops = {module.partition(".")[0] for module in list(sys.modules)}
            found |= {top for top in tops if _folder(top) == folder}
    return found


def _folder(package: str) -> Path | None:
    """The folder in which a loaded package lies; None for a module that is none."""
    places = getattr(sys.modules.get(package), "__path__", None)
    first = next(iter(places), None) if places is not None else None
    return Path(first).parent if first is not None else None


def _modules(package: str) -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if (name == package or name.startswith(f"{package}.")) and module is not None:
            yield module


def _texts(module: ModuleType) -> Iterator[str]:
    if module.__spec__ is None or module.__spec__.loader is None:
        return
    find = getattr(module.__spec__.loader, "get_code", None)
    try:
        code = find(module.__name__) if find is not None else None
    except (ImportError, OSError):
        code = None
    if code is not None:
        yield from _in_code(code)
        yield "/".join(Path(code.co_filename).parts[-3:])


def _in_code(code: CodeType) -> Iterator[str]:
    yield code.co_name
    yield from (*code.co_names, *code.co_varnames)
    yield from _in_constants(code.co_consts)


def _in_constants(constants: Iterable[object]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _in_code(constant)
        elif isinstance(constant, (tuple, frozenset)):
            yield from _in_constants(constant)


def _kinds(base: type[BaseException]) -> Iterator[type[BaseException]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
