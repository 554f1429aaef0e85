#!/usr/bin/env bash
# ONNX Runtime: Resize with align_corners and a scale takes positions from a size that is not rounded.
#
# Believed: for whatever mode, Resize finds its positions from the size of what comes out, as ONNX's reference does.
# True:     with `align_corners` and `scales`, ONNX Runtime divides by (size times scale - 1) before that product is rounded down: of
#           7 by 0.5 it takes 3.5, where three rows come out, so that five sixths of the values differ, for linear, cubic and nearest
#           alike; with `sizes` it does not. tract does as the reference. Linear and nearest with half-pixel centres, which
#           keypoint networks use, agree on all three to rounding.
# Seen:     2026-11-30, onnxruntime 1.31.1, tract 0.23.9, onnx 1.23.2, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tract==0.23.9 onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import tract
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(0).normal(0, 1, (1, 2, 7, 5)).astype(np.float32)


def shares(mode, transformation, scale):
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=transformation)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.float32([1, 1, scale, scale]), "s")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = f"{sys.argv[1]}/model.onnx"
    onnx.save(model, path)
    exact = ReferenceEvaluator(model).run(None, {"x": x})[0]
    found = (ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0],
             tract.onnx().load(path).into_model().into_runnable().run([x])[0].to_numpy())
    return [float(np.mean(np.abs(exact - values) > 1e-5)) for values in found]


for mode in ("linear", "nearest"):
    for transformation in ("half_pixel", "asymmetric", "align_corners"):
        for scale in (2, 0.5):
            ort_share, tract_share = shares(mode, transformation, scale)
            print(f"{mode:8}{transformation:15}by {scale:3}: onnxruntime differs in {100 * ort_share:3.0f} %, tract in {100 * tract_share:3.0f} %")
            assert tract_share == 0
            assert (ort_share > 0.5) == (transformation == "align_corners" and scale == 0.5)
PYTHON
