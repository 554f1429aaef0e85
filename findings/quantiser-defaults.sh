#!/usr/bin/env bash
# ONNX Runtime's quantize_static: what it makes by default is what TensorRT does not take.
#
# Believed: int8 activations and int8 weights, the default since 1.11, are TensorRT's form: signed, with the zero at 0.
# True:     the types are, but activations get whatever zero point their range asks for (behind a Relu it is -128), weights one scale
#           for all channels, biases become int32 behind a DequantizeLinear, weights are stored as int8 without their Q.
#           ActivationSymmetric, per_channel, QuantizeBias=False and AddQDQPairToWeight have to be asked for, each by itself.
# Seen:     2026-11-30, onnxruntime 1.31.1, onnx 1.23.2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
"$work/venv/bin/python" - "$work" 2>/dev/null <<'PYTHON'
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

random = np.random.default_rng(0)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.runs = iter([{"x": random.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.runs, None)


nodes = [helper.make_node("Conv", ["x", "w0", "b0"], ["a"]), helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Conv", ["r", "w1", "b1"], ["y"])]
weights = {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (4, 8, 3, 3), "b1": (4,)}
graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])],
                          [numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in weights.items()])
path = f"{sys.argv[1]}/model.onnx"
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def made(**options):
    quantize_static(path, f"{path}.q", Reader(), **options)
    model = onnx.load(f"{path}.q")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    zeros = {name: value.ravel()[0] for name, value in arrays.items() if name.endswith("_zero_point") and name[0] not in "wb"}
    kinds = [node.op_type for node in model.graph.node]
    return {
        "zero points of activations": sorted(int(zero) for zero in zeros.values()),
        "scales of a weight": int(arrays["w1_scale"].size),
        "biases": str(next((value.dtype for name, value in arrays.items() if name.startswith("b1")), None)),
        "Q, DQ": (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")),
    }


default = made()
asked = made(per_channel=True, extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True,
                                              "OpTypesToExcludeOutputQuantization": ["Conv"]})
print("by default:", default)
print("as TensorRT wants it:", asked)
assert any(default["zero points of activations"]) and default["scales of a weight"] == 1 and default["biases"] == "int32"
assert not any(asked["zero points of activations"]) and asked["scales of a weight"] == 4 and asked["biases"] == "float32"
PYTHON
