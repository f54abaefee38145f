"""CenterFace as packaged -> the same network for pictures of any size, its outputs named.

The packaged file fixes its input to ten pictures of 32 by 32, although nothing in the network
depends on that, and numbers its outputs. Weights and operators stay untouched.
"""

from __future__ import annotations

from models.convert.graph import required
from models.errors import ModelError

__all__ = ["convert"]

# By channel count, which is unambiguous but for scale and offset: 538 and 539 in the file's order.
_OUTPUTS = {
    "537": ("heatmap", 1),
    "538": ("scale", 2),
    "539": ("offset", 2),
    "540": ("landmarks", 10),
}
_INPUTS = {"input.1": "image"}


def convert(content: bytes) -> bytes:
    """Rename inputs and outputs and free the picture's sides. Returns the ONNX file."""
    onnx = required("onnx")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        # protobuf's error class depends on its version and back end, so none can be named here.
        raise ModelError("CenterFace", "is no ONNX file", why=str(error)) from error
    graph = model.graph
    found = {output.name for output in graph.output}
    if found != set(_OUTPUTS) or not any(entry.name in _INPUTS for entry in graph.input):
        raise ModelError(
            "CenterFace",
            f"has outputs {sorted(found)}",
            why="this conversion knows one published file only",
            accepted=f"input {', '.join(_INPUTS)}, outputs {', '.join(_OUTPUTS)}",
        )
    new_names = _INPUTS | {old: new for old, (new, _) in _OUTPUTS.items()}
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new_names.get(name, name)
    # Counters that only training uses came along; ONNX Runtime would warn about each.
    used = {name for node in graph.node for name in node.input}
    weights = [constant for constant in graph.initializer if constant.name in used]
    constants = {constant.name for constant in graph.initializer}
    del graph.initializer[:]
    graph.initializer.extend(weights)
    kept = [entry for entry in graph.input if entry.name not in constants]
    del graph.input[:]
    for entry in kept:
        entry.name = new_names.get(entry.name, entry.name)
        _set_shape(entry, [1, 3, "H", "W"])
        graph.input.append(entry)
    for output in graph.output:
        output.name, channels = _OUTPUTS[output.name]
        _set_shape(output, [1, channels, "H/4", "W/4"])
    # Shapes of intermediate values were recorded for 32 by 32 and would be wrong now.
    del graph.value_info[:]
    model.producer_name, model.producer_version = "smartpole", "1"
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _set_shape(value: object, shape: list[int | str]) -> None:
    dimensions = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    for dimension, size in zip(dimensions, shape, strict=True):
        if isinstance(size, int):
            dimension.dim_value = size
        else:
            dimension.dim_param = size
