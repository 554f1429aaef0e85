"""CapeFormer: the keypoints of a category that a few images show, in any other image.

    >>> model = CapeFormer(CapeFormerConfig.tiny()).eval()
    >>> image = torch.randn(1, 3, 256, 256)
    >>> query, support = model.features(image)               # 64 tokens each
    >>> similarity, memory, refined = model.match(query[0], points, identity, key_bias)
    >>> keypoints = model.refine(memory, refined, identity, key_bias, proposals)

Section numbers are those of the description of the reference implementation that the project works from;
equation numbers those of the paper "Matching Is Not Enough: A Two-Stage Framework for Category-Agnostic Pose
Estimation". Parameters carry the names of the official release, so that its state dict loads by name; its two
copies of the backbone are one here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.attention import SelfAttention, attend, sines
from models.networks.efficientnet_lite import MEAN, STD, CellFeatures
from models.networks.hrnet import HRNet, HRNetConfig

CELLS = 8
"""On a side of the token map: a crop of 256 pixels at stride 32."""
SIDE = 256
"""Pixels of a crop."""
ALIKE = 15.0
"""What two equal tokens are worth in similarities that begin with likeness and nearness."""
NEAR = 4.0
"""How much similarities fall over the crop's side there, per square of it."""


@dataclass(frozen=True)
class CapeFormerConfig:
    """Sizes of a CapeFormer."""

    name: str
    backbone: HRNetConfig | str | None = None
    """An HRNet, or `lite0`; without it, as in the paper, a ResNet:"""
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    """Residual blocks of the backbone's stages."""
    base: int = 64
    """Channels of the stem; the stages' inner ones are once, twice, four and eight times as many."""
    width: int = 256
    """Of a token."""
    heads: int = 8
    encoder_feed_forward: int = 2048
    decoder_feed_forward: int = 2048
    dynamic: int = 128
    """Inner width of the channel attention."""
    layers: int = 3
    places: bool = False
    """Whether support tokens say where in the example they lie, so that matching can begin from there."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @classmethod
    def tiny(cls) -> CapeFormerConfig:
        """The backbone of `logocap-tiny`, which training begins with, and narrow tokens."""
        from models.networks.logocap import LogoCapConfig

        return cls(
            "capeformer-tiny",
            backbone=LogoCapConfig.tiny().backbone,
            width=64,
            heads=4,
            encoder_feed_forward=128,
            decoder_feed_forward=128,
            dynamic=32,
        )

    @classmethod
    def lite0(cls) -> CapeFormerConfig:
        """EfficientNet-Lite0 with its ImageNet weights, and matching from the example's places on."""
        return cls(
            "capeformer-lite0",
            backbone="lite0",
            width=128,
            heads=4,
            encoder_feed_forward=128,
            decoder_feed_forward=128,
            dynamic=64,
            layers=2,
            places=True,
            mean=MEAN,
            std=STD,
        )

    @classmethod
    def r50(cls) -> CapeFormerConfig:
        """The paper's network with ResNet-50, as released."""
        return cls("capeformer-r50")


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 around an identity path."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        changes = stride != 1 or inputs != outputs
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.downsample = shortcut if changes else None
        nn.init.constant_(self.bn3.weight, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(identity + self.bn3(self.conv3(inner)))


class ResNet(nn.Module):
    """`[B, 3, H, W]` -> `[B, 32 base, H/32, W/32]`."""

    def __init__(self, blocks: tuple[int, ...], base: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, base, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.count = len(blocks)
        inputs = base
        for stage, count in enumerate(blocks):
            planes = base * 2**stage
            layers = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(Bottleneck(inputs, planes, stride))
                inputs = planes * Bottleneck.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.outputs = inputs

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[-1]

    def stages(self, image: Tensor) -> list[Tensor]:
        """What every stage puts out: strides 4, 8, 16 and 32, if there are four."""
        x = functional.relu(self.bn1(self.conv1(image)))
        x = functional.max_pool2d(x, 3, 2, padding=1)
        outputs = []
        for number in range(1, self.count + 1):
            x = getattr(self, f"layer{number}")(x)
            outputs.append(x)
        return outputs


class PooledHRNet(nn.Module):
    """`[B, 3, H, W]` -> `[B, sum of widths, H/32, W/32]`: every branch's means over the coarsest cells."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        self.backbone = HRNet(config)
        self.outputs = sum(config.widths)

    def forward(self, image: Tensor) -> Tensor:
        *finer, coarsest = self.backbone(image)
        sides = (8, 4, 2)
        pooled = [functional.avg_pool2d(branch, side) for branch, side in zip(finer, sides)]
        return torch.cat([*pooled, coarsest], 1)


def encode(values: Tensor, half: int) -> Tensor:
    """Sines and cosines of numbers around 0 to 1: `[...]` -> `[..., half]`."""
    return sines(2 * torch.pi * values, half)


def encode_points(points: Tensor, width: int) -> Tensor:
    """`[..., 2]`, places from 0 to 1 -> `[..., width]`, y first."""
    return torch.cat([encode(points[..., 1], width // 2), encode(points[..., 0], width // 2)], -1)


def grid_encoding(width: int) -> Tensor:
    """`[64, width]`: the cells' places, row by row; the first is 1/8."""
    places = (torch.arange(CELLS) + 1) / (CELLS + 1e-6)
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    return torch.cat([encode(rows.flatten(), width // 2), encode(columns.flatten(), width // 2)], -1)


def cell_middles(device: torch.device) -> Tensor:
    """`[64, 2]`: the cells' middles (x, y), 0 to 1, row by row."""
    along = (torch.arange(CELLS, device=device) + 0.5) / CELLS
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], -1)


def identifiers(width: int, slots: int = 100) -> Tensor:
    """`[slots, width]`: what tells keypoints apart, by their index among 100, however many there are."""
    index = encode((torch.arange(slots) + 1) / (slots + 1e-6), width // 2)
    constant = encode(torch.tensor(1 / (1 + 1e-6)), width // 2).expand_as(index)
    return torch.cat([constant, index], -1)


class CrossAttention(nn.Module):
    """Attention of tokens with positions beside them, hence twice as wide."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        double = 2 * width
        self.q_proj_weight = nn.Parameter(torch.empty(double, double))
        self.k_proj_weight = nn.Parameter(torch.empty(double, double))
        self.v_proj_weight = nn.Parameter(torch.empty(double, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * double))
        self.out_proj = nn.Linear(double, double)
        for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.out_proj.bias)

    @torch.no_grad()
    def begin_alike(self) -> None:
        """Lets every token attend to those that are like it and where it is, before anything is learnt: each
        head compares channels of the tokens and of their positions as they are."""
        width = len(self.v_proj_weight) // 2
        half = width // self.heads
        self.q_proj_weight.zero_()
        for head in range(self.heads):
            first = 2 * half * head
            for channel in range(half):
                self.q_proj_weight[first + channel, half * head + channel] = 1
                self.q_proj_weight[first + half + channel, width + half * head + channel] = 1
        self.k_proj_weight.copy_(self.q_proj_weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`[n, 2 width]`, `[m, 2 width]`, `[m, width]` -> `[n, 2 width]`."""
        weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        queries, keys, values = (
            functional.linear(x, weight, offset)
            for x, weight, offset in zip((query, key, value), weights, self.in_proj_bias.chunk(3))
        )
        return self.out_proj(attend(queries, keys, values, self.heads, key.new_zeros(())))


class EncoderLayer(nn.Module):
    """Post-norm; positions are added to the tokens for good, in every layer."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        width, inner = config.width, config.encoder_feed_forward
        self.self_attn = SelfAttention(width, config.heads)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, positions: Tensor, bias: Tensor) -> Tensor:
        x = tokens + positions
        x = self.norm1(x + self.self_attn(x, x, bias))
        return self.norm2(x + self.linear2(functional.relu(self.linear1(x))))


class DecoderLayer(nn.Module):
    """Self-attention without a feed-forward part, cross-attention twice as wide, feed-forward (1.8)."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        width, inner = config.width, config.decoder_feed_forward
        self.self_attn = SelfAttention(width, config.heads)
        self.multihead_attn = CrossAttention(width, config.heads)
        self.choker = nn.Linear(2 * width, width)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, places: Tensor, memory: Tensor, grid: Tensor, bias: Tensor) -> Tensor:
        """Keypoints `x [K, width]` at `places [K, width]` look at each other and at `memory [64, width]`."""
        x = self.norm1(x + self.self_attn(x + places, x, bias))
        query, key = torch.cat([x, places], -1), torch.cat([memory, grid], -1)
        x = self.norm2(x + self.choker(self.multihead_attn(query, key, memory)))
        return self.norm3(x + self.linear2(functional.relu(self.linear1(x))))


class PointMlp(nn.Module):
    """What becomes of an encoded place before it is used."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = functional.gelu(layer(x))
        return self.layers[-1](x)


class OffsetMlp(nn.Module):
    """How far a keypoint moves, before the sigmoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for _ in range(3):
            steps += [nn.Linear(width, width), nn.GELU()]
        self.mlp = nn.Sequential(*steps, nn.Linear(width, 2))
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class Encoder(nn.Module):
    """The layers, under the official name."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))


class Decoder(nn.Module):
    """The layers, the norm of what leaves them, and the MLP for places."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.ref_point_head = PointMlp(config.width, config.width, config.width)


class ProposalGenerator(nn.Module):
    """How alike each keypoint and each cell are, some channels counting more than others (eq. 1, section
    1.7)."""

    def __init__(self, width: int, dynamic: int) -> None:
        super().__init__()
        self.support_proj = nn.Linear(width, width)
        self.query_proj = nn.Linear(width, width)
        self.dynamic_proj = nn.Sequential(nn.Linear(width, dynamic), nn.ReLU(), nn.Linear(dynamic, width))

    def forward(self, memory: Tensor, support: Tensor) -> Tensor:
        """`[64, width]`, `[K, width]` -> `[K, 64]`."""
        points = self.support_proj(support)
        weighted = points * (1 + torch.tanh(self.dynamic_proj(points)))
        return weighted @ self.query_proj(memory).transpose(0, 1)


class Start(nn.Module):
    """What similarities begin with, before anything is learnt: how alike the tokens are as they come from the
    backbone, and how near a cell is to where the example has the keypoint.

    That place is in the last two channels of a support token. How much nearness counts is read off the
    keypoint's refined token, in which the two images have met.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoded = nn.Linear(width, width)
        self.alike = nn.Parameter(torch.tensor(ALIKE))
        self.near = nn.Linear(width, 1)
        nn.init.zeros_(self.near.weight)
        nn.init.constant_(self.near.bias, NEAR)

    def tokens(self, support: Tensor) -> tuple[Tensor, Tensor]:
        """`[K, width]` -> what the encoder is given, with encoded places, and places `[K, 2]`."""
        features, place = support[..., :-2], support[..., -2:]
        code = self.encoded(encode_points(place, support.shape[-1]))
        return functional.pad(features, (0, 2)) + code, place

    def forward(self, query: Tensor, support: Tensor, refined: Tensor, place: Tensor) -> Tensor:
        """`[64, width]`, `[K, width]` twice and `[K, 2]` -> `[K, 64]`, to be added to similarities."""
        alike = unit(support[..., :-2]) @ unit(query[..., :-2]).transpose(0, 1)
        away = (cell_middles(place.device)[None] - place[:, None]).square().sum(-1)
        return self.alike * alike - functional.softplus(self.near(refined)) * away


def unit(x: Tensor) -> Tensor:
    """Of length 1 along the last axis."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


class Transformer(nn.Module):
    """Encoder, proposals and decoder."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.proposal_generator = ProposalGenerator(config.width, config.dynamic)
        if config.places:
            self.start = Start(config.width)
            # Learnt similarities begin with nothing.
            nn.init.zeros_(self.proposal_generator.query_proj.weight)


class KeypointHead(nn.Module):
    """Everything behind the backbone."""

    def __init__(self, config: CapeFormerConfig, channels: int) -> None:
        super().__init__()
        self.transformer = Transformer(config)
        self.input_proj = nn.Conv2d(channels, config.width, 1)
        # It projects the support's features, whatever its name says.
        self.query_proj = nn.Linear(channels, config.width)
        self.kpt_branch = nn.ModuleList(OffsetMlp(config.width) for _ in range(config.layers))


def inverse_sigmoid(values: Tensor) -> Tensor:
    """With both sides kept from 0 by a thousandth."""
    values = values.clamp(0, 1)
    return torch.log(values.clamp(min=1e-3) / (1 - values).clamp(min=1e-3))


class CapeFormer(nn.Module):
    """The network in three parts, with the choice of proposals between the last two."""

    def __init__(self, config: CapeFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder_query: ResNet | PooledHRNet | CellFeatures
        if isinstance(config.backbone, HRNetConfig):
            self.encoder_query = PooledHRNet(config.backbone)
        elif config.backbone == "lite0":
            self.encoder_query = CellFeatures()
        else:
            self.encoder_query = ResNet(config.blocks, config.base)
        self.keypoint_head = KeypointHead(config, self.encoder_query.outputs)
        self.register_buffer("grid", grid_encoding(config.width), persistent=False)

    def begin_alike(self) -> None:
        """Starting values for training the second stage: keypoints look at cells that are like them."""
        for layer in self.keypoint_head.transformer.decoder.layers:
            layer.multihead_attn.begin_alike()

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 3, 256, 256]` -> tokens for the image in which keypoints are looked for, and for one that
        shows them, each `[B, 64, width]` (sections 1.3 and 1.5)."""
        return self.tokens(self.encoder_query(image))

    def tokens(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The same from what the backbone puts out, `[B, channels, 8, 8]`."""
        head = self.keypoint_head
        cells = maps.flatten(2).transpose(1, 2)
        support = head.query_proj(cells)
        if self.config.places:
            # The mean under a keypoint's bell is the bell's middle: the keypoint's place, rounded to four
            # pixels and counted from a heatmap cell's corner, hence half such a cell.
            middles = (cell_middles(maps.device) - 2 / SIDE).expand(len(maps), -1, -1)
            support = torch.cat([support[..., :-2], middles], -1)
        return head.input_proj(maps).flatten(2).transpose(1, 2), support

    def match(
        self, query: Tensor, support: Tensor, identity: Tensor, key_bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`query [64, width]`, `support` and `identity [K, width]`, `key_bias [K]` (0, or -1e4 for a keypoint
        that does not count) -> `similarity [K, 64]`, `memory [64, width]`, `refined [K, width]`."""
        transformer = self.keypoint_head.transformer
        shown = support
        if self.config.places:
            shown, place = transformer.start.tokens(support)
        tokens = torch.cat([query, shown])
        positions = torch.cat([self.grid, identity])
        bias = torch.cat([key_bias.new_zeros(CELLS * CELLS), key_bias])
        for layer in transformer.encoder.layers:
            tokens = layer(tokens, positions, bias)
        memory, refined = tokens[: CELLS * CELLS], tokens[CELLS * CELLS :]
        similarity = transformer.proposal_generator(memory, refined)
        if self.config.places:
            similarity = similarity + transformer.start(query, support, refined, place)
        return similarity, memory, refined

    def refine(
        self, memory: Tensor, refined: Tensor, identity: Tensor, key_bias: Tensor, proposals: Tensor
    ) -> Tensor:
        """From `proposals [K, 2]`, places from 0 to 1, to keypoints `[K, 2]`."""
        return self.refine_all(memory, refined, identity, key_bias, proposals)[-1]

    def refine_all(
        self, memory: Tensor, refined: Tensor, identity: Tensor, key_bias: Tensor, proposals: Tensor
    ) -> list[Tensor]:
        """What every layer of the decoder returns (eq. 4); all of them are trained.

        Places move on by the layer's own tokens; what it returns comes from the normed ones.
        """
        decoder, branches = self.keypoint_head.transformer.decoder, self.keypoint_head.kpt_branch
        x, points, results = refined, proposals, []
        for layer, branch in zip(decoder.layers, branches):
            places = decoder.ref_point_head(encode_points(points, self.config.width)) + identity
            x = layer(x, places, memory, self.grid, key_bias)
            start = inverse_sigmoid(points)
            results.append(torch.sigmoid(start + branch(decoder.norm(x))))
            points = torch.sigmoid(start + branch(x))
        return results
