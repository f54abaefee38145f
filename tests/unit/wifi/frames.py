"""Frames and capture files for tests, written here on purpose without the package's own code."""

from __future__ import annotations

import struct

ACCESS_POINT = bytes.fromhex("00005e005301")
STATION = bytes.fromhex("00005e005310")
OTHER = bytes.fromhex("00005e005311")
RANDOMISED = bytes.fromhex("02a1b2c3d4e5")
EVERYBODY = b"\xff" * 6


def header(control: int, flags: int, *addresses: bytes) -> bytes:
    """An 802.11 header of three addresses."""
    return struct.pack("<BBH", control, flags, 0) + b"".join(addresses) + b"\0\0"


def probe_request(station: bytes) -> bytes:
    return header(0x40, 0, EVERYBODY, station, EVERYBODY) + b"\0\0"


def radiotap(frame: bytes, *, signal: int = -60, flags: int = 0) -> bytes:
    return struct.pack("<BBHIBb", 0, 0, 10, 0b10_0010, flags, signal) + frame


def pcap(
    frames: list[tuple[float, bytes]],
    *,
    order: str = "<",
    nanoseconds: bool = False,
    link_type: int = 127,
) -> bytes:
    unit = 1e9 if nanoseconds else 1e6
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    content = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for at, data in frames:
        fraction = round(at % 1 * unit)
        content += struct.pack(f"{order}IIII", int(at), fraction, len(data), len(data)) + data
    return content


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str = "<", link_type: int = 127, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 0) + options)


def packet(order: str, ticks: int, data: bytes, *, number: int = 0) -> bytes:
    head = struct.pack(
        f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)
    )
    return block(order, 6, head + data)
