"""The training of `capeformer-lite0`'s matcher: batches from kept maps, the start, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.losses.capeformer import propose
from models.networks.capeformer import CELLS, SIDE, CapeFormer, CapeFormerConfig, cell_middles, identifiers
from models.networks.efficientnet_lite import CellFeatures
from models.reference.capeformer import support_weights
from models.train import matcher_training as training
from models.train.matcher_training import Bank
from models.train.tasks import CapeFormerTask


@pytest.fixture(scope="module")
def bank() -> Bank:
    generator = np.random.default_rng(6)
    groups, images, keypoints = 4, 5, 24
    maps = generator.normal(size=(groups, images, CellFeatures.outputs, CELLS, CELLS))
    places = generator.uniform(0.1, 0.9, (groups, images, keypoints, 2)).astype(np.float32)
    visible = generator.random((groups, images, keypoints)) < 0.7
    weights = np.stack(
        [
            support_weights(*pair)[0]
            for pair in zip(places.reshape(-1, keypoints, 2) * SIDE, visible.reshape(-1, keypoints))
        ]
    ).reshape(groups, images, keypoints, CELLS * CELLS)
    return Bank(*map(torch.from_numpy, (maps.astype(np.float16), places, visible, weights)))


@pytest.fixture
def model(bank: Bank) -> CapeFormer:
    torch.manual_seed(7)
    model = CapeFormer(CapeFormerConfig.lite0())
    training.begin_with_axes(model, bank)
    return model


@pytest.mark.parametrize("shots", [1, 4])
def test_samples(bank: Bank, shots: int) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = training.sample(bank, 30, generator)
    while batch.support.shape[1] != shots:
        batch = training.sample(bank, 30, generator)
    # Weights of each enrolled keypoint sum up to 1 over all examples and cells, those of others to nothing.
    total = batch.weights.sum((1, 3))
    torch.testing.assert_close(total, batch.enrolled.float(), atol=1e-5, rtol=0)
    assert not (batch.counted & ~batch.enrolled).any() and batch.counted.any()


@torch.no_grad()
def test_it_begins_with_likeness_and_the_examples_place(model: CapeFormer, bank: Bank) -> None:
    query, support = model.tokens(bank.maps[0, :2].float())
    places = bank.keypoints[0, 1, :5]
    weights, _ = support_weights((places * SIDE).numpy(), np.ones(5, bool))
    shown = torch.from_numpy(weights) @ support[1]
    # The last channels are the place itself, to the four pixels that the bell's middle is rounded to.
    torch.testing.assert_close(shown[:, -2:], places, atol=2.5 / SIDE, rtol=0)
    codes, bias = identifiers(model.config.width)[:5], torch.zeros(5)
    model.keypoint_head.transformer.start.alike.fill_(0)
    similarity, _, _ = model.match(query[0], shown, codes, bias)
    nearest = (cell_middles(shown.device)[None] - shown[:, None, -2:]).norm(dim=-1).argmin(1)
    assert (similarity.argmax(1) == nearest).all(), "without likeness, copying is what is left"
    model.keypoint_head.transformer.start.alike.fill_(200)
    own, _, _ = model.match(query[1], shown, codes, bias)
    assert (propose(own) - places).norm(dim=1).max() < 1.2 / CELLS, "in the example itself all are found"


def test_every_trained_weight_has_a_gradient(model: CapeFormer, bank: Bank) -> None:
    batch = training.sample(bank, 6, torch.Generator().manual_seed(2))
    # Similarities' own part begins at nothing.
    torch.nn.init.normal_(model.keypoint_head.transformer.proposal_generator.query_proj.weight, std=0.1)
    torch.nn.init.normal_(model.keypoint_head.transformer.start.near.weight, std=0.1)
    training.first_loss(training.matched(model, batch)).backward()
    first = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all(name.startswith(("encoder_query.", *CapeFormerTask.SECOND_STAGE)) for name in first), first


def test_a_few_steps_learn(model: CapeFormer, bank: Bank) -> None:
    parameters = training.optimiser_of(model, 2e-3)
    losses = []
    for step in range(12):
        batch = training.sample(bank, 8, torch.Generator().manual_seed(step % 2))
        loss = training.first_loss(training.matched(model, batch))
        parameters.zero_grad()
        loss.backward()
        parameters.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[1], losses
