"""LOFR as an ONNX graph.

**`pose`**: `image [1, 3, H, W]` -> `response [J, H/4, W/4]`, `presence [J]` (logits). Both sizes are fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.export.exporter import Graph
from models.networks.lofr import Lofr


class PoseGraph(nn.Module):
    """One crop, and only the outputs."""

    def __init__(self, model: Lofr) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        result = self.model(image)
        return result.response[0], result.presence[0]


@torch.no_grad()
def graph(model: Lofr) -> Graph:
    """The graph of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    examples = []
    for _ in range(2):
        image = torch.randn(1, 3, config.height, config.network_width, generator=generator)
        result = model(image)
        examples.append(((image,), (result.response[0], result.presence[0])))
    return Graph("pose", PoseGraph(model).eval(), {"image": {}}, ["response", "presence"], lambda: examples)
