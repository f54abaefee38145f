"""JPEG pictures in RTP (RFC 2435): their headers are left out on the way and made again here."""

from __future__ import annotations

__all__ = ["JpegPayload"]

import struct

_LUMA = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
"""Appendix A's quantizers for quality 50, in zigzag order."""
_CHROMA = bytes.fromhex("1112121815182f1a1a2f63423842") + bytes((0x63,)) * 50
_HUFFMAN = (
    (
        0x00,
        "00010501010101010100000000000000",
        "000102030405060708090a0b",
    ),
    (
        0x10,
        "0002010303020403050504040000017d",
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25"
        "262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83"
        "8485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3"
        "d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    ),
    (
        0x01,
        "00030101010101010101010000000000",
        "000102030405060708090a0b",
    ),
    (
        0x11,
        "00020102040403040705040400010277",
        "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718"
        "191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a"
        "82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9ca"
        "d2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
    ),
)
"""Class and place, how many codes of each length, and their values (ITU-T T.81, annex K.3)."""
_MAIN = struct.Struct(">B3sBBBB")


class JpegPayload:
    """Puts a picture together. One with a hole in it is passed over."""

    def __init__(self) -> None:
        self.size = self._kept = 0
        self._parts: list[bytes | memoryview] = []
        self._scan = 0
        """Bytes of the picture's own so far."""
        self._tables: dict[int, bytes] = {}

    def add(self, payload: memoryview, *, follows: bool) -> bool:
        if len(payload) < _MAIN.size:
            return False
        _, place, kind, quality, width, height = _MAIN.unpack_from(payload)
        offset, rest = int.from_bytes(place, "big"), payload[_MAIN.size :]
        interval = 0
        if kind & 0x40:
            interval, rest = int.from_bytes(rest[:2], "big"), rest[4:]
        if offset == 0:
            self._drop()
            tables = _made(quality) if quality < 128 else None
            if quality >= 128:
                length = int.from_bytes(rest[2:4], "big")
                tables, rest = bytes(rest[4 : 4 + length]), rest[4 + length :]
                tables = tables or self._tables.get(quality, b"")
                if quality < 255:
                    self._tables[quality] = tables
            if not tables or len(tables) not in (64, 128) or kind & 0x3F > 1 or not width * height:
                return False
            header = _header(kind & 1, width * 8, height * 8, tables, interval)
            self._parts, self.size = [header], len(header)
        elif offset != self._scan or not self._parts:
            self._drop()
            return False
        self._parts.append(rest)
        self._scan += len(rest)
        self.size += len(rest)
        return True

    def keep(self) -> None:
        self._parts[self._kept :] = map(bytes, self._parts[self._kept :])
        self._kept = len(self._parts)

    def take(self) -> tuple[bytes, bool, bytes]:
        data = b"".join(self._parts)
        self._drop()
        if data and not data.endswith(b"\xff\xd9"):
            data += b"\xff\xd9"
        return data, True, b""

    def _drop(self) -> None:
        self._parts = []
        self.size = self._scan = self._kept = 0


def _made(quality: int) -> bytes:
    """Appendix A: the tables of a quality from 1 to 99."""
    quality = min(max(quality, 1), 99)
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    return bytes(min(max((value * factor + 50) // 100, 1), 255) for value in _LUMA + _CHROMA)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _header(kind: int, width: int, height: int, tables: bytes, interval: int) -> bytes:
    """Appendix B: all that stands before a picture's scan."""
    luma, chroma = tables[:64], tables[64:] or tables[:64]
    sampling = 0x22 if kind else 0x21
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\0" + luma),
            _segment(0xDB, b"\1" + chroma),
            _segment(0xDD, struct.pack(">H", interval)) if interval else b"",
            _segment(
                0xC0,
                struct.pack(">BHHB", 8, height, width, 3)
                + bytes((1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1)),
            ),
            *(
                _segment(0xC4, bytes((place,)) + bytes.fromhex(counts) + bytes.fromhex(values))
                for place, counts, values in _HUFFMAN
            ),
            _segment(0xDA, bytes((3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0))),
        )
    )
