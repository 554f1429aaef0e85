"""The graphs themselves, made by ONNX Runtime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from calib import weights
from calib.frames import Recorded
from calib.recipe import Placement
from models.export import float16_weights

WIDE_OPERATORS = ["Resize", "Softmax", "LayerNormalization", "Sin", "Cos", "Pow", "Sqrt", "Log", "Erf"]
"""Operators that keep 32 bits in the fp16 graph: sums that overflow, or differences that vanish."""

METHODS = {
    "entropy": CalibrationMethod.Entropy,
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}


def load(path: Path) -> onnx.ModelProto:
    """A bundle's graph with all its weights as initialisers of the types that its nodes read."""
    model = onnx.load(path)
    float16_weights.unfold(model)
    return model


def quantise(original: Path, recorded: Path, placement: Placement, target: Path, method: str) -> None:
    """Writes the Q/DQ graph to `target`, beside `original`, in which its weights stay.

    As TensorRT wants it: signed, symmetric, a scale per output channel for weights, Q and DQ in pairs also at
    the weights, biases float, opset as it was.
    """
    model = load(original)
    quantised = with_pairs(
        original,
        Recorded(recorded, model.graph),
        [node for node in model.graph.node if node.name in set(placement.quantised)],
        QuantType.QInt8,
        METHODS[method],
        {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "OpTypesToExcludeOutputQuantization": ["Conv", "ConvTranspose"],
            "QDQOpTypePerChannelSupportToAxis": {"Conv": 0, "ConvTranspose": 1},
        },
    )
    zero_points = [tensor for tensor in quantised.graph.initializer if tensor.name.endswith("_zero_point")]
    if not zero_points or any(onnx.numpy_helper.to_array(tensor).any() for tensor in zero_points):
        raise ValueError(f"{original}: a zero point that is not 0, which TensorRT does not take")
    finish(quantised, model.opset_import, original, target)


def quantise_for_cpu(
    original: Path, recorded: Path, placement: Placement, target: Path, seven_bits: bool = False
) -> None:
    """Writes the Q/DQ graph that ONNX Runtime is fast with on CPUs, as `quantise` does.

    What flows between layers is unsigned with any zero point, as the processors' instructions want it. ReLUs
    are quantised too, but for those behind layers that stay float: the way there and back would take longer
    than they do.
    """
    model = load(original)
    names = set(placement.quantised)
    kept = {output for node in model.graph.node if node.name in placement.kept for output in node.output}
    nodes = [
        node
        for node in model.graph.node
        if node.name in names or (node.op_type in ("Relu", "Clip") and node.input[0] not in kept)
    ]
    runs = Recorded(recorded, model.graph)
    quantised = with_pairs(
        original, runs, nodes, QuantType.QUInt8, CalibrationMethod.MinMax, {}, reduce_range=seven_bits
    )
    finish(quantised, model.opset_import, original, target)


def with_pairs(
    original: Path,
    runs: Recorded,
    nodes: list[onnx.NodeProto],
    activations: QuantType,
    method: CalibrationMethod,
    options: dict[str, object],
    reduce_range: bool = False,
) -> onnx.ModelProto:
    """The graph with Q and DQ around `nodes`. Weights stay those of the original, which the file shares."""
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / original.name
        plain = Path(directory) / f"plain-{original.name}"
        onnx.save(load(original), plain)
        quantize_static(
            plain,
            made,
            runs,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted({node.op_type for node in nodes}),
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options={"AddQDQPairToWeight": True, "QuantizeBias": False} | options,
        )
        return onnx.load(made)


def halve(original: Path, placement: Placement, target: Path) -> None:
    """Writes the graph with 16-bit types to `target`; inputs and outputs keep their types."""
    model = load(original)
    halved = convert_float_to_float16(
        load(original),
        keep_io_types=True,
        op_block_list=WIDE_OPERATORS,
        node_block_list=placement.fp32,
        disable_shape_infer=False,
    )
    # Its casts stand at the end, and more than once where several wide nodes read one tensor.
    made: dict[str, onnx.NodeProto] = {}
    for node in halved.graph.node:
        made.setdefault(node.output[0], node)
    del halved.graph.node[:]
    halved.graph.node.extend(made.values())
    join_casts(halved.graph, {node.name for node in model.graph.node})
    sorted_graph = OnnxModel(halved)
    sorted_graph.topological_sort()
    finish(sorted_graph.model, model.opset_import, original, target)


def join_casts(graph: onnx.GraphProto, original: set[str]) -> None:
    """Lets nodes of 32 bits read each other, and the graph's inputs, without a way through 16 bits.

    The converter puts a cast to 16 bits behind each of them, and a cast back before the next.
    """
    casts = [node for node in graph.node if node.op_type == "Cast" and node.name not in original]

    def to(kind: int) -> dict[str, str]:
        return {node.output[0]: node.input[0] for node in casts if node.attribute[0].i == kind}

    narrowed = to(TensorProto.FLOAT16)
    widened = {name: narrowed[source] for name, source in to(TensorProto.FLOAT).items() if source in narrowed}
    outputs = {value.name for value in graph.output}
    kept = [node for node in graph.node if node.output[0] in outputs or node.output[0] not in widened]
    for node in kept:
        for position, name in enumerate(node.input):
            node.input[position] = widened.get(name, name)
    # Casts that no person reads any more.
    read = {name for node in kept for name in node.input} | outputs
    del graph.node[:]
    graph.node.extend(node for node in kept if node.op_type != "Cast" or node.output[0] in read)


def finish(
    made: onnx.ModelProto, opsets: Iterable[onnx.OperatorSetIdProto], original: Path, target: Path
) -> None:
    """Checks a graph, shares its weights, writes it, and lets ONNX Runtime open it."""
    made.producer_name, made.producer_version = "sinew calib", ""
    kept = list(opsets)
    del made.opset_import[:]
    made.opset_import.extend(kept)
    del made.graph.value_info[:]
    weights.share(made, original)
    written = target.with_suffix(".partial")
    onnx.save(made, written)
    onnx.checker.check_model(str(written))
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    onnxruntime.InferenceSession(written, quiet, providers=["CPUExecutionProvider"])
    written.replace(target)


def difference(original: Path, other: Path, recorded: Path) -> float:
    """The largest relative root mean square difference of an output over a few recorded runs.

    Computed as ONNX defines the operators. Optimised, ONNX Runtime joins Q, DQ and convolution into an
    integer one, whose sums of two products saturate at 16 bits on x86 without VNNI.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = [
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for path in (original, other)
    ]
    runs = Recorded(recorded, onnx.load(original, load_external_data=False).graph)
    worst = 0.0
    for _ in range(min(4, len(runs.files))):
        inputs = runs.get_next()
        for expected, found in zip(*(session.run(None, inputs) for session in sessions), strict=True):
            scale = float(np.sqrt(np.mean(np.square(expected)))) or 1.0
            worst = max(worst, float(np.sqrt(np.mean(np.square(expected - found)))) / scale)
    return worst
