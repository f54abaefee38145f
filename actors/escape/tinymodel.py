"""The smallest ONNX model there is, with a few bytes of ours in it, written by hand.

Without the ``onnx`` package, which a pole does not have. Field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

__all__ = ["identity_model"]

_UINT8 = 2


def identity_model(constant: bytes) -> bytes:
    """A model that adds a constant (one byte at least) to its input of the same length."""
    constant = constant or b"\x01"
    node = _text(1, "x") + _text(1, "c") + _text(2, "y") + _text(4, "BitwiseXor")
    initializer = _number(1, len(constant)) + _number(2, _UINT8) + _text(8, "c")
    initializer += _bytes(9, constant)
    graph = _bytes(1, node) + _text(2, "g") + _bytes(5, initializer)
    graph += _bytes(11, _value("x", len(constant))) + _bytes(12, _value("y", len(constant)))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 18))


def _value(name: str, length: int) -> bytes:
    shape = _bytes(1, _number(1, length))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _UINT8) + _bytes(2, shape)))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
