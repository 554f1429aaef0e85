"""What a CapeFormer network puts into its bundle, for `models.export.bundle.write`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models import skeleton
from models.export import bundle
from models.export.capeformer_graphs import graphs
from models.networks.capeformer import CELLS, SIDE, CapeFormer


@dataclass(frozen=True)
class Decode:
    """What a bundle may choose; the defaults are for networks trained here."""

    box_padding: float = 1.25
    """How much larger a crop is than the longer side of its box."""
    hidden_keypoints: str = "average-seen"
    """What becomes of a keypoint that some of several images do not show."""

    @classmethod
    def reference(cls) -> Decode:
        """What the reference implementation does."""
        return cls(hidden_keypoints="drop")


def contents(
    model: CapeFormer, decode: Decode = Decode(), batch_sizes: tuple[int, ...] = (16, 32, 100)
) -> bundle.Contents:
    """For `model`, in eval mode.

    `batch_sizes` are keypoints of a template; the smallest with room for all of them runs.
    """
    config = model.config
    width, cells = config.width, CELLS * CELLS
    query = {"name": "query_tokens", "shape": [cells, width]}
    memory = {"name": "memory", "shape": [cells, width]}
    refined, identity = ({"name": name, "shape": ["n", width]} for name in ("refined", "identity"))
    key_bias = {"name": "key_bias", "shape": ["n"]}
    return bundle.Contents(
        model="capeformer",
        graphs=lambda: graphs(model),
        input={
            "rule": "crop",
            "short_side": SIDE,
            "multiple": SIDE,
            "mean": list(config.mean),
            "std": list(config.std),
            "order": "rgb",
        },
        keypoints=skeleton.NONE,
        engines={
            "features": {
                "inputs": [{"name": "image", "shape": [1, 3, SIDE, SIDE]}],
                "outputs": [query, {"name": "support_tokens", "shape": [cells, width]}],
            },
            "match": {
                "inputs": [query, {"name": "support", "shape": ["n", width]}, identity, key_bias],
                "outputs": [{"name": "similarity", "shape": ["n", cells]}, memory, refined],
                "batch_sizes": list(batch_sizes),
            },
            "refine": {
                "inputs": [memory, refined, identity, key_bias, {"name": "proposals", "shape": ["n", 2]}],
                "outputs": [{"name": "keypoints", "shape": ["n", 2]}],
                "batch_sizes": list(batch_sizes),
            },
        },
        decode=asdict(decode),
        limits=("poses",),
    )
