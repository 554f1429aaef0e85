#!/usr/bin/env bash
# tract: NaN in a network comes out as an ordinary number.
#
# Believed: a NaN that enters Relu, Clip, Max, Sigmoid or Tanh leaves it as NaN, as ONNX's reference and ONNX Runtime have it, so that
#           weights or inputs that are broken show in the scores.
# True:     tract's Relu, Clip, Max and Min give the other number (0), ReduceMax and ArgMax pass over it, Sigmoid gives 4.8e-07,
#           Tanh -1 and QuantizeLinear 0: a network whose activations are NaN reports a quiet scene. Softmax, Exp and LeakyRelu keep NaN.
#           Also, Sigmoid of +inf is 0.9999995, not 1. Whoever serves networks on tract must look at what goes in and at the weights.
# Seen:     2026-11-30, tract 0.23.9, onnxruntime 1.31.1, onnx 1.23.2, x86-64.
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

x = np.float32([[np.nan, 1, -2]])
node = helper.make_node
zero, one, step, point = np.float32(0), np.float32(1), np.float32(0.1), np.int8(0)
cases = {
    "Relu": [node("Relu", ["x"], ["y"])],
    "Clip": [node("Clip", ["x", "zero", "one"], ["y"])],
    "Max": [node("Max", ["x", "zero"], ["y"])],
    "Min": [node("Min", ["x", "zero"], ["y"])],
    "ReduceMax": [node("ReduceMax", ["x"], ["y"], axes=[1])],
    "Sigmoid": [node("Sigmoid", ["x"], ["y"])],
    "Tanh": [node("Tanh", ["x"], ["y"])],
    "Softmax": [node("Softmax", ["x"], ["y"])],
    "LeakyRelu": [node("LeakyRelu", ["x"], ["y"])],
    "Q and DQ": [node("QuantizeLinear", ["x", "step", "point"], ["q"]), node("DequantizeLinear", ["q", "step", "point"], ["y"])],
}
found = {}
for name, nodes in cases.items():
    constants = [numpy_helper.from_array(value, key) for key, value in
                 {"zero": zero, "one": one, "step": step, "point": point}.items() if any(key in n.input for n in nodes)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = f"{sys.argv[1]}/model.onnx"
    onnx.save(model, path)
    reference = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].ravel()[0]
    found[name] = tract.onnx().load(path).into_model().into_runnable().run([x])[0].to_numpy().ravel()[0]
    print(f"{name:10} of NaN: onnxruntime {reference:8.4g}, tract {found[name]:8.4g}")
assert all(np.isfinite(found[name]) for name in ("Relu", "Clip", "Max", "Min", "ReduceMax", "Sigmoid", "Tanh", "Q and DQ"))
assert all(np.isnan(found[name]) for name in ("Softmax", "LeakyRelu"))
PYTHON
