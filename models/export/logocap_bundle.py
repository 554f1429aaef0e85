"""What a LOGO-CAP network puts into its bundle, for `models.export.bundle.write`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models import skeleton
from models.export import bundle
from models.export.logocap_graphs import Sampling, backbone_graph, kam_graph
from models.networks.logocap import KEYPOINTS, SecondStage
from models.networks.logocap_movenet import MoveNetLogoCap

MOVENET_SCORE_THRESHOLD = 0.019
"""What is shown of `logocap-movenet`'s poses; its REPORT.md says how it was chosen."""


@dataclass(frozen=True)
class Decode:
    """The decoder's hyper-parameters that a bundle may choose; the defaults are for networks trained here."""

    center_threshold: float = 0.2
    """On the held-out people, and on photographs, nothing below leads to a pose that is right."""
    center_fallback: bool = False
    collapse_ties: bool = True
    zero_kernel: str = "keep-initial"
    top2_weights: tuple[float, float] = (0.75, 0.25)
    score_threshold: float = 0.015
    """What is shown; accuracy is measured on everything above 0."""
    nms_distance: float = 0.05
    nms_keypoints: int = 8
    level: str = "full"

    @classmethod
    def movenet(cls) -> Decode:
        """For `logocap-movenet`, whose centres and heatmaps are probabilities of MoveNet's own scale."""
        return cls(center_threshold=0.1, score_threshold=MOVENET_SCORE_THRESHOLD)

    @classmethod
    def reference(cls) -> Decode:
        """What the reference implementation does, flaws included."""
        return cls(
            center_threshold=0.01,
            center_fallback=True,
            collapse_ties=False,
            zero_kernel="reference",
            score_threshold=0.0,
        )


def contents(
    model: SecondStage,
    decode: Decode = Decode(),
    flip: bool = False,
    sampling: Sampling = "gather",
    batch_sizes: tuple[int, ...] = (1,),
) -> bundle.Contents:
    """For `model`, in eval mode.

    `batch_sizes` are people per run of the second network. One at a time is the fastest on tract, which
    convolves a batch of several through a copied matrix.
    """
    config = model.config
    stride, side = config.stride, 2 * config.mesh_radius + 1
    cells = [f"H/{stride}", f"W/{stride}"]
    embedding = {
        "name": "embedding",
        "shape": [config.embedding + config.evidence, *(f"{cell}+2" for cell in cells)],
    }
    own = asdict(decode)
    sizes = {"sizes": bundle.MOVENET_SIZES} if isinstance(model, MoveNetLogoCap) else {}
    return bundle.Contents(
        model="logocap",
        graphs=lambda: [backbone_graph(model, flip), kam_graph(model, sampling)],
        input=bundle.input_section(config, "short-side") | sizes,
        keypoints=skeleton.COCO,
        engines={
            "backbone": {
                "inputs": [{"name": "image", "shape": [1, 3, "H", "W"]}],
                "outputs": [
                    {"name": "heatmaps", "shape": [KEYPOINTS + 1, *cells]},
                    {"name": "offsets", "shape": [2 * KEYPOINTS, *cells]},
                    embedding,
                ],
            },
            "kam": {
                "inputs": [embedding, {"name": "grid", "shape": [f"{KEYPOINTS * side}*n", side, 2]}],
                "outputs": [{"name": "kam", "shape": ["n", KEYPOINTS, side, side]}],
                "batch_sizes": list(batch_sizes),
            },
        },
        decode={
            "stride": stride,
            "center_threshold": own.pop("center_threshold"),
            "center_fallback": own.pop("center_fallback"),
            "collapse_ties": own.pop("collapse_ties"),
            "zero_kernel": own.pop("zero_kernel"),
            "mesh_radius": config.mesh_radius,
            "kernel_divisor": config.kernel_divisor,
            "window_radius": config.window_radius,
            "prior_sigma": config.prior_sigma,
            **own,
            "top2_weights": list(decode.top2_weights),
        },
    )
