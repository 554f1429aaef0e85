#!/usr/bin/env bash
# ONNX Runtime: linear Resize of int8 numbers truncates towards zero.
#
# Believed: a linear Resize between QuantizeLinear and DequantizeLinear rounds to the nearest step, as QuantizeLinear itself does
#           (half to even), so that a quantised upsampling is off by at most half a step.
# True:     on 8-bit integers the interpolated number is cast, that is cut towards zero: results are biased towards zero and up to
#           a whole step off. For an x2 upsampling (half-pixel) of random int8 numbers about half of all values differ from the
#           rounded ones, none by more than one step. Keeping Resize in float removes the bias.
# Seen:     2026-11-29, onnxruntime 1.31.1, onnx 1.23.2, CPU provider, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

def graph(kind):
    sizes = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    inputs = [helper.make_tensor_value_info("x", kind, [1, 1, 16, 16])]
    outputs = [helper.make_tensor_value_info("y", kind, [1, 1, 32, 32])]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, outputs, [sizes]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

x = np.random.default_rng(1).integers(-128, 128, (1, 1, 16, 16)).astype(np.int8)
exact = graph(TensorProto.FLOAT).run(None, {"x": x.astype(np.float32)})[0]
found = graph(TensorProto.INT8).run(None, {"x": x})[0].astype(np.float32)
truncated, rounded = np.trunc(exact), np.rint(exact)
print(f"onnxruntime {ort.__version__}: equal to truncation {np.mean(found == truncated):.3f}, to rounding {np.mean(found == rounded):.3f}")
print(f"largest distance from the exact value: {np.abs(found - exact).max():.3f} of a step")
assert np.mean(found == truncated) > 0.99 and np.mean(found == rounded) < 0.75 and np.abs(found - exact).max() > 0.9
PYTHON
