"""LOFR's network, its parts, its graph, and what surrounds it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.export import bundle, lofr_bundle, lofr_graphs
from models.export.exporter import TOLERANCE, export
from models.networks import lofr
from models.networks.lofr import Lofr, LofrConfig
from models.reference import lofr as reference

TINY, PLAIN = LofrConfig.tiny(), LofrConfig.small()


def result(config: LofrConfig) -> lofr.LofrOutput:
    torch.manual_seed(1)
    with torch.no_grad():
        return Lofr(config).eval()(torch.randn(2, 3, config.height, config.network_width))


@pytest.mark.parametrize("part", ["none", "spatial_prior", "multi_scale", "relation", "all"])
def test_every_part_can_be_left_out(part: str) -> None:
    names = ("spatial_prior", "multi_scale", "relation")
    config = replace(TINY, **{name: part in (name, "all") for name in names})
    found = result(config)
    assert found.response.shape == (2, 17, config.height // 4, config.network_width // 4)
    assert found.presence.shape == found.cnn.shape == found.encoder.shape == (2, 17)
    assert found.parts.shape == (2, 17, config.width)


def test_a_response_is_a_density() -> None:
    found = result(TINY)
    assert found.response.shape == (2, 17, TINY.height // 4, TINY.network_width // 4)
    # Every token's weight is spread over its pixels; enlarging keeps the sum nearly.
    torch.testing.assert_close(found.response.sum((2, 3)) * 16, torch.ones(2, 17), atol=0.05, rtol=0)
    assert (found.response >= 0).all()


def test_the_prior_is_where_the_activation_is_highest() -> None:
    activation = torch.rand(1, 3, 8, 6)
    activation[0, 0, 2, 1] = activation[0, 1, 5, 4] = activation[0, 2, 2, 1] = 2
    prior = lofr.prior_map(activation)[0, 0]
    assert prior[2, 1] == prior[5, 4] == 1
    assert prior[2, 2] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert (prior == 1).sum() == 2


def test_nodes_hear_of_their_neighbours_only() -> None:
    torch.manual_seed(2)
    layer = lofr.GraphLayer(8, lofr.kinematic_adjacency(17)).eval()
    nodes = torch.randn(1, 17, 8)
    other = nodes.clone()
    other[0, 9] += 1  # the left wrist: joined to the left elbow, 7
    changed = (layer(nodes) - layer(other)).abs().sum(-1)[0] > 1e-6
    assert set(torch.nonzero(changed).flatten().tolist()) == {7, 9}


def test_graph_and_bundle(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = Lofr(TINY).eval()
    for _ in bundle.write(lofr_bundle.contents(model), tmp_path / "tiny", bundle.Options("random weights")):
        pass
    manifest = tomllib.loads((tmp_path / "tiny/bundle.toml").read_text())
    assert manifest["input"]["rule"] == "crop" and manifest["input"]["short_side"] == 96
    assert manifest["engine"]["pose"]["inputs"][0]["shape"] == [1, 3, 128, 96]
    assert sum(path.stat().st_size for path in (tmp_path / "tiny").iterdir()) <= 12e6


def test_the_paper_s_sizes_exist() -> None:
    for config in (LofrConfig.r50(), LofrConfig.w32(), LofrConfig.w48()):
        with torch.device("meta"):
            model = Lofr(config)
            found = model(torch.empty(1, 3, config.height, config.network_width))
        assert found.response.shape == (1, 17, 64, 48)
        assert len(model.encoder) == 4 and len(model.decoder) == 6


def test_a_smaller_relative_of_the_paper_s_network_is_exported(tmp_path: Path) -> None:
    """ResNet-50 as it is; only the crop is small, so that it takes seconds."""
    torch.manual_seed(4)
    config = replace(LofrConfig.r50(), height=64, network_width=64, encoder_layers=1, decoder_layers=1)
    assert export(lofr_graphs.graph(Lofr(config).eval()), tmp_path / "pose.onnx") <= TOLERANCE


def test_places_of_peaks_and_plateaus() -> None:
    response = np.zeros((6, 4), np.float32)
    np.testing.assert_allclose(reference.place(response), [0.5, 0.5])
    response[3, 2], response[3, 1], response[4, 2] = 1, 0.5, 0.25
    np.testing.assert_allclose(reference.place(response), [2.25 / 4, 3.75 / 6])
    response[0, 0] = 2
    np.testing.assert_allclose(reference.place(response), [0.5 / 4, 0.5 / 6])


def test_the_ablation_s_network_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(5)
    assert export(lofr_graphs.graph(Lofr(PLAIN).eval()), tmp_path / "pose.onnx") <= TOLERANCE


def test_the_smooth_maximum_lies_between_mean_and_maximum() -> None:
    maps = torch.randn(2, 17, 6, 4, generator=torch.Generator().manual_seed(6))
    found = lofr.smooth_maximum(maps)
    assert (found > maps.mean((2, 3))).all() and (found < maps.amax((2, 3))).all()
    torch.testing.assert_close(lofr.smooth_maximum(torch.full((1, 2, 3, 3), 0.7)), torch.full((1, 2), 0.7))


@pytest.mark.parametrize("own_maps", [False, True])
def test_a_keypoint_is_told_from_its_own_map(own_maps: bool) -> None:
    torch.manual_seed(7)
    activation = lofr.Activation(8, replace(PLAIN, own_maps=own_maps)).eval()
    x = torch.randn(1, 8, 6, 4)
    logits, maps, _ = activation(x)
    with torch.no_grad():
        activation.maps.weight[3] += 1
    changed, other, _ = activation(x)
    assert set(torch.nonzero(logits != changed)[:, 1].tolist()) == ({3} if own_maps else set(range(17)))
    assert torch.equal(maps[:, 4], other[:, 4]) == own_maps


def test_nodes_are_what_lies_at_the_peaks() -> None:
    tokens = torch.randn(1, 24, 5, generator=torch.Generator().manual_seed(8))
    activation = torch.zeros(1, 17, 6, 4)
    activation[0, :, 2, 3] = 1
    # Half as high elsewhere is next to nothing.
    activation[0, :, 0, 0] = 0.5
    nodes = Lofr._at_peaks(activation, [torch.empty(1, 5, 6, 4)], [tokens])
    torch.testing.assert_close(nodes, tokens[:, 11:12].expand(1, 17, 5), atol=0.02, rtol=0)


@pytest.mark.parametrize("gathered_presence", [False, True])
def test_presence_is_told_from_what_was_gathered(gathered_presence: bool) -> None:
    """A prototype that knows which keypoints there are must not result by itself."""
    torch.manual_seed(9)
    model = Lofr(replace(PLAIN, gathered_presence=gathered_presence)).eval()
    with torch.no_grad():
        # Nothing can be gathered.
        model.decoder[-1].cross_attention.value.weight.zero_()
        presence = model(torch.randn(1, 3, 96, 64)).presence[0]
    assert (presence.max() - presence.min() < 1e-6) == gathered_presence


def test_training_begins_by_looking_at_what_is_alike() -> None:
    torch.manual_seed(10)
    model = Lofr(PLAIN).eval()
    tokens = functional.layer_norm(torch.randn(1, 60, PLAIN.width), (PLAIN.width,))

    def found() -> float:
        """Share of tokens that pay most attention to themselves."""
        _, weights = model.decoder[0].cross_attention(tokens, tokens)
        return (weights[0].argmax(1) == torch.arange(60)).float().mean().item()

    before = found()
    model.begin_alike()
    assert before < 0.2 and found() == 1
    # Layers change nothing yet but for their norms, and neither does the graph.
    torch.testing.assert_close(model.encoder[0](tokens), tokens, atol=1e-3, rtol=0)
    assert torch.equal(model.graph[0](tokens[:, :17]), tokens[:, :17])
