"""The optimiser for convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.train.muon import Muon, is_matrix, orthogonalise


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 16, 144), (2, 144, 16), (1, 64, 576)])
def test_singular_values_come_near_one_and_their_vectors_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    # The iteration brings every singular value that is not tiny to between 0.7 and 1.2.
    inner = torch.diagonal(u.transpose(1, 2) @ orthogonalise(matrices) @ v.transpose(1, 2), dim1=1, dim2=2)
    large = torch.linalg.svdvals(matrices) > 0.1 * torch.linalg.matrix_norm(matrices)[:, None]
    assert large.any()
    assert ((inner > 0.6) & (inner < 1.3))[large].all()


def test_a_step_goes_downhill_in_every_direction() -> None:
    """A target that differs along one strong and many weak directions is approached along all of them."""
    torch.manual_seed(0)
    target = torch.randn(16, 16, 1, 1) + 20 * torch.randn(16, 1, 1, 1) * torch.randn(1, 16, 1, 1)
    weight = nn.Parameter(torch.zeros(16, 16, 1, 1))
    assert is_matrix(weight)
    optimiser = Muon([weight], 0.05)
    before = torch.linalg.svdvals((target - weight.detach())[..., 0, 0])
    for _ in range(20):
        weight.grad = weight.detach() - target
        optimiser.step()
    after = torch.linalg.svdvals((target - weight.detach())[..., 0, 0])
    moved = before - after
    assert before[0] > 10 * before[1]
    assert moved[0] > 0
    assert (moved[1:8] > 0.5 * moved[0]).all(), "the weak directions move about as far as the strong one"


def test_the_step_does_not_depend_on_the_size_of_the_gradient() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(8, 16, 3, 3)
    steps = []
    for factor in (1.0, 1000.0):
        weight = nn.Parameter(torch.zeros(8, 16, 3, 3))
        weight.grad = factor * gradient
        Muon([weight], 0.01).step()
        steps.append(weight.detach().clone())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-6)
    # As large as AdamW's usual step: about a fifth of the learning rate.
    assert 0.1 * 0.01 < float(steps[0].square().mean().sqrt()) < 0.3 * 0.01


def test_vectors_and_thin_weights_are_left_to_another_optimiser() -> None:
    assert not is_matrix(torch.zeros(16))
    assert not is_matrix(torch.zeros(1, 32, 1, 1))
    assert is_matrix(torch.zeros(16, 3, 3, 3))
