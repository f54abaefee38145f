"""The Keras mask classifier (MobileNetV2 with a small head) -> ONNX.

Layer by layer, with three things done once here that Keras does for every picture: a batch
normalisation becomes part of its convolution, a padding layer too, and dropout, which does nothing
outside training, is left out. Tensors are channels-first.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.convert.graph import Graph, required
from models.errors import ModelError

__all__ = ["convert"]

_Array = NDArray[np.float32]


def convert(content: bytes) -> bytes:
    """Translate the Keras file. Returns an ONNX file: `image` N x 3 x H x W ->
    `probabilities` N x 2 (mask worn, none). Keras had 224 x 224; any sides work."""
    h5py = required("h5py")
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            layers = json.loads(file.attrs["model_config"])["config"]["layers"]
            weights = {layer["name"]: _weights(file, layer["name"]) for layer in layers}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError("mask model", "is no Keras h5 model", why=repr(error)) from error
    translation = _Translation(layers, weights)
    last = translation.run()
    translation.graph.output("probabilities", last, ["N", 2])
    return translation.graph.serialise({"image": ["N", 3, "H", "W"]})


def _weights(file: Any, layer: str) -> dict[str, _Array]:
    """A layer's arrays by their short name, such as `kernel`."""
    group = file["model_weights"][layer]
    # Older writers stored byte strings.
    names = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in group.attrs["weight_names"]
    ]
    return {name.rpartition("/")[2].partition(":")[0]: np.asarray(group[name]) for name in names}


@dataclass(frozen=True)
class _Value:
    """A tensor of the new graph; `pad` is top, left, bottom, right, not yet applied."""

    name: str
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)


class _Translation:
    """Goes through the layers in the file's order, which is the order of computation."""

    def __init__(
        self,
        layers: Sequence[Mapping[str, Any]],
        weights: Mapping[str, Mapping[str, _Array]],
    ) -> None:
        self.graph = Graph("mask")
        self._layers = layers
        self._weights = weights
        self._values: dict[str, _Value] = {}
        self._users: dict[str, list[Mapping[str, Any]]] = {}
        for layer in layers:
            for source in _sources(layer):
                self._users.setdefault(source, []).append(layer)

    def run(self) -> str:
        """Translate every layer; return the last one's tensor."""
        for layer in self._layers:
            inputs = [self._values[source] for source in _sources(layer)]
            self._values[layer["name"]] = self._translate(layer, inputs)
        return self._values[self._layers[-1]["name"]].name

    def _translate(self, layer: Mapping[str, Any], inputs: list[_Value]) -> _Value:
        config: Mapping[str, Any] = layer["config"]
        match layer["class_name"]:
            case "InputLayer":
                return _Value("image")
            case "ZeroPadding2D":
                (top, bottom), (left, right) = config["padding"]
                return _Value(inputs[0].name, (top, left, bottom, right))
            case "Conv2D" | "DepthwiseConv2D":
                return self._convolution(layer, inputs[0])
            case "BatchNormalization" | "Dropout":
                return inputs[0]  # the first is in the convolution before it
            case "ReLU":
                return self._relu(config, inputs[0])
            case "Add":
                return _Value(self.graph.add("Add", [value.name for value in inputs]))
            case "AveragePooling2D":
                # At 224 pixels, where the model was trained, it takes in the whole map, of which
                # one cell is left. So it does at any other size.
                if config["strides"] != config["pool_size"]:
                    raise _unknown(f"pooling in steps of {config['strides']}")
                return _Value(self.graph.add("GlobalAveragePool", [inputs[0].name]))
            case "Flatten":
                # One cell is left by now, so channels first or last is the same row of numbers.
                return _Value(self.graph.add("Flatten", [inputs[0].name]))
            case "Dense":
                return self._dense(layer, inputs[0])
            case other:
                raise _unknown(f"layer {other}")

    def _convolution(self, layer: Mapping[str, Any], source: _Value) -> _Value:
        config: Mapping[str, Any] = layer["config"]
        arrays = self._weights[layer["name"]]
        if (
            config["use_bias"]
            or config["activation"] != "linear"
            or config["dilation_rate"] != [1, 1]
        ):
            raise _unknown(f"convolution {layer['name']}")
        if layer["class_name"] == "Conv2D":
            kernel, groups = arrays["kernel"].transpose(3, 2, 0, 1), 1
        else:
            kernel = arrays["depthwise_kernel"].transpose(2, 3, 0, 1)
            groups = kernel.shape[0]
        scale, offset = self._normalisation(layer["name"])
        # In double precision, so that folding costs one rounding and no more.
        kernel = (kernel.astype(np.float64) * scale[:, None, None, None]).astype(np.float32)
        pads = list(source.pad)
        if config["padding"] == "same":
            if config["strides"] != [1, 1]:
                raise _unknown("convolution that pads the same and steps")
            pads = [(side - 1) // 2 for side in config["kernel_size"]] * 2
        name = self.graph.add(
            "Conv",
            [
                source.name,
                self.graph.constant(np.ascontiguousarray(kernel)),
                self.graph.constant(offset.astype(np.float32)),
            ],
            kernel_shape=config["kernel_size"],
            strides=config["strides"],
            pads=pads,
            group=groups,
        )
        return _Value(name)

    def _normalisation(self, convolution: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and offset per channel of the batch normalisation that follows."""
        users = self._users[convolution]
        if len(users) != 1 or users[0]["class_name"] != "BatchNormalization":
            raise _unknown(f"convolution {convolution} without batch normalisation")
        arrays = {
            key: array.astype(np.float64) for key, array in self._weights[users[0]["name"]].items()
        }
        deviation = np.sqrt(arrays["moving_variance"] + users[0]["config"]["epsilon"])
        scale = arrays["gamma"] / deviation
        return scale, arrays["beta"] - arrays["moving_mean"] * scale

    def _relu(self, config: Mapping[str, Any], source: _Value) -> _Value:
        if config["negative_slope"] or config["threshold"]:
            raise _unknown("leaky activation")
        limits = [self.graph.constant(np.array(n, np.float32)) for n in (0, config["max_value"])]
        return _Value(self.graph.add("Clip", [source.name, *limits]))

    def _dense(self, layer: Mapping[str, Any], source: _Value) -> _Value:
        arrays = self._weights[layer["name"]]
        operator = {"relu": "Relu", "softmax": "Softmax"}.get(layer["config"]["activation"])
        if operator is None:
            raise _unknown(f"activation {layer['config']['activation']}")
        weights = [self.graph.constant(arrays[key]) for key in ("kernel", "bias")]
        sums = self.graph.add("Gemm", [source.name, *weights])
        return _Value(self.graph.add(operator, [sums]))


def _sources(layer: Mapping[str, Any]) -> list[str]:
    return [node[0] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []


def _unknown(what: str) -> ModelError:
    return ModelError(
        "mask model",
        f"has a {what} that this conversion does not know",
        why="it reads one published model, and guesses nothing",
        accepted="the package version in the manifest",
    )
