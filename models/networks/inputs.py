"""From u8 images to the networks' input."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Normalised(Protocol):
    """How a network wants its colours."""

    @property
    def mean(self) -> tuple[float, float, float]: ...

    @property
    def std(self) -> tuple[float, float, float]: ...


def normalise(images: Tensor, config: Normalised) -> Tensor:
    """u8 [B, H, W, 3] -> the network's input [B, 3, H, W], channels last in memory."""
    mean = torch.tensor(config.mean, device=images.device) * 255
    std = torch.tensor(config.std, device=images.device) * 255
    return ((images - mean) / std).permute(0, 3, 1, 2)


def reduced_precision(device: torch.device) -> torch.autocast:
    """bfloat16 where it is faster: on a GPU.

    A CPU with AVX-512 but without AMX is faster in float32 at these widths.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
