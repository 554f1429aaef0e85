"""LOGO-CAP as two ONNX graphs, `backbone` and `kam`; models/README.md says what goes in and comes out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import skeleton
from models.export.exporter import Example, Graph
from models.export.layers import BranchMix
from models.networks.logocap import KEYPOINTS, LogoCap, SecondStage
from models.networks.logocap_movenet import MoveNetLogoCap

Sampling = Literal["gather", "grid-sample"]


class BackboneGraph(nn.Module):
    """`image [1, 3, H, W]` -> `heatmaps [18, h, w]`, `offsets [34, h, w]`, `embedding [C, h+2, w+2]`."""

    def __init__(self, model: SecondStage, flip: bool) -> None:
        super().__init__()
        self.model = model
        self.flip = flip
        order = skeleton.flip_order()
        self.register_buffer("heatmap_order", torch.tensor([*order, KEYPOINTS]))
        self.register_buffer("offset_order", torch.tensor([2 * k + axis for k in order for axis in (0, 1)]))
        self.register_buffer("offset_sign", torch.tensor([-1.0, 1.0]).repeat(KEYPOINTS)[:, None, None])

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`forward_backbone` of the model, in a form that the exporter handles well."""
        return self.model.forward_backbone(image)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.flip:
            heatmaps, offsets, embedding = (tensor[0] for tensor in self.maps(image))
            return heatmaps, offsets, pad_embedding(embedding)
        both = self.maps(torch.cat([image, image.flip(3)]))
        heatmaps, offsets = both[0], both[1]
        heatmaps = 0.5 * heatmaps[0] + 0.5 * heatmaps[1].flip(2)[self.heatmap_order]
        offsets = 0.5 * offsets[0] + 0.5 * offsets[1].flip(2)[self.offset_order] * self.offset_sign
        return heatmaps, offsets, pad_embedding(both[2][0])


class HRNetGraph(BackboneGraph):
    """With norms folded into the layer that joins the branches, and scaled offsets."""

    def __init__(self, model: LogoCap, flip: bool) -> None:
        super().__init__(model, flip)
        layers = (model.transition_cls, model.transition_reg, model.transition_embedding)
        self.head_sizes = [layer[0].out_channels for layer in layers]
        self.mix = BranchMix(layers, model.config.backbone.widths)
        scale = model.config.offset_scale
        self.offset_weight = nn.Parameter((model.final_layer_reg.weight * scale).detach())
        self.offset_bias = nn.Parameter((model.final_layer_reg.bias * scale).detach())

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed = self.mix(self.model.backbone(image))
        heatmaps, offsets, embedding = mixed.split(self.head_sizes, dim=1)
        offsets = functional.conv2d(offsets, self.offset_weight, self.offset_bias)
        return self.model.final_layer_cls(heatmaps), offsets, embedding


class MoveNetGraph(BackboneGraph):
    """With the embedding's norm folded: it follows a concatenation, where the exporter does not fold it."""

    def __init__(self, model: MoveNetLogoCap, flip: bool) -> None:
        if len(model.mix) > 1:
            model = copy.deepcopy(model)
            model.mix = nn.Sequential(folded(*model.mix))
        super().__init__(model, flip)


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A pointwise convolution without bias and its norm as one convolution."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    joined = nn.Conv2d(convolution.in_channels, convolution.out_channels, 1)
    with torch.no_grad():
        joined.weight.copy_(convolution.weight * scale[:, None, None, None])
        joined.bias.copy_(norm.bias - norm.running_mean * scale)
    return joined


class KamGraph(nn.Module):
    """`embedding [C, h+2, w+2]`, `grid [n*187, 11, 2]` -> raw `kam [n, 17, 11, 11]`; with evidence
    `embedding [C+17, h+2, w+2]`."""

    def __init__(self, model: SecondStage, sampling: Sampling) -> None:
        super().__init__()
        self.message_passing = model.joints_mlp
        self.evidence = model.config.evidence
        self.channels = model.config.embedding
        # Not a part of this module: its weights are message passing's.
        self.with_evidence = model.with_evidence
        self.side = 2 * model.config.mesh_radius + 1
        self.sampling = sampling

    def forward(self, embedding: Tensor, grid: Tensor) -> Tensor:
        learnt, evidence, shape = embedding, None, None
        if self.evidence:
            shape = torch._shape_as_tensor(embedding)
            learnt, evidence = embedding.split([self.channels, self.evidence])
        if self.sampling == "grid-sample":
            values = functional.grid_sample(
                learnt[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
            )
        else:
            # Without evidence in this order, which the templates of official networks were traced in.
            flat = learnt.flatten(1)
            size = torch._shape_as_tensor(embedding) if shape is None else shape
            values = gather_bilinear(flat, size, grid.reshape(-1, 2))
        local = values.reshape(self.channels, -1, KEYPOINTS, self.side, self.side).permute(1, 2, 0, 3, 4)
        maps = self.message_passing(local.reshape(-1, KEYPOINTS * self.channels, self.side, self.side))
        if evidence is None or shape is None:
            return maps
        return self.with_evidence(maps, self.own_evidence(evidence, shape, grid))

    def own_evidence(self, evidence: Tensor, shape: Tensor, grid: Tensor) -> Tensor:
        """`evidence [17, h+2, w+2]` at the `grid` of each keypoint's own map -> `[n, 17, 11, 11]`.

        One keypoint's rows lie below another's in one tall map, so that one gather reads them all.
        """
        per_map = self.side * self.side
        keypoint = torch.arange(KEYPOINTS).repeat_interleave(per_map)
        own = gather_bilinear(evidence.reshape(1, -1), shape, grid.reshape(-1, 2), keypoint)
        return own.reshape(-1, KEYPOINTS, self.side, self.side)


def pad_embedding(embedding: Tensor) -> Tensor:
    """`[C, h, w]` -> `[C, h+2, w+2]`: a row and a column of zeros, then a copy of the last ones."""
    wide = torch.cat([functional.pad(embedding, (0, 1, 0, 0)), embedding[:, :, -1:]], dim=2)
    return torch.cat([functional.pad(wide, (0, 0, 0, 1)), wide[:, -1:]], dim=1)


def gather_bilinear(features: Tensor, shape: Tensor, grid: Tensor, channel: Tensor | None = None) -> Tensor:
    """`features [C, h*w]` at `grid [m, 2]` -> `[C, m]`, as GridSample with aligned corners and border padding
    does.

    `shape` holds `C, h, w` as a tensor, so that the graph asks for the size at run time. With `channel [p]`,
    `features [1, K*h*w]` are several maps in a row, and of every `p` points each reads its own.
    """
    size = shape[[2, 1]].float()
    position = torch.minimum(((grid + 1) * 0.5 * (size - 1)).clamp(min=0), size - 1)
    first = torch.minimum(position.floor(), size - 2)
    right, lower = (position - first).unbind(1)
    left, upper = 1 - right, 1 - lower
    index = (first[:, 1] * size[0] + first[:, 0]).long()
    if channel is not None:
        index = (index.reshape(-1, len(channel)) + channel * (shape[1] * shape[2])).flatten()
    below = index + shape[2]
    above = features[:, index] * left + features[:, index + 1] * right
    return above * upper + (features[:, below] * left + features[:, below + 1] * right) * lower


def normalised_grid(positions: Tensor, height: int, width: int) -> Tensor:
    """Positions `[..., 2]` in cells of an `height` x `width` embedding -> the values that `grid` holds for
    its padded form."""
    size = torch.tensor([width, height], dtype=positions.dtype)
    return (positions + (positions >= size - 1)) / (size + 1) * 2 - 1


def backbone_graph(model: SecondStage, flip: bool) -> Graph:
    """The first half of `model`, which must be in eval mode."""
    graph = MoveNetGraph if isinstance(model, MoveNetLogoCap) else HRNetGraph

    @torch.no_grad()
    def examples() -> Iterator[Example]:
        multiple = model.config.multiple
        generator = torch.Generator().manual_seed(1)
        order = skeleton.flip_order()
        for height, width in ((2, 2), (3, 4), (5, 3)):
            image = torch.randn(1, 3, height * multiple, width * multiple, generator=generator)
            heatmaps, offsets, embedding = (maps[0] for maps in model.forward_backbone(image))
            if flip:
                mirrored, vectors, _ = (maps[0].flip(2) for maps in model.forward_backbone(image.flip(3)))
                heatmaps = (heatmaps + mirrored[[*order, KEYPOINTS]]) / 2
                vectors = vectors.unflatten(0, (KEYPOINTS, 2))[order] * torch.tensor([-1, 1])[:, None, None]
                offsets = (offsets + vectors.flatten(0, 1)) / 2
            yield (image,), (heatmaps, offsets, pad_embedding(embedding))

    return Graph(
        name="backbone",
        module=graph(model, flip).eval(),
        inputs={"image": {2: "H", 3: "W"}},
        outputs=["heatmaps", "offsets", "embedding"],
        examples=examples,
        float16_weights=isinstance(model, MoveNetLogoCap),
    )


def kam_graph(model: SecondStage, sampling: Sampling) -> Graph:
    """The second half of `model`, which must be in eval mode."""

    @torch.no_grad()
    def examples() -> Iterator[Example]:
        generator = torch.Generator().manual_seed(2)
        config = model.config
        for people, rows, columns in ((4, 0, 0), (1, 1, 1), (3, 3, 2)):
            if rows:
                # What the first half makes is of another size and spread than noise.
                size = (rows * config.multiple, columns * config.multiple)
                embedding = model.forward_backbone(torch.randn(1, 3, *size, generator=generator))[2][0]
            else:
                channels = config.embedding + config.evidence
                embedding = torch.rand(channels, 16, 24, generator=generator)
            height, width = embedding.shape[1:]
            # Some keypoints lie outside on every side, some on whole cells.
            pixels = torch.tensor([width, height]) * config.stride
            poses = (torch.rand(people, KEYPOINTS, 2, generator=generator) * 1.4 - 0.2) * pixels
            poses[0, ::2] = poses[0, ::2].round()
            poses[0, 0] = pixels - config.stride
            first = torch.zeros(people, dtype=torch.long)
            grid = normalised_grid(model.local_mesh(poses) / config.stride, height, width)
            inputs = (pad_embedding(embedding), grid.flatten(0, 2))
            yield inputs, (model.attraction_maps(embedding[None], first, poses),)

    return Graph(
        name="kam",
        module=KamGraph(model, sampling).eval(),
        inputs={"embedding": {1: "rows", 2: "columns"}, "grid": {0: "points"}},
        outputs=["kam"],
        examples=examples,
    )
