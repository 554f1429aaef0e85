"""`capeformer-lite0`: its graphs against PyTorch, weights kept as float16, and the rebuilt first graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.checkpoints import lite0, lite0_bundle
from models.checkpoints.rebuild import RebuildError
from models.export.capeformer_graphs import graphs, narrowed
from models.export.exporter import TOLERANCE, export
from models.networks.capeformer import CapeFormer, CapeFormerConfig


@pytest.fixture(scope="module")
def model() -> CapeFormer:
    torch.manual_seed(8)
    model = CapeFormer(CapeFormerConfig.lite0())
    for module in model.encoder_query.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Equal weights would be stored once.
            torch.nn.init.normal_(module.bias, std=0.1)
    transformer = model.keypoint_head.transformer
    torch.nn.init.normal_(transformer.proposal_generator.query_proj.weight, std=0.1)
    torch.nn.init.normal_(transformer.start.near.weight, std=0.1)
    for branch in model.keypoint_head.kpt_branch:
        torch.nn.init.normal_(branch.mlp[-1].weight, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def package(model: CapeFormer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "weights.pth"
    body = model.encoder_query.body.state_dict()
    torch.save({name: value for name, value in body.items() if "num_batches" not in name}, path)
    return path


@pytest.mark.parametrize("index", range(3), ids=["features", "match", "refine"])
def test_graphs_equal_the_network(model: CapeFormer, index: int, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    assert export(graphs(narrowed(model))[index], path) <= TOLERANCE
    assert path.stat().st_size < 8e6, "weights are kept as float16"


def test_the_first_graph_is_rebuilt(
    model: CapeFormer, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lite0, "SHA256", lite0.digest(package))
    graph = tmp_path / "features.onnx"
    export(graphs(narrowed(model))[0], graph)
    lite0_bundle.rebuild(package, graph, tmp_path / "again.onnx")
    values = torch.load(package, weights_only=True)
    values["_blocks.3._project_conv.weight"] += 0.01
    torch.save(values, package)
    monkeypatch.setattr(lite0, "SHA256", lite0.digest(package))
    with pytest.raises(RebuildError, match=r"_blocks\.3\._project_conv\.weight: is not the package's"):
        lite0_bundle.rebuild(package, graph, tmp_path / "other.onnx")
