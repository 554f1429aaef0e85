"""CapeFormer's network: the official layout, and what changes no result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks import capeformer
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.reference import capeformer as reference


@pytest.fixture(scope="module")
def model() -> CapeFormer:
    torch.manual_seed(4)
    model = CapeFormer(CapeFormerConfig.tiny())
    for branch in model.keypoint_head.kpt_branch:
        torch.nn.init.normal_(branch.mlp[-1].weight, std=0.3)
    return model.eval()


def test_official_layout(fixtures: Path) -> None:
    listing = fixtures.parent / "specs" / "checkpoints" / "capeformer.txt"
    if not listing.exists():
        pytest.skip(f"{listing} is not there: names and shapes are not compared one by one")
    rows = [line.split("\t") for line in listing.read_text().splitlines() if not line.startswith("#")]
    with torch.device("meta"):
        state = CapeFormer(CapeFormerConfig.r50()).state_dict()
    found = {name: str(list(tensor.shape)) for name, tensor in state.items()}
    # The release holds the backbone twice.
    expected = {name: shape for name, shape, *_ in rows if not name.startswith("encoder_sample.")}
    assert found == expected


def test_tables_equal_numpy() -> None:
    np.testing.assert_allclose(capeformer.grid_encoding(256), reference.grid_encoding(), atol=1e-5)
    np.testing.assert_allclose(capeformer.identifiers(256), reference.identifiers(), atol=1e-5)
    points = torch.rand(20, 2)
    np.testing.assert_allclose(
        capeformer.encode_points(points, 256), reference.encode_points(points.numpy()), atol=1e-5
    )
    values = torch.linspace(-0.2, 1.2, 50)
    np.testing.assert_allclose(
        capeformer.inverse_sigmoid(values), reference.inverse_sigmoid(values.numpy()), atol=1e-5
    )


def whole(model: CapeFormer, query: torch.Tensor, support: torch.Tensor, bias: torch.Tensor, rows: list[int]):
    identity = capeformer.identifiers(model.config.width)[rows]
    similarity, memory, refined = model.match(query, support, identity, bias)
    proposals = torch.from_numpy(reference.proposals(similarity.reshape(-1, 8, 8).numpy()))
    return model.refine(memory, refined, identity, bias, proposals)


@torch.no_grad()
def test_keypoints_that_do_not_count_change_nothing(model: CapeFormer) -> None:
    generator = torch.Generator().manual_seed(5)
    query = torch.randn(64, model.config.width, generator=generator)
    support = torch.randn(6, model.config.width, generator=generator)
    bias = torch.tensor([0.0, 0.0, -1e4, 0.0, -1e4, 0.0])
    everything = whole(model, query, support, bias, list(range(6)))
    kept = [0, 1, 3, 5]
    compact = whole(model, query, support[kept], torch.zeros(4), kept)
    torch.testing.assert_close(compact, everything[kept], atol=1e-5, rtol=0)
    # Their own index matters: renumbered, they are other keypoints.
    renumbered = whole(model, query, support[kept], torch.zeros(4), [0, 40, 70, 99])
    assert (renumbered - everything[kept]).abs().max() > 1e-3


@torch.no_grad()
def test_features_pool_like_the_enlarged_map(model: CapeFormer) -> None:
    image = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(6))
    query, support = model.features(image)
    assert query.shape == support.shape == (1, 64, model.config.width)
    points, visible = np.array([[40.0, 200.0], [128.3, 3.2]]), np.ones(2)
    weights, _ = reference.support_weights(points, visible)
    folded = torch.from_numpy(weights) @ support[0]
    # As the release does: enlarge, mean under the bell, then project.
    maps = torch.nn.functional.interpolate(model.encoder_query(image), size=64, mode="bilinear")
    middle = np.trunc(points / 4 + 0.5)
    cells = np.arange(64)
    bells = np.exp(-((cells[None] - middle.reshape(-1, 1)) ** 2) / 8) * (
        np.abs(cells[None] - middle.reshape(-1, 1)) <= 6
    )
    bells = bells.reshape(2, 2, 64)
    heat = torch.from_numpy(np.einsum("ky,kx->kyx", bells[:, 1], bells[:, 0])).float()
    pooled = torch.einsum("kyx,cyx->kc", heat / heat.sum((1, 2), keepdim=True), maps[0])
    torch.testing.assert_close(folded, model.keypoint_head.query_proj(pooled), atol=1e-4, rtol=0)


def test_size() -> None:
    parameters = sum(p.numel() for p in CapeFormer(CapeFormerConfig.tiny()).parameters())
    # A bundle has 12 MB at most, four bytes a number.
    assert parameters < 3_000_000
