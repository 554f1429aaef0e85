"""Networks to ONNX, checked against PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from models.export.simplify import OPSET, ExportError, simplify

TOLERANCE = 1e-4


Example = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Inputs and outputs."""


@dataclass(frozen=True)
class Graph:
    """A module with named tensors, and how its inputs may vary."""

    name: str
    module: nn.Module
    inputs: dict[str, dict[int, str]]
    """Per input its symbolic axes."""
    outputs: list[str]
    examples: Callable[[], Iterable[Example]]
    """Inputs of several sizes and what the network itself computes; the first is traced, all are compared."""

    float16_weights: bool = False
    """Whether weights that float16 holds exactly are stored so."""

    def save(self, path: Path) -> str:
        """Exports to `path`; what was checked."""
        return f"differs from PyTorch by at most {export(self, path):.1e}"


def trace(graph: Graph, fold: bool = True) -> onnx.ModelProto:
    """`graph` as PyTorch's exporter writes it. Without `fold` all weights keep the names and values that they
    have in `graph.module`; that needs weights that are all different, as equal ones are stored once."""
    buffer = io.BytesIO()
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings(), torch.no_grad():
        # It warns of sizes that become constants, which is meant, and of its own successor.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            next(iter(graph.examples()))[0],
            buffer,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.inputs,
            opset_version=OPSET,
            do_constant_folding=fold,
            training=mode.EVAL if fold else mode.PRESERVE,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def export(graph: Graph, path: Path) -> float:
    """Writes `graph` to `path`, simplified, and compares it with PyTorch; returns the largest difference.

    Raises `ExportError` if ONNX's checker refuses it or an output differs by more than 1e-4 (of its largest
    value, where that is above 1).
    """
    simplify(trace(graph), path, graph.float16_weights)
    return compare(graph, path)


def compare(graph: Graph, path: Path) -> float:
    """The largest difference between the file and the network over all examples of `graph`, as `export`
    counts it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs, expected in graph.examples():
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
