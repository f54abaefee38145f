"""The Keras translation against plain numpy, on a small model of the same layers; CenterFace's."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
import pytest

from models import ModelError, open_session
from models.convert import convert, face, mask
from models.convert.graph import required
from models.manifest import Conversion

_CHANNELS = 4


def _layer(kind: str, name: str, sources: list[str], **config: Any) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
    config = {"name": name, **config}
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes}


def _conv(kind: str, name: str, source: str, size: int, step: int, padding: str) -> dict[str, Any]:
    return _layer(
        kind,
        name,
        [source],
        kernel_size=[size, size],
        strides=[step, step],
        padding=padding,
        dilation_rate=[1, 1],
        activation="linear",
        use_bias=False,
    )


def _layers() -> list[dict[str, Any]]:
    norm = {"epsilon": 0.001, "axis": [3]}
    relu = {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}
    return [
        _layer("InputLayer", "in", []),
        _layer("ZeroPadding2D", "pad", ["in"], padding=[[0, 1], [0, 1]]),
        _conv("Conv2D", "conv", "pad", 3, 2, "valid"),
        _layer("BatchNormalization", "conv_bn", ["conv"], **norm),
        _layer("ReLU", "conv_relu", ["conv_bn"], **relu),
        _conv("DepthwiseConv2D", "deep", "conv_relu", 3, 1, "same"),
        _layer("BatchNormalization", "deep_bn", ["deep"], **norm),
        _layer("Add", "sum", ["conv_relu", "deep_bn"]),
        _layer("AveragePooling2D", "mean", ["sum"], pool_size=[112, 112], strides=[112, 112]),
        _layer("Flatten", "flat", ["mean"]),
        _layer("Dense", "dense", ["flat"], activation="relu"),
        _layer("Dropout", "drop", ["dense"], rate=0.5),
        _layer("Dense", "out", ["drop"], activation="softmax"),
    ]


def _weights() -> dict[str, dict[str, np.ndarray]]:
    random = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def norm() -> dict[str, np.ndarray]:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return {name: np.abs(normal(_CHANNELS)) + 0.1 for name in names}

    return {
        "conv": {"kernel": normal(3, 3, 3, _CHANNELS)},
        "conv_bn": norm(),
        "deep": {"depthwise_kernel": normal(3, 3, _CHANNELS, 1)},
        "deep_bn": norm(),
        "dense": {"kernel": normal(_CHANNELS, 5), "bias": normal(5)},
        "out": {"kernel": normal(5, 2), "bias": normal(2)},
    }


def _file(layers: list[dict[str, Any]], weights: dict[str, dict[str, np.ndarray]]) -> bytes:
    buffer = io.BytesIO()
    with required("h5py").File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
        for layer in layers:
            group = file.create_group(f"model_weights/{layer['name']}")
            arrays = weights.get(layer["name"], {})
            names = [f"{layer['name']}/{key}:0".encode() for key in arrays]
            group.attrs["weight_names"] = names
            for name, array in zip(names, arrays.values(), strict=True):
                group.create_dataset(name.decode(), data=array)
    return buffer.getvalue()


def _windows(x: np.ndarray, step: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::step, ::step]


def _expected(image: np.ndarray) -> np.ndarray:
    """What Keras would compute, layer by layer, channels last, in float64."""
    w = _weights()

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        bn = w[name]
        return (x - bn["moving_mean"]) / np.sqrt(bn["moving_variance"] + 0.001) * bn["gamma"] + bn[
            "beta"
        ]

    x = np.pad(image.astype(np.float64), [(0, 0), (0, 1), (0, 1), (0, 0)])
    x = np.einsum("nyxcij,ijco->nyxo", _windows(x, 2), w["conv"]["kernel"])
    first = np.clip(norm(x, "conv_bn"), 0, 6)
    x = np.pad(first, [(0, 0), (1, 1), (1, 1), (0, 0)])
    x = np.einsum("nyxcij,ijc->nyxc", _windows(x, 1), w["deep"]["depthwise_kernel"][..., 0])
    x = (first + norm(x, "deep_bn")).mean(axis=(1, 2))
    x = np.maximum(x @ w["dense"]["kernel"] + w["dense"]["bias"], 0)
    x = np.exp(x @ w["out"]["kernel"] + w["out"]["bias"])
    return x / x.sum(axis=1, keepdims=True)


def test_numbers_are_those_of_the_layers() -> None:
    content = _file(_layers(), _weights())
    session = open_session(convert(Conversion.MASK_KERAS, {"a/b.model": content}))
    image = np.random.default_rng(8).uniform(-1, 1, (3, 224, 224, 3)).astype(np.float32)
    found = session.run(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))[0]
    assert found.shape == (3, 2)
    assert np.allclose(found, _expected(image), atol=1e-5)


def test_same_bytes_each_time() -> None:
    content = _file(_layers(), _weights())
    assert mask.convert(content) == mask.convert(content)


@pytest.mark.parametrize(
    ("index", "change", "says"),
    [
        (4, {"class_name": "ELU"}, "layer ELU"),
        (4, {"config": {"negative_slope": 0.1, "threshold": 0.0, "max_value": 6.0}}, "leaky"),
        (3, {"class_name": "Dropout"}, "without batch normalisation"),
        (12, {"config": {"activation": "tanh"}}, "activation tanh"),
    ],
)
def test_guesses_nothing(index: int, change: dict[str, Any], says: str) -> None:
    layers = _layers()
    layers[index].update(change)
    with pytest.raises(ModelError, match=says):
        mask.convert(_file(layers, _weights()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_what_is_no_keras_file(share: float) -> None:
    content = _file(_layers(), _weights())
    with pytest.raises(ModelError, match="no Keras h5 model"):
        mask.convert(content[: int(len(content) * share)])


@pytest.mark.parametrize("missing", ["onnx", "h5py"])
def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    content = _file(_layers(), _weights())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=f"needs the library {missing}") as raised:
        mask.convert(content)
    assert "smartpole[convert]" in raised.value.accepted


def _centre_face(outputs: dict[str, int]) -> bytes:
    """A model shaped like the packaged one: sides fixed, outputs numbered, a left-over counter."""
    helper, types = required("onnx.helper"), required("onnx").TensorProto
    info = helper.make_tensor_value_info
    nodes, weights, declared = [], [], []
    for name, channels in outputs.items():
        kernel = np.full((channels, 3, 4, 4), 0.01, np.float32)
        weights.append(helper.make_tensor(f"w{name}", types.FLOAT, kernel.shape, kernel.ravel()))
        nodes.append(helper.make_node("Conv", ["input.1", f"w{name}"], [name], strides=[4, 4]))
        declared.append(info(name, types.FLOAT, [10, channels, 8, 8]))
    weights.append(helper.make_tensor("bn.num_batches_tracked", types.INT64, [], [5]))
    inputs = [info("input.1", types.FLOAT, [10, 3, 32, 32])]
    inputs += [info(weight.name, weight.data_type, weight.dims) for weight in weights]
    graph = helper.make_graph(nodes, "g", inputs, declared, weights)
    opset = [helper.make_opsetid("", 9)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=4).SerializeToString()
    return content


def test_centre_face_gets_free_sides_and_names() -> None:
    source = _centre_face({"537": 1, "538": 2, "539": 2, "540": 10})
    result = convert(Conversion.FACE_SIDES, {"x/y.onnx": source})
    assert result == face.convert(source)
    session = open_session(result)
    assert list(session.outputs) == ["heatmap", "scale", "offset", "landmarks"]
    outputs = session.run(np.ones((1, 3, 64, 96), np.float32))
    assert [output.shape for output in outputs] == [(1, c, 16, 24) for c in (1, 2, 2, 10)]
    names = [
        weight.name for weight in required("onnx").load_model_from_string(result).graph.initializer
    ]
    assert names == ["w537", "w538", "w539", "w540"]


def test_another_file_is_not_centre_face() -> None:
    with pytest.raises(ModelError, match=r"has outputs \['1'\]"):
        face.convert(_centre_face({"1": 1}))
    with pytest.raises(ModelError, match="is no ONNX file"):
        face.convert(b"\xff\xff not protobuf")


def test_conversion_needs_its_files() -> None:
    with pytest.raises(ModelError, match=r"got 0 files ending in '\.bin'"):
        convert(Conversion.NANODET_TFJS, {"a.json": b"{}"})
    assert convert(Conversion.NONE, {"a.onnx": b"as it is"}) == b"as it is"
