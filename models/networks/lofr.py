"""LOFR: a person's keypoints in a crop, learnt from which keypoints there are, never from where.

    >>> model = Lofr(LofrConfig.tiny()).eval()
    >>> result = model(torch.randn(1, 3, 96, 64))
    >>> result.response.shape, result.presence.shape
    (torch.Size([1, 17, 24, 16]), torch.Size([1, 17]))

After the paper "Location-free Human Pose Estimation", whose equation numbers stand below. There is no public
code; what the paper leaves open is chosen here, and every choice that changes the network is an option of
`LofrConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import skeleton
from models.networks.attention import sines
from models.networks.capeformer import ResNet
from models.networks.hrnet import HRNet, HRNetConfig
from models.networks.small_cnn import SmallCnn, SmallCnnConfig

STRIDES = (4, 8, 16)
PEAK_POWER_DOUBLINGS = 3
"""Activations are squared so often before features are gathered by them: the eighth power, which is next to
nothing beyond a cell from the highest."""
SMOOTHNESS = 2.0
"""Of the smooth maximum; more is nearer to the maximum."""


@dataclass(frozen=True)
class LofrConfig:
    """Sizes of a LOFR, and which of its parts it has (the paper's Table 5)."""

    name: str
    backbone: HRNetConfig | SmallCnnConfig | None = None
    """Without, ResNet-50."""
    height: int = 256
    network_width: int = 192
    """Of the crop, pixels."""
    width: int = 256
    """Of a token."""
    heads: int = 8
    feed_forward: int = 2048
    encoder_layers: int = 4
    """The paper's best (Table 6)."""
    decoder_layers: int = 6
    keypoints: int = 17
    spatial_prior: bool = True
    """SPE: where the activation maps are highest, in place of sines of the position."""
    multi_scale: bool = True
    """MS: tokens of all three strides; else of the middle one."""
    relation: bool = True
    """RePPG: prototypes come from a graph of joints; else they are learnt as they are."""
    graph_layers: int = 2
    peak_nodes: bool = True
    """Nodes of that graph are what the memory holds where the activation maps are highest; else sums over all
    cells, as Eq. 2 stands. Those tell by their size which keypoints there are."""
    gathered_presence: bool = True
    """Whether a keypoint is there is told from what its prototype gathered in the last layer alone; else from
    the prototype behind that layer, which may know the result without having looked."""
    own_maps: bool = False
    """The classifier tells each keypoint from the smooth maximum of its own map, of which negative parts
    count as well, so that none is flat; else from the means of all maps without them, as in the paper."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @classmethod
    def tiny(cls) -> LofrConfig:
        """The backbone of `logocap-tiny` with narrow tokens."""
        from models.networks.logocap import LogoCapConfig

        return cls(
            "lofr-tiny",
            backbone=LogoCapConfig.tiny().backbone,
            height=128,
            network_width=96,
            width=64,
            heads=4,
            feed_forward=128,
            encoder_layers=1,
            decoder_layers=2,
            # What its bundle was trained with, before the others were known to be better.
            peak_nodes=False,
            gathered_presence=False,
        )

    @classmethod
    def small(cls) -> LofrConfig:
        """Of many short trainings by presence alone: small crops, and a backbone that is soon done."""
        return replace(
            cls.tiny(),
            name="lofr-small",
            backbone=SmallCnnConfig(),
            height=96,
            network_width=64,
            peak_nodes=True,
            gathered_presence=True,
            own_maps=True,
        )

    @classmethod
    def r50(cls) -> LofrConfig:
        """The paper's network with ResNet-50."""
        return cls("lofr-r50")

    @classmethod
    def w32(cls) -> LofrConfig:
        """The paper's network with HRNet-W32."""
        return cls("lofr-w32", HRNetConfig((32, 64, 128, 256)))

    @classmethod
    def w48(cls) -> LofrConfig:
        """The paper's network with HRNet-W48."""
        return cls("lofr-w48", HRNetConfig((48, 96, 192, 384)))


class LofrOutput(NamedTuple):
    """What the network says of a batch of crops."""

    response: Tensor
    """`[B, J, H/4, W/4]`: how much each place results for a keypoint, per pixel of the crop."""
    presence: Tensor
    """`[B, J]`: logits of whether the keypoint is there."""
    cnn: Tensor
    """`[B, J]`: the same from the activation maps; teaches."""
    encoder: Tensor
    """`[B, J]`: the same from the memory; teaches."""
    parts: Tensor
    """`[B, J, width]`: the prototypes behind the last layer; kept apart by the diversity constraint."""


class Attention(nn.Module):
    """Multi-head attention of tokens `[B, n, width]` to tokens `[B, m, width]`, and its weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def _split(self, query: Tensor, memory: Tensor) -> list[Tensor]:
        """Queries, keys and values `[B, heads, n, width / heads]`."""
        projected = (self.query(query), self.key(memory), self.value(memory))
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected]

    def forward(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Gathered `[B, n, width]`, and the weights `[B, n, m]`, their mean over the heads (Eq. 5 to 8)."""
        split = self._split(query, memory)
        weights = (split[0] @ split[1].transpose(2, 3) * split[0].shape[-1] ** -0.5).softmax(-1)
        gathered = (weights @ split[2]).transpose(1, 2).flatten(2)
        return self.output(gathered), weights.mean(1)

    def among(self, tokens: Tensor) -> Tensor:
        """Self-attention, only what is gathered."""
        if not self.training:
            return self(tokens, tokens)[0]
        # The same sum, never as a table of all pairs; the exported graph keeps to plain operators.
        gathered = functional.scaled_dot_product_attention(*self._split(tokens, tokens))
        return self.output(gathered.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Two layers with a ReLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__(nn.Linear(width, inner), nn.ReLU(inplace=True), nn.Linear(inner, width))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual path and a norm behind it."""

    def __init__(self, config: LofrConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, config.feed_forward)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm1(tokens + self.attention.among(tokens))
        return self.norm2(tokens + self.feed_forward(tokens))


class DecoderLayer(nn.Module):
    """Prototypes look at each other, then at the memory."""

    def __init__(self, config: LofrConfig) -> None:
        super().__init__()
        self.self_attention = Attention(config.width, config.heads)
        self.cross_attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, config.feed_forward)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))

    def forward(self, prototypes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New prototypes, what they gathered, both `[B, J, width]`, and the weights `[B, J, m]`."""
        prototypes = self.norms[0](prototypes + self.self_attention.among(prototypes))
        gathered, weights = self.cross_attention(prototypes, memory)
        prototypes = self.norms[1](prototypes + gathered)
        return self.norms[2](prototypes + self.feed_forward(prototypes)), gathered, weights


class GraphLayer(nn.Module):
    """A convolution over the graph of joints, with learnt relations between neighbours (Eq. 10)."""

    def __init__(self, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.own, self.others = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.relation = nn.Parameter(torch.zeros_like(adjacency))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def weights(self) -> Tensor:
        """`[J, J]`: how much of every joint each takes."""
        return self.relation.masked_fill(self.adjacency == 0, -1e4).softmax(-1)

    def forward(self, nodes: Tensor) -> Tensor:
        """`[B, J, width]`."""
        weights = self.weights()
        own = torch.diagonal(weights)[:, None]
        among = weights * (1 - torch.eye(len(weights), device=weights.device))
        mixed = own * self.own(nodes) + among @ self.others(nodes)
        return nodes + functional.relu(self.norm(mixed))


class Activation(nn.Module):
    """The classifier on the coarsest map: which keypoints there are, where it sees them, and perhaps a first
    vector for each."""

    def __init__(self, channels: int, config: LofrConfig) -> None:
        super().__init__()
        self.own_maps = config.own_maps
        self.maps = nn.Conv2d(channels, config.keypoints, 1)
        self.classes = nn.Linear(config.keypoints, config.keypoints)
        self.features = None if config.peak_nodes else nn.Conv2d(channels, config.width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits `[B, J]`, activation maps `[B, J, h, w]` from 0 to 1 (Eq. 1), node features `[B, J, width]`
        (Eq. 2, divided by the number of cells) unless they come from the peaks."""
        maps = self.maps(x)
        weight = self.classes.weight
        if self.own_maps:
            weight = weight * torch.eye(len(weight), device=weight.device)
        pooled = smooth_maximum(maps) if self.own_maps else maps.mean((2, 3))
        logits = functional.linear(pooled, weight, self.classes.bias)
        activation = torch.einsum("cj,bjhw->bchw", weight, maps)
        if not self.own_maps:
            activation = functional.relu(activation)
        flat = activation.flatten(2)
        low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
        activation = ((flat - low) / (high - low + 1e-6)).reshape(activation.shape)
        if self.features is None:
            return logits, activation, None
        nodes = maps.flatten(2) @ self.features(x).flatten(2).transpose(1, 2) / flat.shape[2]
        return logits, activation, nodes


def smooth_maximum(maps: Tensor) -> Tensor:
    """`[B, J, h, w]` -> `[B, J]`: between the mean and the maximum of each map."""
    flat = maps.flatten(2) * SMOOTHNESS
    return (torch.logsumexp(flat, 2) - math.log(flat.shape[2])) / SMOOTHNESS


def prior_map(activation: Tensor) -> Tensor:
    """`[B, J, h, w]` -> `[B, 1, h, w]`: bells of one cell around the highest cell of every map, the highest
    of all."""
    height, width = activation.shape[2:]
    best = activation.flatten(2).argmax(2)
    row, column = (best // width)[..., None, None], (best % width)[..., None, None]
    rows = torch.arange(height, device=activation.device)[:, None]
    columns = torch.arange(width, device=activation.device)[None]
    # Not squares of whole numbers, which tract has not.
    distance = (rows - row).float().square() + (columns - column).float().square()
    return torch.exp(-distance / 2.0).amax(1, keepdim=True)


def sine_positions(height: int, width: int, channels: int) -> Tensor:
    """`[height * width, channels]`, rows first."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    halves = [sines(part.flatten().float() + 1, channels // 2) for part in (rows, columns)]
    return torch.cat(halves, -1)


def kinematic_adjacency(keypoints: int) -> Tensor:
    """`[J, J]`, 1 for joined keypoints and on the diagonal."""
    adjacency = torch.eye(keypoints)
    for a, b in skeleton.of(keypoints).edges:
        adjacency[a, b] = adjacency[b, a] = 1
    return adjacency


class Pyramid(nn.Module):
    """Feature maps at strides 4, 8 and 16."""

    def __init__(self, config: LofrConfig) -> None:
        super().__init__()
        if config.backbone is None:
            self.body: nn.Module = ResNet((3, 4, 6), 64)
            self.channels: Sequence[int] = (256, 512, 1024)
        elif isinstance(config.backbone, SmallCnnConfig):
            self.body = SmallCnn(config.backbone)
            self.channels = config.backbone.widths
        else:
            self.body = HRNet(config.backbone)
            self.channels = config.backbone.widths[:3]

    def forward(self, image: Tensor) -> list[Tensor]:
        if isinstance(self.body, ResNet):
            return self.body.stages(image)
        return self.body(image)[:3]


class Lofr(nn.Module):
    """The whole network."""

    def __init__(self, config: LofrConfig) -> None:
        super().__init__()
        self.config = config
        width, keypoints = config.width, config.keypoints
        self.pyramid = Pyramid(config)
        channels = self.pyramid.channels
        self.scales = (0, 1, 2) if config.multi_scale else (1,)
        self.project = nn.ModuleList(nn.Conv2d(channels[scale], width, 1) for scale in self.scales)
        self.activation = Activation(channels[2], config)
        # Eq. 4's transformation of features and prior.
        self.blend = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_classes = nn.Linear(width, keypoints)
        self.prototypes = nn.Parameter(torch.randn(keypoints, width) * 0.02)
        adjacency = kinematic_adjacency(keypoints)
        self.graph = nn.ModuleList(
            GraphLayer(width, adjacency) for _ in range(config.graph_layers if config.relation else 0)
        )
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.classes = nn.Linear(width, 1)

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Presence logits `[B, J]` and activation maps `[B, J, H/16, W/16]` of the backbone's classifier by
        itself (Eq. 1)."""
        logits, activation, _ = self.activation(self.pyramid(image)[2])
        return logits, activation

    def forward(self, image: Tensor) -> LofrOutput:
        features = self.pyramid(image)
        cnn, activation, nodes = self.activation(features[2])
        maps = [project(features[scale]) for scale, project in zip(self.scales, self.project)]
        encoded = [self._encode(one, activation) for one in maps]
        memory = torch.cat(encoded, 1)
        prototypes = self.prototypes.expand(len(image), -1, -1)
        if self.config.relation:
            if nodes is None:
                nodes = self._at_peaks(activation, maps, encoded)
            prototypes = prototypes + nodes
            for layer in self.graph:
                prototypes = layer(prototypes)
        gathered = weights = prototypes
        for layer in self.decoder:
            prototypes, gathered, weights = layer(prototypes, memory)
        response = self._response(weights, maps)
        told_from = gathered if self.config.gathered_presence else prototypes
        presence = self.classes(told_from).squeeze(-1)
        return LofrOutput(response, presence, cnn, self.encoder_classes(memory.mean(1)), prototypes)

    @staticmethod
    def _at_peaks(activation: Tensor, maps: list[Tensor], encoded: list[Tensor]) -> Tensor:
        """`[B, J, width]`: what the tokens of all scales hold where the activation maps `[B, J, h, w]` are
        highest, in sum over the scales."""
        total: Tensor | None = None
        for one, tokens in zip(maps, encoded):
            weights = functional.interpolate(
                activation, size=one.shape[2:], mode="bilinear", align_corners=False
            ).flatten(2)
            for _ in range(PEAK_POWER_DOUBLINGS):
                weights = weights * weights
            nodes = weights @ tokens / (weights.sum(2, keepdim=True) + 1e-6)
            total = nodes if total is None else total + nodes
        assert total is not None
        return total

    @torch.no_grad()
    def begin_alike(self) -> None:
        """Starting values for training: prototypes look at what is like them, which for nodes at peaks is
        where the classifier sees the keypoint. Layers change nothing and classes say nothing at first."""
        width = self.config.width
        for module in self.modules():
            if isinstance(module, FeedForward):
                nn.init.zeros_(module[2].weight)
                nn.init.zeros_(module[2].bias)
            elif isinstance(module, GraphLayer):
                nn.init.zeros_(module.norm.weight)
        among = [layer.attention for layer in self.encoder] + [layer.self_attention for layer in self.decoder]
        for attention in among:
            nn.init.zeros_(attention.output.weight)
            nn.init.zeros_(attention.output.bias)
        across = [layer.cross_attention for layer in self.decoder]
        same = [part for attention in across for part in (attention.query, attention.key)]
        for linear in (self.blend[0], *same):
            linear.weight.copy_(torch.eye(width))
            nn.init.zeros_(linear.bias)
        self.activation.classes.weight.copy_(torch.eye(self.config.keypoints))
        nn.init.zeros_(self.activation.classes.bias)
        nn.init.zeros_(self.encoder_classes.weight)

    def _encode(self, one: Tensor, activation: Tensor) -> Tensor:
        """`[B, width, h, w]` -> tokens `[B, h * w, width]`, encoded (Eq. 3 to 9)."""
        height, width = one.shape[2:]
        if self.config.spatial_prior:
            prior = functional.interpolate(
                prior_map(activation), size=(height, width), mode="bilinear", align_corners=False
            )
            tokens = self.blend((one + prior * one).flatten(2).transpose(1, 2))
        else:
            positions = sine_positions(height, width, self.config.width).to(one)
            tokens = one.flatten(2).transpose(1, 2) + positions
        for layer in self.encoder:
            tokens = layer(tokens)
        return tokens

    def _response(self, weights: Tensor, maps: list[Tensor]) -> Tensor:
        """Attention `[B, J, all tokens]` as one map at stride 4: of every scale the weight per pixel, in
        sum."""
        finest = tuple(side * STRIDES[self.scales[0]] // STRIDES[0] for side in maps[0].shape[2:])
        parts = weights.split([one.shape[2] * one.shape[3] for one in maps], 2)
        total: Tensor | None = None
        for part, one, scale in zip(parts, maps, self.scales):
            density = part.reshape(*part.shape[:2], *one.shape[2:]) / STRIDES[scale] ** 2
            if tuple(one.shape[2:]) != finest:
                density = functional.interpolate(density, size=finest, mode="bilinear", align_corners=False)
            total = density if total is None else total + density
        assert total is not None
        return total
