"""CapeFormer's ONNX graphs against PyTorch, for any number of keypoints, and what its bundle says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from models.export import bundle, capeformer_bundle
from models.export.capeformer_graphs import graphs
from models.export.exporter import TOLERANCE, export
from models.networks.capeformer import CapeFormer, CapeFormerConfig


@pytest.fixture(scope="module")
def model() -> CapeFormer:
    torch.manual_seed(4)
    model = CapeFormer(CapeFormerConfig.tiny())
    for branch in model.keypoint_head.kpt_branch:
        torch.nn.init.normal_(branch.mlp[-1].weight, std=0.3)
    return model.eval()


@pytest.mark.parametrize("index", range(3), ids=["features", "match", "refine"])
def test_graphs_equal_the_network(model: CapeFormer, index: int, tmp_path: Path) -> None:
    # The examples differ in their number of keypoints.
    assert export(graphs(model)[index], tmp_path / "graph.onnx") <= TOLERANCE


def test_bundle(model: CapeFormer, tmp_path: Path) -> None:
    contents = capeformer_bundle.contents(model)
    for _ in bundle.write(contents, tmp_path / "objects", bundle.Options("random weights")):
        pass
    manifest = tomllib.loads((tmp_path / "objects/bundle.toml").read_text())
    assert manifest["keypoints"]["names"] == [] and manifest["limits"] == {"poses": 30}
    assert manifest["input"]["rule"] == "crop" and manifest["decode"]["hidden_keypoints"] == "average-seen"
    size = sum(path.stat().st_size for path in (tmp_path / "objects").iterdir())
    assert size <= 12e6, f"{size / 1e6:.1f} MB"
    assert capeformer_bundle.Decode.reference().hidden_keypoints == "drop"
