#!/usr/bin/env bash
# tract: the mean of 16-bit numbers is infinite where their sum is beyond 16 bits.
#
# Believed: ReduceMean of float16 is computed in 32 bits and rounded at the end, as ONNX Runtime does it.
# True:     tract 0.23.9 sums in float16: 3000 numbers of 60 have an infinite mean. ONNX leaves it open. Whoever converts a network to
#           float16 must keep means and norms over large maps in float32 for one runtime and need not for the other.
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
from onnx import TensorProto, helper

x = np.full((1, 3000), 60, np.float16)
node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])
graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 3000])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 1])])
path = f"{sys.argv[1]}/model.onnx"
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
first = float(ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].max())
second = float(tract.onnx().load(path).into_model().into_runnable().run([x])[0].to_numpy().max())
print(f"mean of 3000 float16 numbers of 60: onnxruntime {first:g}, tract {second:g}")
assert first == 60 and np.isinf(second)
PYTHON
