"""CenterGroup's graphs against its network, and what operators they are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from models.export import centergroup_graphs
from models.export.exporter import TOLERANCE, Graph, export
from models.networks.centergroup import CenterGroup, CenterGroupConfig

PLAIN = {
    "Add", "Cast", "Concat", "Conv", "ConvTranspose", "Div", "Flatten", "Gather", "Gemm", "GreaterOrEqual",
    "LayerNormalization", "Less", "Log", "MatMul", "Mul", "Neg", "Not", "ReduceMean", "ReduceSum", "Relu",
    "Reshape", "Resize", "Shape", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> CenterGroup:
    torch.manual_seed(3)
    model = CenterGroup(CenterGroupConfig.tiny())
    # Norms that do something.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("half", ["backbone", "grouping"])
def test_graphs_compute_what_the_network_does(
    model: CenterGroup, half: str, flip: bool, tmp_path: Path
) -> None:
    if flip:
        # The official networks predict no offsets.
        torch.manual_seed(4)
        model = CenterGroup(replace(CenterGroupConfig.tiny(), offset_prior=False)).eval()
    graph: Graph = getattr(centergroup_graphs, f"{half}_graph")(model, flip)
    path = tmp_path / f"{half}.onnx"
    # `export` compares with PyTorch on three sizes.
    assert export(graph, path) <= TOLERANCE
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert operators <= PLAIN | ({"Where"} if flip else set()), operators - PLAIN
