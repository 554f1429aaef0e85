#!/usr/bin/env bash
# ONNX Runtime on x86-64 without VNNI: with signed activations an int8 convolution can lose nearly everything.
#
# Believed: without VNNI, ONNX Runtime's 8-bit kernels cut off sums of two products at 16 bits, which costs a little accuracy where
#           weights are large; signed activations (as TensorRT wants them: int8, zero 0) are safer, as they reach 127 only, not 255.
# True:     signed activations are worse. The kernels multiply unsigned by signed numbers, so 128 is added to int8 activations and
#           128 times the sum of weights subtracted afterwards: large activations become 255, every pair of products is cut off at
#           32767, and the subtraction takes most of what is left. 64 products of the largest numbers give 1 instead of 64; with
#           uint8 they give 32. The session option session.x64quantprecision=1 gives 64 in both; no warning says so. Accuracy that
#           was measured with a TensorRT graph on such a machine is that of the cut-off sums.
# Seen:     2026-11-30, onnxruntime 1.31.1, onnx 1.23.2, AMD EPYC with AVX2 alone. Where the processor has VNNI there is nothing to see.
set -euo pipefail
if grep -qE 'avx512_vnni|avx_vnni' /proc/cpuinfo || [[ $(uname -m) != x86_64 ]]; then
    echo "this processor multiplies 8 bits without cutting off: nothing to see here"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
x = np.ones((1, 64, 4, 4), np.float32)


def result(kind, largest, precise, optimised=True):
    constants = {"s": np.float32(1 / largest), "z": kind(0), "t": np.float32(1), "ws": np.float32(1 / 127), "wz": np.int8(0),
                 "w": np.full((4, 64, 1, 1), 127, np.int8)}
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]), node("Conv", ["d", "wd"], ["e"]),
             node("QuantizeLinear", ["e", "t", "z"], ["f"]), node("DequantizeLinear", ["f", "t", "z"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", str(int(precise)))
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return float(ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].max())


for name, kind, largest in (("uint8", np.uint8, 255), ("int8", np.int8, 127)):
    print(f"{name:5} activations: {result(kind, largest, False):g}; x64quantprecision=1: {result(kind, largest, True):g}; "
          f"without optimisation: {result(kind, largest, False, False):g}; exact: 64")
assert result(np.int8, 127, False) < result(np.uint8, 255, False) < 64
assert result(np.int8, 127, True) == result(np.uint8, 255, True) == 64
PYTHON
