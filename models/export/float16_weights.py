"""Weights that have one type in a file and another in the graph that reads them.

MoveNet's weights are published as float16. A graph stores each of them so, followed by a Cast to float32,
which every runtime folds while it loads the graph: the file is half as large and computes the same. Graphs
of other precisions refer to the same bytes, see `calib/weights.py`; where the bytes are float32, a graph of
16 bits casts the other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:  # An import of a checkpoint reads this and has no PyTorch.
    import torch

LEAST_BYTES = 1024
"""Smaller tensors keep their type: they gain nothing."""
SUFFIX = ".float16"
"""Of the names of narrowed tensors; the Cast's output has the original name."""
WIDE_SUFFIX = ".float32"
"""Of the names of float32 tensors that a graph reads as float16."""


def is_exact(values: np.ndarray) -> bool:
    """Whether float16 holds every value of a float32 array."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


def narrow(model: onnx.ModelProto) -> int:
    """Stores the large float32 initialisers of `model` that float16 holds exactly as such, in place; returns
    how many."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.raw_data) < LEAST_BYTES:
            continue
        values = numpy_helper.to_array(tensor)
        if is_exact(values):
            casts.append(cast(tensor.name))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name + SUFFIX))
    insert(model.graph, casts)
    return len(casts)


def unfold(model: onnx.ModelProto) -> None:
    """Undoes `narrow` and what `calib/weights.py` does, in place: tools that want weights as initialisers of
    the types that nodes read find them so."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    types = {SUFFIX: np.float32, WIDE_SUFFIX: np.float16}
    kept = []
    for node in model.graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" else None
        suffix = "" if tensor is None else tensor.name.removeprefix(node.output[0])
        if tensor is None or suffix not in types:
            kept.append(node)
            continue
        values = numpy_helper.to_array(tensor).astype(types[suffix])
        tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def cast(name: str, suffix: str = SUFFIX) -> onnx.NodeProto:
    """The node that makes the tensor `name` of its stored form, whose name has the suffix."""
    kind = TensorProto.FLOAT if suffix == SUFFIX else TensorProto.FLOAT16
    return helper.make_node("Cast", [name + suffix], [name], f"{name}/cast", to=kind)


def insert(graph: onnx.GraphProto, casts: list[onnx.NodeProto]) -> None:
    """Puts nodes that read initialisers alone before all others."""
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def rounded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict whose floating-point values are the nearest that float16 holds, in their own types."""
    return {
        name: value.half().to(value.dtype) if value.dtype.is_floating_point else value
        for name, value in state.items()
    }
