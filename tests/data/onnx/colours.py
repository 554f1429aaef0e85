"""The bundle `colours`: a CapeFormer without learning, for `make.py`.

A token is the mean colour of its 32x32 pixels, and 1. A keypoint is found in the cell whose colour is nearest
to the one that was enrolled, wherever that is; the second network leaves the proposals as they are.
"""

from __future__ import annotations

import numpy as np
import onnx
from make import graph, mixing, tensor
from onnx import helper

WIDTH = 4
TOKENS = 64


def features() -> onnx.ModelProto:
    """Colours to tokens, the same for either use."""
    constants = {
        "to_tokens": mixing([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]),
        "one": np.array([0, 0, 0, 1], np.float32),
        "flat": np.array([WIDTH, TOKENS], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["cells"], kernel_shape=[32, 32], strides=[32, 32]),
        node("Conv", ["cells", "to_tokens", "one"], ["maps"]),
        node("Reshape", ["maps", "flat"], ["columns"]),
        node("Transpose", ["columns"], ["query_tokens"], perm=[1, 0]),
        node("Identity", ["query_tokens"], ["support_tokens"]),
    ]
    outputs = [tensor("query_tokens", [TOKENS, WIDTH]), tensor("support_tokens", [TOKENS, WIDTH])]
    return graph("features", nodes, [tensor("image", [1, 3, "H", "W"])], outputs, constants)


def match() -> onnx.ModelProto:
    """Similarity falls with the distance between colours; a row that does not count is -1e4 everywhere."""
    constants = {"twice": np.float32(2), "sharp": np.float32(400), "second": np.array([1], np.int64)}
    node = helper.make_node
    nodes = [
        node("Mul", ["query_tokens", "query_tokens"], ["squares"]),
        node("ReduceSum", ["squares", "second"], ["lengths"], keepdims=0),
        node("Transpose", ["query_tokens"], ["turned"], perm=[1, 0]),
        node("MatMul", ["support", "turned"], ["products"]),
        node("Mul", ["products", "twice"], ["doubled"]),
        node("Sub", ["doubled", "lengths"], ["nearness"]),
        node("Mul", ["nearness", "sharp"], ["sharpened"]),
        node("Unsqueeze", ["key_bias", "second"], ["bias"]),
        node("Add", ["sharpened", "bias"], ["similarity"]),
        node("Identity", ["query_tokens"], ["memory"]),
        node("Add", ["support", "identity"], ["refined"]),
    ]
    inputs = [
        tensor("query_tokens", [TOKENS, WIDTH]),
        tensor("support", ["keypoints", WIDTH]),
        tensor("identity", ["keypoints", WIDTH]),
        tensor("key_bias", ["keypoints"]),
    ]
    outputs = [
        tensor("similarity", [None, TOKENS]),
        tensor("memory", [TOKENS, WIDTH]),
        tensor("refined", [None, WIDTH]),
    ]
    return graph("match", nodes, inputs, outputs, constants)


def refine() -> onnx.ModelProto:
    """Proposals as they are, plus nothing of everything else."""
    constants = {
        "nothing": np.float32(0),
        "all": np.array([0, 1], np.int64),
        "first": np.array([0], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("ReduceSum", ["memory", "all"], ["of_memory"], keepdims=0),
        node("ReduceSum", ["refined", "all"], ["of_refined"], keepdims=0),
        node("ReduceSum", ["identity", "all"], ["of_identity"], keepdims=0),
        node("ReduceSum", ["key_bias", "first"], ["of_bias"], keepdims=0),
        node("Sum", ["of_memory", "of_refined", "of_identity", "of_bias"], ["everything"]),
        node("Mul", ["everything", "nothing"], ["none"]),
        node("Add", ["proposals", "none"], ["keypoints"]),
    ]
    inputs = [
        tensor("memory", [TOKENS, WIDTH]),
        tensor("refined", ["points", WIDTH]),
        tensor("identity", ["points", WIDTH]),
        tensor("key_bias", ["points"]),
        tensor("proposals", ["points", 2]),
    ]
    return graph("refine", nodes, inputs, [tensor("keypoints", [None, 2])], constants)


MANIFEST = """\
[keypoints]
names = []
edges = []
flip_pairs = []
sigmas = []

[engine.features]
inputs = [{{ name = "image", shape = [1, 3, "H", "W"] }}]
outputs = [{{ name = "query_tokens", shape = [64, 4] }}, {{ name = "support_tokens", shape = [64, 4] }}]
precision.fp32 = {{ onnx = "features.onnx", sha256 = "{features}" }}

[engine.match]
inputs = [
    {{ name = "query_tokens", shape = [64, 4] }},
    {{ name = "support", shape = ["n", 4] }},
    {{ name = "identity", shape = ["n", 4] }},
    {{ name = "key_bias", shape = ["n"] }},
]
outputs = [
    {{ name = "similarity", shape = ["n", 64] }},
    {{ name = "memory", shape = [64, 4] }},
    {{ name = "refined", shape = ["n", 4] }},
]
chunks = [2, 8]
precision.fp32 = {{ onnx = "match.onnx", sha256 = "{match}" }}

[engine.refine]
inputs = [
    {{ name = "memory", shape = [64, 4] }},
    {{ name = "refined", shape = ["n", 4] }},
    {{ name = "identity", shape = ["n", 4] }},
    {{ name = "key_bias", shape = ["n"] }},
    {{ name = "proposals", shape = ["n", 2] }},
]
outputs = [{{ name = "keypoints", shape = ["n", 2] }}]
chunks = [2, 8]
precision.fp32 = {{ onnx = "refine.onnx", sha256 = "{refine}" }}

[decode]
margin = 1.0
hidden_keypoints = "average-seen"

[limits]
poses = 5
"""
