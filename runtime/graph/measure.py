"""How wide a text is, without a font at hand."""

from __future__ import annotations

__all__ = ["cells", "text_width", "wrapped"]

import unicodedata


def text_width(text: str, size: float) -> float:
    """Roughly how wide a text is in a proportional font, erring towards too wide."""
    width = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            width += 1.0
        elif character in "iljtfr.,:;|'!()[] ":
            width += 0.36
        elif character in "mwMW@—→":
            width += 0.92
        else:
            width += 0.68 if character.isupper() else 0.58
    return width * size


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Break a text into lines that fit; a word that is too long is cut."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if text_width(candidate, size) <= width:
            lines[-1] = candidate
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if text_width(lines[-1] + character, size) > width:
                lines.append("")
            lines[-1] += character
    return lines


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
