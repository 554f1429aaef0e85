"""CenterGroup: heatmap peaks become tokens, and attention groups them to person centres.

    >>> import torch
    >>> from models.networks.centergroup import CenterGroup, CenterGroupConfig
    >>> model = CenterGroup(CenterGroupConfig.tiny()).eval()
    >>> image = torch.randn(1, 3, 256, 256)                 # normalised by LogoCapConfig.mean and .std
    >>> heat_half, rows = model.forward_backbone(image)
    >>> heat_half.shape, rows.shape                         # keypoint features, then centre features
    (torch.Size([1, 18, 128, 128]), torch.Size([1, 8192, 64]))
    >>> mask = torch.ones(64, 64, dtype=torch.bool)         # which cells come from the image
    >>> tokens = 3 * 17 + 3                                 # peaks of each type, then centres
    >>> index, weight = torch.zeros(tokens, 4, dtype=torch.long), torch.full((tokens, 4), 0.25)
    >>> index[51:] += 64 * 64                               # centres read the second map
    >>> positions = position_rows(mask, model.config.width)
    >>> result = model.grouping(rows[0], positions, index, weight, torch.zeros(tokens))
    >>> result.attention.shape, result.visible.shape, result.center.shape
    (torch.Size([17, 3, 51]), torch.Size([17, 3]), torch.Size([3]))

Names of parameters are those of the official release, so that its checkpoints load by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.attention import TEMPERATURE, SelfAttention, sines
from models.networks.hrnet import BasicBlock, HRNet, HRNetConfig, convolution_norm_relu, mix_branches
from models.networks.movenet import MoveNetConfig


@dataclass(frozen=True)
class CenterGroupConfig:
    """Sizes of a CenterGroup network."""

    name: str
    backbone: HRNetConfig | MoveNetConfig
    short_side: int
    keypoints: int = 17
    multiple: int = 64
    """Both sides of the network's input are multiples of it."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    width: int = 128
    """Of a token (d in the paper)."""
    attention_heads: int = 4
    feed_forward: int = 512
    layers: int = 3
    grouping_heads: int = 4
    """Grouping modules: one before the encoder and one after each layer. The last one counts, the others
    only train."""
    head_width: int = 64
    """Of queries, keys and values of one keypoint type in a grouping module."""
    head_blocks: int = 4
    """Residual blocks after the deconvolution."""
    embedding_blocks: int = 2
    """Residual blocks of either embedding network."""
    mixed: int | None = None
    """Channels of a 1x1 mix of all four branches, which head and embeddings read; without it they read the
    finest branch, as in the paper."""
    head_features: int | None = None
    """How many of these channels, the first ones, the heatmap head reads; all of them without it."""
    deconvolution: int | None = None
    """Channels after the deconvolution; as many as before it without it."""
    offset_prior: bool = False
    """Whether every centre also predicts where its keypoints lie, and attention prefers tokens near there."""

    @classmethod
    def tiny(cls) -> CenterGroupConfig:
        """The features of `logocap-tiny` with narrow tokens.

        Unlike the paper's it reads all four branches and predicts offsets as well: so it can begin where
        `logocap-tiny` ends (`models.train.centergroup_start`) and learns to group in hours on a CPU.
        """
        from models.networks.logocap import LogoCapConfig

        tiny = LogoCapConfig.tiny()
        return cls(
            name="centergroup-tiny",
            backbone=tiny.backbone,
            short_side=320,
            multiple=32,
            width=64,
            feed_forward=128,
            head_width=16,
            head_blocks=1,
            embedding_blocks=0,
            mixed=tiny.heatmap_width + tiny.offset_width + tiny.embedding,
            head_features=tiny.heatmap_width,
            deconvolution=16,
            offset_prior=True,
        )

    @classmethod
    def w32(cls) -> CenterGroupConfig:
        """The paper's HRNet-W32 network, as released for COCO."""
        return cls("centergroup-w32", HRNetConfig((32, 64, 128, 256), finest_only=True), 512)

    @classmethod
    def w48(cls) -> CenterGroupConfig:
        """The paper's HRNet-W48 network, as released for COCO."""
        return cls("centergroup-w48", HRNetConfig((48, 96, 192, 384), finest_only=True), 640)

    @classmethod
    def w48_crowdpose(cls) -> CenterGroupConfig:
        """The paper's HRNet-W48 network, as released for CrowdPose."""
        return cls(
            "centergroup-w48-crowdpose", HRNetConfig((48, 96, 192, 384), finest_only=True), 640, keypoints=14
        )


class HigherResolutionHead(nn.Module):
    """Heatmaps at strides 4 and 2.

    The stride-4 output also has a tag channel for every type, as associative embedding has. Nothing trains or
    reads them, but the deconvolution sees them.
    """

    def __init__(self, channels: int, types: int, blocks: int, inner: int) -> None:
        super().__init__()
        self.types = types
        self.final_layers = nn.ModuleList([nn.Conv2d(channels, 2 * types, 1), nn.Conv2d(inner, types, 1)])
        enlarge = nn.Sequential(
            nn.ConvTranspose2d(channels + 2 * types, inner, 4, 2, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )
        residual = (nn.Sequential(BasicBlock(inner)) for _ in range(blocks))
        self.deconv_layers = nn.ModuleList([nn.Sequential(enlarge, *residual)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, h, w]` -> heatmaps `[B, types, h, w]` and `[B, types, 2h, 2w]`, the centre's last."""
        coarse = self.final_layers[0](x)
        fine = self.final_layers[1](self.deconv_layers[0](torch.cat([x, coarse], 1)))
        return coarse[:, : self.types], fine


class BottomUp(nn.Module):
    """Backbone and head; a module of its own for the sake of the official names."""

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__()
        self.backbone = HRNet(config.backbone)
        self.features = config.mixed or config.backbone.widths[0]
        self.mix = convolution_norm_relu(sum(config.backbone.widths), config.mixed) if config.mixed else None
        self.read = config.head_features or self.features
        inner = config.deconvolution or self.read
        self.keypoint_head = HigherResolutionHead(self.read, config.keypoints + 1, config.head_blocks, inner)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, 3, H, W]` -> heatmaps at strides 4 and 2, and the features that tokens are made of."""
        branches = self.backbone(image)
        if self.mix is None:
            x = branches[0]
        else:
            x = mix_branches(branches, self.mix[0].weight)
            x = functional.relu(self.mix[1](x.contiguous(memory_format=torch.channels_last)))
        coarse, fine = self.keypoint_head(x[:, : self.read])
        return coarse, fine, x


def embedding_network(channels: int, width: int, blocks: int) -> nn.Sequential:
    """From the backbone's stride-4 map to the map that tokens are sampled from."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        *(BasicBlock(width) for _ in range(blocks)),
    )


def double(maps: Tensor) -> Tensor:
    """Twice as large, bilinear, half-pixel centres."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def position_rows(mask: Tensor, width: int) -> Tensor:
    """Sine encoding of the positions in the image: `mask [h, w]` -> `[h * w, width]`.

    A position is the count of cells that belong to the image, down the column and along the row, so that it
    starts at 1 where the padding ends. The first half of the channels encodes the row, the second the column.
    """
    counts = [mask.cumsum(axis).float().flatten() for axis in (0, 1)]
    return torch.cat([sines(count, width // 2) for count in counts], 1)


class Mlp(nn.Module):
    """Linear layers with ReLU between them, and after the last one where asked for."""

    def __init__(self, *widths: int, last_relu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        return self.after_first(self.layers[0](x))

    def after_first(self, x: Tensor) -> Tensor:
        """What follows the first layer."""
        for layer in self.layers[1:]:
            x = layer(functional.relu(x))
        return functional.relu(x) if self.last_relu else x


class TokenEncoding(nn.Module):
    """Position and type, added to queries and keys (never to values) in every layer and grouping module."""

    def __init__(self, width: int, types: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, width)
        self.type_embed = nn.Embedding(types, width)

    def forward(self, positions: Tensor) -> Tensor:
        """Positions `[n, width]` of equally many tokens of every type."""
        types, width = self.type_embed.weight.shape
        by_type = self.mlp(positions).reshape(types, -1, width) + self.type_embed.weight[:, None]
        return by_type.reshape(-1, width)


class EncoderLayer(nn.Module):
    """A post-norm layer with position encoding as in DETR, and the release's extra skip around the whole."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, feed_forward)
        self.linear2 = nn.Linear(feed_forward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, encoding: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(tokens + self.self_attn(tokens + encoding, tokens, bias))
        x = self.norm2(x + self.linear2(functional.relu(self.linear1(x))))
        return x + tokens


class Encoder(nn.Module):
    """The transformer; a module of its own for the sake of the official names."""

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.attention_heads, config.feed_forward)
            for _ in range(config.layers)
        )


class KeypointAttention(nn.Module):
    """Attention of every centre to all keypoint tokens, once for each type (eq. 9 to 11)."""

    def __init__(self, width: int, keypoints: int, head_width: int) -> None:
        super().__init__()
        self.keypoints, self.head_width = keypoints, head_width
        inner = keypoints * head_width
        self.q_linear = nn.Linear(width, inner)
        self.k_linear = nn.Linear(width, inner)
        self.v_linear = nn.Linear(width, inner)

    @torch.no_grad()
    def begin_nearby(self, type_codes: Tensor, sharpness: float, preference: float) -> None:
        """Lets every centre attend to tokens that are near and of the right type, before anything is learnt.

        Queries and keys read the same slow waves of the position's encoding, whose product falls with
        distance; one more channel of the keys tells the type, by `type_codes [types, width]`. The other
        channels begin small.
        """
        for layer in (self.q_linear, self.k_linear):
            layer.weight.mul_(0.3)
        width = self.q_linear.in_features
        half, waves = width // 2, range(6, 12)
        channels = [channel + axis * half for axis in (0, 1) for channel in waves]
        for kind in range(self.keypoints):
            first = kind * self.head_width
            for row, channel in enumerate(channels, start=first):
                for layer in (self.q_linear, self.k_linear):
                    layer.weight[row].zero_()
                    layer.bias[row] = 0
                    layer.weight[row, channel] = sharpness
            row, code = first + len(channels), type_codes[kind]
            self.q_linear.weight[row].zero_()
            self.q_linear.bias[row] = preference
            self.k_linear.weight[row] = preference * code / code.square().sum()
            self.k_linear.bias[row] = 0

    def _by_type(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.keypoints, self.head_width).transpose(0, 1)

    def forward(
        self, centers: Tensor, keypoints: Tensor, center_code: Tensor, keypoint_code: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits `[types, centres, keypoint tokens]` and what they gather, `[types, centres, head width]`."""
        query = self._by_type(self.q_linear(centers + center_code))
        key = self._by_type(self.k_linear(keypoints + keypoint_code))
        value = self._by_type(self.v_linear(keypoints))
        logits = query @ key.transpose(1, 2) / self.head_width**0.5 + bias
        return logits, logits.softmax(-1) @ value


class Grouping(NamedTuple):
    """What a grouping module returns: logits, all of them."""

    attention: Tensor
    """`[types, centres, keypoint tokens]`: which token is the keypoint of a type of a centre."""
    visible: Tensor
    """`[types, centres]`: whether the keypoint can be seen at all."""
    center: Tensor
    """`[centres]`: whether the centre is a person's."""


class OffsetPrior(nn.Module):
    """Where a centre expects its keypoints, and how much attention prefers tokens near there.

    Not in the paper: there attention has to learn by itself that people have a size.
    """

    REACH = 0.2
    """In parts of the predicted pose's radius."""

    def __init__(self, width: int, keypoints: int, scale: float = 8.0) -> None:
        super().__init__()
        self.keypoints, self.scale = keypoints, scale
        self.linear = nn.Linear(width, 2 * keypoints)
        self.strength = nn.Parameter(torch.full((keypoints,), 1.5))
        half = width // 2
        # The slowest wave of a position's encoding is all but straight: its sine, divided by this, is the
        # position.
        self.column, self.row = width - 2, half - 2
        self.slowest = TEMPERATURE ** (-(half - 2) / half)

    def offsets(self, centers: Tensor) -> Tensor:
        """Features `[k, width]` of centres -> where their keypoints lie from there, `[k, keypoints, 2]`,
        cells."""
        return self.linear(centers).reshape(-1, self.keypoints, 2) * self.scale

    def forward(self, features: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features and position encodings `[n, width]` of all tokens -> offsets `[k, keypoints, 2]` in cells,
        and what is added to attention's logits `[keypoints, k, keypoints * k]`."""
        width = features.shape[-1]
        centers = features.reshape(self.keypoints + 1, -1, width)[-1]
        offsets = self.offsets(centers)
        places = torch.stack([positions[:, self.column], positions[:, self.row]], -1) / self.slowest
        by_type = places.reshape(self.keypoints + 1, -1, 2)
        expected = (by_type[-1][:, None] + offsets).transpose(0, 1)
        tokens = by_type[:-1].reshape(-1, 2)
        squared = (expected[:, :, None] - tokens).square().sum(-1)
        radius = offsets.square().sum(-1).mean(-1) + 1
        near = -torch.log1p(squared / (self.REACH**2 * radius[:, None]))
        return offsets, self.strength[:, None, None] * near


class GroupingHead(nn.Module):
    """Keypoints, visibility and presence of the person of every centre."""

    def __init__(self, width: int, keypoints: int, head_width: int) -> None:
        super().__init__()
        self.loc_attn = KeypointAttention(width, keypoints, head_width)
        self.mlp_vis = Mlp(width + head_width, width, width, 1)
        self.mlp_person_tp = Mlp(width, width, width, 1)

    def forward(
        self, tokens: Tensor, encoding: Tensor, bias: Tensor, prior: Tensor | None = None
    ) -> Grouping:
        """All tokens `[n, width]`, equally many of every type, centres last; `bias [n]`, `prior [keypoints,
        centres, keypoint tokens]`.

        Only reshaped, never counted, so that the number of tokens stays open in an exported graph.
        """
        keypoints, width = self.loc_attn.keypoints, tokens.shape[-1]
        by_type, codes = (x.reshape(keypoints + 1, -1, width) for x in (tokens, encoding))
        centers = by_type[keypoints]
        counted = bias.reshape(keypoints + 1, -1)[:keypoints].reshape(-1)
        attention, gathered = self.loc_attn(
            centers,
            by_type[:keypoints].reshape(-1, width),
            codes[keypoints],
            codes[:keypoints].reshape(-1, width),
            counted if prior is None else prior + counted,
        )
        # The first layer sees both, the person once for all types.
        first = self.mlp_vis.layers[0]
        of_person, of_gathered = first.weight.split([width, self.loc_attn.head_width], 1)
        both = functional.linear(centers, of_person, first.bias) + functional.linear(gathered, of_gathered)
        visible = self.mlp_vis.after_first(both).squeeze(-1)
        return Grouping(attention, visible, self.mlp_person_tp(centers).squeeze(-1))


class GroupModel(nn.Module):
    """From sampled features to groups."""

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__()
        self.config = config
        width, keypoints = config.width, config.keypoints
        self.initial_mlp = Mlp(width, width, width, last_relu=True)
        self.kp_encoder = TokenEncoding(width, keypoints + 1)
        self.tr_encoder = Encoder(config)
        self.prediction_heads = nn.ModuleList(
            GroupingHead(width, keypoints, config.head_width) for _ in range(config.grouping_heads)
        )
        self.prior = OffsetPrior(width, keypoints) if config.offset_prior else None

    @torch.no_grad()
    def begin_nearby(self, strength: float = 3.0, sharpness: float = 0.4, preference: float = 3.0) -> None:
        """Starting values for training from nothing: positions pass as they are, and every grouping module
        begins by looking nearby for its own types. The offsets' prior, where there is one, says better what
        is near."""
        sharpness = sharpness if self.prior is None else 0.0
        encoding = self.kp_encoder.mlp.layers[0]
        encoding.weight.copy_(strength * torch.eye(self.config.width))
        encoding.bias.zero_()
        self.kp_encoder.type_embed.weight.mul_(0.3 * strength)
        for head in self.prediction_heads:
            head.loc_attn.begin_nearby(self.kp_encoder.type_embed.weight, sharpness, preference)

    def encode(self, features: Tensor, positions: Tensor, bias: Tensor) -> tuple[list[Tensor], Tensor]:
        """The tokens before the encoder and after each layer, each `[n, width]`, and their encoding."""
        tokens = [self.initial_mlp(features)]
        encoding = self.kp_encoder(positions)
        for layer in self.tr_encoder.layers:
            tokens.append(layer(tokens[-1], encoding, bias))
        return tokens, encoding

    def forward(self, features: Tensor, positions: Tensor, bias: Tensor) -> Grouping:
        """What the last grouping module says; `bias` is 0 for tokens that count and -1e4 for the others."""
        tokens, encoding = self.encode(features, positions, bias)
        prior = None if self.prior is None else self.prior(features, positions)[1]
        return self.prediction_heads[-1](tokens[-1], encoding, bias, prior)


class Grouper(nn.Module):
    """What every CenterGroup network shares: the second half.

    A subclass builds its first half, `group_model` last, and defines `forward_backbone`.
    """

    group_model: GroupModel

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__()
        self.config = config

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 3, H, W]` -> heatmaps `[B, keypoints + 1, H/2, W/2]`, the centre's last, and the features of
        all cells of the keypoint map, then of the centre map, `[B, 2 * H/4 * W/4, width]`."""
        raise NotImplementedError

    def grouping(
        self, rows: Tensor, positions: Tensor, index: Tensor, weight: Tensor, bias: Tensor
    ) -> Grouping:
        """The second half for one image.

        `rows [2 h w, width]`, `positions [h w, width]`, four taps for every token: `index [n, 4]` into `rows`
        and `weight [n, 4]`; `bias [n]`. Tokens are ordered by type, centres last.
        """
        features = (rows[index] * weight[..., None]).sum(1)
        # A centre's taps lie in the second map; its position is that of the same cell.
        cells = torch._shape_as_tensor(positions)[0]
        places = index - cells * (index >= cells).long()
        sampled = (positions[places] * weight[..., None]).sum(1)
        return self.group_model(features, sampled, bias)


class CenterGroup(Grouper):
    """The whole network, as two halves with the choice of peaks between them."""

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__(config)
        self.bu_model = BottomUp(config)
        channels = self.bu_model.features
        self.kp_embed_cnn = embedding_network(channels, config.width, config.embedding_blocks)
        self.person_embed_cnn = embedding_network(channels, config.width, config.embedding_blocks)
        self.group_model = GroupModel(config)

    def forward_maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Heatmaps at strides 4 and 2, and the embedding maps of keypoints and centres at stride 4."""
        coarse, fine, x = self.bu_model(image)
        return coarse, fine, self.kp_embed_cnn(x), self.person_embed_cnn(x)

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See `Grouper.forward_backbone`; the heatmaps are the mean of both."""
        coarse, fine, keypoints, centers = self.forward_maps(image)
        heat_half = (double(coarse) + fine) / 2
        rows = torch.cat([maps.flatten(2).transpose(1, 2) for maps in (keypoints, centers)], 1)
        return heat_half, rows
