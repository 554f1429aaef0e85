"""Quantised graphs that runtimes have computed otherwise than ONNX defines them.

In two of them an operator between two 8-bit tensors is not a function of one number; one has sums of products
beyond 16 bits.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def graph(name: str, nodes: list[onnx.NodeProto], shapes: list[list[int]]) -> onnx.ModelProto:
    """`input` to `output` with the scales that both graphs share: steps of 1/16 before, of 1/128 after."""
    constants = {
        "scale_in": np.float32(1 / 16),
        "scale_out": np.float32(1 / 128),
        "zero": np.int8(0),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "scale_sum": np.float32(8),
        "weight": np.full((1, 64, 1, 1), 127, np.int8),
    }
    used = {tensor for node in nodes for tensor in node.input}
    tensors = [
        numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items() if key in used
    ]
    sides = [
        helper.make_tensor_value_info(side, TensorProto.FLOAT, shape)
        for side, shape in zip(("input", "output"), shapes, strict=True)
    ]
    made = helper.make_graph(nodes, name, sides[:1], sides[1:], tensors)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="sinew")


def between(middle: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Quantises `input` to `a`, dequantises to `b`; `middle` leads to `c`, which is quantised to `output`."""
    node = helper.make_node
    return [
        node("QuantizeLinear", ["input", "scale_in", "zero"], ["a"]),
        node("DequantizeLinear", ["a", "scale_in", "zero"], ["b"]),
        *middle,
        node("QuantizeLinear", ["c", "scale_out", "zero"], ["d"]),
        node("DequantizeLinear", ["d", "scale_out", "zero"], ["output"]),
    ]


def resize(source: str, target: str) -> onnx.NodeProto:
    """Twice as large, bilinear, half-pixel centres."""
    return helper.make_node("Resize", [source, "", "scales"], [target], mode="linear")


def models() -> dict[str, onnx.ModelProto]:
    """By file name."""
    node = helper.make_node
    softmax = [node("Relu", ["b"], ["r"]), node("Softmax", ["r"], ["c"], axis=-1, name="attention")]
    images = [[1, 1, 8, 8], [1, 1, 16, 16]]
    whole = [
        node("QuantizeLinear", ["input", "scale_in", "zero"], ["a"]),
        resize("a", "b"),
        node("DequantizeLinear", ["b", "scale_in", "zero"], ["output"]),
    ]
    # Of the largest inputs, 64 products of 127 by 127.
    total = [
        node("QuantizeLinear", ["input", "scale_in", "zero"], ["a"]),
        node("DequantizeLinear", ["a", "scale_in", "zero"], ["b"]),
        node("DequantizeLinear", ["weight", "scale_out", "zero"], ["w"]),
        node("Conv", ["b", "w"], ["c"]),
        node("QuantizeLinear", ["c", "scale_sum", "zero"], ["d"]),
        node("DequantizeLinear", ["d", "scale_sum", "zero"], ["output"]),
    ]
    return {
        "quantised-sum": graph("sum", total, [[1, 64, 1, 1], [1, 1, 1, 1]]),
        "quantised-softmax": graph("softmax", between(softmax), [[2, 64], [2, 64]]),
        "quantised-resize": graph("resize", between([resize("b", "c")]), images),
        "quantised-resize-whole": graph("resize", whole, images),
    }
