"""Weights read back from a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.checkpoints import restore
from models.checkpoints.restore import SHIPPED
from models.export.exporter import compare
from models.networks.logocap import LogoCap, LogoCapConfig
from models.paths import ROOT

BUNDLES = ROOT / "models/bundles"
NOT_IN_THE_BUNDLE = {
    "logocap-tiny": (),
    "logocap-movenet": (),
    "capeformer-tiny": (),
    "centergroup-movenet": tuple(f"group_model.prediction_heads.{index}." for index in range(3)),
    # What only teaches, and a map that no person reads.
    "lofr-tiny": ("activation.classes.bias", "encoder_classes.", "pyramid.body.stage4.1.fuse_layers.3."),
}


def restored(name: str) -> nn.Module:
    torch.manual_seed(3)
    shipped = SHIPPED[name]
    make, folder = restore.origin(name)
    model = make().eval()
    images = restore.load_images(folder, model, shipped.size, 8)
    missing = restore.restore(model, shipped, BUNDLES / name, images)
    expected = NOT_IN_THE_BUNDLE[name]
    assert bool(missing) == bool(expected) and all(tensor.startswith(expected) for tensor in missing)
    return model


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_restored_network_computes_what_the_bundle_does(name: str) -> None:
    model = restored(name)
    for graph in SHIPPED[name].graphs(model):
        assert compare(graph, BUNDLES / name / f"{graph.name}.onnx") < 1e-5


@torch.no_grad()
def test_its_norms_know_what_they_see() -> None:
    """Training takes the statistics of the batch: norms that knew others would change its first steps."""
    model = restored("logocap-tiny")
    images = torch.cat(restore.load_images(ROOT / "tests/data/people", model, (256, 256), 8))
    expected = model.forward_backbone(images)[0]
    found = model.train().forward_backbone(images)[0]
    assert (found - expected).abs().max() < 1e-3


def test_a_graph_of_another_network_is_refused(tmp_path: Path) -> None:
    model = LogoCap(LogoCapConfig.tiny()).eval()
    (tmp_path / "backbone.onnx").write_bytes((BUNDLES / "lofr-tiny/pose.onnx").read_bytes())
    with pytest.raises(restore.RestoreError, match="missing or of another shape"):
        restore.restore(model, SHIPPED["logocap-tiny"], tmp_path, [])
