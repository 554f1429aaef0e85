"""Networks to ONNX, checked against PyTorch."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch
from torch import Tensor, nn

OPSET = 17
TOLERANCE = 1e-4


class ExportError(RuntimeError):
    """A graph that cannot be shipped."""


@dataclass(frozen=True)
class Graph:
    """A module with named tensors, and how its inputs may vary."""

    name: str
    module: nn.Module
    inputs: dict[str, dict[int, str]]
    """Per input its symbolic axes."""
    outputs: list[str]
    examples: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    """Inputs of several sizes and what the network itself answers; the first is traced, all are compared."""


def export(graph: Graph, path: Path) -> float:
    """Writes `graph` to `path`, simplified, and compares it with PyTorch; returns the largest difference.

    Raises `ExportError` if ONNX's checker refuses it or an output differs by more than 1e-4 (of its largest
    value, where that is above 1).
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # It warns of sizes that become constants, which is meant, and of its own successor.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            graph.examples[0][0],
            buffer,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.inputs,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnxslim.slim(onnx.load_from_string(buffer.getvalue()))
    # Only inputs keep their symbols: others would clash with the sizes that the runtime sets.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                axis.Clear()
    model.producer_name, model.producer_version = "sinew", ""
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: ONNX's checker refuses the graph: {error}") from error
    norms = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if norms:
        raise ExportError(f"{path}: batch norms were left unfolded: {', '.join(norms)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return compare(graph, path)


def compare(graph: Graph, path: Path) -> float:
    """The largest difference between the file and the network over all examples of `graph`, as `export`
    counts it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs, expected in graph.examples:
        feeds = {name: tensor.numpy() for name, tensor in zip(graph.inputs, inputs)}
        for name, found, tensor in zip(graph.outputs, session.run(graph.outputs, feeds), expected):
            reference = tensor.numpy()
            if found.shape != reference.shape:
                raise ExportError(
                    f"{path}: output {name}: shape {found.shape}, PyTorch gives {reference.shape}"
                )
            difference = float(np.abs(found - reference).max() / max(1.0, np.abs(reference).max()))
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{path}: output {name}: differs from PyTorch by {difference:.2e}, over {TOLERANCE}"
                )
            worst = max(worst, difference)
    return worst
