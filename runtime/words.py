"""Which words of a domain's reports may be repeated.

A domain that handles personal data also writes log lines and crashes with messages, and a hostile
actor could write a picture into either. So of what such a domain says, the pole repeats only words
that stand in the program itself, and few, short numbers; everything else becomes "…". What can
leave that way is then a choice among known words, a few hundred bits a line, at a bounded number of
lines.
"""

from __future__ import annotations

__all__ = ["Vocabulary", "program_words"]

import builtins
import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, ModuleType

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|[0-9]+|.", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_PUNCTUATION = frozenset(" .,:;!?'\"()[]{}<>/-+*=%&|#_@~`$^\n")
_LONGEST = 400
_MOST_NUMBERS = 3
"""A MAC address has six parts, each of which may look like a number."""
_LONGEST_NUMBER = 6
_SHORTEST = 3
_SHORT_WORDS = frozenset(
    (
        *("a", "an", "as", "at", "by", "be", "do", "if", "in", "is", "it", "ms", "no", "of"),
        *("on", "or", "s", "so", "t", "to", "up", "we"),
    )
)
"""With every word of one or two letters that names a variable, one could spell."""
_WITHHELD = "…"


class Vocabulary:
    """The words of a program. ``phrases`` are kept as they stand: names, places, addresses."""

    def __init__(self, words: Iterable[str], phrases: Iterable[str] = ()) -> None:
        self._words = _SHORT_WORDS | {word for word in words if len(word) >= _SHORTEST}
        wanted = sorted({one for one in phrases if one}, key=len, reverse=True)
        self._phrases = re.compile("|".join(map(re.escape, wanted))) if wanted else None

    def keep(self, text: str) -> str:
        """The text with every word that is not the program's withheld."""
        text = text[:_LONGEST]
        if self._phrases is None:
            return self._tidy(self._keep(text, [0]))
        numbers = [0]
        parts = []
        place = 0
        for match in self._phrases.finditer(text):
            parts += [self._keep(text[place : match.start()], numbers), match[0]]
            place = match.end()
        parts.append(self._keep(text[place:], numbers))
        return self._tidy("".join(parts))

    def _keep(self, text: str, numbers: list[int]) -> str:
        kept = []
        for token in _TOKEN.findall(text):
            if token.isascii() and token.isdigit():  # other scripts' digits are no numbers here
                numbers[0] += 1
                fits = len(token) <= _LONGEST_NUMBER and numbers[0] <= _MOST_NUMBERS
            else:
                fits = token in _PUNCTUATION or token in self._words
            kept.append(token if fits else _WITHHELD)
        return "".join(kept)

    @staticmethod
    def _tidy(text: str) -> str:
        return re.sub(f"{_WITHHELD}(?:.{{0,2}}{_WITHHELD})+", _WITHHELD, text, flags=re.DOTALL)


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
