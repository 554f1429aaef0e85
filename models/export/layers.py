"""Layers as an exporter and tract want them, for the graphs of several networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class BranchMix(nn.Module):
    """`hrnet.mix_branches` with the norms and ReLU that follow it, as an exporter and tract want them."""

    def __init__(self, layers: Sequence[nn.Sequential], widths: Sequence[int]) -> None:
        """`layers` are 1x1 convolutions of the same branches with their norms; their outputs are put one
        after the other."""
        super().__init__()
        # The norms follow a sum of convolutions, where no exporter can fold them.
        scales = [layer[1].weight / torch.sqrt(layer[1].running_var + layer[1].eps) for layer in layers]
        weight = torch.cat(
            [layer[0].weight * scale[:, None, None, None] for layer, scale in zip(layers, scales)]
        )
        shifts = [layer[1].bias - layer[1].running_mean * scale for layer, scale in zip(layers, scales)]
        self.bias = nn.Parameter(torch.cat(shifts).detach())
        parts = weight.detach().split(list(widths), dim=1)
        self.weights = nn.ParameterList(nn.Parameter(part.clone()) for part in parts)

    def forward(self, branches: list[Tensor]) -> Tensor:
        mixed = functional.conv2d(branches[0], self.weights[0], self.bias)
        coarse: Tensor | None = None
        for level, branch in enumerate(branches[1:], start=1):
            tall = stretch_rows(functional.conv2d(branch, self.weights[level]), 2**level)
            # Turned, so that columns too are stretched as rows: tract is ten times slower on the last axis.
            wide = stretch_rows(tall.transpose(2, 3), 2**level)
            coarse = wide if coarse is None else coarse + wide
        return functional.relu(mixed + coarse.transpose(2, 3))


def stretch_rows(maps: Tensor, factor: int) -> Tensor:
    """`[1, C, h, w]` -> `[1, C, h * factor, w]`, linear with half-pixel centres, the border repeated."""
    return functional.interpolate(maps, scale_factor=(factor, 1), mode="bilinear", align_corners=False)
