"""The TensorFlow.js translation against a literal reading of the same graph.

The graph here is made for the test: the constructions of the real one (convolutions between
transpositions, paddings and biases apart, sizes fixed for 416) with few and random weights. The
executor below takes every node at its word and shares nothing with the conversion but the weights.
The real graph's numbers, from TensorFlow.js itself, are in test_real_models.py.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from models import ModelError, open_session
from models.convert import convert, nanodet
from models.convert.graph import required
from models.manifest import Conversion


class _Source:
    """Writes a TensorFlow.js graph model."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [{"name": "input_1", "op": "Placeholder"}]
        self.weights: list[dict[str, Any]] = []
        self.bytes = b""
        self.random = np.random.default_rng(20)

    def constant(self, array: np.ndarray) -> str:
        name = f"const_{len(self.weights)}"
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": "int32"}
        if array.dtype.kind == "f":
            entry["dtype"] = "float32"
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype(np.float16)
        self.weights.append(entry)
        self.bytes += array.tobytes()
        self.nodes.append({"name": name, "op": "Const"})
        return name

    def integers(self, *numbers: object) -> str:
        return self.constant(np.array(numbers[0] if len(numbers) == 1 else numbers, np.int32))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"node_{len(self.nodes)}"
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attributes})
        return name

    def last(self, value: str) -> str:
        return self.add("Transpose", value, self.integers(0, 2, 3, 1))

    def first(self, value: str) -> str:
        return self.add("Transpose", value, self.integers(0, 3, 1, 2))

    def convolution(self, value: str, size: int, into: int, out: int, stride: int) -> str:
        pads = self.integers([[0, 0], [0, 0], [size // 2] * 2, [size // 2] * 2])
        if size > 1:
            value = self.add("Pad", value, pads)
        kernel = self.constant(self.random.normal(0, 0.3, (size, size, into, out)))
        name = self.add("Conv2D", self.last(value), kernel, **_windows(strides=stride))
        return self.add("Add", name, self.constant(self.random.normal(0, 0.3, out)))

    def resized(self, value: str, side: int) -> str:
        attributes = {"half_pixel_centers": {"b": True}, "align_corners": {"b": False}}
        return self.first(
            self.add("ResizeBilinear", value, self.integers(side, side), **attributes)
        )

    def model(self) -> tuple[bytes, bytes]:
        manifest = [{"paths": ["x.bin"], "weights": self.weights}]
        document = {"modelTopology": {"node": self.nodes}, "weightsManifest": manifest}
        return json.dumps(document).encode(), self.bytes


def _windows(**sizes: int) -> dict[str, Any]:
    listed = {
        key: {"list": {"i": ["1", str(size), str(size), "1"]}}
        for key, size in ({"dilations": 1} | sizes).items()
    }
    return {**listed, "padding": {"s": base64.b64encode(b"VALID").decode()}}


def _network() -> _Source:
    source = _Source()
    value = source.first(source.convolution("input_1", 3, 3, 4, 2))
    value = source.add("LeakyRelu", value, alpha={"f": 0.1})
    lowest = source.constant(np.array(-np.inf, np.float32))
    pads = source.integers([[0, 0], [0, 0], [1, 1], [1, 1]])
    value = source.last(source.add("PadV2", value, pads, lowest))
    value = source.first(source.add("MaxPool", value, **_windows(strides=2, ksize=3)))
    fine_last = source.convolution(value, 3, 4, 4, 2)
    middle_last = source.convolution(source.first(fine_last), 3, 4, 4, 2)
    coarse_last = source.convolution(source.first(middle_last), 3, 4, 4, 2)
    up = source.resized(coarse_last, 26)
    middle = source.add("AddV2", source.first(middle_last), up)
    down = source.resized(source.last(source.first(fine_last)), 26)
    middle = source.add("ConcatV2", middle, down, source.integers(1), N={"i": "2"})
    levels = [(source.first(fine_last), 4), (middle, 8), (source.first(coarse_last), 4)]
    for level, (features, channels) in enumerate(levels):
        head = source.first(source.convolution(features, 1, channels, 124, 1))
        sizes, axis = source.integers(80, 44), source.integers(1)
        split = source.add("SplitV", head, sizes, axis)
        for part, wide in enumerate((80, 44)):
            value = f"{split}:1" if part else source.add("Sigmoid", split)
            empty = source.constant(np.zeros(3, np.int32))
            shape = source.add("AddV2", source.integers(1, wide, -1), empty)
            cells = source.add("Reshape", value, shape)
            cells = source.add("Transpose", cells, source.integers(0, 2, 1))
            index = level + 3 * part
            name = f"Identity_{index}" if index else "Identity"
            source.nodes.append({"name": name, "op": "Identity", "input": [cells]})
    return source


def _conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.einsum("nyxcij,ijco->nyxo", windows[:, ::stride, ::stride], kernel, optimize=True)


def _pool(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return windows[:, ::stride, ::stride].max(axis=(-1, -2))


def _bilinear(x: np.ndarray, side: int) -> np.ndarray:
    for axis in (1, 2):
        old = x.shape[axis]
        places = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(4)])
        high = np.minimum(low + 1, old - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def _execute(source: _Source, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every node of the graph, at its word, in float64."""
    document = json.loads(source.model()[0])
    values: dict[str, Any] = dict(nanodet.read_weights(document, source.bytes))
    values["input_1"] = image.astype(np.float64)
    for node in source.nodes:
        if node["op"] in ("Placeholder", "Const"):
            continue
        given = [values[name] for name in node["input"]]
        attributes = node.get("attr", {})
        stride = int(attributes["strides"]["list"]["i"][1]) if "strides" in attributes else 1
        match node["op"]:
            case "Identity":
                result = given[0]
            case "Transpose":
                result = given[0].transpose(given[1])
            case "Pad" | "PadV2":
                fill = float(given[2]) if len(given) > 2 else 0.0
                result = np.pad(given[0], given[1], constant_values=fill)
            case "Conv2D":
                result = _conv(given[0], given[1], stride)
            case "MaxPool":
                result = _pool(given[0], 3, stride)
            case "Add" | "AddV2":
                result = given[0] + given[1]
            case "LeakyRelu":
                result = np.where(given[0] > 0, given[0], given[0] * attributes["alpha"]["f"])
            case "Sigmoid":
                result = 1 / (1 + np.exp(-given[0]))
            case "ConcatV2":
                result = np.concatenate(given[:-1], axis=int(given[-1]))
            case "ResizeBilinear":
                result = _bilinear(given[0], int(given[1][0]))
            case "Reshape":
                result = given[0].reshape(given[1])
            case "SplitV":
                result, values[f"{node['name']}:1"] = np.split(given[0], [80], axis=1)
        values[node["name"]] = result
    return values


def _convert(source: _Source) -> bytes:
    topology, weights = source.model()
    return convert(Conversion.NANODET_TFJS, {"a/x.json": topology, "a/x.bin": weights})


def test_numbers_are_those_of_the_literal_graph() -> None:
    source = _network()
    image = np.random.default_rng(3).normal(0, 1, (1, 3, 416, 416)).astype(np.float32)
    expected = _execute(source, image)
    scores, distances = open_session(_convert(source)).run(image)
    wanted = [expected[name] for name in ("Identity", "Identity_1", "Identity_2")]
    assert scores.shape == (1, 52**2 + 26**2 + 13**2, 1)
    assert np.allclose(scores, np.concatenate(wanted, axis=1)[:, :, :1], atol=2e-6)
    wanted = [expected[name] for name in ("Identity_3", "Identity_4", "Identity_5")]
    assert np.allclose(distances, np.concatenate(wanted, axis=1), atol=2e-4)


def test_sizes_and_batches_are_free() -> None:
    session = open_session(_convert(_network()))
    random = np.random.default_rng(4)
    images = random.normal(0, 1, (2, 3, 64, 96)).astype(np.float32)
    both = session.run(images)
    assert both[0].shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 1)
    for index in range(2):
        one = session.run(images[index : index + 1])
        assert all(np.allclose(a[index], b[0], atol=1e-5) for a, b in zip(both, one, strict=True))


def test_same_bytes_each_time() -> None:
    onnx = required("onnx")
    first = _convert(_network())
    assert first == _convert(_network())
    model = onnx.load_model_from_string(first)
    assert (model.producer_name, model.ir_version, model.opset_import[0].version) == (
        "smartpole",
        8,
        17,
    )
    assert model.graph.doc_string == model.doc_string == ""


def _change(source: _Source, operator: str, **changes: Any) -> None:
    node = next(node for node in source.nodes if node["op"] == operator)
    node.update({key: value for key, value in changes.items() if key != "attr"})
    node.setdefault("attr", {}).update(changes.get("attr", {}))


@pytest.mark.parametrize(
    ("op", "changes", "says"),
    [
        ("LeakyRelu", {"op": "Relu6"}, "operator Relu6"),
        ("Conv2D", {"attr": {"padding": {"s": base64.b64encode(b"SAME").decode()}}}, "VALID"),
        ("Conv2D", {"attr": {"dilations": _windows(dilations=2)["dilations"]}}, "convolution"),
        ("ResizeBilinear", {"attr": {"half_pixel_centers": {"b": False}}}, "resizing"),
    ],
)
def test_guesses_nothing(op: str, changes: dict[str, Any], says: str) -> None:
    source = _network()
    _change(source, op, **changes)
    with pytest.raises(ModelError, match=says):
        _convert(source)


@pytest.mark.parametrize("cut", [0, 100])
def test_weights_that_do_not_fit(cut: int) -> None:
    topology, weights = _network().model()
    wrong = weights[:cut] if cut else weights + b"more"
    with pytest.raises(ModelError, match=r"no TensorFlow\.js graph"):
        nanodet.convert(topology, wrong)


def test_what_is_no_graph() -> None:
    for content in (b"", b"{}", b"[]", b'{"modelTopology": {"node": []}, "weightsManifest": []}'):
        with pytest.raises(ModelError, match="NanoDet"):
            nanodet.convert(content, b"")
