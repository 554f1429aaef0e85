"""CenterGroup as two ONNX graphs, for `models.export.exporter.export`.

**`backbone`**: `image [1, 3, H, W]` -> `heat_half [types, H/2, W/2]` (the mean of both heatmaps; keypoints,
then the centre; no sigmoid), `rows [2 * H/4 * W/4, width]` (features of every cell of the keypoint map, then
of the centre map).

**`grouping`**: `rows`, `pos_rows [H/4 * W/4, width]`, `idx [n, 4]` (i32, into `rows`), `wgt [n, 4]`, `bias
[n]` (0, or -1e4 for a token that does not count) -> `attn [keypoints, k, keypoints * k]`, `vis [keypoints,
k]`, `center [k]`, all logits. The `n = types * k` tokens are ordered by type, centres last; `k` is 30 in the
reference implementation and may be smaller where no type has more peaks, which changes no answer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.export.exporter import Graph
from models.export.layers import BranchMix, stretch_rows
from models.networks.centergroup import CenterGroup, position_rows


def fold(layer: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> nn.ConvTranspose2d:
    """The two as one deconvolution; no exporter folds a norm into one."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.ConvTranspose2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
    )
    folded.weight = nn.Parameter((layer.weight * scale[None, :, None, None]).detach())
    folded.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
    return folded


class BackboneGraph(nn.Module):
    """The first half, with what no exporter does by itself."""

    def __init__(self, model: CenterGroup) -> None:
        super().__init__()
        self.model = model
        self.types = model.config.keypoints + 1
        parts = model.bu_model
        head = parts.keypoint_head
        self.mix = None if parts.mix is None else BranchMix([parts.mix], model.config.backbone.widths)
        enlarge, *residual = head.deconv_layers[0]
        self.coarse, self.fine = head.final_layers
        self.enlarge = fold(enlarge[0], enlarge[1])
        self.residual = nn.Sequential(*residual)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        branches = self.model.bu_model.backbone(image)
        x = branches[0] if self.mix is None else self.mix(branches)
        read = x[:, : self.model.bu_model.read]
        coarse = self.coarse(read)
        fine = self.residual(functional.relu(self.enlarge(torch.cat([read, coarse], 1))))
        # Columns are stretched as rows of the turned map: tract is ten times slower on the last axis.
        tall = stretch_rows(coarse[:, : self.types], 2)
        double = stretch_rows(tall.transpose(2, 3), 2).transpose(2, 3)
        heat_half = (double + self.fine(fine)) * 0.5
        networks = (self.model.kp_embed_cnn, self.model.person_embed_cnn)
        rows = torch.cat([network(x)[0].flatten(1).transpose(0, 1) for network in networks])
        return heat_half[0], rows


class GroupingGraph(nn.Module):
    """The second half; the number of tokens of a type is read off the inputs."""

    def __init__(self, model: CenterGroup) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, rows: Tensor, pos_rows: Tensor, idx: Tensor, wgt: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(self.model.grouping(rows, pos_rows, idx.long(), wgt, bias))


@torch.no_grad()
def backbone_graph(model: CenterGroup) -> Graph:
    """The first half of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(1)
    examples = []
    for height, width in ((3, 4), (2, 2), (5, 3)):
        image = torch.randn(1, 3, 64 * height, 64 * width, generator=generator)
        heat_half, rows = model.forward_backbone(image)
        examples.append(((image,), (heat_half[0], rows[0])))
    return Graph(
        name="backbone",
        module=BackboneGraph(model).eval(),
        inputs={"image": {2: "H", 3: "W"}},
        outputs=["heat_half", "rows"],
        examples=examples,
    )


@torch.no_grad()
def grouping_graph(model: CenterGroup) -> Graph:
    """The second half of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(2)
    width, types = model.config.width, model.config.keypoints + 1
    examples = []
    for height, columns, tokens in ((16, 24, 30), (16, 16, 4), (32, 8, 1)):
        cells = height * columns
        rows = torch.randn(2 * cells, width, generator=generator)
        mask = torch.ones(height, columns, dtype=torch.bool)
        mask[:2] = False
        positions = position_rows(mask, width)
        index = torch.randint(cells, (types * tokens, 4), generator=generator)
        index[-tokens:] += cells
        weight = torch.rand(types * tokens, 4, generator=generator)
        weight /= weight.sum(1, keepdim=True)
        bias = torch.where(torch.rand(types * tokens, generator=generator) < 0.3, -1e4, 0.0)
        bias[::tokens] = 0
        inputs = (rows, positions, index.int(), weight, bias)
        examples.append((inputs, tuple(model.grouping(rows, positions, index, weight, bias))))
    return Graph(
        name="grouping",
        module=GroupingGraph(model).eval(),
        inputs={
            "rows": {0: "features"},
            "pos_rows": {0: "cells"},
            "idx": {0: "tokens"},
            "wgt": {0: "tokens"},
            "bias": {0: "tokens"},
        },
        outputs=["attn", "vis", "center"],
        examples=examples,
    )
