#!/usr/bin/env bash
# ONNX Runtime: without optimisation, a Cast to 16 bits may not round.
#
# Believed: with all graph optimisations off, each node computes what the graph says: a float32 weight that a Cast makes float16 is
#           rounded to 16 bits. If anything drops such a Cast, it is an optimiser.
# True:     where the CPU provider has no float16 kernel for the node behind the Cast (Add, here), a step that is not an optimisation
#           and cannot be switched off computes that node in float32, puts casts around it, and then removes the pair of casts down
#           and up: the weight reaches it unrounded. From the basic level up the Cast of a constant is folded first, and the weight is
#           rounded. So the level that is taken as the exact reference is the one that is off.
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

weights = np.array([1.0001, 0.1, 3.14159], np.float32)
rounded = weights.astype(np.float16).astype(np.float32)
node = helper.make_node
half, full = TensorProto.FLOAT16, TensorProto.FLOAT


def result(nodes, level):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", full, [3])],
                              [helper.make_tensor_value_info("y", full, [3])], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.zeros(3, np.float32)})[0]


to_half = [node("Cast", ["w"], ["h"], to=half), node("Cast", ["x"], ["xh"], to=half)]
graphs = {
    "added in float16": [*to_half, node("Add", ["xh", "h"], ["yh"]), node("Cast", ["yh"], ["y"], to=full)],
    "cast back, added in float32": [*to_half[:1], node("Cast", ["h"], ["f"], to=full), node("Add", ["x", "f"], ["y"])],
}
levels = ort.GraphOptimizationLevel
rounds = {}
for name, nodes in graphs.items():
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_ALL):
        values = result(nodes, level)
        rounds[name, level.name] = bool(np.array_equal(values, rounded))
        print(f"{name}, {level.name}: {values} {'rounded' if rounds[name, level.name] else 'not rounded'}")
not_rounded = [key for key, is_rounded in rounds.items() if not is_rounded]
assert not_rounded == [("added in float16", "ORT_DISABLE_ALL")], not_rounded
PYTHON
