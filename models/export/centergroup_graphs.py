"""CenterGroup as two ONNX graphs, for `models.export.exporter.export`.

**`backbone`**: `image [1, 3, H, W]` -> `heat_half [types, H/2, W/2]` (the mean of both heatmaps; keypoints,
then the centre; no sigmoid), `rows [2 * H/4 * W/4, width]` (features of every cell of the keypoint map, then
of the centre map).

**`grouping`**: `rows`, `pos_rows [H/4 * W/4, width]`, `idx [n, 4]` (i32, into `rows`), `wgt [n, 4]`, `bias
[n]` (0, or -1e4 for a token that does not count) -> `attn [keypoints, k, keypoints * k]`, `vis [keypoints,
k]`, `center [k]`, all logits. The `n = types * k` tokens are ordered by type, centres last; `k` is 30 in the
reference implementation and may be smaller where no type has more peaks, which changes no result.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import skeleton
from models.export.exporter import Example, Graph
from models.export.layers import BranchMix, stretch_rows
from models.export.simplify import ExportError
from models.networks.centergroup import CenterGroup, Grouper, Grouping, GroupModel, position_rows
from models.networks.centergroup_movenet import MoveNetCenterGroup


def fold(layer: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> nn.ConvTranspose2d:
    """The two as one deconvolution; no exporter folds a norm into one."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.ConvTranspose2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
    )
    folded.weight = nn.Parameter((layer.weight * scale[None, :, None, None]).detach())
    folded.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
    return folded


def mirrored_order(model: Grouper) -> list[int]:
    """For every type the one that takes its place in a mirrored image; the centre, last, stays."""
    keypoints = model.config.keypoints
    return [*skeleton.flip_order(skeleton.of(keypoints)), keypoints]


class BackboneGraph(nn.Module):
    """The first half.

    With `flip` the mirrored image runs beside the image. The heatmaps are the mean of both; the rows of the
    mirrored image follow those of the image, its cells put back where they are in the image.
    """

    def __init__(self, model: Grouper, flip: bool = False) -> None:
        super().__init__()
        self.model = model
        self.flip = flip
        self.register_buffer("order", torch.tensor(mirrored_order(model)))

    def maps(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of a batch: heatmaps at stride 2, and the embedding maps of keypoints and of centres."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if not self.flip:
            heat_half, maps = self.maps(image)
            return heat_half[0], torch.cat([part[0].flatten(1).transpose(0, 1) for part in maps])
        heat_half, maps = self.maps(torch.cat([image, image.flip(3)]))
        heat_half = (heat_half[0] + heat_half[1].flip(2)[self.order]) * 0.5
        both = [part[0] for part in maps] + [part[1].flip(2) for part in maps]
        return heat_half, torch.cat([part.flatten(1).transpose(0, 1) for part in both])


class HRNetGraph(BackboneGraph):
    """With what no exporter does by itself."""

    def __init__(self, model: CenterGroup, flip: bool = False) -> None:
        super().__init__(model, flip)
        self.types = model.config.keypoints + 1
        parts = model.bu_model
        head = parts.keypoint_head
        self.mix = None if parts.mix is None else BranchMix([parts.mix], model.config.backbone.widths)
        first, *residual = head.deconv_layers[0].children()
        self.coarse, self.fine = head.final_layers
        self.enlarge = fold(first[0], first[1])
        self.residual = nn.Sequential(*residual)

    def maps(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        branches = self.model.bu_model.backbone(image)
        x = branches[0] if self.mix is None else self.mix(branches)
        parts = self.model.bu_model
        # No slice where all is read: graphs of several widths are then the same.
        read = x if parts.read == parts.features else x[:, : parts.read]
        coarse = self.coarse(read)
        fine = self.residual(functional.relu(self.enlarge(torch.cat([read, coarse], 1))))
        # Columns are stretched as rows of the turned map: tract is ten times slower on the last axis.
        tall = stretch_rows(coarse[:, : self.types], 2)
        double = stretch_rows(tall.transpose(2, 3), 2).transpose(2, 3)
        heat_half = (double + self.fine(fine)) * 0.5
        return heat_half, [self.model.kp_embed_cnn(x), self.model.person_embed_cnn(x)]


class MoveNetGraph(BackboneGraph):
    """Nothing to fold."""

    model: MoveNetCenterGroup

    def maps(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        heat_half, *maps = self.model.maps(self.model.movenet.pyramid(*self.model.movenet.early(image)))
        return heat_half, maps


class GroupingGraph(nn.Module):
    """The second half; the number of tokens of a type is read off the inputs."""

    def __init__(self, model: Grouper) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, rows: Tensor, pos_rows: Tensor, idx: Tensor, wgt: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        result = self.model.grouping(rows, pos_rows, idx.long(), wgt, bias)
        return result.attention, result.visible, result.center


def with_mirrored_types(model: GroupModel, order: list[int]) -> GroupModel:
    """A copy that sees tokens of the mirrored image by the types that they have in the image."""
    mirrored = copy.deepcopy(model)
    types = mirrored.kp_encoder.type_embed
    types.weight = nn.Parameter(types.weight.detach()[order])
    attention = mirrored.prediction_heads[-1].loc_attn
    for layer in (attention.q_linear, attention.k_linear, attention.v_linear):
        for name in ("weight", "bias"):
            by_type = getattr(layer, name).detach().unflatten(0, (attention.keypoints, -1))
            setattr(layer, name, nn.Parameter(by_type[order[:-1]].flatten(0, 1)))
    return mirrored


class MirroredGroupingGraph(nn.Module):
    """The second half for an image and its mirror image, merged as the official test does.

    Centres are paired by rank, which is the same in both, because both have the same heatmaps. Visibility and
    presence are the means of the logits; each keypoint is looked for with the attention of the side that says
    with more certainty that it is visible, the image's where both say the same.
    """

    def __init__(self, model: Grouper) -> None:
        super().__init__()
        self.model = model
        self.mirrored = copy.copy(model)
        # `copy.copy` shares the table of modules.
        self.mirrored._modules = dict(model._modules)
        self.mirrored.group_model = with_mirrored_types(model.group_model, mirrored_order(model))

    def forward(
        self, rows: Tensor, pos_rows: Tensor, idx: Tensor, wgt: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        width = self.model.config.width
        halves = zip(rows.reshape(2, -1, width), pos_rows.reshape(2, -1, width))
        models = (self.model, self.mirrored)
        direct, mirrored = (
            model.grouping(*half, idx.long(), wgt, bias) for model, half in zip(models, halves)
        )
        image_is_surer = direct.visible >= mirrored.visible
        return (
            torch.where(image_is_surer[..., None], direct.attention, mirrored.attention),
            (direct.visible + mirrored.visible) * 0.5,
            (direct.center + mirrored.center) * 0.5,
        )


def backbone_graph(model: Grouper, flip: bool = False) -> Graph:
    """The first half of `model`, which must be in eval mode."""
    movenet = isinstance(model, MoveNetCenterGroup)

    @torch.no_grad()
    def examples() -> Iterator[Example]:
        generator = torch.Generator().manual_seed(1)
        for height, width in ((2, 2), (3, 4), (5, 3)):
            image = torch.randn(1, 3, 64 * height, 64 * width, generator=generator)
            heat_half, rows = (part[0] for part in model.forward_backbone(image))
            if flip:
                mirrored, other = (part[0] for part in model.forward_backbone(image.flip(3)))
                heat_half = (heat_half + mirrored.flip(2)[mirrored_order(model)]) / 2
                cells = (-1, 16 * height, 16 * width, model.config.width)
                rows = torch.cat([rows, other.reshape(cells).flip(2).flatten(0, 2)])
            yield (image,), (heat_half, rows)

    return Graph(
        name="backbone",
        module=(MoveNetGraph if movenet else HRNetGraph)(model, flip).eval(),
        inputs={"image": {2: "H", 3: "W"}},
        outputs=["heat_half", "rows"],
        examples=examples,
        float16_weights=movenet,
    )


def grouping_graph(model: Grouper, flip: bool = False) -> Graph:
    """The second half of `model`, which must be in eval mode."""
    if flip and model.group_model.prior is not None:
        raise ExportError("a network that predicts offsets cannot be merged with the mirrored image")

    @torch.no_grad()
    def examples() -> Iterator[Example]:
        generator = torch.Generator().manual_seed(2)
        width, types = model.config.width, model.config.keypoints + 1
        for height, columns, tokens in ((16, 24, 30), (16, 16, 4), (32, 8, 1)):
            cells = height * columns
            rows = torch.randn(2 * cells, width, generator=generator)
            mask = torch.ones(height, columns, dtype=torch.bool)
            mask[:2] = False
            mask[:, -1] = False
            positions = position_rows(mask, width)
            index = torch.randint(cells, (types * tokens, 4), generator=generator)
            index[-tokens:] += cells
            weight = torch.rand(types * tokens, 4, generator=generator)
            weight /= weight.sum(1, keepdim=True)
            bias = torch.where(torch.rand(types * tokens, generator=generator) < 0.3, -1e4, 0.0)
            bias[::tokens] = 0
            merged = model.grouping(rows, positions, index, weight, bias)
            if flip:
                other = torch.randn(2 * cells, width, generator=generator)
                counted_back = (
                    position_rows(mask.flip(1), width).reshape(height, columns, width).flip(1).flatten(0, 1)
                )
                merged = _merged(model, merged, other, counted_back, (index, weight, bias))
                rows, positions = torch.cat([rows, other]), torch.cat([positions, counted_back])
            yield (rows, positions, index.int(), weight, bias), tuple(merged)

    return Graph(
        name="grouping",
        module=(MirroredGroupingGraph if flip else GroupingGraph)(model).eval(),
        inputs={
            "rows": {0: "features"},
            "pos_rows": {0: "cells"},
            "idx": {0: "tokens"},
            "wgt": {0: "tokens"},
            "bias": {0: "tokens"},
        },
        outputs=["attn", "vis", "center"],
        examples=examples,
        float16_weights=isinstance(model, MoveNetCenterGroup),
    )


def _merged(
    model: Grouper,
    direct: Grouping,
    rows: Tensor,
    positions: Tensor,
    tokens: tuple[Tensor, ...],
) -> Grouping:
    """What the mirrored graph should compute: the mirrored image's tokens sorted by their types there,
    grouped by the network as it is, and the result sorted back."""
    order = mirrored_order(model)
    keypoints = order[:-1]
    by_type = [part.unflatten(0, (len(order), -1))[order].flatten(0, 1) for part in tokens]
    other = model.grouping(rows, positions, *by_type)
    attention = other.attention.unflatten(2, (len(keypoints), -1))[keypoints][:, :, keypoints].flatten(2)
    visible = other.visible[keypoints]
    side = (visible > direct.visible)[..., None]
    return Grouping(
        torch.where(side, attention, direct.attention),
        (direct.visible + visible) / 2,
        (direct.center + other.center) / 2,
    )
