"""The first graphs of both bundles on MoveNet, rebuilt from a package and their own trained weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from models.checkpoints import centergroup_bundle, movenet, movenet_bundle
from models.checkpoints.rebuild import RebuildError
from models.export import centergroup_graphs, float16_weights, logocap_graphs
from models.export.exporter import Graph, export
from models.networks.centergroup_movenet import MoveNetCenterGroup
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import MoveNet, MoveNetConfig
from models.tests.test_movenet import constants_of, write_graph_model


def write_package(folder: Path, model: MoveNet) -> Path:
    """An unpacked package with the weights of `model`."""
    path = folder / movenet.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph_model(path.parent, constants_of(model)).rename(path)
    return folder


def logocap_graph(model: MoveNetLogoCap) -> Graph:
    return logocap_graphs.backbone_graph(model.eval(), flip=False)


def centergroup_graph(model: MoveNetLogoCap) -> Graph:
    grouping = MoveNetCenterGroup.from_logocap(model)
    nn.init.normal_(grouping.upsampling.correct.weight, std=0.1)
    nn.init.normal_(grouping.upsampling.correct.bias, std=0.1)
    grouping.load_state_dict(float16_weights.rounded(grouping.state_dict()))
    return centergroup_graphs.backbone_graph(grouping.eval())


@pytest.mark.parametrize(
    ("graph_of", "rebuild"),
    [(logocap_graph, movenet_bundle.rebuild), (centergroup_graph, centergroup_bundle.rebuild)],
    ids=["logocap", "centergroup"],
)
def test_the_first_graph_is_rebuilt(
    graph_of: Callable[[MoveNetLogoCap], Graph], rebuild: Callable[[Path, Path, Path], None], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    published = MoveNet(MoveNetConfig.multipose())
    published.load_state_dict(float16_weights.rounded(published.state_dict()))
    package = write_package(tmp_path / "package", published)
    model = MoveNetLogoCap.from_movenet(published)
    with torch.no_grad():
        # What training changes.
        for layer in (model.movenet.blocks[6].project, model.keypoints.last):
            layer.weight.add_(0.01 * torch.randn_like(layer.weight))
    model.load_state_dict(float16_weights.rounded(model.state_dict()))
    graph = tmp_path / "backbone.onnx"
    export(graph_of(model), graph)
    rebuild(package, graph, tmp_path / "again.onnx")
    with torch.no_grad():
        published.backbone.blocks[3].expand.weight[0, 0] += 1
    write_package(package, published)
    with pytest.raises(RebuildError, match=r"movenet\.blocks\.3\.expand\.weight: is not the package's"):
        rebuild(package, graph, tmp_path / "other.onnx")
