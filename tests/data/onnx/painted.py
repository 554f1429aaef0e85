"""The bundle `painted`: a LOFR without learning, for `make.py`.

Red and blue are the responses of its two keypoints, averaged over cells of 4x4 pixels; a keypoint is there
where its colour reaches half of the full one somewhere.
"""

from __future__ import annotations

import numpy as np
import onnx
from make import graph, mixing, tensor
from onnx import helper

KEYPOINTS = 2


def pose() -> onnx.ModelProto:
    """Colours to responses and presence."""
    constants = {
        "to_maps": mixing([[1, 0, 0], [0, 0, 1]]),
        "batch": np.array([0], np.int64),
        "sharp": np.float32(20),
        "half": np.float32(0.5),
    }
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["cells", "to_maps"], ["maps"]),
        node("Squeeze", ["maps", "batch"], ["response"]),
        node("ReduceMax", ["response"], ["best"], axes=[1, 2], keepdims=0),
        node("Sub", ["best", "half"], ["above"]),
        node("Mul", ["above", "sharp"], ["presence"]),
    ]
    outputs = [tensor("response", [KEYPOINTS, 16, 8]), tensor("presence", [KEYPOINTS])]
    return graph("pose", nodes, [tensor("image", [1, 3, 64, 32])], outputs, constants)


MANIFEST = """\
[keypoints]
names = ["red", "blue"]
edges = [[0, 1]]
flip_pairs = []
sigmas = [0.1, 0.1]

[engine.pose]
inputs = [{{ name = "image", shape = [1, 3, 64, 32] }}]
outputs = [{{ name = "response", shape = [2, 16, 8] }}, {{ name = "presence", shape = [2] }}]
precision.fp32 = {{ onnx = "pose.onnx", sha256 = "{pose}" }}

[decode]
margin = 1.0
visible_threshold = 0.5

[limits]
poses = 3
"""
