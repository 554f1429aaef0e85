"""Graphs whose quantised parts are INT8 and whose rest is FP16, for builders that take types as they stand.

TensorRT before 11 chooses types by itself, and is allowed 16 bits by a flag. From 11 on, and in TensorRT-RTX,
it computes what a graph does not quantise in the type that stands there: 32 bits in a graph with Q and DQ
around float32. Here Q and DQ stand in the fp16 graph, with scales of 16 bits, so that nothing is cast on the
way. ONNX allows such scales from opset 19 on, which these graphs are converted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from calib import graphs
from calib.recipe import Placement
from models.export import float16_weights

OPSET = 19
IR_VERSION = 9
"""Of the first ONNX release that has the opset."""


@dataclass(frozen=True)
class Steps:
    """How a tensor is quantised: its scale, one number or one for each index of an axis. The zero is 0."""

    scale: np.ndarray
    axis: int | None


def mix(original: Path, quantised: Path, halved: Path, placement: Placement, target: Path) -> None:
    """Writes to `target` the fp16 graph `halved` with the Q and DQ that `quantised` has around mixed layers.

    All stand beside `original`, in which weights stay.
    """
    scales = steps_of(graphs.load(quantised), set(placement.mixed))
    weights = {tensor.name: tensor for tensor in graphs.load(original).graph.initializer}
    made = version_converter.convert_version(graphs.load(halved), OPSET)
    insert(made.graph, scales, weights)
    made.ir_version = max(made.ir_version, IR_VERSION)
    graphs.finish(made, made.opset_import, original, target)


def steps_of(quantised: onnx.ModelProto, names: set[str]) -> dict[str, tuple[Steps, Steps]]:
    """For every named layer of a graph with Q and DQ, the steps of its input and of its weights."""
    constants = {tensor.name: tensor for tensor in quantised.graph.initializer}
    makers = {output: node for node in quantised.graph.node for output in node.output}

    def of(value: str) -> Steps:
        node = makers[value]
        if node.op_type != "DequantizeLinear":
            raise ValueError(f"{value} is made by {node.op_type}, not by DequantizeLinear")
        scale = numpy_helper.to_array(constants[node.input[1]])
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        return Steps(scale, axis if scale.ndim else None)

    return {
        node.name: (of(node.input[0]), of(node.input[1]))
        for node in quantised.graph.node
        if node.name in names
    }


def insert(
    graph: onnx.GraphProto, scales: dict[str, tuple[Steps, Steps]], weights: dict[str, onnx.TensorProto]
) -> None:
    """Puts Q and DQ before the input and the weights of every layer that has scales, in place.

    `weights` are the originals, which are rounded once, not to 16 bits before. Those of `graph` that nothing
    reads any more go.
    """
    left = set(scales)
    pairs: dict[tuple[str, bytes], str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in left:
            left.remove(node.name)
            ahead, own = scales[node.name]
            key = (node.input[0], ahead.scale.tobytes())
            if key not in pairs:
                pairs[key] = pair(
                    graph, nodes, node.input[0], f"{node.name}/input", ahead, TensorProto.FLOAT16
                )
            node.input[0] = pairs[key]
            node.input[1] = weight(graph, nodes, weights[node.input[1]], f"{node.name}/weight", own)
        nodes.append(node)
    if left:
        raise ValueError(f"the fp16 graph has no layers {sorted(left)}")
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def weight(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensor: onnx.TensorProto, name: str, steps: Steps
) -> str:
    """Adds the original weight `tensor` with its pair; the name of what the layer reads."""
    values = numpy_helper.to_array(tensor)
    if float16_weights.is_exact(values):
        values = values.astype(np.float16)
    graph.initializer.append(numpy_helper.from_array(values, name))
    return pair(graph, nodes, name, name, steps, helper.np_dtype_to_tensor_dtype(values.dtype))


def pair(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], value: str, name: str, steps: Steps, kind: int
) -> str:
    """Adds Q and DQ for `value`, of type `kind`; the name of the result, which has 16 bits."""
    # A channel whose weights are next to nothing may have a step that 16 bits round to nothing.
    scale = np.maximum(steps.scale, np.finfo(np.float16).smallest_normal).astype(np.float16)
    if not (scale > 0).all() or not np.isfinite(scale).all():
        raise ValueError(f"{name}: a scale that float16 does not hold")
    zero = np.zeros(scale.shape, np.int8)
    # Both sides of a pair have the same step, also where it is written with 32 bits.
    constants: dict[str, np.ndarray] = {"scale": scale, "zero_point": zero}
    first = "scale"
    if kind == TensorProto.FLOAT:
        first = "wide_scale"
        constants[first] = scale.astype(np.float32)
    graph.initializer.extend(
        numpy_helper.from_array(values, f"{name}_{suffix}") for suffix, values in constants.items()
    )
    axis: dict[str, Any] = {} if steps.axis is None else {"axis": steps.axis}
    for operator, source, result, suffix in (
        ("QuantizeLinear", value, f"{name}_quantised", first),
        ("DequantizeLinear", f"{name}_quantised", f"{name}_dequantised", "scale"),
    ):
        inputs = [source, f"{name}_{suffix}", f"{name}_zero_point"]
        nodes.append(helper.make_node(operator, inputs, [result], f"{name}/{operator}", **axis))
    return f"{name}_dequantised"
