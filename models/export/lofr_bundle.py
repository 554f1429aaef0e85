"""What a LOFR network puts into its bundle, for `models.export.bundle.write`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models import skeleton
from models.export import bundle
from models.export.lofr_graphs import graph
from models.networks.lofr import Lofr

STRIDE = 4
MULTIPLE = 32


@dataclass(frozen=True)
class Decode:
    """What a bundle may choose."""

    box_padding: float = 1.25
    """How much larger a crop is than its box, before it gets the network's aspect."""
    visible_threshold: float = 0.5
    """A keypoint counts from this score on."""


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
