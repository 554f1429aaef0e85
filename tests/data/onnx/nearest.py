"""The bundle `nearest`: a CenterGroup without learning, for `make.py`.

It sees a picture's colours: red is the heatmap of keypoint 0, blue that of keypoint 1 and green that of the
centre, averaged over cells of 2x2 pixels. Every centre takes the nearest keypoint of each type, as far as
the sines of positions can tell: up to three cells of 4x4 pixels away. A keypoint is sure to be visible where
there is one of its type; a centre is the surer a person the greener it is.
"""

from __future__ import annotations

import numpy as np
import onnx
from make import graph, mixing, tensor
from onnx import TensorProto, helper

KEYPOINTS = 2
WIDTH = 4


def backbone() -> onnx.ModelProto:
    """Colours to heatmaps, and to rows whose first channel is green."""
    constants = {
        "to_maps": mixing([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        "to_rows": mixing([[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        "batch": np.array([0], np.int64),
        "flat": np.array([WIDTH, -1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["half", "to_maps"], ["maps"]),
        node("Squeeze", ["maps", "batch"], ["heat_half"]),
        node("AveragePool", ["image"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["cells", "to_rows"], ["features"]),
        node("Reshape", ["features", "flat"], ["columns"]),
        node("Transpose", ["columns"], ["one_map"], perm=[1, 0]),
        node("Concat", ["one_map", "one_map"], ["rows"], axis=0),
    ]
    outputs = [tensor("heat_half", [None, None, None]), tensor("rows", [None, WIDTH])]
    return graph("backbone", nodes, [tensor("image", [1, 3, "H", "W"])], outputs, constants)


def grouping() -> onnx.ModelProto:
    """Attention by the likeness of positions, and to the own type before all others."""
    own_type = np.eye(KEYPOINTS, dtype=np.float32)[:, None, :, None] * 100
    constants = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "all_types": np.array([KEYPOINTS + 1, -1, WIDTH], np.int64),
        "bias_by_type": np.array([KEYPOINTS + 1, -1], np.int64),
        "keypoints": np.array([KEYPOINTS], np.int64),
        "end": np.array([KEYPOINTS + 1], np.int64),
        "flat": np.array([-1, WIDTH], np.int64),
        "row": np.array([1, 1, KEYPOINTS, -1], np.int64),
        "by_type": np.array([1, 0, KEYPOINTS, -1], np.int64),
        "own_type": own_type,
        "joined": np.array([0, 0, -1], np.int64),
        "last": np.array([2], np.int64),
        "sharp": np.float32(20),
        "sure": np.float32(-95),
        "green": np.array([[10], [0], [0], [0]], np.float32),
        "doubt": np.float32(-3),
    }
    node = helper.make_node
    nodes = [
        node("Concat", ["pos_rows", "pos_rows"], ["positions"], axis=0),
        node("Unsqueeze", ["wgt", "last"], ["weights"]),
        node("Gather", ["positions", "idx"], ["near"]),
        node("Mul", ["near", "weights"], ["weighted"]),
        node("ReduceSum", ["weighted", "second"], ["places"], keepdims=0),
        node("Reshape", ["places", "all_types"], ["typed"]),
        node("Slice", ["typed", "first", "keypoints", "first"], ["keys_by_type"]),
        node("Slice", ["typed", "keypoints", "end", "first"], ["centers"]),
        node("Squeeze", ["centers", "first"], ["queries"]),
        node("Reshape", ["keys_by_type", "flat"], ["keys"]),
        node("Transpose", ["keys"], ["turned"], perm=[1, 0]),
        node("MatMul", ["queries", "turned"], ["likeness"]),
        node("Mul", ["likeness", "sharp"], ["sharpened"]),
        node("Unsqueeze", ["sharpened", "first"], ["one_type"]),
        node("Reshape", ["one_type", "by_type"], ["split"]),
        node("Reshape", ["bias", "bias_by_type"], ["typed_bias"]),
        node("Slice", ["typed_bias", "first", "keypoints", "first"], ["key_bias"]),
        node("Reshape", ["key_bias", "row"], ["biases"]),
        node("Add", ["split", "biases"], ["counted"]),
        node("Add", ["counted", "own_type"], ["preferred"]),
        node("Reshape", ["preferred", "joined"], ["attn"]),
        node("ReduceMax", ["attn"], ["best"], axes=[2], keepdims=0),
        node("Add", ["best", "sure"], ["vis"]),
        node("Gather", ["rows", "idx"], ["around"]),
        node("Mul", ["around", "weights"], ["around_weighted"]),
        node("ReduceSum", ["around_weighted", "second"], ["sampled"], keepdims=0),
        node("Reshape", ["sampled", "all_types"], ["sampled_by_type"]),
        node("Slice", ["sampled_by_type", "keypoints", "end", "first"], ["of_centers"]),
        node("Squeeze", ["of_centers", "first"], ["center_features"]),
        node("MatMul", ["center_features", "green"], ["greenness"]),
        node("Squeeze", ["greenness", "second"], ["flat_greenness"]),
        node("Add", ["flat_greenness", "doubt"], ["center"]),
    ]
    inputs = [
        tensor("rows", ["features", WIDTH]),
        tensor("pos_rows", ["cells", WIDTH]),
        tensor("idx", ["tokens", 4], TensorProto.INT32),
        tensor("wgt", ["tokens", 4]),
        tensor("bias", ["tokens"]),
    ]
    outputs = [
        tensor("attn", [KEYPOINTS, None, None]),
        tensor("vis", [KEYPOINTS, None]),
        tensor("center", [None]),
    ]
    return graph("grouping", nodes, inputs, outputs, constants)


MANIFEST = """\
[keypoints]
names = ["red", "blue"]
edges = [[0, 1]]
flip_pairs = []
sigmas = [0.1, 0.1]

[engine.backbone]
inputs = [{{ name = "image", shape = [1, 3, "H", "W"] }}]
outputs = [{{ name = "heat_half", shape = [3, "H/2", "W/2"] }}, {{ name = "rows", shape = ["H*W/8", 4] }}]
precision.fp32 = {{ onnx = "backbone.onnx", sha256 = "{backbone}" }}

[engine.grouping]
inputs = [
    {{ name = "rows", shape = ["H*W/8", 4] }},
    {{ name = "pos_rows", shape = ["H*W/16", 4] }},
    {{ name = "idx", element = "i32", shape = ["3*n", 4] }},
    {{ name = "wgt", shape = ["3*n", 4] }},
    {{ name = "bias", shape = ["3*n"] }},
]
outputs = [
    {{ name = "attn", shape = [2, "n", "2*n"] }},
    {{ name = "vis", shape = [2, "n"] }},
    {{ name = "center", shape = ["n"] }},
]
chunks = [2, 10]
precision.fp32 = {{ onnx = "grouping.onnx", sha256 = "{grouping}" }}

[decode]
stride = 4
keypoint_window_radius = 2
center_window_radius = 8
token_threshold = 0.1
least_tokens = 0
collapse_ties = true
attention_ties = "highest"
score = "visibility"
visible_threshold = 0.5
person_threshold = 0.5
scored_keypoints = 5
score_threshold = 0.2
nms_similarity = 0.9

[limits]
poses = 10
centers = 10
"""
