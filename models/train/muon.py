"""Muon: steepest descent under the spectral norm, for the weights that are matrices at heart.

The momentum of every convolution, seen as a matrix `[out, in * kh * kw]`, is replaced by the nearest
semi-orthogonal matrix, so that all its directions move equally far instead of a few large ones. Found by
K. Jordan and others (2024); the scale that lets it share AdamW's learning rate is that of J. Liu et al.
(2025).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The quintic whose iteration drives all singular values towards 1, tuned for speed, not for exactness.
_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """`[n, rows, columns]` -> matrices with the same singular vectors and singular values near 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(iterations):
        square = x @ x.transpose(1, 2)
        x = first * x + (third * square + fifth * (square @ square)) @ x
    return x.transpose(1, 2) if tall else x


def is_matrix(parameter: Tensor) -> bool:
    """Whether a weight is a convolution with enough rows and columns for its spectrum to mean something."""
    return parameter.dim() == 4 and parameter.shape[0] >= 8 and parameter[0].numel() >= 8


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov), orthogonalised; weights of one shape are treated in one batch."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                buffer = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(buffer, group["momentum"])
                matrix = ahead.reshape(ahead.shape[0], -1)
                shapes.setdefault(tuple(matrix.shape), []).append((parameter, matrix))
            for shape, members in shapes.items():
                updates = orthogonalise(torch.stack([matrix for _, matrix in members]))
                # An orthogonal matrix has entries of 1 / sqrt(longer side); AdamW's updates are about 0.2.
                scale = 0.2 * max(shape) ** 0.5
                for (parameter, _), update in zip(members, updates):
                    parameter.add_(update.reshape(parameter.shape), alpha=-group["lr"] * scale)
