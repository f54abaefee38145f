"""NanoDet as a TensorFlow.js graph -> ONNX, for pictures of any size, with the person class alone.

The source is itself a translation from ONNX: convolutions stand between transpositions, paddings
stand alone, and biases are additions. Read back, each such group is one convolution again. Tensors
are channels-first throughout; where the source transposes to channels-last, only the note of it
changes (`_Value.last`).

Two things differ from the source on purpose. Sizes that it fixes for 416 by 416 pictures (factors
of two and "all cells") become relative. And of 80 classes only class 0, person, is kept: what the
model cannot say, no one can ask of it (guideline clause 4.2(2)).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.convert.graph import Graph
from models.errors import ModelError

__all__ = ["convert", "read_weights"]

# The picture's side for which the source fixes its sizes.
_SIDE = 416
_CLASSES = 80
_PERSON = 0
_BINS = 44
# The head's channels that are kept: the person score, then four times eleven distance bins.
_HEAD = [_PERSON, *range(_CLASSES, _CLASSES + _BINS)]

# The lowest half-precision number, as which minus infinity may have been stored.
_LOWEST = -65504.0

_TO_LAST = [0, 2, 3, 1]
_TO_FIRST = [0, 3, 1, 2]

_SCORES = ("Identity", "Identity_1", "Identity_2")
_DISTANCES = ("Identity_3", "Identity_4", "Identity_5")


def convert(topology: bytes, weights: bytes) -> bytes:
    """Translate the graph (`nanodet.json`) with its weights (`nanodet.bin`).

    Returns an ONNX file: `image` N x 3 x H x W -> `scores` N x cells x 1 and `distances`
    N x cells x 44, cells being those of stride 8, then 16, then 32, each row by row. H and W are
    multiples of 32.
    """
    try:
        document = json.loads(topology)
        nodes = {node["name"]: node for node in document["modelTopology"]["node"]}
        constants = read_weights(document, weights)
        translation = _Translation(nodes, constants)
        scores = [translation.value(name).name for name in _SCORES]
        distances = [translation.value(name).name for name in _DISTANCES]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelError("NanoDet", "is no TensorFlow.js graph model", why=repr(error)) from error
    graph = translation.graph
    graph.output("scores", graph.add("Concat", scores, axis=1), ["N", "CELLS", 1])
    graph.output("distances", graph.add("Concat", distances, axis=1), ["N", "CELLS", _BINS])
    return graph.serialise({"image": ["N", 3, "H", "W"]})


def read_weights(document: Mapping[str, Any], content: bytes) -> dict[str, NDArray[Any]]:
    """All constants of a TensorFlow.js model by name; half-precision ones as float32."""
    found: dict[str, NDArray[Any]] = {}
    position = 0
    for group in document["weightsManifest"]:
        for entry in group["weights"]:
            quantised = entry.get("quantization", {}).get("dtype")
            stored = np.dtype(quantised or entry["dtype"]).newbyteorder("<")
            if quantised not in (None, "float16"):
                raise ValueError(f"weights quantised as {quantised}, only float16 is known")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            array = np.frombuffer(content, stored, count, position).reshape(entry["shape"])
            position += count * stored.itemsize
            found[entry["name"]] = array.astype(entry["dtype"])
    if position != len(content):
        raise ValueError(f"{len(content)} bytes of weights, the graph describes {position}")
    return found


@dataclass(frozen=True)
class _Value:
    """A tensor of the new graph, and how the source graph sees it."""

    name: str
    stride: int = 1
    """Pixels of the picture per cell of this tensor."""
    last: bool = False
    """The source holds it channels-last here."""
    pad: tuple[int, int] = (0, 0)
    """Rows and columns of padding on each side that the source added, not yet applied."""
    fill: float = 0.0
    """What that padding holds: zero before a convolution, the lowest number before a maximum."""


class _Translation:
    """Walks the source graph backwards from a wanted output, translating each node once."""

    def __init__(
        self, nodes: Mapping[str, Mapping[str, Any]], constants: Mapping[str, NDArray[Any]]
    ) -> None:
        self.graph = Graph("nanodet")
        self._nodes = nodes
        self._constants = constants
        self._done: dict[str, _Value] = {}
        self._users: dict[str, list[str]] = {}
        for name, node in nodes.items():
            for source in node.get("input", ()):
                self._users.setdefault(source, []).append(name)

    def value(self, name: str) -> _Value:
        """The translation of the tensor `name`."""
        if name not in self._done:
            node, _, _ = name.partition(":")
            self._done |= self._translate(node)
        return self._done[name]

    def _translate(self, name: str) -> dict[str, _Value]:
        node = self._nodes[name]
        inputs: list[str] = node.get("input", [])
        attributes: Mapping[str, Any] = node.get("attr", {})
        match node["op"]:
            case "Placeholder":
                result = _Value("image")
            case "Identity":
                result = self.value(inputs[0])
            case "Transpose":
                result = self._transpose(inputs)
            case "Pad" | "PadV2":
                result = self._pad(inputs)
            case "Conv2D":
                result = self._convolution(inputs, attributes, bias=None)
            case "MaxPool":
                result = self._max_pool(inputs, attributes)
            case "Add" | "AddV2":
                result = self._addition(inputs)
            case "LeakyRelu":
                result = self._pointwise("LeakyRelu", inputs, alpha=attributes["alpha"]["f"])
            case "Sigmoid":
                result = self._pointwise("Sigmoid", inputs)
            case "ConcatV2":
                result = self._concatenation(inputs)
            case "ResizeBilinear":
                result = self._resize(inputs, attributes)
            case "Reshape":
                result = self._cells(inputs)
            case "SplitV":
                return self._split(name, inputs)
            case other:
                raise _unknown(f"operator {other}")
        return {name: result}

    def _transpose(self, inputs: Sequence[str]) -> _Value:
        source = self.value(inputs[0])
        order = self._integers(inputs[1])
        if order == _TO_LAST and not source.last:
            return replace(source, last=True)
        if order == _TO_FIRST and source.last:
            return replace(source, last=False)
        if order == [0, 2, 1] and not source.pad[0]:
            return replace(source, name=self.graph.add("Transpose", [source.name], perm=order))
        raise _unknown(f"transposition {order}")

    def _pad(self, inputs: Sequence[str]) -> _Value:
        source = self.value(inputs[0])
        batch, channels, rows, columns = self._pairs(inputs[1])
        even = rows[0] == rows[1] and columns[0] == columns[1]
        if source.last or batch != (0, 0) or channels != (0, 0) or not even:
            raise _unknown("padding")
        fill = float(self._constants[inputs[2]]) if len(inputs) > 2 else 0.0
        return replace(source, pad=(rows[0], columns[0]), fill=fill)

    def _convolution(
        self, inputs: Sequence[str], attributes: Mapping[str, Any], bias: str | None
    ) -> _Value:
        source = self.value(inputs[0])
        step = _window(attributes, "strides")
        if not source.last or source.fill or _window(attributes, "dilations") != [1, 1]:
            raise _unknown("convolution")
        _expect_valid(attributes)
        kernel = self._constants[inputs[1]].transpose(3, 2, 0, 1)
        offsets = self._constants[bias] if bias else np.zeros(kernel.shape[0], np.float32)
        if kernel.shape[0] == _CLASSES + _BINS:
            kernel, offsets = kernel[_HEAD], offsets[_HEAD]
        weights = [self.graph.constant(np.ascontiguousarray(part)) for part in (kernel, offsets)]
        name = self.graph.add(
            "Conv",
            [source.name, *weights],
            kernel_shape=list(kernel.shape[2:]),
            strides=step,
            pads=list(source.pad) * 2,
        )
        return _Value(name, source.stride * step[0], last=True)

    def _max_pool(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> _Value:
        # ONNX's padding never wins a maximum; the source's minus infinity does not either.
        source = self.value(inputs[0])
        if not source.last or source.fill > _LOWEST:
            raise _unknown("pooling")
        _expect_valid(attributes)
        step = _window(attributes, "strides")
        name = self.graph.add(
            "MaxPool",
            [source.name],
            kernel_shape=_window(attributes, "ksize"),
            strides=step,
            pads=list(source.pad) * 2,
        )
        return _Value(name, source.stride * step[0], last=True)

    def _addition(self, inputs: Sequence[str]) -> _Value:
        first, second = inputs
        if second in self._constants:
            node = self._nodes[first]
            if node["op"] != "Conv2D" or len(self._users[first]) != 1:
                raise _unknown("addition of a constant")
            return self._convolution(node["input"], node["attr"], bias=second)
        left, right = self.value(first), self.value(second)
        if (left.last, left.stride) != (right.last, right.stride):
            raise _unknown("addition of two layouts or sizes")
        return replace(left, name=self.graph.add("Add", [left.name, right.name]))

    def _pointwise(self, operator: str, inputs: Sequence[str], **attributes: float) -> _Value:
        source = self.value(inputs[0])
        return replace(source, name=self.graph.add(operator, [source.name], **attributes))

    def _concatenation(self, inputs: Sequence[str]) -> _Value:
        *names, axis = inputs
        parts = [self.value(name) for name in names]
        strides = {part.stride for part in parts}
        if any(part.last for part in parts) or len(strides) > 1 or self._integers(axis) != [1]:
            raise _unknown("concatenation")
        return replace(
            parts[0], name=self.graph.add("Concat", [part.name for part in parts], axis=1)
        )

    def _resize(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> _Value:
        source = self.value(inputs[0])
        if not source.last or not attributes["half_pixel_centers"]["b"]:
            raise _unknown("resizing")
        rows, columns = self._integers(inputs[1])
        stride = _SIDE // rows
        if rows != columns or stride * rows != _SIDE:
            raise _unknown(f"resizing to {rows} by {columns}")
        factor = source.stride / stride
        scales = self.graph.constant(np.array([1, 1, factor, factor], np.float32))
        name = self.graph.add(
            "Resize",
            [source.name, "", scales],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        return _Value(name, stride, last=True)

    def _cells(self, inputs: Sequence[str]) -> _Value:
        source = self.value(inputs[0])
        wanted = self._integers(self._nodes[inputs[1]]["input"][0])
        if source.last or wanted not in ([1, _CLASSES, -1], [1, _BINS, -1]):
            raise _unknown(f"reshaping to {wanted}")
        channels = 1 if wanted[1] == _CLASSES else _BINS
        shape = self.graph.constant(np.array([0, channels, -1], np.int64))
        return replace(source, name=self.graph.add("Reshape", [source.name, shape]))

    def _split(self, name: str, inputs: Sequence[str]) -> dict[str, _Value]:
        source = self.value(inputs[0])
        if source.last or self._integers(inputs[1]) != [_CLASSES, _BINS]:
            raise _unknown("split")
        sizes = self.graph.constant(np.array([1, _BINS], np.int64))
        parts = self.graph.add_many("Split", [source.name, sizes], 2, axis=1)
        return {
            name: replace(source, name=parts[0]),
            f"{name}:1": replace(source, name=parts[1]),
        }

    def _integers(self, name: str) -> list[int]:
        return [int(number) for number in self._constants[name].ravel()]

    def _pairs(self, name: str) -> list[tuple[int, int]]:
        return [(int(before), int(after)) for before, after in self._constants[name]]


def _window(attributes: Mapping[str, Any], key: str) -> list[int]:
    batch, rows, columns, channels = (int(number) for number in attributes[key]["list"]["i"])
    if (batch, channels) != (1, 1):
        raise _unknown(f"{key} over pictures or channels")
    return [rows, columns]


def _expect_valid(attributes: Mapping[str, Any]) -> None:
    if base64.b64decode(attributes["padding"]["s"]) != b"VALID":
        raise _unknown("padding other than VALID")


def _unknown(what: str) -> ModelError:
    return ModelError(
        "NanoDet",
        f"has a {what} that this conversion does not know",
        why="it reads one published graph, and guesses nothing",
        accepted="the package version in the manifest",
    )
