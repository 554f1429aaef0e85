"""Weights read back from a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import restore
from models.export import backbone_graph, compare
from models.logocap import LogoCap, LogoCapConfig

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models/bundles/logocap-tiny/backbone.onnx"


@pytest.fixture(scope="module")
def restored() -> LogoCap:
    torch.manual_seed(3)
    model = LogoCap(LogoCapConfig.tiny()).eval()
    missing = restore.restore(model, BUNDLE, restore.pictures(ROOT / "tests/data/people", model, 8))
    assert missing and all(name.startswith("joints_mlp.") for name in missing)
    return model


def test_a_restored_network_computes_what_the_bundle_does(restored: LogoCap) -> None:
    assert compare(backbone_graph(restored, flip=False), BUNDLE) < 1e-5


@torch.no_grad()
def test_its_norms_know_what_they_see(restored: LogoCap) -> None:
    """Training takes the statistics of the batch: norms that knew others would change its first steps."""
    images = torch.cat(restore.pictures(ROOT / "tests/data/people", restored, 8))
    expected = restored.forward_backbone(images)[0]
    norms = {name: value.clone() for name, value in restored.state_dict().items()}
    found = restored.train().forward_backbone(images)[0]
    restored.load_state_dict(norms)
    restored.eval()
    assert (found - expected).abs().max() < 1e-3


def test_a_graph_of_another_network_is_refused() -> None:
    model = LogoCap(LogoCapConfig.tiny()).eval()
    with pytest.raises(restore.RestoreError, match="missing or of another shape"):
        restore.restore(model, ROOT / "models/bundles/lofr-tiny/pose.onnx", [])
