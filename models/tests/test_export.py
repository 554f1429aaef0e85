"""The ONNX graphs and bundles."""

from __future__ import annotations

import copy
import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.export import bundle, exporter, logocap_bundle, logocap_graphs
from models.export.simplify import ExportError
from models.networks.logocap import LogoCap, LogoCapConfig
from models.paths import ROOT
from models.reference import golden


@pytest.fixture(scope="module")
def model() -> LogoCap:
    torch.manual_seed(3)
    model = LogoCap(LogoCapConfig.tiny())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("flip", [False, True])
def test_backbone(model: LogoCap, tmp_path: Path, flip: bool) -> None:
    path = tmp_path / "backbone.onnx"
    assert exporter.export(logocap_graphs.backbone_graph(model, flip), path) <= exporter.TOLERANCE
    graph = onnx.load(path).graph
    assert [dimension.dim_param for dimension in graph.input[0].type.tensor_type.shape.dim][2:] == ["H", "W"]
    assert [output.name for output in graph.output] == ["heatmaps", "offsets", "embedding"]


@pytest.mark.parametrize("sampling", ["gather", "grid-sample"])
def test_kam(model: LogoCap, tmp_path: Path, sampling: logocap_graphs.Sampling) -> None:
    path = tmp_path / "kam.onnx"
    assert exporter.export(logocap_graphs.kam_graph(model, sampling), path) <= exporter.TOLERANCE
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert ("GridSample" in operators) == (sampling == "grid-sample")


def test_a_graph_that_differs_is_refused(model: LogoCap, tmp_path: Path) -> None:
    graph = logocap_graphs.kam_graph(model, "gather")
    examples = [
        (inputs, (expected + 0.01 * (index == 1),))
        for index, (inputs, (expected,)) in enumerate(graph.examples())
    ]
    graph = replace(graph, examples=lambda: examples)
    with pytest.raises(ExportError, match=r"differs from PyTorch by 1\.00e-02"):
        exporter.export(graph, tmp_path / "kam.onnx")


def test_the_attention_takes_the_unbiased_variance(model: LogoCap, tmp_path: Path) -> None:
    class Biased(torch.nn.Module):
        """The attention with the variance divided by n instead of n - 1."""

        def __init__(self, attention: torch.nn.Module) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean, variance = x.mean((-2, -1), keepdim=True), x.var((-2, -1), correction=0, keepdim=True)
            logits = self.attention(mean / torch.sqrt(variance + 1e-3))
            return (torch.nn.functional.relu6(logits + 3) / 6).flatten(1)

    # Of a size at which the difference shows and the attention does not saturate.
    torch.manual_seed(4)
    model = copy.deepcopy(model)
    torch.nn.init.normal_(model.joints_mlp[4].attn_weights.attention[0].weight, std=0.3)
    torch.nn.init.normal_(model.joints_mlp[9].weight, std=0.5)
    graph = logocap_graphs.kam_graph(model, "gather")
    assert exporter.export(graph, tmp_path / "kam.onnx") <= 1e-5
    # Of a copy: what is expected comes from the network itself.
    graph = replace(graph, module=copy.deepcopy(graph.module))
    norm = graph.module.message_passing[4]
    norm.attn_weights = Biased(norm.attn_weights.attention)
    with pytest.raises(ExportError, match="differs from PyTorch"):
        exporter.export(graph, tmp_path / "biased.onnx")


def test_the_grid_is_that_of_the_golden_arrays() -> None:
    model = LogoCap(LogoCapConfig.tiny())
    poses = torch.rand(2, 17, 2) * torch.tensor([96.0, 64.0]) * 1.2 - 8
    poses[0, 0] = torch.tensor([92.0, 60.0])
    grid = logocap_graphs.normalised_grid(model.local_mesh(poses) / 4, 16, 24).flatten(0, 2)
    np.testing.assert_allclose(golden.sampling_grid(poses.numpy(), 24, 16), grid, atol=1e-6)


def test_the_golden_arrays_are_up_to_date() -> None:
    folder = ROOT / "tests" / "golden"
    for name in ("one_person", "borders", "empty"):
        stored = np.load(folder / "logocap" / f"{name}.npz")
        made = golden.logocap_arrays(name)
        assert sorted(stored.files) == sorted(made)
        for key, value in made.items():
            np.testing.assert_allclose(stored[key], value, atol=1e-5, err_msg=f"{name}: {key}")
    for name, arrays in golden.warp_arrays().items():
        np.testing.assert_allclose(
            np.load(folder / "warp" / f"{name}.npz")["network"], arrays["network"], atol=1e-6
        )


def test_bundle(model: LogoCap, tmp_path: Path) -> None:
    folder = tmp_path / "logocap-tiny"
    folder.mkdir()
    (folder / "REPORT.md").write_text("stays")
    list(bundle.write(logocap_bundle.contents(model), folder, bundle.Options(provenance='a "test"')))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logocap-tiny"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "REPORT.md",
        "backbone.onnx",
        "bundle.toml",
        "kam.onnx",
    ]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12_000_000
    manifest = tomllib.loads((folder / "bundle.toml").read_text())
    assert manifest["bundle"]["name"] == "logocap-tiny"
    assert manifest["bundle"]["provenance"] == 'a "test"'
    for role in ("backbone", "kam"):
        entry = manifest["engine"][role]["precision"]["fp32"]
        assert hashlib.sha256((folder / entry["onnx"]).read_bytes()).hexdigest() == entry["sha256"]
    assert manifest["engine"]["kam"]["inputs"][0] == manifest["engine"]["backbone"]["outputs"][2]
    assert manifest["decode"]["zero_kernel"] == "keep-initial"
    # What is written is what was meant, whatever the layout.
    hashes = {role: manifest["engine"][role]["precision"]["fp32"]["sha256"] for role in ("backbone", "kam")}
    assert manifest == bundle.manifest(
        logocap_bundle.contents(model), folder.name, bundle.Options(provenance='a "test"'), hashes
    )


def test_accuracy_is_replaced(model: LogoCap, tmp_path: Path) -> None:
    hashes = {"backbone": "0" * 64, "kam": "1" * 64}
    contents = bundle.manifest(
        logocap_bundle.contents(model), tmp_path.name, bundle.Options(provenance="test"), hashes
    )
    (tmp_path / bundle.MANIFEST).write_text(bundle.dump(contents))
    row = {"metric": "oks-ap", "data": "tests/data/people", "precision": "fp32"}
    for level, value in (("none", 0.1), ("full", 0.2), ("full", 0.3)):
        bundle.record_accuracy(tmp_path, row | {"level": level, "value": value})
    manifest = tomllib.loads((tmp_path / bundle.MANIFEST).read_text())
    assert [(entry["level"], entry["value"]) for entry in manifest["accuracy"]] == [
        ("full", 0.3),
        ("none", 0.1),
    ]
    assert {key: value for key, value in manifest.items() if key != "accuracy"} == contents
