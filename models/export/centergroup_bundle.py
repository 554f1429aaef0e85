"""What a CenterGroup network puts into its bundle, for `models.export.bundle.write`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models import skeleton
from models.export import bundle
from models.export.centergroup_graphs import backbone_graph, grouping_graph
from models.networks.centergroup import Grouper
from models.networks.centergroup_movenet import MoveNetCenterGroup

STRIDE = 4


@dataclass(frozen=True)
class Decode:
    """The decoder's hyper-parameters; the defaults are for networks trained here."""

    keypoint_window_radius: int = 2
    center_window_radius: int = 8
    token_threshold: float = 0.05
    least_tokens: int = 0
    collapse_ties: bool = True
    attention_ties: str = "highest"
    score: str = "evidence"
    visible_threshold: float = 0.5
    person_threshold: float = 0.5
    scored_keypoints: int = 5
    score_threshold: float = 0.08
    """What is shown; accuracy is measured on everything above 0."""
    nms_similarity: float = 0.7

    @classmethod
    def movenet(cls) -> Decode:
        """What `centergroup-movenet` ships with; its report says how it was chosen."""
        return cls(token_threshold=0.1, score_threshold=0.2)

    @classmethod
    def reference(cls) -> Decode:
        """What the reference implementation does, flaws included."""
        return cls(
            token_threshold=0.005,
            least_tokens=3,
            collapse_ties=False,
            attention_ties="mean",
            score="visibility",
            score_threshold=-1.0,
            nms_similarity=1.0,
        )


def contents(
    model: Grouper,
    decode: Decode = Decode(),
    flip: bool = False,
    batch_sizes: tuple[int, ...] = (4, 8, 16, 30),
) -> bundle.Contents:
    """For `model`, in eval mode. With `flip` both networks also see the mirrored image.

    `batch_sizes` are tokens of a type in the second network; the smallest with room for all that count runs.
    """
    config = model.config
    types, width = config.keypoints + 1, config.width
    cells = STRIDE * STRIDE // (2 if flip else 1)
    rows = {"name": "rows", "shape": [f"H*W/{cells // 2}", width]}
    tokens = f"{types}*n"
    sizes = {"sizes": bundle.MOVENET_SIZES} if isinstance(model, MoveNetCenterGroup) else {}
    return bundle.Contents(
        model="centergroup",
        graphs=lambda: [backbone_graph(model, flip), grouping_graph(model, flip)],
        input=bundle.input_section(config, "short-side-even") | sizes,
        keypoints=skeleton.of(config.keypoints),
        engines={
            "backbone": {
                "inputs": [{"name": "image", "shape": [1, 3, "H", "W"]}],
                "outputs": [{"name": "heat_half", "shape": [types, "H/2", "W/2"]}, rows],
            },
            "grouping": {
                "inputs": [
                    rows,
                    {"name": "pos_rows", "shape": [f"H*W/{cells}", width]},
                    {"name": "idx", "data_type": "i32", "shape": [tokens, 4]},
                    {"name": "wgt", "shape": [tokens, 4]},
                    {"name": "bias", "shape": [tokens]},
                ],
                "outputs": [
                    {"name": "attn", "shape": [config.keypoints, "n", f"{config.keypoints}*n"]},
                    {"name": "vis", "shape": [config.keypoints, "n"]},
                    {"name": "center", "shape": ["n"]},
                ],
                "batch_sizes": list(batch_sizes),
            },
        },
        decode={"stride": STRIDE, **asdict(decode)},
    )
