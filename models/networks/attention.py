"""What CenterGroup's and CapeFormer's transformers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 10000.0
"""Of the sine encoding."""


def sines(angles: Tensor, half: int) -> Tensor:
    """`[...]` -> `[..., half]`: sines and cosines in turn, of ever slower angles."""
    channel = torch.arange(half, device=angles.device)
    slowed = angles[..., None] / TEMPERATURE ** (2 * (channel // 2).float() / half)
    return torch.where(channel % 2 == 0, slowed.sin(), slowed.cos())


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor) -> Tensor:
    """Scaled dot-product attention of projected tokens `[n, d]`, `[m, d]`, `[m, d]`; `bias [m]` is added to
    the logits."""
    # The width is known when a graph is exported, the number of tokens is not.
    split = [part.reshape(-1, heads, part.shape[-1] // heads).transpose(0, 1) for part in (query, key, value)]
    logits = split[0] @ split[1].transpose(1, 2) / (query.shape[-1] // heads) ** 0.5 + bias
    return (logits.softmax(-1) @ split[2]).transpose(0, 1).reshape(-1, value.shape[-1])


class SelfAttention(nn.Module):
    """Multi-head attention among tokens of one width; the mask is an additive bias on the keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query_key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """`[n, width]` twice and `[n]` -> `[n, width]`."""
        width = value.shape[-1]
        weights, biases = self.in_proj_weight.split(width), self.in_proj_bias.split(width)
        queries, keys, values = (
            functional.linear(x, weight, offset)
            for x, weight, offset in zip((query_key, query_key, value), weights, biases)
        )
        return self.out_proj(attend(queries, keys, values, self.heads, bias))
