"""Bech32 (BIP 173), in which age writes its keys."""

from __future__ import annotations

__all__ = ["decode"]

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def decode(text: str) -> tuple[str, bytes]:
    """The human-readable part, in small letters, and the bytes.

    Raises ValueError with a reason that does not repeat the text. Longer texts than BIP 173's 90
    characters are accepted, as age does.
    """
    if text.lower() != text and text.upper() != text:
        raise ValueError("small and capital letters are mixed")
    text = text.lower()
    prefix, separator, rest = text.rpartition("1")
    if not separator or not prefix or len(rest) < _CHECKSUM:
        raise ValueError("this is no key of age")
    if any(not 33 <= ord(character) <= 126 for character in prefix):
        raise ValueError("this holds a character that no key of age holds")
    try:
        values = [_ALPHABET.index(character) for character in rest]
    except ValueError:
        raise ValueError("this holds a character that no key of age holds") from None
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    if _polymod(expanded + values) != 1:
        raise ValueError("its checksum is wrong: a character is missing or mistyped")
    return prefix, _to_bytes(values[:-_CHECKSUM])


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _to_bytes(values: list[int]) -> bytes:
    """Groups of five bits to bytes; what is left over must be fewer than five zeros."""
    bits = number = 0
    result = bytearray()
    for value in values:
        number = (number << 5 | value) & 0xFFF
        bits += 5
        if bits >= 8:
            bits -= 8
            result.append(number >> bits & 0xFF)
    if bits >= 5 or number & (1 << bits) - 1:
        raise ValueError("it is padded wrongly")
    return bytes(result)
