"""HRNet: a backbone that keeps a stride-4 branch from the stem to the end.

Parameters carry the names of the official releases (`conv1`, `layer1`, `transition1`, `stage2`, ...), so
that an official state dict loads by name. Widths, stem, blocks per branch and modules per stage are free,
so that the same code serves a network a hundred times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class HRNetConfig:
    """Sizes of an HRNet. The defaults, but for `widths`, are those of the official HRNets."""

    widths: tuple[int, int, int, int]
    """Channels of the branches at strides 4, 8, 16 and 32."""
    stem: int = 64
    """Channels of the two stride-2 convolutions at the entrance."""
    layer1_planes: int = 64
    """Inner channels of the first stage's bottlenecks; four times as many come out."""
    layer1_blocks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)
    """Multi-resolution modules in stages 2, 3 and 4."""
    blocks: tuple[int, int, int, int] = (4, 4, 4, 4)
    """Residual blocks per module in each branch."""
    finest_only: bool = False
    """Whether the last module only puts out its finest branch, where nothing reads the others."""


def convolution_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size (but for the stride), and its batch norm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def convolution_norm_relu(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(*convolution_norm(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


def mix_branches(branches: list[Tensor], weight: Tensor) -> Tensor:
    """A 1x1 convolution, `weight [C, sum of widths, 1, 1]`, of the four branches upsampled and concatenated:
    `[B, C, h, w]` at stride 4.

    As a 1x1 convolution and upsampling commute, each branch is convolved first, which costs less.
    """
    parts = weight.split([branch.shape[1] for branch in branches], dim=1)
    mixed = functional.conv2d(branches[0], parts[0])
    for level, (branch, part) in enumerate(zip(branches[1:], parts[1:]), start=1):
        mixed = mixed + functional.interpolate(
            functional.conv2d(branch, part), scale_factor=2**level, mode="bilinear", align_corners=False
        )
    return mixed


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(x + self.bn2(self.conv2(inner)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with four times as many channels at the end; the identity path is projected where the
    count changes."""

    expansion = 4

    def __init__(self, inputs: int, planes: int) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(*convolution_norm(inputs, outputs)) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(identity + self.bn3(self.conv3(inner)))


class MultiResolutionModule(nn.Module):
    """Residual blocks on every branch, then each of the first `outputs` branches receives the sum of all
    branches, brought to its size."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(count))) for width, count in zip(widths, blocks)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    @staticmethod
    def _path(widths: tuple[int, ...], source: int, target: int) -> nn.Module | None:
        """What leads from branch `source` to branch `target`; nothing for a branch to itself."""
        if source == target:
            return None
        if source > target:
            upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
            return nn.Sequential(*convolution_norm(widths[source], widths[target]), upsample)
        steps: list[nn.Module] = [
            convolution_norm_relu(widths[source], widths[source], 3, 2) for _ in range(target - source - 1)
        ]
        return nn.Sequential(*steps, nn.Sequential(*convolution_norm(widths[source], widths[target], 3, 2)))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [layer(branch) for layer, branch in zip(self.branches, branches)]
        fused = []
        for paths in self.fuse_layers:
            terms = [branch if path is None else path(branch) for path, branch in zip(paths, branches)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            fused.append(functional.relu(total))
        return fused


class HRNet(nn.Module):
    """`image [B, 3, H, W]` (H and W multiples of 32) -> four maps `[B, widths[i], H/2^(i+2),
    W/2^(i+2)]`, or the first one alone."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, stem = config.widths, config.stem
        self.conv1 = nn.Conv2d(3, stem, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        expanded = config.layer1_planes * Bottleneck.expansion
        self.layer1 = nn.Sequential(
            *(
                Bottleneck(stem if index == 0 else expanded, config.layer1_planes)
                for index in range(config.layer1_blocks)
            )
        )
        # The first transition splits one map in two; later ones only add a branch below the last.
        self.transition1 = nn.ModuleList(
            [
                convolution_norm_relu(expanded, widths[0], 3),
                nn.Sequential(convolution_norm_relu(expanded, widths[1], 3, 2)),
            ]
        )
        self.stage2 = self._stage(2, config.modules[0])
        self.transition2 = self._new_branch(2)
        self.stage3 = self._stage(3, config.modules[1])
        self.transition3 = self._new_branch(3)
        self.stage4 = self._stage(4, config.modules[2])
        self.reset_parameters()

    def _stage(self, branches: int, modules: int) -> nn.ModuleList:
        widths, blocks = self.config.widths[:branches], self.config.blocks[:branches]
        outputs = [branches] * modules
        if self.config.finest_only and branches == len(self.config.widths):
            outputs[-1] = 1
        return nn.ModuleList(MultiResolutionModule(widths, blocks, count) for count in outputs)

    def _new_branch(self, index: int) -> nn.ModuleList:
        widths = self.config.widths
        layer = nn.Sequential(convolution_norm_relu(widths[index - 1], widths[index], 3, 2))
        return nn.ModuleList([None] * index + [layer])

    def reset_parameters(self) -> None:
        """He initialisation; the last norm of every residual block starts small, so that a deep net starts
        near identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.constant_(module.bn2.weight, 0.1)
            elif isinstance(module, Bottleneck):
                nn.init.constant_(module.bn3.weight, 0.1)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = functional.relu(self.bn1(self.conv1(image)))
        x = functional.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        branches = [layer(x) for layer in self.transition1]
        for module in self.stage2:
            branches = module(branches)
        branches.append(self.transition2[2](branches[-1]))
        for module in self.stage3:
            branches = module(branches)
        branches.append(self.transition3[3](branches[-1]))
        for module in self.stage4:
            branches = module(branches)
        return branches


def multiply_accumulates(model: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of all convolutions in one forward pass over `inputs`."""
    total = 0

    def count(layer: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return total
