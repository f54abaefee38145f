"""A small writer of ONNX graphs whose bytes depend on nothing but what is put in.

No time, machine, random name or library version enters the file: names are counted, and IR
version, operator set and producer are set here. So the result of a conversion can have a SHA-256 in
the manifest, whoever converts it and when.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

__all__ = ["Graph", "Shape", "required"]

Shape = Sequence[int | str]

OPSET = 17
IR_VERSION = 8


def required(module: str) -> Any:
    """Import a library that only conversion needs; `ModelError` names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelError(
            "model conversion",
            f"needs the library {module}, which cannot be imported",
            why=str(error),
            accepted="pip install 'smartpole[convert]'",
        ) from error


class Graph:
    """Collects nodes and constants and serialises them.

    graph = Graph("double")
    graph.output("y", graph.add("Add", ["x", "x"]), ["N"])
    model = graph.serialise({"x": ["N"]})
    """

    def __init__(self, name: str) -> None:
        self._onnx: Any = required("onnx")
        self._helper: Any = required("onnx.helper")
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        """Add a node with one output; return that output's name."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], outputs: int, **attributes: object
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        stem = f"{operator.lower()}_{len(self._nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{index}" for index in range(outputs)]
        self._nodes.append(self._helper.make_node(operator, inputs, names, **attributes))
        return names

    def constant(self, array: NDArray[Any]) -> str:
        """Add a constant (float32 or int64); return its name."""
        name = f"constant_{len(self._constants)}"
        # Little-endian raw bytes whatever the machine: that is how ONNX defines raw_data.
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        kind = {"f4": self._onnx.TensorProto.FLOAT, "i8": self._onnx.TensorProto.INT64}
        self._constants.append(
            self._helper.make_tensor(
                name, kind[little.dtype.str[1:]], array.shape, little.tobytes(), raw=True
            )
        )
        return name

    def output(self, name: str, value: str, shape: Shape) -> None:
        """Declare `value` to be the graph's next output (float32), under the name `name`."""
        self._nodes.append(self._helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._float32(name, shape))

    def serialise(self, inputs: dict[str, Shape]) -> bytes:
        """The checked model as bytes, with the float32 `inputs` it takes."""
        graph = self._helper.make_graph(
            self._nodes,
            self._name,
            [self._float32(name, shape) for name, shape in inputs.items()],
            self._outputs,
            self._constants,
        )
        model = self._helper.make_model(
            graph,
            producer_name="smartpole",
            producer_version="1",
            opset_imports=[self._helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        required("onnx.checker").check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _float32(self, name: str, shape: Shape) -> Any:
        return self._helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape)
