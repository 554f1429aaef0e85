"""A small backbone of plain convolutions, whose features see a part of the crop only: it has to say what
there is where it is. On one core it learns from more than a thousand windows a second.

    >>> maps = SmallCnn(SmallCnnConfig()).eval()(torch.randn(1, 3, 96, 64))
    >>> [tuple(one.shape) for one in maps]
    [(1, 24, 24, 16), (1, 48, 12, 8), (1, 96, 6, 4)]
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class SmallCnnConfig:
    """Channels of the features at strides 4, 8 and 16, which see squares of 22, 42 and 50 pixels."""

    widths: tuple[int, int, int] = (24, 48, 96)


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """With a norm; one that halves the size has an even kernel, so that cells stay where their pixels are."""
    padding = (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions beside a path around them."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, kernel)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, 1, kernel // 2, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class SmallCnn(nn.Module):
    """`[B, 3, H, W]` -> features at strides 4, 8 and 16."""

    STEM = 16

    def __init__(self, config: SmallCnnConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        self.stages = nn.ModuleList(
            (
                nn.Sequential(
                    _convolution(3, self.STEM, kernel=4, stride=2),
                    _convolution(self.STEM, fine, kernel=2, stride=2),
                    Residual(fine),
                ),
                nn.Sequential(
                    _convolution(fine, middle, kernel=2, stride=2),
                    _convolution(middle, middle),
                    Residual(middle, kernel=1),
                ),
                nn.Sequential(
                    _convolution(middle, coarse, kernel=2, stride=2),
                    Residual(coarse, kernel=1),
                ),
            )
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        maps, x = [], image
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
