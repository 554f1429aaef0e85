"""MoveNet MultiPose: a MobileNetV2 with a small feature pyramid down to stride 4, and six heads of one shape.

    >>> import torch
    >>> from models.networks.movenet import MoveNet, MoveNetConfig
    >>> model = MoveNet(MoveNetConfig.small())
    >>> maps = model(torch.randn(1, 3, 64, 96))
    >>> maps["heatmap"].shape, maps["regress"].shape
    (torch.Size([1, 17, 16, 24]), torch.Size([1, 34, 16, 24]))

The input is RGB, `x / 127.5 - 1`, with sides that are multiples of 32. Source: Google's model card of MoveNet
MultiPose Lightning and the published graph itself; `models/checkpoints/movenet.py` reads its weights. What
follows the heads in that graph (sigmoid, decoding) is not part of this network.

Coordinates are continuous, the corner of the first pixel is 0, and vectors hold y before x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

KEYPOINTS = 17
STRIDE = 4
STRIDED_BLOCKS = frozenset({1, 3, 6, 13})
"""Numbers of the blocks that halve the resolution."""
TAPS = (2, 5, 9)
"""Blocks whose outputs join the pyramid, at strides 4, 8 and 16."""
HEADS = {
    "center": 1,
    "box_scale": 2,
    "box_offset": 2,
    "heatmap": KEYPOINTS,
    "regress": 2 * KEYPOINTS,
    "offset": 2 * KEYPOINTS,
}
"""Output channels of each head."""


@dataclass(frozen=True)
class MoveNetConfig:
    """Channels of the network."""

    stem: int
    blocks: tuple[tuple[int, int], ...]
    """Expanded and output channels of each inverted residual."""
    top: int
    pyramid: tuple[int, int, int]
    """Channels at strides 16, 8 and 4."""
    hidden: int
    """Channels between the two layers of a head."""

    @classmethod
    def multipose(cls) -> Self:
        """MoveNet MultiPose Lightning: MobileNetV2 of width 1.5."""
        widths = (24, *(40,) * 2, *(48,) * 3, *(96,) * 4, *(144,) * 3, *(240,) * 3, 480)
        return cls(48, cls._expanded(48, widths), 1280, (64, 32, 24), 96)

    @classmethod
    def small(cls) -> Self:
        """A network for tests."""
        widths = (4, *(6,) * 2, *(8,) * 3, *(8,) * 4, *(12,) * 3, *(12,) * 3, 16)
        return cls(8, cls._expanded(8, widths), 24, (12, 8, 8), 10)

    @staticmethod
    def _expanded(stem: int, widths: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        inner = (stem, *widths[:-1])
        factors = (1, *(6,) * (len(widths) - 1))
        return tuple((factor * i, o) for factor, i, o in zip(factors, inner, widths, strict=True))


class SamePadded(nn.Conv2d):
    """A 3x3 convolution of stride 2, padded below and to the right only.

    TensorFlow's SAME does so at even sizes; PyTorch would pad all sides.
    """

    def __init__(self, inner: int, outer: int, groups: int = 1) -> None:
        super().__init__(inner, outer, 3, stride=2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


def depthwise(channels: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 depthwise convolution."""
    if stride == 2:
        return SamePadded(channels, channels, groups=channels)
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand (absent in the first), depthwise, project; norms are folded."""

    def __init__(self, inner: int, expanded: int, outer: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inner, expanded, 1) if expanded != inner else None
        self.depthwise = depthwise(expanded, stride)
        self.project = nn.Conv2d(expanded, outer, 1)
        self.residual = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Separable(nn.Module):
    """Depthwise 3x3 without bias, pointwise, ReLU."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.depthwise = depthwise(inner, bias=False)
        self.pointwise = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.pointwise(self.depthwise(x)))


class Head(nn.Module):
    """A separable layer and a pointwise one."""

    def __init__(self, inner: int, hidden: int, outer: int) -> None:
        super().__init__()
        self.hidden = Separable(inner, hidden)
        self.last = nn.Conv2d(hidden, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))


class MoveNetBackbone(nn.Module):
    """Image `[B, 3, H, W]` -> features `[B, C, H/4, W/4]`."""

    def __init__(self, config: MoveNetConfig) -> None:
        super().__init__()
        self.stem = SamePadded(3, config.stem)
        inner = [config.stem, *(outer for _, outer in config.blocks[:-1])]
        self.blocks = nn.ModuleList(
            InvertedResidual(i, expanded, outer, 2 if number in STRIDED_BLOCKS else 1)
            for number, (i, (expanded, outer)) in enumerate(zip(inner, config.blocks, strict=True))
        )
        self.top = nn.Conv2d(config.blocks[-1][1], config.top, 1)
        first, second, third = config.pyramid
        fine, middle, coarse = (config.blocks[tap][1] for tap in TAPS)
        self.lateral = nn.ModuleList(
            nn.Conv2d(i, o, 1)
            for i, o in ((config.top, first), (coarse, first), (middle, second), (fine, third))
        )
        self.smooth = nn.ModuleList(
            Separable(i, o) for i, o in ((first, second), (second, third), (third, third))
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.deep(*self.early(image))

    def early(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of the first two taps, at strides 4 and 8."""
        x = functional.relu6(self.stem(image))
        taps = []
        for number in range(TAPS[1] + 1):
            x = self.blocks[number](x)
            if number in TAPS:
                taps.append(x)
        return taps[0], taps[1]

    def deep(self, fine: Tensor, middle: Tensor) -> Tensor:
        """What follows `early`."""
        return self.pyramid(fine, middle)[-1]

    def pyramid(self, fine: Tensor, middle: Tensor) -> list[Tensor]:
        """What follows `early`: the features at strides 32, 16, 8 and 4."""
        x, taps = middle, [fine, middle]
        for number in range(TAPS[1] + 1, len(self.blocks)):
            x = self.blocks[number](x)
            if number in TAPS:
                taps.append(x)
        levels = [self.lateral[0](functional.relu6(self.top(x)))]
        for lateral, smooth, tap in zip(self.lateral[1:], self.smooth, reversed(taps), strict=True):
            larger = functional.interpolate(levels[-1], scale_factor=2, mode="bilinear", align_corners=False)
            levels.append(smooth(larger + lateral(tap)))
        return levels


class MoveNet(nn.Module):
    """The backbone and the six heads; the maps are raw (no sigmoid), by name of the head."""

    def __init__(self, config: MoveNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = MoveNetBackbone(config)
        self.heads = nn.ModuleDict(
            {name: Head(config.pyramid[2], config.hidden, outer) for name, outer in HEADS.items()}
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        return {name: head(features) for name, head in self.heads.items()}


def normalise(images: Tensor) -> Tensor:
    """u8 RGB `[B, H, W, 3]` -> the network's input `[B, 3, H, W]`."""
    return (images.float() / 127.5 - 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
