"""LOFR as an ONNX graph, and what it puts into its bundle, for `models.bundle.write`.

**`pose`**: `image [1, 3, H, W]` -> `response [J, H/4, W/4]`, `presence [J]` (logits). Both sizes are fixed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.export import bundle
from models import skeleton
from models.export.exporter import Graph
from models.networks.lofr import Lofr

STRIDE = 4
MULTIPLE = 32


@dataclass(frozen=True)
class Decode:
    """What a bundle may choose."""

    margin: float = 1.25
    """How much larger a crop is than its box, before it gets the network's aspect."""
    visible_threshold: float = 0.5
    """A keypoint counts from this score on."""


class PoseGraph(nn.Module):
    """One crop, and only what answers."""

    def __init__(self, model: Lofr) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.model(image)
        return answer.response[0], answer.presence[0]


@torch.no_grad()
def graph(model: Lofr) -> Graph:
    """The graph of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    examples = []
    for _ in range(2):
        image = torch.randn(1, 3, config.height, config.network_width, generator=generator)
        answer = model(image)
        examples.append(((image,), (answer.response[0], answer.presence[0])))
    return Graph("pose", PoseGraph(model).eval(), {"image": {}}, ["response", "presence"], examples)


def contents(model: Lofr, decode: Decode = Decode()) -> bundle.Contents:
    """For `model`, in eval mode."""
    config = model.config
    height, width, keypoints = config.height, config.network_width, config.keypoints
    cells = [height // STRIDE, width // STRIDE]
    return bundle.Contents(
        model="lofr",
        graphs=lambda: [graph(model)],
        input={
            "rule": "crop",
            "short_side": min(height, width),
            "multiple": MULTIPLE,
            "mean": list(config.mean),
            "std": list(config.std),
            "order": "rgb",
        },
        keypoints=skeleton.of(keypoints),
        engines={
            "pose": {
                "inputs": [{"name": "image", "shape": [1, 3, height, width]}],
                "outputs": [
                    {"name": "response", "shape": [keypoints, *cells]},
                    {"name": "presence", "shape": [keypoints]},
                ],
            }
        },
        decode=asdict(decode),
        limits=("poses",),
    )
