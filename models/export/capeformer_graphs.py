"""CapeFormer as three ONNX graphs, for `models.export.exporter.export`.

**`features`**: `image [1, 3, 256, 256]` -> `query_tokens [64, width]`, `support_tokens [64, width]`.

**`match`**: `query_tokens`, `support [K, width]`, `identity [K, width]`, `key_bias [K]` (0, or -1e4 for a row
that does not count) -> `similarity [K, 64]`, `memory [64, width]`, `refined [K, width]`.

**`refine`**: `memory`, `refined`, `identity`, `key_bias`, `proposals [K, 2]` -> `keypoints [K, 2]`, both as
places from 0 to 1. The number of keypoints is read off the inputs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from models.export import float16_weights
from models.export.exporter import Graph
from models.networks.capeformer import CELLS, SIDE, CapeFormer, identifiers
from models.networks.efficientnet_lite import fold_norms

MASKED = -1e4


class FeaturesGraph(nn.Module):
    """Tokens of one image, for either use."""

    def __init__(self, model: CapeFormer) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        query, support = self.model.features(image)
        return query[0], support[0]


class MatchGraph(nn.Module):
    """Tokens against enrolled keypoints."""

    def __init__(self, model: CapeFormer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, query_tokens: Tensor, support: Tensor, identity: Tensor, key_bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.model.match(query_tokens, support, identity, key_bias)


class RefineGraph(nn.Module):
    """From proposals to keypoints."""

    def __init__(self, model: CapeFormer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, memory: Tensor, refined: Tensor, identity: Tensor, key_bias: Tensor, proposals: Tensor
    ) -> Tensor:
        return self.model.refine(memory, refined, identity, key_bias, proposals)


def narrowed(model: CapeFormer) -> CapeFormer:
    """`capeformer-lite0` as its bundle holds it: norms folded, and every weight one that float16 holds."""
    narrow = copy.deepcopy(model).eval()
    narrow.encoder_query.body = fold_norms(model.encoder_query.body)
    narrow.load_state_dict(float16_weights.rounded(narrow.state_dict()))
    return narrow


@torch.no_grad()
def graphs(model: CapeFormer) -> list[Graph]:
    """The three graphs of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(1)
    width, cells = model.config.width, CELLS * CELLS
    identity = identifiers(width)
    features, matches, refinements = [], [], []
    for _ in range(2):
        image = torch.randn(1, 3, SIDE, SIDE, generator=generator)
        query, support = model.features(image)
        features.append(((image,), (query[0], support[0])))
    for count, hidden in ((16, 4), (32, 0), (1, 0), (100, 30)):
        bias = torch.zeros(count)
        bias[count - hidden :] = MASKED
        rows = torch.randperm(len(identity), generator=generator)[:count]
        query = torch.randn(cells, width, generator=generator)
        support = torch.randn(count, width, generator=generator)
        similarity, memory, refined = model.match(query, support, identity[rows], bias)
        matches.append(((query, support, identity[rows], bias), (similarity, memory, refined)))
        proposals = torch.rand(count, 2, generator=generator)
        found = model.refine(memory, refined, identity[rows], bias, proposals)
        refinements.append(((memory, refined, identity[rows], bias, proposals), (found,)))
    keypoints = {0: "keypoints"}
    narrow = model.config.backbone == "lite0"
    return [
        Graph(
            "features",
            FeaturesGraph(model).eval(),
            {"image": {}},
            ["query_tokens", "support_tokens"],
            lambda: features,
            float16_weights=narrow,
        ),
        Graph(
            "match",
            MatchGraph(model).eval(),
            {"query_tokens": {}, "support": keypoints, "identity": keypoints, "key_bias": keypoints},
            ["similarity", "memory", "refined"],
            lambda: matches,
            float16_weights=narrow,
        ),
        Graph(
            "refine",
            RefineGraph(model).eval(),
            {"memory": {}} | dict.fromkeys(("refined", "identity", "key_bias", "proposals"), keypoints),
            ["keypoints"],
            lambda: refinements,
            float16_weights=narrow,
        ),
    ]
