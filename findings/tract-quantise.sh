#!/usr/bin/env bash
# tract: QuantizeLinear multiplies by the reciprocal of the step, and a Softmax between DQ and Q is computed by a table.
#
# Believed: on tract a graph with Q and DQ is slow but exact: what ONNX's definition gives.
# True:     1. with one scale for a tensor tract computes round(x * (1 / scale)) where ONNX says round(x / scale). Numbers halfway
#           between two steps go to the other one: 2 to 3 % of a grid with such numbers, each off by a whole step. With a scale
#           per channel, and with steps that are powers of two, it divides, or it makes no difference.
#           2. operators from a DequantizeLinear to the next QuantizeLinear become a table of 256 results. tract asks whether an
#           operator keeps axes, which a Softmax does: its table is the softmax of the 256 indices, and every result is wrong.
# Seen:     2026-11-30, tract 0.23.9, onnx 1.23.2 (its reference evaluator), x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tract==0.23.9 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys

import numpy as np
import onnx
import tract
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

node = helper.make_node


def differing(nodes, x, **constants):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()])
    # The reference has these operators from opset 19 on; for float32 they are those of 17.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    exact = ReferenceEvaluator(model).run(None, {"x": x})[0]
    model.opset_import[0].version, model.ir_version = 17, 8
    path = f"{sys.argv[1]}/model.onnx"
    onnx.save(model, path)
    found = tract.onnx().load(path).into_model().into_runnable().run([x])[0].to_numpy()
    return float(np.mean(exact != found)), float(np.abs(exact - found).max())


def pair(source, scale, target):
    return [node("QuantizeLinear", [source, scale, "zero"], [f"{target}q"]), node("DequantizeLinear", [f"{target}q", scale, "zero"], [target])]


halves = (np.arange(-40, 41) * 0.05).astype(np.float32)[None]
share, most = differing(pair("x", "step", "y"), halves, step=np.float32(0.1), zero=np.int8(0))
print(f"Q and DQ, step 0.1, numbers 0.05 apart: {100 * share:.1f} % differ, by {most:.3f} at most")
assert 0.005 < share < 0.2 and abs(most - 0.1) < 1e-3
share, most = differing(pair("x", "step", "y"), halves, step=np.float32(0.125), zero=np.int8(0))
print(f"the same with the step 0.125: {100 * share:.1f} % differ")
assert share == 0
x = np.random.default_rng(0).normal(0, 1, (2, 64)).astype(np.float32)
nodes = [*pair("x", "step", "a"), node("Softmax", ["a"], ["b"]), *pair("b", "fine", "y")]
share, most = differing(nodes, x, step=np.float32(1 / 16), fine=np.float32(1 / 128), zero=np.int8(0))
print(f"Softmax between DQ and Q: {100 * share:.0f} % differ, by {most:.3f} at most")
assert share > 0.9 and most > 0.5
PYTHON
