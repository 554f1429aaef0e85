#!/usr/bin/env bash
# ONNX Runtime: with scales of 16 bits, optimisation ruins convolutions between Q and DQ.
#
# Believed: a graph whose QuantizeLinear and DequantizeLinear have float16 scales (ONNX allows them from opset 19 on, and strongly
#           typed TensorRT wants them) computes the same with ONNX Runtime's optimisations as without, to rounding.
# True:     the optimiser WeightBiasQuantization, which is on from the basic level up, makes 32-bit whole numbers of a convolution's
#           float biases where its result is quantised, with the product of the scales of input and weight as their scale, and keeps
#           that product in float16, whose smallest number is 6e-8: biases come out anywhere.
#           Without that optimiser (optimization.disable_specified_optimizers), and with float32 scales, results are right.
#           What is printed besides is a warning that a Mul cannot be folded.
# Seen:     2026-11-30, onnxruntime 1.31.1, onnx 1.23.2, CPU provider, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
x = random.normal(0, 0.2, (1, 8, 8, 8)).astype(np.float16)
node = helper.make_node


def result(kind, disabled=(), optimised=True):
    weights = random_weights.astype(kind)
    constants = {"s": kind(1 / 512), "ws": kind(1 / 49152), "z": np.int8(0), "t": kind(1 / 64), "w": weights, "b": bias.astype(kind)}
    nodes = [node("Cast", ["x"], ["a"], to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))),
             node("QuantizeLinear", ["a", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             node("QuantizeLinear", ["w", "ws", "z"], ["wq"]), node("DequantizeLinear", ["wq", "ws", "z"], ["wd"]),
             node("Conv", ["d", "wd", "b"], ["e"]), node("QuantizeLinear", ["e", "t", "z"], ["f"]),
             node("DequantizeLinear", ["f", "t", "z"], ["g"]), node("Cast", ["g"], ["y"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, list(x.shape))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled))
    return session.run(None, {"x": x})[0]


random_weights = random.normal(0, 0.001, (4, 8, 3, 3))
bias = random.normal(0, 1, 4)
exact = result(np.float16, optimised=False)
found = {"float16 scales": result(np.float16), "float32 scales": result(np.float32),
         "float16 scales, without WeightBiasQuantization": result(np.float16, ["WeightBiasQuantization"])}
far = {name: float(np.abs(values - exact).max()) for name, values in found.items()}
for name, distance in far.items():
    print(f"{name}: {distance:.4f} from the unoptimised result, whose largest number is {np.abs(exact).max():.2f}")
values = list(far.values())
assert not values[0] < 0.5 and values[1] < 0.02 and values[2] < 0.02
PYTHON
